"""A fixture: the entry of the README that a test proves."""

import pytest

from tests.readme import Trouble, troubles


@pytest.fixture
def entry(request: pytest.FixtureRequest) -> Trouble:
    """The entry whose symptom begins with the words that the test is marked with."""
    section, words = getattr(request.cls, "section", request.cls.step), request.function.symptom
    found = [entry for entry in troubles(section) if entry.symptom.startswith(words)]
    assert len(found) == 1, (
        f"README, section {section}, 'What can go wrong': {len(found)} entries begin with {words!r}, "
        f"not one; mend the README, or the mark of this test."
    )
    return found[0]
