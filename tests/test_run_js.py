"""What a page keeps of a run: bins.js and run.js by themselves, on an empty page, against brute force."""

import itertools
import json
import math
import random
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.soak import HELD
from tests.support import ROOT
from tests.test_recording import START_NS, Row, bins_of

# Calls methods of the page's Run, and gives what each returns, or the error's text. JSON has null for what is
# undefined or no number, so null is a word.
CALL = """(calls) => {
  const call = ([name, ...args]) => {
    try {
      return run[name](...args);
    } catch (error) {
      return error.message;
    }
  };
  return JSON.stringify(calls.map(call), (_, value) => (value === null ? "null" : value));
}"""

VALUES = [0, -0.0, 5e-324, -1e-300, 1.7976931348623157e308, -1e308, 2**53]


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    for script in ("bins.js", "run.js"):
        page.add_script_tag(path=ROOT / "common" / "static" / "runs" / script)
    yield page
    page.close()


def lines_of(rows: list[Row]) -> str:
    return "".join(
        f"{seq},{time_ns},{','.join('' if value is None else repr(value) for value in values)}\n"
        for seq, time_ns, values in rows
    )


def number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None


class Told:
    """A random run of which a page is told part by part, and what the page has to make of it."""

    def __init__(self, page: Page, seed: int) -> None:
        self.page = page
        self.chance = chance = random.Random(seed)
        self.fields = chance.randint(1, 3)
        self.rate = chance.choice([None, 0.1, 1, 50, 1000, 10_000])
        self.gap = max(3 / self.rate if self.rate else 0, 0.2) * 1e6
        sizes = {"RING": chance.choice([9, 50, 130]), "BINS": chance.choice([4, 30, 150])}
        sizes["FIELDS"] = chance.choice([2, 32])
        share = min(1, sizes["FIELDS"] / self.fields)
        self.ring_size, self.most_bins = (math.ceil(share * sizes[name]) for name in ("RING", "BINS"))
        names = [f"f{i}" for i in range(self.fields)]
        hello = {"epoch": "E", "run": "r", "live": True, "head": 0, "fields": names, "units": names}
        hello |= {"rate": self.rate, "speed": None}
        create = "([sizes, hello]) => { Object.assign(Run, sizes); window.run = new Run(hello); }"
        page.evaluate(create, [sizes, hello])
        self.to_come = self._rows(chance.choice([30, 400, 800]))
        self.rows: list[Row] = []
        self.times: list[int] = []
        self.have = self.gone = self.in_ring = self.since_extremes = 0
        self.oldest, self.newest, self.width = math.inf, -math.inf, 1
        self.detail: dict[str, Any] | None = None
        self.last_view: tuple[int, int, int] | None = None

    def _rows(self, count: int) -> list[Row]:
        """Readings with bursts in one microsecond, gaps, missing values, and holes in their numbers."""
        chance = self.chance
        usual = 1e9 / (self.rate or 100)
        seldom = [chance.choice([0, 0, 0.1, 0.95]) for _ in range(self.fields)]
        rows, seq, time_ns = [], chance.choice([0, 0, 7]), chance.choice([START_NS, START_NS, 0])
        # Coarse times are often just where a bin begins.
        grain = chance.choice([1, 1, 1000 << int(math.log2(usual / 1000))])
        for _ in range(count):
            seq += 1 if chance.random() > 0.01 else chance.randint(2, 50)
            steps = [
                usual,
                usual * chance.uniform(0.5, 1.5),
                usual * chance.uniform(2, 4),
                0,
                self.gap * 1000,
            ]
            time_ns += int(chance.choices(steps, [40, 40, 2, 8, 1])[0])
            if chance.random() < 0.01:
                time_ns += int(usual * chance.choice([3, 100, 1e4])) + chance.choice([0, 200_000_000])
            values = [chance.choice([chance.gauss(0, 9), chance.randint(-9, 9)]) for _ in seldom]
            if chance.random() < 0.02:
                values = [chance.choice(VALUES) for _ in seldom]
            gaps = [
                None if chance.random() < rare else value for rare, value in zip(seldom, values, strict=True)
            ]
            rows.append((seq, time_ns // grain * grain, gaps))
        return rows

    def call(self, *calls: list[Any]) -> list[Any]:
        return json.loads(self.page.evaluate(CALL, list(calls)))

    def tell_lines(self, count: int) -> None:
        """Tell of readings one by one, in several messages, and that those between them are gone."""
        rows = self._next(count)
        calls: list[list[Any]] = []
        for row in rows:
            if row[0] > self.have + 1:
                calls.append(["addGone", self.have + 1, row[0] - 1])
                self.gone += row[0] - 1 - self.have
            if calls and calls[-1][0] == "addLines" and self.chance.random() < 0.9:
                calls[-1][1] += lines_of([row])
            else:
                calls.append(["addLines", lines_of([row])])
            self.have = row[0]
        wrong = [["addLines", lines_of([(seq, *rows[-1][1:])])] for seq in (self.have, self.have + 2)]
        *right, again, beyond = self.call(*calls, *wrong)
        assert set(right) == {None}
        assert again == f"reading {self.have + 1} is missing: {self.have} came instead"
        assert beyond == f"reading {self.have + 1} is missing: {self.have + 2} came instead"
        self._add(rows)
        self.since_extremes += len(rows)
        self.newest = self.times[-1]

    def tell_extremes(self, count: int) -> None:
        """Tell of readings by their extremes: the first bin is whole, but for its count."""
        rows = self._next(count)
        self._add(rows)
        shift = self.chance.randint(0, 24)
        first, end = rows[0][1] // 1000, rows[-1][1] // 1000 + 1
        bins = bins_of(self.rows, first, end, shift)
        for entry, new in zip(bins, bins_of(rows, first, end, shift), strict=True):
            entry[1] = new[1]
        message = {"first": self.have + 1, "last": rows[-1][0], "width": 2**shift, "bins": bins}
        message["gone"] = rows[-1][0] - self.have - len(rows)
        # Whatever is not complete is refused, and changes nothing.
        before = self.page.evaluate(HELD)
        wrong = [
            message | {"gone": message["gone"] + 1},
            message | {"first": self.have + 2, "gone": message["gone"] - 1},
        ]
        errors = self.call(*(["addExtremes", one] for one in wrong))
        assert errors == [
            f"extremes of {message['first']} to {message['last']} are incomplete",
            f"reading {self.have + 1} is missing: {self.have + 2} came instead",
        ]
        assert self.page.evaluate(HELD) == before
        assert self.call(["addExtremes", message]) == [None]
        self.have, self.gone = message["last"], self.gone + message["gone"]
        self.since_extremes = 0
        self.width = max(self.width, 2**shift)
        self.oldest = min(self.oldest, bins[0][0] << shift)
        self.newest = max(self.newest, bins[-1][0] << shift)

    def _next(self, count: int) -> list[Row]:
        """Take so many readings, and those in the microsecond of the last of them."""
        until = self.to_come[count - 1][1] // 1000
        while count < len(self.to_come) and self.to_come[count][1] // 1000 == until:
            count += 1
        rows, self.to_come = self.to_come[:count], self.to_come[count:]
        return rows

    def _add(self, rows: list[Row]) -> None:
        self.rows += rows
        self.times += [time_ns // 1000 for _, time_ns, _ in rows]
        self.oldest = min(self.oldest, self.times[0])

    def check_held(self) -> None:
        """Each reading is in one bin of the overview, the newest are in the ring, and both are small."""
        held = json.loads(self.page.evaluate(HELD))
        assert (held["have"], held["received"], held["gone"]) == (self.have, len(self.rows), self.gone)
        assert self.page.evaluate("() => [run.oldest, run.newest]") == [self.oldest, self.newest]
        self.in_ring = len(held["times"])
        assert min(self.since_extremes, self.ring_size) <= self.in_ring
        assert self.in_ring <= min(self.since_extremes, math.ceil(1.25 * self.ring_size))
        latest = self.rows[len(self.rows) - self.in_ring :]
        assert held["times"] == [time_ns // 1000 for _, time_ns, _ in latest]
        assert held["values"] == [[values[field] for _, _, values in latest] for field in range(self.fields)]
        # No wider than it has to be.
        while len({time_us // self.width for time_us in self.times}) > self.most_bins:
            self.width *= 2
        assert held["width"] == self.width
        bins = bins_of(self.rows, 0, 2**62, self.width.bit_length() - 1)
        assert [
            list(entry) for entry in zip(held["bins"], held["counts"], *held["extremes"], strict=True)
        ] == bins

    def view(self) -> tuple[int, int, int]:
        """Choose what to look at, on so many pixels: any part of the run, or one beside or in the last."""
        chance = self.chance
        start, stop = sorted(chance.choices(self.times, k=2))
        pixels = chance.choice([1, 7, 20, 60])
        how = chance.random()
        if how < 0.3 and self.last_view:
            start, stop, pixels = self.last_view
            by = int((stop - start) * chance.uniform(-0.6, 0.6))
            start, stop = start + by, stop + by - int((stop - start) * chance.choice([0, 0, 0.6]))
        elif how < 0.4 and math.isfinite(self.ring_start()):
            start = int(self.ring_start())
        elif how < 0.5:
            # About as many readings as there is room for.
            place = bisect_left(self.times, start) + 4 * pixels + chance.randint(-2, 2)
            stop = max(start, self.times[min(place, len(self.times) - 1)])
        elif how < 0.8:
            # Around a reading, or beyond the ends of the run; some as long as so many bins are.
            span = int((self.times[-1] - self.times[0] + 10) * 10 ** chance.uniform(-5, 0.3))
            if how < 0.55:
                span = pixels * 2 ** (span // pixels).bit_length()
            start = max(0, chance.choice(self.times) - chance.randint(0, span))
            stop = start + span
        self.last_view = start, max(stop, start + 1), pixels
        return self.last_view

    def check_view(self) -> None:
        """Show a view, ask for what it lacks, as often as the page wants to, and look at the picture."""
        view = self.view()
        asked: list[dict[str, Any]] = []
        while True:
            picture, wanted, latest = self.call(["columns", *view], ["wants", *view], ["latest", *view[:2]])
            self.check_picture(*view, **picture)
            self.check_latest(*view[:2], latest)
            self.check_wanted(*view, wanted)
            if wanted == "null":
                break
            assert wanted not in asked
            asked.append(wanted)
            assert len(asked) <= 2
            self.detail = self.answer(**wanted)
            assert self.call(["addDetail", self.detail]) == [None]

    def answer(self, **wanted: int) -> dict[str, Any]:
        """What the server answers to a view, as Recording.view does."""
        start, stop, columns = wanted["from"], min(wanted["to"], self.times[-1]), wanted["columns"]
        rows = self.rows[bisect_left(self.times, start) : bisect_right(self.times, stop)]
        if len(rows) <= 4 * columns:
            return wanted | {"width": 0, "lines": lines_of(rows)}
        shift = max(0, math.ceil(math.log2(max(1, (stop - start) / columns))))
        return wanted | {"width": 2**shift, "bins": bins_of(self.rows, start, stop + 1, shift)}

    def ring_start(self, most: float = math.inf) -> float:
        """The time from which on each reading is in the ring, or in the newest part of it."""
        count = min(self.in_ring, most)
        if count == len(self.rows):
            return -math.inf
        return self.times[-count] + 1 if count else math.inf

    def covered(self, start: float, stop: float) -> bool:
        return self.detail is not None and self.detail["from"] <= start and self.detail["to"] >= stop

    def is_alone(self, length: float) -> bool:
        """Whether the answer is of one view alone, because there are too many readings around it."""
        return self.detail["width"] == 0 and self.detail["to"] - self.detail["from"] < length

    def within(self, start: float, stop: float) -> range:
        """Return the places of the readings from one time to another."""
        return range(bisect_left(self.times, start), bisect_right(self.times, stop))

    def values(self, field: int, places: Iterable[int]) -> list[float]:
        """Return the values that a field has in these readings."""
        return [y for i in places if (y := self.rows[i][2][field]) is not None]

    def check_picture(self, start: int, stop: int, pixels: int, data: list[list[Any]], width: int) -> None:
        narrow = width_for(start, stop, pixels)
        begin = self.ring_start()
        covered = self.covered(max(start, self.oldest), min(stop, begin))
        inside = self.within(start, stop)
        if start >= begin or (covered and self.detail["width"] == 0):
            # One more on either side is drawn, as far as each is known there.
            known = self.within(begin if start >= begin else self.detail["from"], math.inf)
            if stop < begin:
                known = self.within(self.detail["from"], min(self.detail["to"], begin - 1))
            drawn = range(max(known.start, inside.start - 1), min(known.stop, inside.stop + 1))
            assert width == (0 if len(drawn) <= 4 * pixels + 2 else narrow)
        else:
            assert width == max(narrow, min(self.width, self.detail["width"]) if covered else self.width)
        if width == 0:
            points = [(self.times[i], self.times[i], self.rows[i][2]) for i in drawn]
            gaps = sum(self.times[i] - self.times[i - 1] >= self.gap for i in drawn[1:])
            assert len(data[0]) == len(points) + gaps
            shown = [(x, *map(number, values)) for x, *values in zip(*data, strict=True)]
            expected = [(time / 1e6, *values) for time, _, values in points]
            assert [*filter(any_of, shown)] == [*filter(any_of, expected)]
        else:
            points = self.bins_drawn(start, stop, narrow, width, data)
            if start < begin and not covered:
                # The overview has what the lines come from, and go on to.
                assert points[0][0] < start or self.times[0] >= start
                assert points[-1][1] > stop + 1 or self.times[-1] <= stop
        # Where a line is broken.
        for field in range(self.fields):
            ends = [(one, end) for one, end, values in points if values[field] is not None]
            steps = [one - end for (_, end), (one, _) in itertools.pairwise(ends)]
            limit = self.gap
            if self.rate is None or len(ends) < len(points):
                usual = sorted(step for step in steps if step >= 0) or [0]
                limit = max(limit, 3 * usual[len(usual) // 2])
            signs = "".join("|" if y == "null" else "" if y is None else "." for y in data[field + 1])
            wanted = "".join("|." if step >= limit else "." for step in [0, *steps][: len(ends)])
            assert re.sub(r"\|+", "|", signs) == wanted

    def bins_drawn(
        self, start: int, stop: int, narrow: int, width: int, data: list[list[Any]]
    ) -> list[tuple[int, int, list[float | None]]]:
        """Find out which bins are drawn: no reading in view is in none, and their extremes are true."""
        # A point that makes room for a gap is where the one before is.
        shown = [(x, [*map(number, ys)]) for w, x, *ys in zip([-1, *data[0]], *data, strict=False) if x > w]
        begin = self.ring_start()
        split = math.ceil(begin / width) * width if math.isfinite(begin) else begin
        points, end, seen = [], 0, 0
        for (x, lows), (middle, highs) in zip(shown[::2], shown[1::2], strict=True):
            one = round(x * 1e6)
            size = narrow if start >= begin or one >= split else width
            assert abs(2e6 * (middle - x) - size) < 0.9
            assert one % size == 0
            assert one >= end
            end = one + size
            inside, whole = self.within(max(one, start), min(end - 1, stop)), self.within(one, end - 1)
            seen += len(inside)
            for field, (low, high) in enumerate(zip(lows, highs, strict=True)):
                near, known = self.values(field, inside), self.values(field, whole)
                if one < start or end - 1 > stop:
                    # At the edges of a view, what is outside of it can be there or not.
                    assert {low, high} <= {None, *known}
                    assert not near or low <= min(near) <= max(near) <= high
                else:
                    assert (low, high) == (min(known, default=None), max(known, default=None))
            points += [(one, end, lows), (one, end, highs)]
        assert seen == len(self.within(start, stop))
        # The line goes on to one bin more on either side.
        assert [end <= start for _, end, _ in points[::2]].count(True) <= 1
        assert [one > stop for one, _, _ in points[::2]].count(True) <= 1
        return points

    def check_latest(self, start: int, stop: int, latest: dict[str, Any]) -> None:
        """The newest values in view, as far as each reading is known."""
        rows = range(len(self.rows) - self.in_ring, len(self.rows))
        if self.detail and self.detail["width"] == 0 and (not rows or self.times[rows[0]] > stop):
            rows = self.within(self.detail["from"], self.detail["to"])
        rows = [i for i in rows if self.times[i] <= stop]
        if not rows:
            assert latest == {"time": min(stop, self.newest), "values": "null"}
            return
        inside = [i for i in rows if self.times[i] >= start]
        values = [(self.values(field, inside) or ["null"])[-1] for field in range(self.fields)]
        assert latest == {"time": self.times[rows[-1]], "values": values}

    def check_wanted(self, start: int, stop: int, pixels: int, wanted: Any) -> None:
        """What is kept is enough, or what is not is asked for: whole bins, and half a view around them."""
        width = width_for(start, stop, pixels)
        margin = (stop - start) / 2
        sure = min(self.ring_start(self.ring_size), self.newest)

        def has_enough(bins: int, until: float = math.inf) -> bool:
            """Whether bins of this width are shown for too many readings to show each."""
            counted = self.within(start // bins * bins, min((stop // bins + 1) * bins - 1, until))
            return len(counted) > 4 * pixels

        enough = self.width <= width and has_enough(self.width)
        covered = self.covered(max(start, self.oldest), min(stop, sure))
        if start >= sure or stop < self.oldest or (covered and self.is_alone(3 * margin)):
            enough = True
        elif self.covered(max(start - margin / 2, self.oldest), min(stop + margin / 2, sure)):
            bins = self.detail["width"]
            many = bins == 0 or has_enough(bins, self.detail["to"])
            enough = bins <= 2 * width and many
            if not many:
                margin, width = 0, 1
        if enough:
            assert wanted == "null"
            return
        one = math.floor(max(start - margin, self.oldest) / width) * width
        end = math.ceil((stop + margin + 1) / width) * width - 1
        assert wanted == {"from": one, "to": min(end, self.newest), "columns": 2 * pixels}


def width_for(start: int, stop: int, pixels: int) -> int:
    """The smallest power of two of which so many cover a view."""
    return next(2**shift for shift in range(62) if 2**shift * pixels >= stop - start)


def any_of(point: tuple[float | None, ...]) -> bool:
    return any(value is not None for value in point[1:])


# A few runs find nearly all that can be wrong; --all tries more.
@pytest.mark.parametrize(
    "seed", [*range(15), *(pytest.param(seed, marks=pytest.mark.with_all) for seed in range(15, 40))]
)
def test_run(page: Page, seed: int) -> None:
    told = Told(page, seed)
    while told.to_come:
        count = told.chance.randint(1, min(200, len(told.to_come)))
        told.tell_extremes(count) if told.chance.random() < 0.2 else told.tell_lines(count)
        told.check_held()
        for _ in range(told.chance.randint(0, 12)):
            told.check_view()


# Fills bins of which there are few, with rows and with other bins; looks for times in the rows and in the
# bins, counts what is in the bins from each time to the next, and forgets most of the rows.
FILL = """([fields, capacity, parts, text, times]) => {
  const bins = new Bins(fields, 1, capacity);
  for (const [lines, list, width] of parts) {
    const rows = parseRows(lines, fields);
    bins.addRows(rows, 0, rows.length);
    const others = parseBins(list, width, fields);
    while (bins.width < width) bins.widen();
    bins.addBins(others, 0, others.length);
  }
  const rows = parseRows(text, fields);
  const find = (time, i) => [rows.find(time), bins.find(time), countIn(bins, times[i - 1] ?? 0, time)];
  const found = times.map(find);
  const list = ({ length }, columns) => columns.map((column) => Array.from(column.subarray(0, length)));
  const extremes = bins.lows.flatMap((low, field) => [low, bins.highs[field]]);
  rows.keep(2);
  const kept = list(rows, [rows.times, ...rows.values]);
  const all = list(bins, [bins.numbers, bins.counts, ...extremes]);
  return JSON.stringify({ width: bins.width, bins: all, found, kept });
}"""


@pytest.mark.parametrize("seed", range(20))
def test_bins(page: Page, seed: int) -> None:
    chance = random.Random(seed)
    told = Told(page, seed)
    rows, capacity = told.to_come, chance.choice([1, 2, 10, 100])
    # In any order: what came late falls between what is there.
    cuts = sorted(chance.sample(range(len(rows)), 6))
    pieces = [rows[one:end] for one, end in itertools.pairwise([0, *cuts, len(rows)])]
    chance.shuffle(pieces)
    parts, least = [], 0
    for piece in pieces:
        shift, middle = chance.randint(0, 20), chance.randrange(len(piece) + 1)
        parts.append([lines_of(piece[:middle]), bins_of(piece[middle:], 0, 2**62, shift), 2**shift])
        least = max(least, shift)
    times = sorted(
        time_ns // 1000 + chance.choice([-1, 0, 1]) for _, time_ns, _ in chance.choices(rows, k=20)
    )
    answer = json.loads(page.evaluate(FILL, [told.fields, capacity, parts, lines_of(rows), times]))
    known = [time_ns // 1000 for _, time_ns, _ in rows]
    width = next(2**shift for shift in range(least, 62) if len({time >> shift for time in known}) <= capacity)
    assert answer["width"] == width
    bins = bins_of(rows, 0, 2**62, width.bit_length() - 1)
    assert list(zip(*answer["bins"], strict=True)) == [*map(tuple, bins)]
    numbers = [time // width for time in known]
    for before, time, (row, place, count) in zip([0, *times], times, answer["found"], strict=False):
        assert row == bisect_left(known, time)
        assert place == bisect_left(sorted(set(numbers)), time // width)
        assert count == sum(before // width <= one <= time // width for one in numbers)
    assert [*zip(*answer["kept"], strict=True)] == [(t, *rows[i - 2][2]) for i, t in enumerate(known[-2:])]


def test_a_run_of_which_nothing_is_known(page: Page) -> None:
    assert page.evaluate("() => { window.run = new Run(); return run.wants(0, 100, 10); }") is None
    picture, latest = page.evaluate("() => [run.columns(0, 100, 10), run.latest(0, 100)]")
    assert picture == {"data": [[]], "width": 0}
    assert latest == {"time": -math.inf, "values": None}
