"""The README keeps its word: its commands run, its quotations are true, and its pictures and links exist."""

import ast
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.conftest import Pages, Starter
from tests.copies import Copy
from tests.promises import start
from tests.readme import HEADINGS, OF_STEP, README, SECTIONS, fences, part_of, plain, troubles
from tests.steps import LISTED, STEPS, anchor
from tests.support import PORT, ROOT, Server

COMMANDS = [block.strip() for block in fences(README, "sh")]
# The servers that are started, each with its folder; where a block has no `cd`, the reader is there already.
SERVERS = [
    (name if block.startswith("python") else block.split()[1], block.splitlines()[-1].strip())
    for name, text in [*OF_STEP.items(), ("test9", SECTIONS["Open to whom"])]
    for block in fences(text, "sh")
    if re.search(r"^python server.py", block, flags=re.M)
]
DIFFS = [line for block in COMMANDS for line in block.splitlines() if line.startswith("git diff")]
RUN_BY_A_TEST_BELOW = {"make dashboard", "python server.py --help"}
NOT_RUN = {
    "make test": "it is what runs this test",
    "make bench": "it takes minutes, installs the rivals, and measures nothing while tests run beside it",
    "make soak": "it takes a minute; test_soak.py runs the same for ten seconds",
    "make screenshots": "it takes minutes, and overwrites the pictures that are checked here",
    "make site": "test_site.py makes the same with the command that make runs",
    "python -m http.server": "the promise of OtherPages runs it, at a port of its own",
    "make clean": "it removes the environment in which this test runs",
    "python3 -m venv .venv": "make test has just done so",
    ". .venv/bin/activate": "likewise",
    "pip install -e .": "likewise",
    'pip install -e ".[plotly,serial,test]"': "likewise",
    "python -m tests.browser": "likewise",
}


def test_every_command_is_run_or_has_a_reason() -> None:
    lines = {line for block in COMMANDS for line in block.splitlines()}
    folders = {f"cd {step}" for step in STEPS} | {"cd .."}
    servers = {command for _, command in SERVERS}
    known = folders | servers | set(DIFFS) | RUN_BY_A_TEST_BELOW | set(NOT_RUN)
    assert not lines - known, (
        f"README: nothing runs {sorted(lines - known)}; test it, or add it to NOT_RUN here"
    )
    assert not known - lines, f"README: the commands {sorted(known - lines)} are not there any more"
    # The reason why the set-up is not run here holds only as long as the Makefile does the same.
    makefile = (ROOT / "Makefile").read_text()
    assert "-m venv .venv" in makefile
    assert "-m pip install" in makefile
    assert "$(PIP) --editable ." in makefile
    assert "-m tests.browser" in makefile


@pytest.mark.parametrize(("folder", "command"), SERVERS, ids=[folder for folder, _ in SERVERS])
def test_servers_start_and_their_first_line_is_true(folder: str, command: str) -> None:
    server = Server(ROOT / folder, *command.split()[2:])
    try:
        server.wait_listening()
        server.stop()
    finally:
        server.process.kill()
    for block in fences(OF_STEP[folder], "text"):
        if command == "python server.py" and block.startswith("Listening on"):
            assert server.lines[0] == block.splitlines()[0]


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
@pytest.mark.parametrize("command", DIFFS)
def test_differences(command: str) -> None:
    result = subprocess.run(command.split(), cwd=ROOT, capture_output=True, encoding="utf-8")
    assert result.returncode == 1, f"README, {command!r}: it shows no difference: {result.stderr}"
    compared = set(re.findall(r"^\+\+\+ .*/(\S+)$", result.stdout, flags=re.M))
    assert compared == {"server.py", "client.html"} or compared == {command.rpartition("/")[2]}


def test_difference_to_the_step_before_is_shown() -> None:
    pairs = [[re.sub("/.*", "", name) for name in command.split()[-2:]] for command in DIFFS]
    wanted = [[LISTED[step].goes_on_from, step] for step in STEPS[1:]]
    shown = [pair for pair, _ in itertools.groupby(pairs)]
    missing, others = [pair for pair in wanted if pair not in shown], [p for p in shown if p not in wanted]
    assert shown == wanted, (
        f"README: 'git diff' of {missing} missing, of {others} unwanted, or in another order"
    )


