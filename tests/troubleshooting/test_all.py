"""Every entry of what can go wrong has a test, and every such test has its entry."""

import importlib
from collections.abc import Iterator

import pytest

from tests.readme import troubles
from tests.steps import STEPS
from tests.support import PORT

MODULES = {"Set-up": "test_set_up"} | {step: f"test_{step}" for step in STEPS}

# What readers of such tutorials stumble over, as the trackers of several projects tell, the most frequent
# first, and the entry that answers it: the section, and how the symptom begins.
STUMBLING_BLOCKS = {
    "the handler returns": ("test1", "The page shows one timestamp"),
    "a blocking call": ("test1", "One page gets its timestamps"),
    "sending and receiving at once": ("test4", "No reading arrives, and no error"),
    "another device cannot connect": ("test3", f"`Disconnected: no answer from 192.168.1.20:{PORT}."),
    "old snippets": ("test1", "`TypeError: handler() missing 1 required positional argument: 'path'`"),
    "ConnectionClosed tracebacks": ("test1", "`connection handler failed`"),
    "the port in the address bar": ("test1", "`Failed to open a WebSocket connection"),
    "threads next to asyncio": ("test5", "You set an Event in a thread"),
    "broadcasting": ("test5", "`RuntimeError: Set changed size during iteration`"),
    "Ctrl-C on Windows": ("test1", "`NotImplementedError` on Windows"),
    "the page does not come back": ("test6", "The server is back, but"),
    "a file named websockets.py": ("test1", "`ModuleNotFoundError: No module named 'websockets.asyncio'"),
    "a file named common.py": ("test10", "`ModuleNotFoundError: No module named 'common.events'"),
    "sending a dict": ("test8", "`TypeError: data is a dict-like object`"),
    "ws: from an https: page": ("test3", "`Disconnected: this page came by https"),
    "the port is in use": ("test1", f"`Cannot listen on port {PORT}."),
    "the browser's local network check": ("test3", "It works from the file"),
}


def marks(module: str) -> Iterator[str]:
    """Return the words with which the tests of a module are marked."""
    for name, tests in vars(importlib.import_module(f"tests.troubleshooting.{module}")).items():
        if name.startswith("Test"):
            yield from (test.symptom for test in vars(tests).values() if hasattr(test, "symptom"))


@pytest.mark.parametrize("section", MODULES)
def test_each_entry_has_a_test(section: str) -> None:
    symptoms = [entry.symptom for entry in troubles(section)]
    assert symptoms, f"README, section {section}: nothing under 'What can go wrong'"
    words = list(marks(MODULES[section]))
    untested = [symptom for symptom in symptoms if not any(symptom.startswith(word) for word in words)]
    assert not untested, f"tests/troubleshooting/{MODULES[section]}.py: write a test of {untested}"
    unsaid = [word for word in words if not any(symptom.startswith(word) for symptom in symptoms)]
    assert not unsaid, f"README, section {section}, 'What can go wrong': there is no entry of {unsaid}"


@pytest.mark.parametrize("block", STUMBLING_BLOCKS)
def test_each_stumbling_block_is_answered(block: str) -> None:
    section, words = STUMBLING_BLOCKS[block]
    assert any(entry.symptom.startswith(words) for entry in troubles(section)), (
        f"README, section {section}, 'What can go wrong': no entry begins with {words!r}, "
        f"the answer to {block}"
    )
