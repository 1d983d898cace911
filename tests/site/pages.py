"""The pages of the site, in Markdown: one for each section of the README, and for each file that it links."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound

from tests.readme import README, sections
from tests.steps import LISTED, MistakeError, anchor
from tests.support import ROOT

STEP_FILES = ("server.py", "client.html")
PICTURES = {".png", ".svg"}
# What matters in Markdown: code, in which nothing is changed; the first # of two in a heading; a link.
MARKDOWN = re.compile(
    r"(?P<code>^ *```.*?^ *```$|`[^`]*`)|(?P<deeper>^#(?=#+ ))|\]\((?P<link>[^)\s]+)\)", flags=re.M | re.S
)
# Longer than any fence in what stands inside.
FENCE = "`" * 8
# No contents at the side.
NO_CONTENTS = "---\nhide-toc: true\n---\n"


class Book:
    """The pages of the site by their names, and the pictures in them."""

    def __init__(self, readme: str = README) -> None:
        self.front = readme.partition("\n## ")[0]
        self.sections = sections(readme)
        self.contents = self.sections.pop("Contents")
        self.anchors = self.find_anchors()
        self.pictures: set[str] = set()
        self.files: list[str] = []  # more are linked while pages are made
        self.pages = {"index": self.front_page()}
        for heading in self.sections:
            self.pages[page_name(heading)] = self.section_page(heading)
        for path in self.files:  # a page of a folder adds its files to the list
            self.pages[file_page(path)] = self.page_of_file(path)
        self.pages["files"] = self.page_of_all_files()

    def find_anchors(self) -> dict[str, str]:
        """Return where the anchors of the README lead to on the site."""
        everything = [self.front.partition("\n")[0].removeprefix("# "), "Contents"]
        targets = ["/index.md", "/index.md#contents"]
        for section, text in self.sections.items():
            headings = [section, *headings_in(text)]
            everything += headings
            page = f"/{page_name(section)}.md"
            targets += [page, *(f"{page}#{name}" for name in unique_anchors(headings)[1:])]
        return dict(zip(unique_anchors(everything), targets, strict=True))

    def front_page(self) -> str:
        """Return what stands before the contents, and the contents, which become the lists of all pages."""
        text, listed, lists = self.front, [], [":maxdepth: 1\n\n"]
        for line in self.contents.splitlines():
            if item := re.match(r"- \[.*?\]\(#(.*?)\)", line):
                listed.append(self.link(f"#{item[1]}", "section 'Contents'").removesuffix(".md"))
                lists[-1] += f"{listed[-1]}\n"
            elif line.endswith(":"):
                lists.append(f":maxdepth: 1\n:caption: {line.removesuffix(':')}\n\n")
            else:
                text += f"{line}\n"
        for heading in self.sections:
            if f"/{page_name(heading)}" not in listed:
                raise MistakeError(f"README.md: the section {heading!r} is not in the contents.")
        lists[-1] += "/files\n"
        trees = "\n".join(directive("toctree", names) for names in lists)
        return f"{NO_CONTENTS}{self.rewritten(text, 'at its beginning')}\n## Contents\n\n{trees}"

    def section_page(self, heading: str) -> str:
        """Return a section of the README as a page; that of a step has its code too, and what changed."""
        text = self.rewritten(f"## {heading}\n{self.sections[heading]}", f"section {heading!r}")
        name = page_name(heading)
        if name not in LISTED:
            return text
        title, _, rest = text.partition("\n")
        rest += f"\n## The code\n\n{code_of_step(name)}"
        if before := LISTED[name].goes_on_from:
            rest += f"\n## What changed since {before}\n\n{difference(before, name)}"
        # The code needs the width of the contents at the side, so they stand at the top, after the context.
        headings = headings_in(rest)
        names = unique_anchors([title.removeprefix("# "), *headings])[1:]
        links = "".join(f"- [{heading}](#{name})\n" for heading, name in zip(headings, names, strict=True))
        context, _, rest = rest.partition("\n## ")
        return f"{NO_CONTENTS}{title}\n{context}\n{container('on-this-page', links)}\n## {rest}"

    def page_of_file(self, path: str) -> str:
        """Return the page of a file with its code, or of a folder with links to its files."""
        if (ROOT / path).is_dir():
            files = sorted(
                file.relative_to(ROOT).as_posix()
                for file in (ROOT / path).iterdir()
                if file.is_file() and not file.name.startswith(".")
            )
            return f"# {path}/\n\n" + "".join(f"- [{file}]({self.link(file, path)})\n" for file in files)
        return f"# {path}\n\n{code_block(path)}"

    def page_of_all_files(self) -> str:
        links = "".join(f"{path} </{file_page(path)}>\n" for path in sorted(self.files))
        text = "The two files of a step stand on its page. These are the others that are linked.\n\n"
        return f"# Files\n\n{text}{directive('toctree', links)}"

    def rewritten(self, text: str, where: str) -> str:
        """Return a part of the README with its headings one level up, and with the links of the site."""

        def replacement(found: re.Match[str]) -> str:
            if found["link"]:
                return f"]({self.link(found['link'], where)})"
            return "" if found["deeper"] else found[0]

        return MARKDOWN.sub(replacement, text)

    def link(self, target: str, where: str) -> str:
        """Return where a link of the README leads to on the site, and note what that needs."""
        if re.match(r"[a-z]+:", target):  # https:, mailto:
            return target
        path, _, name = target.partition("#")
        if not path:
            if name not in self.anchors:
                raise MistakeError(f"README.md, {where}: there is no heading for the link #{name}.")
            return self.anchors[name]
        path = path.rstrip("/")
        if not (ROOT / path).exists():
            raise MistakeError(f"README.md, {where}: there is no file for the link {path}.")
        if Path(path).suffix in PICTURES:
            self.pictures.add(path)
            return f"/{path}"
        if path in LISTED:
            return f"/{path}.md"
        if path.rpartition("/")[0] in LISTED:
            return f"#{block_name(path)}"
        if path not in self.files:
            self.files.append(path)
        return f"/{file_page(path)}.md"


def headings_in(text: str) -> list[str]:
    """Return the headings below the title."""
    # In a block of code, # begins a comment.
    return re.findall(r"^##+ (.*)$", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S), flags=re.M)


def page_name(heading: str) -> str:
    """Return the name of a section's page: `test1`, or `set-up`."""
    step = heading.partition(":")[0]
    return step if step in LISTED else anchor(heading)


