"""The constants at the top of a step, which a reader may change: each sensible value of them works."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Pages
from tests.copies import Copy
from tests.page import wait_for_drawing
from tests.support import read_log


@pytest.fixture
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(request.getfixturevalue("name"), tmp_path)
    yield copy
    copy.close()


@pytest.mark.parametrize(
    ("name", "every"),
    [*((f"test{number}", 1) for number in range(5, 10)), ("test5", 2), ("test9", 3), ("test9", 100_000)],
)
def test_readings_that_clients_get(name: str, every: int, copy: Copy) -> None:
    copy.replace("server.py", "SEND_EVERY = 4 ", f"SEND_EVERY = {every} ")
    server = copy.start("--rate", "200")
    wanted = 1 if every > 100 else 5
    with copy.step.connect("data") as data, copy.step.connect("control") as control:
        server.wait_for("Hello, client", count=2)
        copy.step.ask(control, "START")
        received = [copy.step.values(data.recv(timeout=30)) for _ in range(wanted)]
        copy.step.ask(control, "STOP")
    rows = [list(row.values())[2:] for row in read_log(server.log)]
    assert received == rows[: wanted * every : every]


class TestLengthOfCharts:
    step = "test12"

    @pytest.mark.parametrize("name", ["test12"])
    @pytest.mark.parametrize("length", [1, 5, 500])
    def test_charts_end_at_the_right_edge(self, name: str, length: int, copy: Copy, pages: Pages) -> None:
        copy.replace("client.html", "CHART_LENGTH = 60;", f"CHART_LENGTH = {length};")
        copy.start("--rate", "50")
        page = pages.connect()
        page.wait_for_function(
            f"() => [...rows.values()].some((row) => row.prices.length === {min(length, 9)})"
        )
        wait_for_drawing(page)
        charts = page.locator("#rows svg").evaluate_all(
            """(charts) => charts.map((svg) => ({
              left: svg.viewBox.baseVal.x,
              right: svg.viewBox.baseVal.width,
              xs: [...svg.firstElementChild.points].map(({ x }) => x),
            }))"""
        )
        for chart in charts:
            assert chart["xs"][-1] == chart["right"] - 1
            assert chart["left"] <= chart["xs"][0]
