"""The README in parts, for the tests that hold it to its word."""

import re
from dataclasses import dataclass
from functools import cache

from tests.support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
HEADINGS = [
    "What you will see",
    "What to do",
    "What is new",
    "How it works",
    "What can go wrong",
    "What to try",
]


class Sections(dict[str, str]):
    """The texts of sections by their headings, or by the names of their steps."""

    def __missing__(self, name: str) -> str:
        raise AssertionError(f"README: the section {name!r} is missing, or its heading is another one now")


def sections(text: str = README) -> Sections:
    """Return the text of each section by its heading, in the order of the README."""
    parts = [part.partition("\n") for part in re.split(r"^## ", text, flags=re.M)[1:]]
    return Sections((heading.strip(), text) for heading, _, text in parts)


SECTIONS = sections()
OF_STEP = Sections(
    (name.partition(":")[0], text) for name, text in SECTIONS.items() if name.startswith("test")
)


def part_of(step: str, heading: str) -> str:
    """Return what stands under one of the six headings in the section of a step."""
    found = re.search(rf"^### {heading}\n(.*?)(?=^### |\Z)", OF_STEP[step], flags=re.M | re.S)
    assert found, f"README, section {step}: the heading {heading!r} is missing"
    return found[1]


def fences(text: str, language: str) -> list[str]:
    """Return the code blocks in a language, without the indentation of the list that they stand in."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, flags=re.M | re.S)
    return [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, block in blocks]


def without_links(text: str) -> str:
    """Return text with the words of its links only."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)


def plain(text: str) -> str:
    """Return text with every run of white space, line ends too, as one space."""
    return " ".join(text.split())


@dataclass(frozen=True)
class Trouble:
    """One thing that can go wrong: what the reader sees, in bold, and then why, and what helps."""

    section: str
    symptom: str
    why: str

    @property
    def quotes(self) -> list[str]:
        """What the entry quotes, the symptom's quotations first."""
        return re.findall(r"`([^`]+)`", f"{self.symptom} {self.why}")

    def seen_in(self, text: str, quote: str | None = None, **here: str) -> None:
        """Check that what the README quotes is what came out.

        Args:
            text: what came out, in the page, the terminal, or a console.
            quote: how the quotation begins; if None, it is the first one.
            here: what stands here for a word of the quotation, such as an address: `a=b` as in
                `**{"192.168.1.20": "localhost"}`.

        A `…` in a quotation stands for anything.
        """
        quotes = [known for known in self.quotes if known.startswith(quote or "")]
        where = f"README, section {self.section}, {self.symptom!r}"
        assert quotes, f"{where}: nothing there is quoted that begins with {quote!r}"
        wanted = quotes[0]
        for word, word_here in here.items():
            assert word in wanted, f"{where}: the quotation has no {word!r} any more"
            wanted = wanted.replace(word, word_here)
        pattern = re.escape(plain(wanted)).replace("…", ".*")
        assert re.search(pattern, plain(text)), (
            f"{where}: it quotes\n    {wanted}\nbut what came out was\n    {text}\n"
            "Mend the README, or what printed that."
        )


def troubles_in(name: str, text: str) -> list[Trouble]:
    """Return the entries of the list of what can go wrong."""
    entries = re.findall(r"^- \*\*(.*?)(?=^- |^#|^\d\. |^\S|\Z)", text, flags=re.M | re.S)
    split = [plain(entry).partition("**") for entry in entries]
    return [Trouble(name, symptom, why.strip()) for symptom, _, why in split]


@cache
def troubles(section: str) -> list[Trouble]:
    """Return what can go wrong in a step, or in the set-up."""
    if section in OF_STEP:
        return troubles_in(section, part_of(section, "What can go wrong"))
    return troubles_in(section, SECTIONS[section].partition("What can go wrong")[2])


def tries(step: str) -> list[str]:
    """Return the exercises of a step, in their order, as text for the terminal."""
    items = re.split(r"^\d\. ", part_of(step, "What to try"), flags=re.M)[1:]
    return [plain(without_links(re.split(r"\n\n(?! )", item)[0])) for item in items]
