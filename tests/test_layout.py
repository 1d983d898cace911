"""The shape of the repository: what stands where, how long a step is, and what must not be in a file."""

import re
import subprocess

import pytest

from tests.support import ROOT, STEPS

# About 100 lines for a server and 150 for a page. These are longer, each for one idea in full: the log of
# step 5, what it takes to serve a dashboard and to notice an outage, what many sensors need, the protocol by
# which a page gets all of a run, and what a real sensor can do.
LONGER = {
    "test5/server.py": 170,
    "test9/server.py": 155,
    "test9/client.html": 205,
    "test13/server.py": 185,
    "test13/client.html": 206,
    "test14/server.py": 230,
    "test14/client.html": 360,
    "test15/server.py": 255,
    "test15/client.html": 375,
}


def tracked(*patterns: str) -> list[str]:
    """Return what git tracks; where this is no git checkout, there is nothing to hold it to."""
    result = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        pytest.skip("not a git checkout")
    return result.stdout.splitlines()


def test_nothing_else_stands_at_the_top() -> None:
    top = {path.split("/")[0] for path in tracked()}
    files = {"README.md", "pyproject.toml", "Makefile", "LICENSE", ".gitignore"}
    assert top == files | {*STEPS, "common", "tests", ".ci", ".github"}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_two_files_of_bounded_size(step: str) -> None:
    assert tracked(step) == [f"{step}/client.html", f"{step}/server.py"]
    assert (ROOT / "tests" / f"test_{step}.py").exists()
    for name, most in (("server.py", 110), ("client.html", 165)):
        lines = (ROOT / step / name).read_text(encoding="utf-8").count("\n")
        assert lines <= LONGER.get(f"{step}/{name}", most)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_opens_with_what_it_shows(step: str) -> None:
    server, page = ((ROOT / step / name).read_text(encoding="utf-8") for name in ("server.py", "client.html"))
    number = step.removeprefix("test")
    assert re.match(rf'"""Step {number}: .+\n\nRun:  python server.py .*\n(.*\n)*?New:  .+', server)
    assert re.match(rf"<!doctype html>\n<!-- Step {number}: (.*\n)+?     New: .+ -->", page)


@pytest.mark.parametrize("step", STEPS)
def test_steps_do_not_import_from_one_another(step: str) -> None:
    server = (ROOT / step / "server.py").read_text(encoding="utf-8")
    assert not re.search(r"(import|from) test\d", server)


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
    script = (ROOT / "common" / "static" / "uPlot.iife.min.js").read_text(encoding="utf-8")
    assert script.startswith("/*! https://github.com/leeoniya/uPlot (v1.6.32) */")
    assert "MIT" in (ROOT / "common" / "static" / "uPlot.LICENSE.txt").read_text(encoding="utf-8")
