"""What of a sensor's input was no value: counted by kind, and said once each."""

import time
from collections import deque
from collections.abc import Callable, Container
from typing import Any

from common.drivers.collector import Sample

# Of so many of the latest lines it is known whether they could be read.
LATEST = 100
# How many names are remembered as said, and how many are shown.
MOST_NAMES, SHOWN = 1000, 8


class Tally:
    """Counts what could not be read, what was passed over, and what came too late for the run.

    Args:
        say: prints a text for people, and notes it in the log.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._latest: deque[bool] = deque(maxlen=LATEST)  # whether each of the latest lines could be read
        self._is_poor = False
        self._garbled, self._last_garbled, self._garbled_at = 0, "", 0.0
        self._passed_over, self._late = 0, 0
        # The fields of which something was passed over, or that came too late; dicts keep their order.
        self._passed_over_fields: dict[str, str] = {}
        self._late_fields: dict[str, None] = {}

    def garbled(self, reason: str) -> None:
        """Count a line, or another reading, that could not be read."""
        self._latest.append(False)
        self._garbled += 1
        self._last_garbled, self._garbled_at = reason, time.time()
        if self._garbled.bit_count() == 1:  # the first, the second, the fourth …: there can be thousands
            self._say(f"garbled ({self._garbled} so far): {reason}")

    def passed_over(self, text: str) -> None:
        """Count something that was no value, as in `hum: 'ovf' is no number`; the field comes first."""
        self._passed_over += 1
        field = text.partition(":")[0]
        if field not in self._passed_over_fields and len(self._passed_over_fields) < MOST_NAMES:
            self._passed_over_fields[field] = text
            self._say(f"passed over {text}")

    def in_time(self, sample: Sample, fields: Container[str]) -> Sample | None:
        """Return a reading without the fields that came too late for the run; None if it has no others."""
        late = [name for name in sample if name not in fields]
        if not late:
            return sample
        self._late += len(late)
        for name in late:
            if name not in self._late_fields and len(self._late_fields) < MOST_NAMES:
                self._late_fields[name] = None
                self._say(f"too late for this run, whose log has its columns: {name}")
        rest = Sample({name: value for name, value in sample.items() if name in fields})
        rest.time_ns = sample.time_ns
        return rest or None

    def read(self) -> tuple[str, str]:
        """Count a reading, and return how the sensor is: the name of a state, and a text."""
        self._latest.append(True)
        share = self._latest.count(False) / len(self._latest)
        # A share about a tenth does not make it change all the time.
        if len(self._latest) >= 10:
            self._is_poor = share > (0.05 if self._is_poor else 0.1)
        if self._is_poor:
            return "garbled", "readings arrive, but more than a tenth of the latest lines could not be read"
        return "ok", "readings arrive"

    def report(self) -> dict[str, Any]:
        """Return the counts for the pages."""
        return {
            "garbled": self._garbled,
            "last_garbled": self._last_garbled,
            "garbled_at": self._garbled_at,
            "passed_over": self._passed_over,
            "passed_over_texts": list(self._passed_over_fields.values())[:SHOWN],
            "late": self._late,
            "late_fields": list(self._late_fields)[:SHOWN],
        }
