"""Every entry of what can go wrong has a test, and every such test has its entry."""

import importlib
from collections.abc import Iterator

import pytest

from tests.readme import troubles
from tests.steps import STEPS

MODULES = {"Set-up": "test_set_up"} | {step: f"test_{step}" for step in STEPS}


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
