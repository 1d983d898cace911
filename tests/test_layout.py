"""The shape of the repository: what stands where, how long a step is, and what must not be in a file."""

import re

import pytest

from tests.steps import STEPS
from tests.support import ROOT
from tests.test_list import tracked


def test_nothing_else_stands_at_the_top() -> None:
    top = {path.split("/")[0] for path in tracked()}
    files = {"README.md", "CHANGELOG.md", "pyproject.toml", "Makefile", "LICENSE", ".gitignore"}
    known = files | {*STEPS, "common", "tests", ".ci", ".github"}
    assert not top - known, (
        f"take {sorted(top - known)} away from the root of the repository, or name it here"
    )
    assert not known - top, f"{sorted(known - top)} missing at the root of the repository"


# The rooms of `common`: flat what lessons share, and what only some of them need in wings.
ROOMS = {
    "common": "clients console events http live_page log network options running sampling sensors",
    "common/runs": "files index recorder recording repair replay rows serving writer",
    "common/drivers": "collector lines sensor tally text",
    "common/demos": "factory market",
    "common/static": "style.css icon.svg page.js plot.js events.js live_page.js",
    "common/static/vendor": "uPlot.iife.min.js uPlot.min.css uPlot.LICENSE.txt",
    "common/static/runs": "bins.js connection.js dashboard.js run.css run.js run_page.js run_plot.js",
    "common/static/demos": "factory.css factory.js ticker.css ticker.js",
}
# Who may import from a wing: itself, and what is named here. Nothing flat needs a wing.
NEEDED_BY = {
    "runs": {"test14", "test14b", "test15", "common/drivers"},
    "drivers": {"test15"},
    "demos": {"test12", "test13"},
}


def test_each_file_of_common_is_in_its_room() -> None:
    known = set()
    for room, names in ROOMS.items():
        ending = "" if "static" in room else ".py"
        known |= {f"{room}/{name}{ending}" for name in names.split()}
        known |= set() if ending == "" else {f"{room}/__init__.py"}
    there = set(tracked("common"))
    assert not there - known, f"{sorted(there - known)}: in which room of common it belongs is not said here"
    assert not known - there, f"{sorted(known - there)} is missing"


@pytest.mark.parametrize("path", tracked("common/*.py", "test*/server.py"))
def test_who_needs_a_wing(path: str) -> None:
    here = path.rpartition("/")[0]
    for wing in re.findall(
        r"^(?:from|import) common\.(\w+)\.", (ROOT / path).read_text(encoding="utf-8"), re.M
    ):
        allowed = {f"common/{wing}", *NEEDED_BY[wing]}
        assert here in allowed, f"{path} imports from common/{wing}, which is for {sorted(NEEDED_BY[wing])}"


@pytest.mark.parametrize("step", STEPS)
def test_a_step_opens_with_what_it_shows(step: str) -> None:
    server, page = ((ROOT / step / name).read_text(encoding="utf-8") for name in ("server.py", "client.html"))
    number = step.removeprefix("test")
    assert re.match(rf'"""Step {number}: .+\n\nRun:  python server.py .*\n(.*\n)*?New:  .+', server), (
        f"{step}/server.py: it does not begin as all do, with its step, 'Run:' and 'New:'"
    )
    assert re.match(rf"<!doctype html>\n<!-- Step {number}: (.*\n)+?     New: .+ -->", page), (
        f"{step}/client.html: it does not begin as all do, with its step and 'New:'"
    )


@pytest.mark.parametrize("step", STEPS)
def test_steps_do_not_import_from_one_another(step: str) -> None:
    server = (ROOT / step / "server.py").read_text(encoding="utf-8")
    found = re.search(r"(import|from)\W+test\d.*", server)
    assert not found, f"{step}/server.py: {found[0]!r}: a step imports from common, but not from another step"


@pytest.mark.parametrize("path", tracked("test*/client.html", "common/static/*.js", "common/static/*.css"))
def test_pages_need_nothing_from_elsewhere(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    if "uPlot" not in path:
        assert "innerHTML =" not in text
        assert "outerHTML" not in text
        assert "insertAdjacentHTML" not in text
    assert 'type="module"' not in text
    assert not re.search(r"""(src|href)=["'](https?:)?//""", text)


def test_vendored_chart_library_is_the_pinned_one() -> None:
    script = (ROOT / "common" / "static" / "vendor" / "uPlot.iife.min.js").read_text(encoding="utf-8")
    assert script.startswith("/*! https://github.com/leeoniya/uPlot (v1.6.32) */")
    assert "MIT" in (ROOT / "common" / "static" / "vendor" / "uPlot.LICENSE.txt").read_text(encoding="utf-8")
