"""The list of the steps, and everything that has to agree with it: folders, README, pictures, tests."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from tests.readme import OF_STEP, README, SECTIONS, part_of, plain, without_links
from tests.steps import LISTED, STEPS, anchor, between
from tests.support import ROOT

TESTS = ROOT / "tests"


def tracked(*patterns: str) -> list[str]:
    """Return what git tracks; where this is no git checkout, there is nothing to hold it to."""
    result = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        pytest.skip("not a git checkout")
    return result.stdout.splitlines()


def agree(there: list[str] | set[str], wanted: list[str] | set[str], what: str) -> None:
    """Fail with what is missing and what is too much, compared with the list in tests/steps.toml."""
    missing, unlisted = sorted(set(wanted) - set(there)), sorted(set(there) - set(wanted))
    assert not missing, f"{what}: {missing} missing; make it, or take it out of tests/steps.toml"
    assert not unlisted, f"{what}: {unlisted} not in the list; take it away, or name it in tests/steps.toml"
    assert list(there) == list(wanted) or isinstance(there, set), (
        f"{what}: not in the order of tests/steps.toml"
    )


def named(folder: Path, pattern: str) -> set[str]:
    """Return the names of steps in the names of the files of a folder."""
    return {match[1] for path in folder.iterdir() if (match := re.fullmatch(pattern, path.name))}


def test_folders() -> None:
    agree({path.name for path in ROOT.glob("test[0-9]*") if path.is_dir()}, set(STEPS), "folders of steps")


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_two_files_of_bounded_size(step: str) -> None:
    assert tracked(step) == [f"{step}/client.html", f"{step}/server.py"], (
        f"{step}/: a step is a server.py and a client.html, and nothing more"
    )
    for kind, name in (("server", "server.py"), ("page", "client.html")):
        lines = (ROOT / step / name).read_text(encoding="utf-8").count("\n")
        most = LISTED[step].most_lines[kind]
        assert lines <= most, (
            f"{step}/{name} has {lines} lines, and {most} at most are listed; make it shorter, "
            f"or say in tests/steps.toml what the lines are for"
        )


@pytest.mark.parametrize("step", STEPS)
def test_at_most_three_new_ideas_and_the_readme_has_the_same(step: str) -> None:
    new = LISTED[step].new
    assert 1 <= len(new) <= 3, f"tests/steps.toml, {step}: {len(new)} new ideas; one to three are wanted"
    bullets = re.findall(r"^- (.*?)(?=^- |\Z)", part_of(step, "What is new"), flags=re.M | re.S)
    assert [plain(without_links(bullet)) for bullet in bullets] == new, (
        f"README, section {step}, 'What is new': it differs from tests/steps.toml; mend one of the two"
    )


def test_sections_of_the_readme() -> None:
    headings = [heading for heading in SECTIONS if heading.startswith("test")]
    agree(headings, [LISTED[step].heading for step in STEPS], "README, sections")


def test_contents_of_the_readme() -> None:
    entries = re.findall(r"^- \[(test[^]]*)\]\(#([^)]*)\)", SECTIONS["Contents"], flags=re.M)
    agree([heading for heading, _ in entries], [LISTED[step].heading for step in STEPS], "README, Contents")
    assert [link for _, link in entries] == [LISTED[step].anchor for step in STEPS]
    parts = re.split(r"^Part ", SECTIONS["Contents"], flags=re.M)[1:]
    for number, part in enumerate(parts, 1):
        agree(
            re.findall(r"^- \[(test\w+):", part, flags=re.M),
            [step for step in STEPS if LISTED[step].part == number],
            f"README, Contents, part {number}",
        )


@pytest.mark.parametrize("step", STEPS)
def test_a_section_can_be_read_alone(step: str) -> None:
    beginning = OF_STEP[step].partition("\n### ")[0].strip().split("\n\n")
    assert len(beginning) == 2, (
        f"README, section {step}: it begins with a sentence of context and a line of links, nothing else"
    )
    context, links = beginning
    assert context.endswith(".")
    assert not re.search(r"[.!?] ", without_links(plain(context))), (
        f"README, section {step}: the context is one sentence, not {context!r}"
    )
    here = STEPS.index(step)
    wanted = ["[Contents](#contents)"]
    if here > 0:
        before = LISTED[STEPS[here - 1]]
        wanted.insert(0, f"[← {before.name}](#{before.anchor})")
    if here + 1 < len(STEPS):
        after = LISTED[STEPS[here + 1]]
        wanted.append(f"[{after.name} →](#{after.anchor})")
    assert links == " · ".join(wanted), f"README, section {step}: its links back and on"


def test_pictures() -> None:
    pictures = named(TESTS / "screenshots", r"(\w+?)(?:-phone)?\.png")
    agree(pictures, set(STEPS), "tests/screenshots/")


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        (TESTS, r"test_(test\d+\w*)\.py"),
        (TESTS / "troubleshooting", r"test_(test\d+\w*)\.py"),
        (TESTS / "exercises", r"(test\d+\w*)\.py"),
    ],
    ids=["tests", "troubleshooting", "exercises"],
)
def test_modules_of_tests(folder: Path, pattern: str) -> None:
    agree(named(folder, pattern), set(STEPS), f"{folder.relative_to(ROOT).as_posix()}/")


def test_only_what_other_steps_prove_is_left_out() -> None:
    modules = [importlib.import_module(f"tests.test_{step}") for step in STEPS]
    classes = [cls for module in modules for cls in vars(module).values() if hasattr(cls, "step")]
    tests = [(cls, name) for cls in classes for name in dir(cls) if name.startswith("test_")]
    left_out = between(tests)
    assert len(left_out) > 100
    for cls, name in left_out:
        assert name not in vars(cls), f"{cls.step} alone has {name}"
        same = [
            STEPS.index(other.step)
            for other, _ in set(tests) - set(left_out)
            if getattr(other, name, None) is getattr(cls, name)
        ]
        assert min(same) < STEPS.index(cls.step) < max(same), f"{name} is left out of {cls.step}"
    for cls in classes:
        assert between((one, name) for one, name in tests if one is cls) == []


def test_workflow() -> None:
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    (jobs,) = re.findall(r"^ +step: \[(.*)\]$", workflow, flags=re.M)
    agree(jobs.split(", "), STEPS, ".github/workflows/tests.yml, steps")


# The words of the glossary, as they appear in a text.
GLOSSARY = re.findall(r"^### (.*)$", SECTIONS["Glossary"], flags=re.M)


def prose() -> str:
    """Return the README's running text: no code, headings, pictures, tables, contents or glossary."""
    text = README.partition("\n## Glossary\n")[0]
    text = text.replace(SECTIONS["Contents"], "")
    text = re.sub(r"^( *)```.*?^ *```$", "", text, flags=re.M | re.S)
    text = re.sub(r"`[^`]*`", "`…`", text)
    text = re.sub(r"!\[[^]]*\]\([^)]*\)", "", text)
    words = "|".join(map(anchor, GLOSSARY))
    text = re.sub(rf"\]\((?!#(?:{words})\))[^)]*\)", "]", text)
    return plain(re.sub(r"^#.*$|^\|.*$|^\[.*→\].*$", "", text, flags=re.M))


