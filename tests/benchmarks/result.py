"""What a benchmark returns."""

from dataclasses import dataclass


@dataclass
class Result:
    """A figure, the limit that it must hold, both in words, and whether it does."""

    what: str
    figure: str
    limit: str
    holds: bool