def file_page(path: str) -> str:
    """Return the name of the page of a file or a folder, without the dot that would hide it."""
    return f"{path}/index".lstrip(".") if (ROOT / path).is_dir() else path.lstrip(".")


def unique_anchors(headings: Iterable[str]) -> list[str]:
    """Return the anchors of headings as GitHub makes them: the second of a name ends in -1, and so on."""
    seen: Counter[str] = Counter()
    names = []
    for heading in headings:
        name = anchor(heading)
        names.append(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def directive(name: str, text: str, argument: str = "") -> str:
    """Return a directive for Sphinx: its name, an argument, and what stands in it."""
    return f"{FENCE}{{{name}}} {argument}\n{text}\n{FENCE}\n"


def container(name: str, text: str) -> str:
    """Return text in an element of this class, which style.css knows."""
    return f"{FENCE}`{{container}} {name}\n\n{text}\n{FENCE}`\n"


def block_name(path: str) -> str:
    """Return the anchor of a file's code on the page of its step."""
    return anchor(path.replace("/", "-").replace(".", "-"))


def read(path: str) -> str:
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise MistakeError(f"README.md: {path} is linked, but is no text that a page can show.") from None


def code_block(path: str, *options: str) -> str:
    """Return a file's text as a block of code with line numbers."""
    try:
        language = get_lexer_for_filename(path).aliases[0]
    except ClassNotFound:
        language = "text"
    head = "\n".join([":linenos:", *options])
    return directive("code-block", f"{head}\n\n{read(path)}", language)


def code_of_step(step: str) -> str:
    """Return both files of a step, which stand side by side where there is room."""
    paths = [f"{step}/{name}" for name in STEP_FILES]
    blocks = [code_block(path, f":caption: {path}", f":name: {block_name(path)}") for path in paths]
    return container("side-by-side", "\n".join(blocks))


def difference(before: str, step: str) -> str:
    """Return what is new in both files of a step."""
    link = f"[{before}](/{before}.md)"
    text = f"Lines that begin with `+` are new in {step}; those with `-` were in {link} only.\n"
    for name in STEP_FILES:
        paths = [f"{before}/{name}", f"{step}/{name}"]
        lines = difflib.unified_diff(*(read(path).splitlines() for path in paths), *paths, lineterm="")
        # The first two lines are the names of the files, which stand above the block.
        changes = "\n".join(list(lines)[2:]) or " There is no difference."
        text += "\n" + directive("code-block", f":caption: {paths[0]} → {paths[1]}\n\n{changes}", "diff")
    return text