def holds_for(steps: str, step: str) -> bool:
    """Return whether what the table says of an option, as in "test4 to test9, test14 on", names this step."""
    holds, number = False, STEPS.index(step)
    for part in steps.split(", "):
        if part.startswith("but not "):
            holds = holds and step not in part.removeprefix("but not ").split(" and ")
        else:
            first, _, last = part.removesuffix(" on").partition(" to ")
            end = len(STEPS) if part.endswith(" on") else STEPS.index(last or first) + 1
            holds = holds or STEPS.index(first) <= number < end
    return holds


def options_of(step: str) -> set[str]:
    """Return the options that a step has by the table in the README."""
    options = re.findall(r"^\| `(--[\w-]+)[^|]*\| ([^|]*) \|", SECTIONS["Options"], flags=re.M)
    return {name for name, steps in options if holds_for(steps, step)}


@pytest.mark.parametrize("step", STEPS[2:])
def test_options_in_the_text(step: str) -> None:
    named = set(re.findall(r"`(--[\w-]+)", OF_STEP[step]))
    unknown = sorted(named - options_of(step))
    assert not unknown, f"README, section {step}: by the table in 'Options', {step} has no {unknown}"


@pytest.mark.parametrize("step", STEPS[2:])
def test_help(step: str) -> None:
    server = Server(ROOT / step, "--help")
    assert server.wait_ended() == 0
    documented = options_of(step)
    offered = set(re.findall(r"^  (?:-h, )?(--[\w-]+)", server.output, flags=re.M))
    assert offered == documented, (
        f"{step}/server.py --help and the table in the README's section 'Options' differ in "
        f"{sorted(offered ^ documented)}; mend one of the two"
    )


