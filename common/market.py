"""Where a stock ticker gets its prices from: a simulated market, or a recording of a real one.

A market is any object with `closes`, a dict from each symbol to its previous close, which changes are counted
from; `prices`, a dict of the prices so far; `update()`, which returns the prices that the next update brings;
`ended`, whether there will be none any more; and `source`, which says in words where the prices come from.
Prices are `Decimal`, in whole cents of some currency.
"""

import csv
import itertools
import math
import random
import re
from decimal import Decimal
from pathlib import Path
from typing import TextIO

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


def _parse(row: list[str]) -> tuple[str, str, Decimal]:
    """Return the time, the symbol and the price in a row."""
    if len(row) != 3:
        raise _BadRow(f"a row has 3 values, time,symbol,price, and this one has {len(row)}")
    time, symbol, price = (value.strip() for value in row)
    if not time:
        raise _BadRow("the time is missing")
    if not symbol.isprintable() or not 1 <= len(symbol) <= 20:
        raise _BadRow(f"{symbol[:40]!r} is not a symbol; use 1 to 20 characters")
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", price) or not in_cents(price):
        raise _BadRow(f"{price[:40]!r} is not a price; use a number such as 187.12")
    return time, symbol, in_cents(price)


class Replay:
    """A recording: a CSV file with the header `time,symbol,price`.

    Consecutive rows with the same time, in whatever form, are one update. The first price of a symbol stands
    for its previous close. The whole file is read at once, so that what is wrong in it is told at the start.

    Args:
        path: the file.

    Raises:
        ValueError: what is wrong with the file, and in which line.
    """

    def __init__(self, path: Path) -> None:
        self.closes: dict[str, Decimal] = {}
        self.prices: dict[str, Decimal] = {}
        try:
            # Spreadsheets put an invisible mark at the beginning of a file, which utf-8-sig passes over.
            with path.open(encoding="utf-8-sig", newline="") as file:
                updates = self._read(file)
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not a text in UTF-8") from None
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        except _BadRow as error:
            raise ValueError(f"{path}, {error}") from None
        self._name = path.name
        self._updates = iter(updates)
        self._next = next(self._updates, None)

    def _read(self, file: TextIO) -> list[dict[str, Decimal]]:
        """Return the updates in the file, and note the first price of each symbol."""
        updates: dict[str, dict[str, Decimal]] = {}
        latest = None
        rows = csv.reader(file, skipinitialspace=True)
        try:
            header = ",".join(value.strip() for value in next(rows, []))
            if header != "time,symbol,price":
                raise _BadRow(f"the header has to be time,symbol,price, not {header[:60]!r}")
            for row in rows:
                if not row:
                    continue
                time, symbol, price = _parse(row)
                if time != latest and time in updates:
                    raise _BadRow(f"the time {time[:40]!r} comes again; sort the rows by time")
                latest = time
                updates.setdefault(time, {})[symbol] = price
                self.closes.setdefault(symbol, price)
            if not updates:
                raise _BadRow("there are no prices after the header")
        except (_BadRow, csv.Error) as error:
            raise _BadRow(f"line {max(1, rows.line_num)}: {error}") from None
        return list(updates.values())

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


def open_market(recording: Path | None, rate: float, seed: int | None) -> SimulatedMarket | Replay:
    """Return the market that the options name: the recording, or a simulated one if that is None.

    Raises:
        SystemExit: with a message, if there is something wrong with the recording.
    """
    if recording is None:
        return SimulatedMarket(rate, seed)
    try:
        return Replay(recording)
    except ValueError as error:
        raise SystemExit(str(error)) from None


def in_cents(price: float | str) -> Decimal:
    """Return a price in whole cents, as an exact decimal number."""
    return Decimal(price).quantize(CENT)
