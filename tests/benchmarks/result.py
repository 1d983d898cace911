"""What a benchmark returns."""

from dataclasses import dataclass


@dataclass
class Result:
    """A figure, the limit that it must hold, both in words, and whether it does."""

    what: str
    figure: str
    limit: str
    holds: bool


def at_most(what: str, value: float, limit: float, unit: str, form: str = ".0f") -> Result:
    return Result(what, f"{value:{form}} {unit}", f"{limit} {unit} or less", value <= limit)
