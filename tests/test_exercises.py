"""Each exercise is unsolved in the repository, and solved by its patch; its check can tell the two apart."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.copies import Copy
from tests.exercises import Look, NotYet
from tests.readme import part_of, tries
from tests.steps import STEPS
from tests.support import ROOT
from tests.test_list import agree

FOLDER = ROOT / "tests" / "exercises"


def checks_of(step: str) -> list[Callable[[Look], None]]:
    module = importlib.import_module(f"tests.exercises.{step}")
    checks = [check for name, check in vars(module).items() if name.startswith("test_")]
    bare = [check.__name__ for check in checks if not getattr(check, "hint", "")]
    assert not bare, f"tests/exercises/{step}.py: {bare} without an @exercise that gives a hint"
    return checks


EXERCISES = [
    pytest.param(step, check, id=f"{step}-{check.number}") for step in STEPS for check in checks_of(step)
]


def patch_of(step: str, check: Callable[[Look], None]) -> Path:
    return FOLDER / f"{step}-{check.number}.patch"


@pytest.mark.parametrize("step", STEPS)
def test_readme_checks_and_solutions_match(step: str) -> None:
    count = len(tries(step))
    assert 1 <= count <= 3, (
        f"README, section {step}, 'What to try': {count} exercises; one to three are wanted"
    )
    numbers = list(range(1, count + 1))
    assert [check.number for check in checks_of(step)] == numbers, (
        f"tests/exercises/{step}.py: its checks are not those of the exercises {numbers} in the README"
    )
    for check, text in zip(checks_of(step), tries(step), strict=True):
        # In the order of the README: what the check is named after is in the text, in some form.
        words = [word.removesuffix("s")[:5] for word in check.__name__.split("_")[2:]]
        assert all(word in text.lower() for word in words), (
            f"README, section {step}, 'What to try': exercise {check.number} is not that of {check.__name__} "
            f"in tests/exercises/{step}.py any more; put the exercises in one order, or rename the check"
        )
    patches = sorted(path.name for path in FOLDER.glob(f"{step}-*.patch"))
    agree(patches, [f"{step}-{number}.patch" for number in numbers], f"tests/exercises/, patches of {step}")
    assert f"`pytest tests/exercises/{step}.py`" in part_of(step, "What to try"), (
        f"README, section {step}, 'What to try': it does not say how to check oneself"
    )


def test_no_file_is_left_over() -> None:
    known = {"__init__.py", "conftest.py", *(f"{step}.py" for step in STEPS)}
    known |= {patch_of(step, check).name for step in STEPS for check in checks_of(step)}
    agree({path.name for path in FOLDER.iterdir() if path.is_file()}, known, "tests/exercises/")


# What a check has found in the step with its patch is not there without it: that is tried with --all.
@pytest.mark.with_all
@pytest.mark.parametrize(("step", "check"), EXERCISES)
def test_unsolved_as_the_repository_stands(
    step: str, check: Callable[[Look], None], request: pytest.FixtureRequest
) -> None:
    try:
        check(Look(step, lambda: request.getfixturevalue("browser")))
    except NotYet as missing:
        if missing.stuck:
            pytest.fail(f"tests/exercises/{step}.py: {check.__name__} cannot run on the step: {missing}")
    else:
        pytest.fail(
            f"exercise {check.number} of {step} is solved in the repository; "
            f"take the solution out of {step}, or sharpen {check.__name__} in tests/exercises/{step}.py"
        )


@pytest.mark.parametrize(("step", "check"), EXERCISES)
def test_solved_by_its_patch(
    step: str, check: Callable[[Look], None], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    Copy(step, tmp_path).apply(patch_of(step, check))
    try:
        check(Look(step, lambda: request.getfixturevalue("browser"), tmp_path))
    except NotYet as missing:
        pytest.fail(f"{patch_of(step, check).name} does not solve the exercise: {missing}")


def told(*arguments: str) -> str:
    """Return what a reader is told who runs `pytest` with these arguments."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    return result.stdout


def test_what_a_reader_is_told() -> None:
    text = told("tests/exercises/test2.py", "-k", "test_1_roll_dice")
    assert "looked for:  ROLL_DICE answered with a number from 1 to 6" in text
    assert """saw:         "ERROR: unknown command 'ROLL_DICE'; try GET_TIME or GREET_ME\"""" in text
    assert "1. not yet: Add a third command, `ROLL_DICE`" in text
    assert "0 of 1 done." in text
    assert "For a hint: pytest tests/exercises/test2.py --hint" in text
    assert ".patch" not in text


def test_a_hint_comes_before_the_solution() -> None:
    text = told("tests/exercises/test2.py", "-k", "test_1_roll_dice", "--hint")
    assert text.index("A hint: answer() has an `if`") < text.index("git apply tests/exercises/test2-1.patch")
