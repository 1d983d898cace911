"""The exercises of test8. To see how far you are: pytest tests/exercises/test8.py"""

import json
import math
import re

from tests.exercises import Look, exercise
from tests.support import read_log

LATE = re.compile(r"(-?[\d.]+) ms late")


@exercise("Accelerometer has two places: `fields`, and what read() returns. math.hypot(x, y, z) is the root.")
def test_1_total(look: Look) -> None:
    server = look.start("--rate", "100")
    with look.connect() as control:
        fields = json.loads(control.recv(timeout=10))["fields"]
    look.find("the fields x, y, z and total", list(fields), ["x", "y", "z", "total"])
    look.find("the unit of total", fields["total"], fields["x"])
    page = look.page()
    look.pages.command(page, "START")
    look.readings(page, 3)
    look.pages.command(page, "STOP")
    legend = page.get_by_role("list", name="Legend").get_by_role("listitem").filter(has_text="total")
    look.wait("a number for total in the legend", legend.inner_text, lambda text: re.search(r"\d", text))
    server.wait_for("Logging to")
    rows = read_log(server.log)
    wrong = [row for row in rows if abs(math.hypot(row["x"], row["y"], row["z"]) - row["total"]) > 0.05]
    look.find("the square root of x² + y² + z² in each row of the log, but for rounding", wrong[:1], [])


@exercise("In showLatest(), Date.now() - 1000 * time, where `time` is what add() kept of the latest reading.")
def test_2_late(look: Look) -> None:
    look.start("--rate", "100")
    page = look.page()

    def says() -> str:
        found = LATE.search(page.locator("body").inner_text())
        return found[0] if found else "nothing that ends with ms late"

    look.pages.command(page, "START")
    look.readings(page, 2)
    look.wait("how many ms late the latest reading is", says, LATE)
    # A clock that is an hour ahead makes every reading an hour late.
    page.evaluate("() => { const clock = Date.now; Date.now = () => clock() + 3_600_000; }")
    look.wait(
        "3600000 ms late and a little more, by a clock that is an hour ahead",
        says,
        lambda text: (found := LATE.search(text)) and 3_600_000 <= float(found[1]) < 3_660_000,
    )
