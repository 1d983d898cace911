"""No pattern that sees a text from outside takes more than linear time, whatever the text.

One line of text can hold up a server for hours where a pattern has several ways to match the same characters
and tries them all. So every regular expression in the programs and pages is found, and tried with texts that
are made from it: something that leads to a repetition, then the same few characters again and again, then
something that does not match.
"""

import ast
import importlib
import itertools
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from re import _constants as op  # what the parser of Python's own patterns calls their parts
from re import _parser as parser
from typing import Any

import pytest

from tests.support import PORT, ROOT
from tests.test_list import tracked

METHODS = {"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}


@dataclass(frozen=True)
class Found:
    """A pattern, where it is, and how it is used."""

    where: str
    text: str | bytes
    flags: int = 0
    methods: tuple[str, ...] = ("search",)


def in_python(path: str) -> Iterator[Found]:
    """Find the patterns in a module of `common`, or in a server: what is given to the functions of `re`."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls = [call for call in calls if isinstance(call.func, ast.Attribute)]
    names: dict[str, Any] = {}
    if path.startswith("common/"):
        names = vars(importlib.import_module(path.removesuffix(".py").replace("/", ".")))
    compiled = {
        assigned.value: assigned.targets[0].id
        for assigned in tree.body
        if isinstance(assigned, ast.Assign) and isinstance(assigned.targets[0], ast.Name)
    }
    for call in calls:
        if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "re"):
            continue
        if call.func.attr not in {"compile", *METHODS}:
            continue
        where = f"{path}:{call.lineno}"
        try:
            pattern = eval(compile(ast.Expression(call.args[0]), path, "eval"), names)
        except NameError as error:
            raise AssertionError(f"{where}: a pattern has to be a constant of its module: {error}") from None
        flags, methods = 0, {call.func.attr}
        if call.func.attr == "compile":
            name = compiled.get(call)
            flags = names[name].flags if name else 0
            # Also where it is one of two, as in `(ONE if short else OTHER).match(text)`.
            used = [other.func for other in calls if f"id='{name}'" in ast.dump(other.func.value)]
            methods = {func.attr for func in used} & METHODS or METHODS
        yield Found(where, pattern, flags & ~re.UNICODE, tuple(sorted(methods)))


def in_javascript(path: str) -> Iterator[Found]:
    """Find the patterns in a script or in a page."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".html"):
        text = "\n".join(re.findall(r"<script>(.*?)</script>", text, flags=re.S))
    assert "new RegExp" not in text, f"{path}: a pattern has to be a literal"
    strings = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    comments = r"//[^\n]*|/\*.*?\*/"
    # A slash is the beginning of a pattern where no value stands before it that could be divided. With a star
    # behind it, it is that of a comment.
    begins = r"(?:(?<=[(,=:!&|?;\[])\s*|(?<=return ))/(?!\*)"
    inside = r"(?P<text>(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n\[])+)/(?P<flags>[a-z]*)"
    token = re.compile(f"{comments}|{strings}|{begins}{inside}", flags=re.S)
    for match in token.finditer(text):
        if match["text"]:
            flags = re.IGNORECASE if "i" in match["flags"] else 0
            pattern = match["text"].replace(str(PORT), "5678")  # so that a test has one name
            yield Found(f"{path}: /{pattern}/", pattern, flags)


PROGRAMS = tracked("common/*.py", "test*/server.py")
SCRIPTS = [path for path in tracked("common/static/*.js", "test*/client.html") if "uPlot" not in path]
PYTHON = [found for path in PROGRAMS for found in in_python(path)]
JAVASCRIPT = [found for path in SCRIPTS for found in in_javascript(path)]

CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d", op.CATEGORY_NOT_DIGIT: r"\D", op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S", op.CATEGORY_WORD: r"\w", op.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip
REPEATS = {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}


class Attack:
    """The texts that a pattern may find hard, made from its parts."""

    def __init__(self, text: str | bytes, flags: int) -> None:
        self.tree = parser.parse(text, flags)
        self.sets: list[tuple[Any, Any]] = []
        self.collect(self.tree)
        parts = [part for kind, value in self.sets for part in (value if kind is op.IN else [(kind, value)])]
        literals = {chr(value) for kind, value in parts if kind is op.LITERAL}
        literals |= {chr(value[0]) for kind, value in parts if kind is op.RANGE}
        # Of characters that the pattern does not tell apart, one will do.
        one_of_each = {}
        for char in [*"a1 ", *sorted(literals), *"A_-.,:;\t\n\0\u00e9!"]:
            one_of_each.setdefault(tuple(self.accepts(part, char) for part in self.sets), char)
        self.chars = list(one_of_each.values())

    def collect(self, nodes: Any) -> None:
        for kind, value in nodes:
            if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
                self.sets.append((kind, value))
            for child in self.children(kind, value):
                self.collect(child)

    def children(self, kind: Any, value: Any) -> list[Any]:
        if kind is op.BRANCH:
            return value[1]
        places = {op.SUBPATTERN: 3, op.ASSERT: 1, op.ASSERT_NOT: 1} | dict.fromkeys(REPEATS, 2)
        if kind in places:
            return [value[places[kind]]]
        return [value] if kind is op.ATOMIC_GROUP else []

    def accepts(self, part: tuple[Any, Any], char: str) -> bool:
        kind, value = part
        if kind is op.IN:
            negated = value[0][0] is op.NEGATE
            return negated != any(self.accepts(item, char) for item in value if item[0] is not op.NEGATE)
        if kind is op.RANGE:
            return value[0] <= ord(char) <= value[1]
        if kind is op.CATEGORY:
            return re.match(CATEGORIES[value], char) is not None
        if kind is op.ANY:
            return char != "\n"
        return (ord(char) == value) == (kind is op.LITERAL)

    def samples(self, nodes: Any) -> list[str]:
        """Return a few texts that these parts match."""
        texts = [""]
        for kind, value in nodes:
            more = [""]
            if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
                fitting = [char for char in self.chars if self.accepts((kind, value), char)]
                more = [chr(value)] if kind is op.LITERAL else fitting[:2] or [""]
            elif kind is op.BRANCH:
                more = [text for branch in value[1] for text in self.samples(branch)[:2]]
            elif kind in REPEATS:
                least, _, child = value
                more = [text * max(1, least) for text in self.samples(child)] + [""] * (least == 0)
            elif kind in (op.SUBPATTERN, op.ATOMIC_GROUP):
                more = self.samples(self.children(kind, value)[0])
            texts = [text + end for text, end in itertools.product(texts, more)][:6]
        return texts

    def repeats(self, nodes: Any, before: list[str]) -> Iterator[tuple[list[str], list[str]]]:
        """Yield for each repetition what leads to it, and what it repeats."""
        for place, (kind, value) in enumerate(nodes):
            leads = [a + b for a, b in itertools.product(before, self.samples(nodes[:place]))][:6]
            if kind in REPEATS and value[1] > 9:
                yield leads, self.samples(value[2])
            for child in self.children(kind, value):
                yield from self.repeats(child, leads)

    def texts(self) -> list[tuple[str, str, str]]:
        """Return beginnings, what comes again and again, and ends."""
        cases = set()
        units = {a + b for a in self.chars for b in ["", *self.chars]}
        for leads, bodies in self.repeats(self.tree, [""]):
            more = {*bodies, *(a + b for a, b in itertools.product(bodies, bodies))}
            more |= {lead + body for lead, body in itertools.product(leads, bodies)}
            for lead, unit in itertools.product({"", *leads}, (units | more) - {""}):
                cases |= {(lead, unit, end) for end in ("", "\0", "\n!")}
        return sorted(cases)


def seconds(match: Callable[[str], object], text: str, times: int = 1) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.thread_time()
        match(text)
        best = min(best, time.thread_time() - start)
    return best


def hardest(match: Callable[[str], object], cases: list[tuple[str, str, str]]) -> str:
    """Return a text that takes exponential time, or one of which four times as much takes sixteen times."""
    for lead, unit, end in cases:
        # In small steps, because two more may take ten times as long.
        for count in range(10, 27, 2):
            text = lead + unit * count + end
            if seconds(match, text) > 0.05 and (took := seconds(match, text, 2)) > 0.05:
                return f"{text!r} takes {took:.2f} s"
        count = 1600 // len(unit)
        short, long = (lead + unit * n + end for n in (count, 4 * count))
        took = seconds(match, short, 5) if seconds(match, short) > 0.0005 else 0
        if took > 0.0005 and seconds(match, long, 3) > 8 * took:
            return f"{lead!r}, {count} times {unit!r} and {end!r} take {took:.3f} s"
    return ""


def check(found: Found) -> str:
    pattern = re.compile(found.text, found.flags)
    cases = Attack(found.text, found.flags).texts()
    if isinstance(found.text, bytes):
        cases = [tuple(part.encode("utf-8", "replace") for part in case) for case in cases]
    how = {
        "sub": lambda text: pattern.sub(text[:0], text),
        "subn": lambda text: pattern.subn(text[:0], text),
        "finditer": lambda text: list(pattern.finditer(text)),
    }
    problems = (hardest(how.get(method, getattr(pattern, method)), cases) for method in found.methods)
    return next(filter(None, problems), "")


# A browser tries the ways to match a pattern as Python does, one after the other.
@pytest.mark.parametrize("found", PYTHON + JAVASCRIPT, ids=lambda found: found.where)
def test_patterns(found: Found) -> None:
    assert check(found) == ""


# With patterns that are known to be slow, the test above fails.
@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("fullmatch", r"(a+)+b"),
        ("fullmatch", r"(?:\w+|\d)*!"),
        ("fullmatch", r"(\d+,?)+;"),
        ("match", r"key: (\s*\w+\s*)*;"),
        ("fullmatch", r"\d+\.?\d*x"),
        ("search", r"[/?#].*$"),
        ("sub", r"\s+$"),
    ],
)
def test_slow_patterns_are_found(method: str, text: str) -> None:
    assert check(Found("here", text, 0, (method,)))


def test_all_patterns_are_seen() -> None:
    # Modules and pages of which it is known that they have some.
    seen = {found.where.partition(":")[0] for found in PYTHON + JAVASCRIPT}
    assert {"common/http.py", "common/drivers/lines.py", "common/static/page.js", "test3/client.html"} <= seen
    for path in PROGRAMS:
        assert "from re import" not in (ROOT / path).read_text(encoding="utf-8"), path
    # As many as there are in the scripts for whoever looks for them in a simpler way.
    use = r"\.(?:replace|replaceAll|match|matchAll|split|search)\(/|/[a-z]*\.(?:test|exec)\("
    for path in SCRIPTS:
        used = len(re.findall(use, (ROOT / path).read_text(encoding="utf-8")))
        assert sum(found.where.startswith(f"{path}:") for found in JAVASCRIPT) >= used, path
