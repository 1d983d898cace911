"""Where a stock ticker gets its prices from: a simulated market, or a recording of a real one.

A market is any object with `closes`, a dict from each symbol to its previous close, which changes are counted
from; `prices`, a dict of the prices so far; `update()`, which returns the prices that the next update brings;
`ended`, whether there will be none any more; and `source`, which says in words where the prices come from.
Prices are `Decimal`; all of a symbol have the same number of decimals.
"""

import csv
import itertools
import math
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TextIO

CENT = Decimal("0.01")

# A second of a run is a minute of trading, so that prices visibly move.
MINUTES_PER_SECOND = 1
MINUTES_PER_DAY = 390  # from 9:30 to 16:00
MINUTES_PER_YEAR = 252 * MINUTES_PER_DAY


def fictional_symbols(count: int = 500) -> list[str]:
    """Return that many invented symbols (at most 3520), the same in every run, in alphabetical order."""
    words = itertools.product("BDGKLMNRTVZ", "AEIO", "LNRVZ", "AEIO", "NRSX")
    names = ["".join(word) for word in words]
    return [names[i * len(names) // count] for i in range(count)]


class SimulatedMarket:
    """Prices that follow geometric Brownian motions, each with a volatility of its own.

    In a time dt the price S becomes S · exp((m - v²/2) · dt + v · sqrt(dt) · z), with the drift m, the
    volatility v, and a standard normal number z (P. Glasserman, Monte Carlo Methods in Financial Engineering,
    Springer 2003, section 3.2). A year has 252 days of 390 minutes, and a second of a run is one such minute.
    Prices move all the time, but are known only when somebody trades: the trades of each symbol are a Poisson
    process with a rate of its own.

    Args:
        rate: how often `update` will be called, in updates a second.
        seed: the same seed, at the same rate, gives the same prices.
        symbols: what is traded; 500 fictional symbols if None.
    """

    DRIFT = 0.05  # of all, per year
    VOLATILITY = (0.15, 0.8)  # of the calmest and of the wildest symbol, per square root of a year
    START = (8, 800)  # the lowest and the highest previous close
    TRADES = (1.0, 12.0)  # of the least and the most traded symbol, per minute

    ended = False

    def __init__(self, rate: float, seed: int | None = None, symbols: list[str] | None = None) -> None:
        self._random = random.Random(seed)
        minutes = MINUTES_PER_SECOND / rate
        self._exact: dict[str, float] = {}
        self._steps: dict[str, tuple[float, float]] = {}
        self._chances: dict[str, float] = {}
        self.closes: dict[str, Decimal] = {}
        self.prices: dict[str, Decimal] = {}
        for symbol in fictional_symbols() if symbols is None else symbols:
            # Since the previous close there has been a night, and some trading: a day's worth of change.
            change = self._random.gauss(0, 1)
            volatility = self._random.uniform(*self.VOLATILITY)
            mean, spread = self._step(volatility, MINUTES_PER_DAY)
            # As many symbols begin between 8 and 80 as between 80 and 800.
            close = math.exp(self._random.uniform(*map(math.log, self.START)))
            self._exact[symbol] = close * math.exp(mean + spread * change)
            self._steps[symbol] = self._step(volatility, minutes)
            self._chances[symbol] = 1 - math.exp(-minutes * self._random.uniform(*self.TRADES))
            self.closes[symbol] = in_cents(close)
            self.prices[symbol] = in_cents(self._exact[symbol])
        count = len(self.closes)
        self.source = f"Simulated prices of {count} fictional symbols. A second is a minute of trading."

    def _step(self, volatility: float, minutes: float) -> tuple[float, float]:
        """Return mean and standard deviation of the logarithm of the factor by which a price changes."""
        years = minutes / MINUTES_PER_YEAR
        return (self.DRIFT - volatility**2 / 2) * years, volatility * math.sqrt(years)

    def update(self) -> dict[str, Decimal]:
        """Let 1/rate seconds pass, and return the prices of the symbols that were traded."""
        traded = {}
        for symbol, (mean, spread) in self._steps.items():
            self._exact[symbol] *= math.exp(self._random.gauss(mean, spread))
            if self._random.random() < self._chances[symbol]:
                traded[symbol] = in_cents(max(self._exact[symbol], 0.01))
        self.prices.update(traded)
        return traded


class _BadRow(Exception):
    """What is wrong with a row of a recording."""


class _Trade(NamedTuple):
    """A row of a recording: its line, its time in seconds, how that is written, the symbol, and the price."""

    line: int
    time: Decimal
    form: str
    symbol: str
    price: Decimal


# A price: less than a trillion, with digits enough for the smallest coin. Decimal calculates with 28 of them.
PRICE = re.compile(r"[-+]?(?:[0-9]{1,15}(?:\.[0-9]{0,25})?|\.[0-9]{1,25})(?:[eE][-+]?[0-9]{1,2})?")
MOST, MOST_DECIMALS = Decimal("1e12"), 14
# With more significant digits than that, it is what a computer made of a price. So many are shown then of the
# largest, and of the smallest.
MEANT, SHOWN, SHOWN_OF_SMALLEST = 14, 6, 3

CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}(?:\.[0-9]{1,9})?))?")
NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,9})?")
FINER = re.compile(r"[.,][0-9]{6}([0-9]{1,12})")
MICROSECOND = timedelta(microseconds=1)


