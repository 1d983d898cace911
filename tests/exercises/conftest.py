"""How the result of an exercise is told: in plain words, with a hint for whoever asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.exercises import Look, NotYet
from tests.readme import tries
from tests.steps import LISTED

FOLDER = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hint", action="store_true", help="give a hint for each exercise that is not done yet")


def step_of(nodeid: str) -> str:
    return Path(nodeid.partition("::")[0]).stem


@pytest.fixture
def look(request: pytest.FixtureRequest) -> Look:
    return Look(step_of(request.node.nodeid), lambda: request.getfixturevalue("browser"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    report = yield
    if hasattr(item.function, "hint"):
        report.exercise = (item.function.number, item.function.hint)
    if call.excinfo and isinstance(call.excinfo.value, NotYet):
        missing = call.excinfo.value
        saw = str(missing.saw).replace("\n", "\n               ")
        lines = [f"  found:       {what}" for what in item.funcargs["look"].found]
        report.longrepr = "\n".join([*lines, f"  looked for:  {missing.what}", f"  saw:         {saw}"])
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = {
        report.nodeid: (*report.exercise, report.passed)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if hasattr(report, "exercise")
    }
    if all(hasattr(report, "exercise") for report in terminalreporter.stats.get("failed", [])):
        # What is missing has been told above; pytest's own list of it would be the last that a reader sees.
        terminalreporter.reportchars = terminalreporter.reportchars.replace("f", "")
    write = terminalreporter.write_line
    for step in dict.fromkeys(map(step_of, results)):
        terminalreporter.section(f"The exercises of {LISTED[step].heading}")
        mine = sorted(result for nodeid, result in results.items() if step_of(nodeid) == step)
        for number, hint, done in mine:
            write(f"{number}. {'done:   ' if done else 'not yet:'} {tries(step)[number - 1]}")
            if config.getoption("--hint") and not done:
                write(f"   A hint: {hint}")
                write(f"   A solution: tests/exercises/{step}-{number}.patch")
                write(f"   Apply it at the root: git apply tests/exercises/{step}-{number}.patch")
        write(f"{sum(done for *_, done in mine)} of {len(mine)} done.")
        if not config.getoption("--hint") and not all(done for *_, done in mine):
            write(f"For a hint: pytest tests/exercises/{step}.py --hint")
