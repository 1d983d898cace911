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