def _parse(line: int, row: list[str]) -> _Trade:
    """Return the trade in a row."""
    if len(row) != 3:
        raise _BadRow(f"a row has 3 values, time,symbol,price, and this one has {len(row)}")
    time, symbol, text = (value.strip() for value in row)
    if not time:
        raise _BadRow("the time is missing")
    if not symbol.isprintable() or not 1 <= len(symbol) <= 20:
        raise _BadRow(f"{symbol[:40]!r} is not a symbol; use 1 to 20 characters")
    price = Decimal(text) if PRICE.fullmatch(text) else None
    if price is None or abs(price) >= MOST or (price and price.adjusted() < -MOST_DECIMALS + 2):
        raise _BadRow(f"{text[:40]!r} is not a price; use a number such as 187.12")
    # A symbol that comes a million times need not be in memory as often.
    return _Trade(line, *_parse_time(time), sys.intern(symbol), price)


def _parse_time(text: str) -> tuple[Decimal, str]:
    """Return a time in seconds, and how it is written: times written in other ways cannot be compared."""
    if match := CLOCK.fullmatch(text):
        hours, minutes, seconds = int(match[1]), int(match[2]), Decimal(match[3] or 0)
        if hours < 24 and minutes < 60 and seconds < 61:
            return 3600 * hours + 60 * minutes + seconds, "a clock"
    elif NUMBER.fullmatch(text):
        return Decimal(text), "a number"
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            # Without a zone, all are of the same one, whichever that is.
            since = moment.replace(tzinfo=None) - datetime(1970, 1, 1) - (moment.utcoffset() or timedelta())
            # A datetime drops what is less than a microsecond, and exchanges stamp nanoseconds.
            rest = FINER.search(text)
            exact = Decimal(since // MICROSECOND).scaleb(-6) + Decimal(f"0.000000{rest[1] if rest else 0}")
            return exact, "a date" if moment.tzinfo is None else "a date with a zone"
    raise _BadRow(f"{text[:40]!r} is not a time; use 09:30:00, 2026-01-05 or 2026-01-05T09:30:00")


def _in_order(trades: list[_Trade]) -> list[_Trade]:
    """Return trades in the order of their times; at the same time, in the order in which they were made."""
    by_symbol: defaultdict[str, list[_Trade]] = defaultdict(list)
    for trade in trades:
        if trade.form != trades[0].form:
            raise _BadRow(
                f"line {trade.line}: the time is {trade.form}, and in the first row {trades[0].form}"
            )
        by_symbol[trade.symbol].append(trade)
    # Many files have the newest row first, or the newest of some symbols.
    steps = {symbol: _forward_steps(itertools.pairwise(those)) for symbol, those in by_symbol.items()}
    all_steps = sum(steps.values())
    ordered = [
        trade
        for symbol, those in by_symbol.items()
        for trade in (reversed(those) if (steps[symbol] or all_steps) < 0 else those)
    ]
    if trades[0].form == "a clock":
        _check_clock(ordered)
    return sorted(ordered, key=lambda trade: trade.time)


def _forward_steps(steps: Iterable[tuple[_Trade, _Trade]]) -> int:
    """Return how often the time grows from one trade to the next, less how often it shrinks."""
    return sum((after.time > before.time) - (after.time < before.time) for before, after in steps)


def _check_clock(trades: list[_Trade]) -> None:
    """Refuse clocks of several days; the trades come symbol by symbol, the earliest first.

    A file without any order may have steps back of any length, but it has many of them.
    """
    steps = [(before, after) for before, after in itertools.pairwise(trades) if before.symbol == after.symbol]
    back = [(before, after) for before, after in steps if before.time - after.time > 3600]
    # A long step forwards is a long break, unless so few rows do not tell which way they go.
    forwards = _forward_steps(steps)
    far = [
        (before, after)
        for before, after in steps
        if before.time - after.time > 12 * 3600 or (forwards < 2 and after.time - before.time > 12 * 3600)
    ]
    if (far and len(steps) < 8) or (back and 4 * len(back) < len(steps)):
        line = max(trade.line for trade in (far or back)[0])
        raise _BadRow(f"line {line}: the clock goes past midnight; give each time with its date")


def _decimals(prices: list[Decimal]) -> int:
    """Return with how many decimals the prices of a symbol are shown: as the file has them.

    A price with more than 14 significant digits or decimals is what a computer made of one, as
    254.5292510986328: of those, 6 significant digits are shown, of the smallest 3, and cents at least.
    """
    meant: list[Decimal] = []
    made: list[Decimal] = []
    for price in prices:
        _, digits, exponent = price.normalize().as_tuple()
        (meant if len(digits) <= MEANT and int(exponent) >= -MOST_DECIMALS else made).append(price)
    decimals = [0, *(min(-int(price.as_tuple().exponent), MOST_DECIMALS) for price in meant)]
    if made:
        sizes = [price.adjusted() for price in prices if price]
        decimals += [2, SHOWN - 1 - max(sizes), SHOWN_OF_SMALLEST - 1 - min(sizes)]
    return max(decimals)


def _shown(price: Decimal, cell: Decimal) -> Decimal:
    return price.quantize(cell) + 0  # which makes 0 of -0


def _batches(trades: list[_Trade], cells: dict[str, Decimal]) -> Iterator[dict[str, Decimal]]:
    """Yield what each update brings, one after the other, because all of them would fill the memory."""
    for _, same_time in itertools.groupby(trades, key=lambda trade: trade.time):
        # The first trades of all symbols at this time, then the second ones, and so on.
        batches: defaultdict[int, dict[str, Decimal]] = defaultdict(dict)
        count: Counter[str] = Counter()
        for trade in same_time:
            batches[count[trade.symbol]][trade.symbol] = _shown(trade.price, cells[trade.symbol])
            count[trade.symbol] += 1
        yield from batches.values()


class ReplayedMarket:
    """A recording: a CSV file with the header `time,symbol,price`.

    Its rows may have any order; they are played in that of their times. Rows with the same time, in whatever
    form, are one update, but a second trade of the same symbol at that time is in the next one. The first
    price of a symbol stands for its previous close. The whole file is read at once, so that what is wrong in
    it is told at the start.

    Args:
        path: the file.

    Raises:
        ValueError: what is wrong with the file, and in which line.
    """

    def __init__(self, path: Path) -> None:
        self.prices: dict[str, Decimal] = {}
        try:
            # Spreadsheets put an invisible mark at the beginning of a file, which utf-8-sig passes over.
            with path.open(encoding="utf-8-sig", newline="") as file:
                trades = _in_order(self._read(file))
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not a text in UTF-8") from None
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        except _BadRow as error:
            raise ValueError(f"{path}, {error}") from None
        self._name = path.name
        self._updates = self._updates_of(trades)
        self._next = next(self._updates, None)

    def _read(self, file: TextIO) -> list[_Trade]:
        """Return the trades in the file."""
        rows = csv.reader(file, skipinitialspace=True)
        try:
            header = ",".join(value.strip() for value in next(rows, []))
            if header != "time,symbol,price":
                raise _BadRow(f"the header has to be time,symbol,price, not {header[:60]!r}")
            trades = [_parse(rows.line_num, row) for row in rows if any(map(str.strip, row))]
            if not trades:
                raise _BadRow("there are no prices after the header")
        except (_BadRow, csv.Error) as error:
            raise _BadRow(f"line {max(1, rows.line_num)}: {error}") from None
        return trades

    def _updates_of(self, trades: list[_Trade]) -> Iterator[dict[str, Decimal]]:
        """Return what each update brings, and note the first price of each symbol."""
        prices = defaultdict(list)
        for trade in trades:
            prices[trade.symbol].append(trade.price)
        cells = {symbol: Decimal(1).scaleb(-_decimals(known)) for symbol, known in prices.items()}
        self.closes = {symbol: _shown(known[0], cells[symbol]) for symbol, known in prices.items()}
        return _batches(trades, cells)

    @property
    def ended(self) -> bool:
        return self._next is None

    @property
    def source(self) -> str:
        if self.ended:
            return f"The recording {self._name} has ended. These are its last prices."
        return f"Prices from the recording {self._name}."

    def update(self) -> dict[str, Decimal]:
        """Return the prices of the next time in the recording; nothing once it has ended."""
        traded = self._next or {}
        self._next = next(self._updates, None)
        self.prices.update(traded)
        return traded


def open_market(recording: Path | None, rate: float, seed: int | None) -> SimulatedMarket | ReplayedMarket:
    """Return the market that the options name: the recording, or a simulated one if that is None.

    Raises:
        SystemExit: with a message, if there is something wrong with the recording.
    """
    if recording is None:
        return SimulatedMarket(rate, seed)
    try:
        return ReplayedMarket(recording)
    except ValueError as error:
        raise SystemExit(str(error)) from None


def in_cents(price: float | str) -> Decimal:
    """Return a price in whole cents, as an exact decimal number."""
    return Decimal(price).quantize(CENT)
