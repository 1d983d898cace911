"""What the README says can go wrong, made to go wrong: each test makes the mistake of one entry."""

from collections.abc import Callable


def trouble(symptom: str) -> Callable[[Callable], Callable]:
    """Mark a test as the proof of the README's entry whose symptom begins with these words."""

    def mark(test: Callable) -> Callable:
        test.symptom = symptom
        return test

    return mark
