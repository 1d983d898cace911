"""The list of the steps, which stands in steps.toml."""

import tomllib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LIST = Path(__file__).with_name("steps.toml")


class MistakeError(Exception):
    """A mistake in the list, or in the README, and where."""


@dataclass(frozen=True)
class Listed:
    """What the list says of a step."""

    name: str
    title: str
    part: int
    goes_on_from: str | None
    new: list[str]
    most_lines: dict[str, int]

    @property
    def heading(self) -> str:
        return f"{self.name}: {self.title}"

    @property
    def anchor(self) -> str:
        """The anchor of the step's section, as GitHub makes it of the heading."""
        return anchor(self.heading)


def anchor(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    kept = "".join(c for c in heading if c.isalnum() or c in "_- ")
    return kept.strip().replace(" ", "-").lower()


def read_list(path: Path = LIST) -> dict[str, Listed]:
    """Read the list of the steps.

    Returns:
        The steps by their names, in order. A step goes on from the one before it if the list names no other.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise MistakeError(f"{path.name}: {error}") from None
    wanted, optional = {"title", "part", "new"}, {"goes_on_from", "lines"}
    steps: dict[str, Listed] = {}
    before = None
    for name, step in content["steps"].items():
        where = f"{path.name}, [steps.{name}]"
        if missing := wanted - set(step):
            raise MistakeError(f"{where}: {sorted(missing)} missing")
        if unknown := set(step) - wanted - optional or set(step.get("lines", {})) - set(content["lines"]):
            raise MistakeError(f"{where}: nothing is called {sorted(unknown)}")
        if step.get("goes_on_from", before) not in [before, *steps]:
            raise MistakeError(
                f"{where}: it goes on from {step['goes_on_from']!r}, which is no step before it"
            )
        most_lines = content["lines"] | step.pop("lines", {})
        steps[name] = Listed(name, **({"goes_on_from": before} | step), most_lines=most_lines)
        before = name
    return steps


LISTED = read_list()
STEPS = list(LISTED)
PART_I, PART_II, PART_III = ([name for name in STEPS if LISTED[name].part == part] for part in (1, 2, 3))


def between(tests: Iterable[tuple[type, str]]) -> list[tuple[type, str]]:
    """Return those of these tests that prove a promise at a step between the first and the newest with it.

    Args:
        tests: tests as the class of a step, and the test's name there, with its parameters.
    """
    keepers: defaultdict[tuple[type, str], list[type]] = defaultdict(list)
    for cls, name in tests:
        owner = next(owner for owner in cls.__mro__ if name.partition("[")[0] in vars(owner))
        if owner.__module__.startswith("tests.promises"):
            keepers[owner, name].append(cls)
    for classes in keepers.values():
        classes.sort(key=lambda cls: STEPS.index(cls.step))
    return [(cls, name) for (_, name), classes in keepers.items() for cls in classes[1:-1]]


def kept_by(steps: list[str]) -> list[Any]:
    """Return steps as the parameters of a test that holds for all of them, since it held for the first.

    Those between the first and the newest are tried with `--all`.
    """
    first, *others, newest = steps
    return [first, *(pytest.param(step, marks=pytest.mark.with_all) for step in others), newest]