@pytest.mark.skipif(not (ROOT / ".venv" / "installed").exists(), reason="only where make has made .venv")
def test_make_dashboard() -> None:
    with subprocess.Popen(
        ["make", "--assume-old=.venv/installed", "dashboard"],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            lines = iter(process.stdout.readline, "")
            assert any(f"On this device, open: http://localhost:{PORT}/" in line for line in lines)
        finally:
            # A terminal sends Ctrl-C to make and the server alike.
            os.killpg(process.pid, signal.SIGINT)
        assert "Traceback" not in process.communicate(timeout=10)[0]


@pytest.mark.parametrize("step", STEPS)
def test_section_is_complete(step: str) -> None:
    headings = re.findall(r"^### (.*)$", OF_STEP[step], flags=re.M)
    assert headings == HEADINGS, f"README, section {step}: its headings"
    picture = f"(tests/screenshots/{step}.png)"
    assert picture in part_of(step, "What you will see"), f"README, section {step}: the picture is missing"
    first = fences(part_of(step, "What to do"), "sh")[0]
    assert first == f"cd {step}\npython server.py\n", f"README, section {step}: how to start the server"
    assert len(troubles(step)) >= 2, f"README, section {step}: little can go wrong"


@pytest.mark.parametrize("step", STEPS)
def test_quotations_are_true(step: str) -> None:
    files = [(ROOT / step / name).read_text(encoding="utf-8") for name in ("server.py", "client.html")]
    quotations = [
        code for language in ("python", "javascript", "html") for code in fences(OF_STEP[step], language)
    ]
    assert quotations
    for quotation in quotations:
        assert any(quotation in file for file in files), (
            f"README, section {step}: this is not in the step's files as it is quoted:\n{quotation}"
        )


def texts_in(path: Path) -> Iterator[str]:
    """Return patterns of the texts in a Python file, in which each value may be anything."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            text = "".join(re.escape(p.value) if isinstance(p, ast.Constant) else ".*" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = re.escape(node.value)
        else:
            continue
        # What begins with a value, or is hardly more than one, would be a pattern of too much.
        if re.match(r"(?!\.\*)(.*[A-Za-z]){5}", text, flags=re.S):
            yield text


@pytest.mark.parametrize("step", STEPS)
def test_lines_of_the_terminal_are_true(step: str) -> None:
    patterns = {
        text
        for path in (ROOT / step / "server.py", *(ROOT / "common").rglob("*.py"))
        for text in texts_in(path)
    }
    for block in fences(OF_STEP[step], "text"):
        if "import " in block or re.match(r"\w+(,\w+)+\n", block):
            continue  # a program, or a file
        for line in block.splitlines():
            said = re.sub(r"^\d\d:\d\d:\d\d sensor: |^\d{4}-\d\d-\d\dT[\d:.]+Z$", "", line)
            assert not said or any(re.fullmatch(pattern, said) for pattern in patterns), (
                f"README, section {step}: no server prints this line of the terminal:\n{line}"
            )


@pytest.mark.parametrize("step", STEPS)
def test_what_a_reader_presses_is_in_the_page(step: str) -> None:
    page = (ROOT / step / "client.html").read_text(encoding="utf-8")
    pressed = r"\b[Pp]ress(?:es)? (?!Ctrl|Enter)([A-Z]\w*)|\bfield ([A-Z]\w*)|(?<!\*)\*([A-Z][^*.]*)\*(?!\*)"
    for names in re.findall(pressed, plain(OF_STEP[step])):
        name = "".join(names)
        # A style sheet may make a capital of the first letter.
        assert re.search(rf"(?<!=)>\s*(?i:{name})\b|\"{name}\b", page), (
            f"README, section {step}: {name!r} is not in {step}/client.html; mend one of the two"
        )


def test_pictures_and_links_exist() -> None:
    anchors = set(map(anchor, re.findall(r"^#+ (.*)$", README, flags=re.M)))
    links = re.findall(r"\]\(([^)\s]+)\)", README)
    assert len(links) > 40
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, f"README: there is no heading for the link {link}"
        elif not link.startswith("https://"):
            assert (ROOT / link).exists(), f"README: there is no file for the link {link}"
    pictures = {f"tests/screenshots/{path.name}" for path in (ROOT / "tests" / "screenshots").glob("*.png")}
    unshown = sorted(pictures - set(links))
    assert not unshown, f"README: {unshown} not shown anywhere; show them, or take them away"


class TestOwnSensor:
    """The sensors in the README, put where it says."""

    step = "test9"

    @pytest.mark.parametrize(
        ("number", "name", "fields"),
        [(0, "Network", ["received.*kB", "sent.*kB"]), (1, "SlowThermometer", ["temperature.*°C"])],
    )
    def test_own_sensor(self, number: int, name: str, fields: list[str], copy: Copy, pages: Pages) -> None:
        code = fences(SECTIONS["Your own sensor"], "python")[number]
        option = name.lower()
        copy.replace("common/sensors.py", "import time\n", "import threading\nimport time\n")
        copy.add_sensor(code, name)
        copy.replace("server.py", '["accelerometer", "cpu"]', f'["accelerometer", "cpu", "{option}"]')
        copy.start("--sensor", option)
        page = pages.connect()
        start(pages, page, 3)
        legend = page.get_by_role("list", name="Legend").get_by_role("listitem")
        expect(legend).to_have_text([re.compile(field) for field in fields])
        values = legend.locator(".value").all_inner_texts()
        assert all(re.fullmatch(r"\d+(\.\d+)?", value) for value in values)
        page.close()


def test_pandas_reads_a_log_as_the_section_of_test14_says(tmp_path: Path) -> None:
    code = next(block for block in fences(OF_STEP["test14"], "text") if "import pandas" in block)
    log = tmp_path / re.search(r'"(logs/.*?)"', code)[1]
    log.parent.mkdir()
    log.write_text("seq,time_ns,x\n1,1767225600250000000,0.5\n2,1767225600500000000,\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(log.index[0], log['x'].isna().sum())"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert result.stdout == "2026-01-01 00:00:00.250000 1\n"


class TestOwnRealSensor:
    """The sensor in ten lines of test15's section."""

    step = "test15"

    def test_own_sensor_in_ten_lines(self, start_server: Starter, pages: Pages, tmp_path: Path) -> None:
        code = next(block for block in fences(OF_STEP["test15"], "text") if "@sensor" in block)
        assert len([line for line in code.splitlines() if line]) <= 10
        (tmp_path / "my_sensor.py").write_text(code, encoding="utf-8")
        server = start_server("--sensor", str(tmp_path / "my_sensor.py"))
        page = pages.connect()
        expect(page.get_by_role("region", name="Sensor")).to_contain_text("readings arrive")
        start(pages, page, 3)
        legend = page.get_by_role("list", name="Legend").get_by_role("listitem")
        # At most six digits, whatever the driver computes.
        expect(legend).to_have_text([re.compile(r"distance\s*\d{3}(\.\d{1,3})?\s*mm")])
        page.close()
        server.stop()
        # As the section goes on: with a mistake in it the server goes on, and names the place.
        (tmp_path / "my_sensor.py").write_text(f"{code.rstrip()}\n        1 / 0\n", encoding="utf-8")
        line = len(code.rstrip().splitlines()) + 1
        failing = start_server("--sensor", str(tmp_path / "my_sensor.py"))
        failing.wait_for(f"ZeroDivisionError: division by zero (my_sensor.py, line {line})")
        assert f"(my_sensor.py, line {line})" in OF_STEP["test15"]


class TestOwnPrograms:
    """The programs in the README that use common, run as they stand there."""

    step = "test10"
    code = fences(SECTIONS["In a program of your own"], "python")

    @pytest.fixture
    def run(self, tmp_path: Path) -> Iterator[Callable[[str, str], Server]]:
        programs: list[Server] = []

        def run(name: str, code: str) -> Server:
            (tmp_path / name).write_text(code, encoding="utf-8")
            programs.append(Server(tmp_path, command=name))
            return programs[-1]

        yield run
        for program in programs:
            program.kill()

    def test_server_of_named_events(self, run: Callable[[str, str], Server], pages: Pages) -> None:
        run("dice.py", self.code[0]).wait_listening()
        pages.errors_are_expected = True  # the pages are open when the server is ended
        first, second = (pages.open(f"http://localhost:{PORT}/") for _ in range(2))
        for page in (first, second):
            page.wait_for_function("socket.isOpen")
        first.get_by_role("button", name="Roll").click()
        expect(first.locator("#dice")).to_have_text(re.compile("^[1-6]$"))
        expect(second.locator("#dice")).to_have_text(first.locator("#dice").inner_text())

    def test_page_for_a_loop(self, run: Callable[[str, str], Server], pages: Pages, tmp_path: Path) -> None:
        (html,) = fences(SECTIONS["In a program of your own"], "html")
        (tmp_path / "training.html").write_text(html, encoding="utf-8")
        program = run("training.py", self.code[1])
        program.wait_listening()
        pages.errors_are_expected = True  # the page looks for the next run
        page = pages.open(f"http://localhost:{PORT}/")
        bar = page.locator("#bar-text")
        expect(bar).to_have_text(re.compile(r"\d+ of 50 · \d+\.\d a second · \d s left"))
        expect(page.get_by_role("status")).to_have_text("The run has ended.")
        expect(bar).to_have_text(re.compile(r"50 of 50 · \d+\.\d a second · took \d s"))
        expect(page.locator("#loss")).to_have_text("0.020")
        assert program.wait_ended() == 0

    def test_loop_that_hears_from_its_page(self, run: Callable[[str, str], Server], pages: Pages) -> None:
        program = run("slower.py", self.code[2])
        program.wait_for(f"Open http://localhost:{PORT}/")
        pages.errors_are_expected = True  # the page is open when the program is ended
        page = pages.open(f"http://localhost:{PORT}/")
        expect(page.locator("#item")).to_have_text(re.compile(r"^\d+$"))
        page.get_by_role("button", name="Slower").click()
        program.wait_for("0.2 seconds each")
        shown = int(page.locator("#item").inner_text())
        page.wait_for_function("(shown) => item.textContent > shown + 3", arg=shown)
