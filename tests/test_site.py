"""The site: every page in a browser, on a desktop and on a phone, in light and in dark, and every link."""

import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urljoin

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.readme import sections
from tests.site.pages import STEP_FILES, Book, headings_in, page_name
from tests.steps import LISTED, STEPS, MistakeError, kept_by
from tests.support import wait_until

# Not the copy of a worker, because one of them makes the site for all.
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTIONS = sections(README)
DESKTOP, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
PAGES = {page_name(heading): heading for heading in SECTIONS if heading != "Contents"}

# What makes a page wider than the window; code and tables may be wider, because they scroll by themselves.
STICKING_OUT = """() => {
  const width = document.documentElement.clientWidth;
  const frames = document.querySelectorAll("html, body, body *:has(article), article");
  if ([...frames].every((frame) => frame.scrollWidth <= Math.max(frame.clientWidth, width))) return [];
  return [...document.querySelectorAll("article, article *:not(:is(pre, .highlight, .table-wrapper) *)")]
    .filter((element) => element.getBoundingClientRect().right > width + 1)
    .map((element) => element.outerHTML.slice(0, 100)).slice(0, 3);
}"""

# The contrast of text with what is behind it, as WCAG 2.2 defines it, for one element of each kind.
CONTRASTS = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = (color) => {
    const [r, g, b] = parts(color).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return parts(color)[3] === 0 && element.parentElement ? behind(element.parentElement) : color;
  };
  const kinds = new Map();
  for (const element of document.querySelectorAll(
    "article :is(h1, h2, p, li, td, pre, code), article a:not(.headerlink), pre span, .sidebar-tree a"
  )) {
    const block = element.closest("[class*=highlight-]")?.className;
    const kind = `${element.tagName} ${element.className} in ${block}`;
    if (!kinds.has(kind) && element.textContent.trim()) kinds.set(kind, element);
  }
  return [...kinds].map(([kind, element]) => {
    const both = [luminance(getComputedStyle(element).color), luminance(behind(element))];
    return { kind, contrast: (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05) };
  });
}"""

CODE = """(id) => {
  const code = document.getElementById(id).querySelector("pre").cloneNode(true);
  const numbers = [...code.querySelectorAll(".linenos")];
  numbers.forEach((number) => number.remove());
  return { numbers: numbers.map((number) => Number(number.textContent)), text: code.textContent };
}"""

CHANGES = """() => [
  ...document.querySelectorAll(".literal-block-wrapper:has(.highlight-diff)")
].map((block) => {
  const marked = [...block.querySelectorAll(".gi, .gd")];
  return {
    caption: block.querySelector(".caption-text").textContent,
    lines: marked.map((line) => line.textContent),
    colors: marked.map((line) => getComputedStyle(line).backgroundColor),
  };
})"""


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        encoding="utf-8",
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, printed = base / "site", base / "site.txt"
    try:
        (base / "site.lock").touch(exist_ok=False)
    except FileExistsError:
        wait_until(printed.exists, "another worker has made the site", timeout=120)
    else:
        result = run_python("-m", "tests.site", str(folder))
        unfinished = base / "site.unfinished"
        unfinished.write_text(result.stdout, encoding="utf-8")
        unfinished.rename(printed)  # which others see at once, and whole
    text = printed.read_text(encoding="utf-8")
    assert text.startswith("The site is made"), text
    return folder


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of what is asked for."""


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """The address at which the site is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page in the browser; whatever goes wrong in it, or is asked for elsewhere, fails the test."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light", reduced_motion="reduce")
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(f"error: {error.error}"))
    context.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
    context.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    context.on(
        "response", lambda answer: answer.status >= 400 and wrong.append(f"{answer.status}: {answer.url}")
    )
    context.on(
        "request",
        lambda request: (
            request.url.startswith((address, "data:")) or wrong.append(f"asked for elsewhere: {request.url}")
        ),
    )
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    url = page.url
    context.close()
    assert wrong == [], f"the site's page {url}"


def check_page(page: Page, url: str) -> None:
    """Open a page of the site, and check what holds for every one."""
    page.goto(url)
    assert page.locator("h1").count() == 1, f"{url}: there must be one h1"
    assert page.locator("html").get_attribute("lang") == "en", url
    assert page.title(), f"{url} has no title"
    missing = page.evaluate("[...document.images].filter((i) => !i.naturalWidth).map((i) => i.src)")
    assert missing == [], f"{url}: pictures do not load"
    backgrounds = []
    for size, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        out = page.evaluate(STICKING_OUT)
        assert out == [], f"{url}: at a width of {size['width']} this makes the page scroll to the side"
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        pale = [found for found in page.evaluate(CONTRASTS) if found["contrast"] < 4.5]
        assert pale == [], (
            f"{url}, {scheme}: {pale[0]} is hard to read; see conf.py and style.css in tests/site"
        )
    assert len(set(backgrounds)) == 2, f"{url}: dark is as light"


def check_code(page: Page, step: str) -> None:
    """Check that both files of a step are there in full, side by side or, on a phone, one below the other."""
    for name in STEP_FILES:
        path = f"{step}/{name}"
        code = page.evaluate(CODE, path.replace("/", "-").replace(".", "-"))
        assert code["text"].splitlines() == lines_of(path), f"{path} is not shown as it is"
        assert code["numbers"] == list(range(1, len(lines_of(path)) + 1)), f"{path}: wrong line numbers"
    blocks = page.locator(".side-by-side .literal-block-wrapper")
    page.set_viewport_size(DESKTOP)
    server, client = (blocks.nth(number).bounding_box() for number in (0, 1))
    assert server["y"] == client["y"], f"{step}: the files do not stand side by side"
    assert server["x"] + server["width"] < client["x"], f"{step}: the files overlap"
    page.set_viewport_size(PHONE)
    server, client = (blocks.nth(number).bounding_box() for number in (0, 1))
    assert server["x"] == client["x"], f"{step}: on a phone, the files do not stand one below the other"
    assert server["y"] + server["height"] <= client["y"], f"{step}: on a phone, the files overlap"


def check_changes(page: Page, step: str) -> None:
    """Check that what changed since the step before is there, and that added and removed lines are marked."""
    before = LISTED[step].goes_on_from
    pairs = [(f"{before}/{name}", f"{step}/{name}") for name in STEP_FILES] if before else []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        changes = page.evaluate(CHANGES)
        assert [change["caption"] for change in changes] == [f"{old} → {new}" for old, new in pairs]
        for change, (old, new) in zip(changes, pairs, strict=True):
            lines = {"+": Counter(), "-": Counter()}
            colors = {"+": set(), "-": set()}
            for line, color in zip(change["lines"], change["colors"], strict=True):
                lines[line[0]][line[1:]] += 1
                colors[line[0]].add(color)
            made = Counter(lines_of(old)) - lines["-"] + lines["+"]
            assert made == Counter(lines_of(new)), f"{old} with its changes is not {new}"
            several = {*colors["+"], *colors["-"], "rgba(0, 0, 0, 0)"}
            assert len(several) == 3, f"{new}, {scheme}: added and removed lines look alike: {colors}"


def lines_of(path: str) -> list[str]:
    return (ROOT / path).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", ["index", "search", *sorted(PAGES.keys() - set(STEPS)), *kept_by(STEPS)])
def test_page(name: str, page: Page, address: str) -> None:
    check_page(page, f"{address}{name}.html")
    if name in PAGES:
        assert page.locator("h1").inner_text().removesuffix("¶") == PAGES[name]
        assert page.locator("meta[name=description]").get_attribute("content"), "no description; see conf.py"
    if name in STEPS:
        check_code(page, name)
        check_changes(page, name)


def test_pages_of_files(page: Page, address: str, site: Path) -> None:
    others = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    others -= {"index", "search", *PAGES}
    assert "common/runs/serving.py" in others, "test14b links that file"
    for name in sorted(others):
        if (ROOT / name).is_file():
            page.goto(f"{address}{name}.html")
            count = page.locator("article .linenos").count()
            assert count == len(lines_of(name)), f"the page of {name} has not all its lines"
    # They all look like the last of their kind.
    for name in {Path(name).suffix: name for name in sorted(others)}.values():
        check_page(page, f"{address}{name}.html")


def test_on_a_phone(page: Page, address: str) -> None:
    """The menu opens, and leads on; and what a link leads to is not hidden behind the bar at the top."""
    page.set_viewport_size(PHONE)
    page.goto(f"{address}test1.html")
    link = page.locator(".sidebar-tree").get_by_role("link", name="test2: ")
    expect(link).not_to_be_in_viewport()
    page.locator(".mobile-header label[for=__navigation]").click()
    expect(link).to_be_in_viewport()
    link.click()
    expect(page.locator("h1")).to_contain_text("test2: ")
    page.add_style_tag(content="html { scroll-behavior: auto }")  # at once, not smoothly
    page.locator(".on-this-page").get_by_role("link", name="The code").click()
    heading, bar = page.get_by_role("heading", name="The code"), page.locator(".mobile-header")
    expect(heading).to_be_in_viewport()
    assert heading.bounding_box()["y"] >= bar.bounding_box()["height"], "the bar hides what a link leads to"


def test_search(page: Page, address: str) -> None:
    page.goto(f"{address}index.html")
    page.get_by_role("textbox", name="Search").fill("heartbeat")
    page.keyboard.press("Enter")
    results = page.locator("#search-results").get_by_role("link")
    expect(results.filter(has_text=PAGES["test9"]).first).to_be_visible()


class Parsed:
    """A page of the site, as Sphinx writes it: its anchors, its links, what it loads, headings and text."""

    def __init__(self, path: Path) -> None:
        page = path.read_text(encoding="utf-8")
        self.ids = set(re.findall(r'<\w[^>]* id="([^"]+)"', page))
        self.links = [unescape(link) for link in re.findall(r'<a\s[^>]*?href="([^"]*)"', page)]
        self.beside = dict(re.findall(r'<a class="(next-page|prev-page)" href="([^"]*)"', page))
        self.loads = re.findall(r'<(?:link\s[^>]*?href|\w[^>]* src)="([^"]*)"', page)
        self.headings = [plain(found) for _, found in re.findall(r"<h([1-6])>(.*?)</h\1>", page, re.S)]
        self.words = words(plain(page) + " ".join(re.findall(r' alt="([^"]*)"', page)))


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", "", html)).split())


@pytest.fixture(scope="session")
def parsed(site: Path) -> dict[str, Parsed]:
    """All pages of the site."""
    return {path.relative_to(site).as_posix(): Parsed(path) for path in site.rglob("*.html")}


def test_links_lead_somewhere(parsed: dict[str, Parsed], site: Path) -> None:
    dead = []
    for name, page in parsed.items():
        for link in [*page.links, *page.loads]:
            if re.match(r"https?://|#?$", link):
                continue
            path, _, anchor = unquote(urljoin(name, link)).partition("#")
            path = path.partition("?")[0]
            if not (site / path).is_file() or (anchor and anchor not in parsed[path].ids):
                dead.append(f"{name}: {link}")
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(parsed: dict[str, Parsed], site: Path) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.css")}
    assert texts
    imported = re.compile(r"@import|url\(\s*[\"']?(?:https?:)?//")
    assert [path.name for path, text in texts.items() if imported.search(text)] == []
    loads = {url for page in parsed.values() for url in page.loads}
    assert [url for url in loads if re.match("(https?:)?//", url)] == []


def test_next_and_previous_lead_through_everything(parsed: dict[str, Parsed]) -> None:
    way = ["index.html"]
    while following := parsed[way[-1]].beside.get("next-page"):
        way.append(urljoin(way[-1], following))
        assert len(way) <= len(parsed), f"next leads around: {way}"
    names = [name.removesuffix(".html") for name in way]
    assert [name for name in names if name in LISTED] == STEPS
    assert [name for name in names if name in PAGES] == list(PAGES), "the contents have another order"
    assert {f"{name}.html" for name in names} == set(parsed) - {"search.html"}
    back = [way[-1]]
    while before := parsed[back[-1]].beside.get("prev-page"):
        back.append(urljoin(back[-1], before))
    assert back == way[::-1]


@pytest.mark.parametrize("name", PAGES)
def test_nothing_of_a_section_is_lost(name: str, parsed: dict[str, Parsed]) -> None:
    heading = PAGES[name]
    page = parsed[f"{name}.html"]
    headings = [shown.removesuffix("¶") for shown in page.headings]
    wanted = [heading, *(text.replace("`", "") for text in headings_in(SECTIONS[heading]))]
    assert [shown for shown in headings if shown in wanted] == wanted
    assert words_of_markdown(SECTIONS[heading]) - page.words == set(), (
        f"README.md, section {heading!r}: words are lost"
    )


def test_nothing_of_the_beginning_is_lost(parsed: dict[str, Parsed]) -> None:
    lost = words_of_markdown(README.partition("\n## ")[0]) - parsed["index.html"].words
    assert lost == set(), "README.md, at its beginning: words are lost"
    for name in PAGES:
        assert f"{name}.html" in parsed["index.html"].links, f"the front page has no link to {name}"


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def words_of_markdown(text: str) -> set[str]:
    """Return the words without the targets of links, the languages of code, and the numbers of lists."""
    return words(re.sub(r"```\w+|\]\([^)\s]+\)|^ *\d+\. ", " ", text, flags=re.M))


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("[a](#no-such)", "section 'Licence': there is no heading for the link #no-such"),
        ("[a](common/no_such.py)", "section 'Licence': there is no file for the link common/no_such.py"),
        ("## Another section", "the section 'Another section' is not in the contents"),
    ],
)
def test_mistakes_in_the_readme_are_named(mistake: str, said: str) -> None:
    with pytest.raises(MistakeError, match=re.escape(said)):
        Book(f"{README}\n{mistake}\n")


def test_links_of_the_readme_become_those_of_the_site() -> None:
    links = "[a](#what-is-new-2) [b](test2/client.html) [c](test3/) [d](tests/steps.toml) [e](common/static)"
    book = Book(f"{README}\n{links} `[f](g)` <https://example.org>\n\n```python\nh[i](j)\n### k\n```\n")
    there = "[a](/test3.md#what-is-new) [b](#test2-client-html) [c](/test3.md) [d](/tests/steps.toml.md)"
    there += (
        " [e](/common/static/index.md) `[f](g)` <https://example.org>\n\n```python\nh[i](j)\n### k\n```\n"
    )
    assert book.pages["licence"].endswith(there)
    assert "[common/static/events.js](/common/static/events.js.md)" in book.pages["common/static/index"]
    assert 'title = "request and response"' in book.pages["tests/steps.toml"]


def test_a_warning_of_sphinx_is_an_error(tmp_path: Path) -> None:
    readme = "# Title\n\n## Contents\n\n- [Section](#section)\n\n## Section\n\n#### Two levels deeper\n"
    code = "import sys; from pathlib import Path; from tests.site.__main__ import build"
    build = f"{code}; build(Path(sys.argv[1]), sys.argv[2])"
    result = run_python("-c", build, str(tmp_path / "site"), readme)
    assert result.returncode != 0
    assert "section.md" in result.stdout
    assert "MistakeError: Sphinx says above what is wrong" in result.stdout
