"""The list of the steps, which stands in steps.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("steps.toml")


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
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    steps: dict[str, Listed] = {}
    before = None
    for name, step in content["steps"].items():
        most_lines = content["lines"] | step.pop("lines", {})
        steps[name] = Listed(name, **({"goes_on_from": before} | step), most_lines=most_lines)
        before = name
    return steps


LISTED = read_list()
STEPS = list(LISTED)
PART_I, PART_II, PART_III = ([name for name in STEPS if LISTED[name].part == part] for part in (1, 2, 3))