@pytest.mark.parametrize("word", GLOSSARY)
def test_a_word_of_the_glossary_is_linked_where_it_first_appears(word: str) -> None:
    flags = 0 if word == "WebSocket" else re.I
    # Servers are run, and so are commands; what is meant is a run.
    before = "(?:a|the|this|each|every|another|whole) " if word == "Run" else ""
    first = re.search(rf"\b{before}{word}(?:s|ing)?\b", prose(), flags=flags)
    assert first, f"README, Glossary: the word {word!r} is explained, but never used"
    around = prose()[max(0, first.start() - 80) : first.end() + 80]
    link = re.escape(f"](#{anchor(word)})")
    linked = re.compile(rf"\[[^][]*\b{re.escape(first[0])}[^][]*{link}")
    assert any(match.start() <= first.start() < match.end() for match in linked.finditer(prose())), (
        f"README: {word!r} appears for the first time in …{around}…; link it from there to the glossary"
    )


def test_glossary_is_in_order_and_explains() -> None:
    assert sorted(GLOSSARY, key=str.lower) == GLOSSARY, "README, Glossary: not in the order of the alphabet"
    assert 10 <= len(GLOSSARY) <= 18, "README, Glossary: not many more than a dozen words"
    explanations = re.split(r"^### .*$", SECTIONS["Glossary"], flags=re.M)[1:]
    assert all(len(plain(explanation)) > 40 for explanation in explanations)
