"""test12: a stock ticker, and the markets that it gets its prices from."""

import itertools
import json
import math
import random
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from websockets.sync.client import ClientConnection

from common.demos.market import ReplayedMarket, SimulatedMarket, fictional_symbols
from tests.conftest import Pages, Starter
from tests.promises import Console, NamedEvents, next_event, send_event
from tests.support import Server, Step, messages

HANDFUL = ["BALAN", "DONOX", "KIVOS", "MILOS", "REROR", "VAZON"]
PRICE, CHANGE = re.compile(r"\d+\.\d\d"), re.compile(r"[+-]\d+\.\d\d|0\.00")
ENDED = "The recording prices.csv has ended. These are its last prices."

# From where to where a cell's text goes, line by line.
RECTANGLES = """(cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return [...range.getClientRects()].map(({ left, right }) => [left, right]);
}"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a recording: in each row `time,symbol,price`."""

    def write(*rows: str, header: str = "time,symbol,price") -> Path:
        path = tmp_path / "prices.csv"
        path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
        return path

    return write


def ask(client: ClientConnection, event: str, symbols: Any) -> Any:
    """Send a request, and return what was wrong with it, or None."""
    send_event(client, event, symbols)
    send_event(client, "subscribe", [])  # whose answer is a snapshot of nothing
    error = None
    for message in map(json.loads, messages(client)):
        if message["event"] == "error":
            error = message["data"]
        elif message == {"event": "snapshot", "data": {}}:
            return error


def until_ended(client: ClientConnection) -> list[dict[str, list[str]]]:
    """Return the quotes that arrive until the recording has ended, the snapshot first."""
    received = []
    for message in map(json.loads, messages(client)):
        if message["event"] in ("snapshot", "quotes"):
            received.append(message["data"])
        elif message == {"event": "source", "data": ENDED}:
            return received


def quotes(page: Page) -> Locator:
    return page.get_by_role("table", name="Quotes")


def row(page: Page, symbol: str) -> Locator:
    head = page.get_by_role("rowheader", name=symbol, exact=True)
    return quotes(page).get_by_role("row").filter(has=head)


def expect_chosen(page: Page, symbols: list[str]) -> None:
    expect(quotes(page).get_by_role("rowheader")).to_have_text(symbols)


def expect_quote(page: Page, symbol: str, arrow: str, price: str, change: str) -> None:
    cells = row(page, symbol).get_by_role("cell")
    expect(cells.nth(1)).to_have_text(price)
    expect(cells.nth(2)).to_have_text(change)
    expect(row(page, symbol).get_by_role("img", name=arrow, exact=True)).to_be_visible()


class TestStep12(Console, NamedEvents):
    step = "test12"

    # What the server sends

    def test_all_symbols_then_a_snapshot_then_only_what_has_changed(self, server: Server, step: Step) -> None:
        with step.connect() as client:
            symbols = next_event(client, "symbols")
            assert symbols == fictional_symbols()
            wanted = random.Random(1).sample(symbols, 5)
            send_event(client, "subscribe", wanted)
            state = next_event(client, "snapshot")
            assert list(state) == wanted
            for _ in range(10):
                changes = next_event(client, "quotes")
                assert changes
                assert changes.keys() <= set(wanted)
                for symbol, quote in changes.items():
                    assert quote != state[symbol]
                    price, change, percent = quote
                    assert PRICE.fullmatch(price)
                    assert CHANGE.fullmatch(change)
                    assert CHANGE.fullmatch(percent)
                    assert change[0] == percent[0] or change == "0.00"
                    close = Decimal(price) - Decimal(change)
                    assert Decimal(percent) == (100 * Decimal(change) / close).quantize(Decimal("0.01"))
                state |= changes
            # No more comes of what is not subscribed any more.
            assert ask(client, "unsubscribe", wanted) is None
            first, second = symbols[:2]
            assert ask(client, "subscribe", [first, second]) is None
            assert ask(client, "unsubscribe", [first]) is None
            for _ in range(3):
                assert list(next_event(client, "quotes")) == [second]
            # What one asks for twice comes once, and what one never had can be dropped.
            send_event(client, "subscribe", [first, first])
            assert list(next_event(client, "snapshot")) == [first]
            assert ask(client, "unsubscribe", [first, first]) is None
            assert ask(client, "unsubscribe", [first]) is None

    def test_bad_requests_are_refused_as_a_whole(self, server: Server, step: Step) -> None:
        with step.connect() as client, step.connect() as other:
            next_event(client, "symbols")
            for event in ("subscribe", "unsubscribe"):
                needs = f"'{event}' needs a list of symbols, such as 'BALAN' or 'BALEX'"
                unknown = "unknown symbol 'XYZ'; try one in the list, such as 'BALAN' or 'BALEX'"
                for data, says in [
                    (["BALAN", "XYZ"], unknown),
                    (["balan"], "unknown symbol 'balan'; try "),
                    (["\x1b[31m" * 1000], r"unknown symbol '\x1b[31m"),
                    *[(data, needs) for data in ("BALAN", None, 7, {"BALAN": 1}, [["BALAN"]])],
                    *[(["BALAN", wrong], needs) for wrong in (7, {"a": 1})],
                ]:
                    error = ask(client, event, data)
                    assert error.startswith(says)
                    assert len(error) < 200
                    assert "\x1b" not in error
            # BALAN, which was named with the wrong ones, is not subscribed.
            assert ask(client, "subscribe", ["BALEX"]) is None
            assert list(next_event(client, "quotes")) == ["BALEX"]
            # Nor does a wrong request to drop it drop anything.
            assert "XYZ" in ask(client, "unsubscribe", ["BALEX", "XYZ"])
            assert list(next_event(client, "quotes")) == ["BALEX"]
            next_event(other, "heartbeat")
        assert "failed" not in server.output
        assert "\x1b" not in server.output

    def test_twenty_clients_get_exactly_what_they_asked_for(
        self, start_server: Starter, step: Step, write: Write
    ) -> None:
        # Five hundred symbols, of which each changes in each of the 25 updates, ten updates a second.
        symbols, cents = fictional_symbols(), random.Random(12)
        prices = {symbol: [cents.randint(10_000, 99_999)] for symbol in symbols}
        for history in prices.values():
            for _ in range(24):
                history.append(history[-1] + cents.choice([-1, 1]) * cents.randint(1, 300))
        recording = {
            symbol: [f"{price / 100:.2f}" for price in history] for symbol, history in prices.items()
        }
        rows = [f"{i},{symbol},{recording[symbol][i]}" for i in range(25) for symbol in symbols]
        start_server("--source", str(write(*rows)))
        wanted = [symbols] + [cents.sample(symbols, cents.choice([1, 5, 50, 300])) for _ in range(20)]
        with ExitStack() as stack:
            clients = [stack.enter_context(step.connect()) for _ in wanted]
            for client, mine in zip(clients, wanted, strict=True):
                send_event(client, "subscribe", mine)
            began = time.monotonic()
            with ThreadPoolExecutor(len(clients)) as threads:
                received = list(threads.map(until_ended, clients))
            assert time.monotonic() - began < 10, "25 updates, of which ten are sent a second"
        for mine, (snapshot, *updates) in zip(wanted, received, strict=True):
            assert len(updates) >= 10
            for update in updates:
                assert update.keys() == set(mine)
            for symbol in mine:
                assert [update[symbol][0] for update in updates] == recording[symbol][-len(updates) :]
                if snapshot:
                    assert snapshot[symbol][0] == recording[symbol][-len(updates) - 1]
                quotes = [update[symbol] for update in updates]
                assert quotes == [update[symbol] for update in received[0][-len(updates) :]]

    def test_nothing_is_sent_when_nothing_has_changed(
        self, start_server: Starter, step: Step, write: Write
    ) -> None:
        rows = [f"{i},{symbol}" for i in range(20) for symbol in (f"MOVES,{i + 1}", "STAYS,12.34")]
        server = start_server("--rate", "20", "--source", str(write(*rows)))
        with step.connect() as moves, step.connect() as stays:
            send_event(moves, "subscribe", ["MOVES"])
            send_event(stays, "subscribe", ["STAYS"])
            assert until_ended(moves)[-1] == {"MOVES": ["20", "+19", "+1900.00"]}
            snapshot, *updates = until_ended(stays)
            assert (snapshot or updates.pop()) == {"STAYS": ["12.34", "0.00", "0.00"]}
            assert updates == []
        server.wait_for(ENDED)
        assert server.lines.count(ENDED) == 1

    def test_seed_decides_the_prices(self, start_server: Starter, step: Step) -> None:
        start_server("--seed", "12")
        with step.connect() as client:
            send_event(client, "subscribe", fictional_symbols())
            quotes = next_event(client, "snapshot")
        closes = {symbol: Decimal(price) - Decimal(change) for symbol, (price, change, _) in quotes.items()}
        assert closes == SimulatedMarket(10, 12).closes

    # Recordings

    @pytest.mark.parametrize(
        ("rows", "says"),
        [
            (b"1,A,2\n1,B,1O\n", "line 3: '1O' is not a price; use a number such as 187.12"),
            (b"1,A,1e-20\n", "line 2: '1e-20' is not a price"),
            (b'1,A,"1,234.50"\n', "line 2: '1,234.50' is not a price"),
            (b"1,A,\n", "line 2: '' is not a price"),
            (b"1,A,nan\n", "line 2: 'nan' is not a price"),
            (b"1,A,1e99\n", "line 2: '1e99' is not a price"),
            (b"1,A,2\n\n1,B\n", "line 4: a row has 3 values, time,symbol,price, and this one has 2"),
            (b"1,A,2,3\n", "line 2: a row has 3 values"),
            (b"1,,2\n", "line 2: '' is not a symbol; use 1 to 20 characters"),
            (b"1,\x1b[31m,2\n", r"line 2: '\x1b[31m' is not a symbol"),
            (b",A,2\n", "line 2: the time is missing"),
            (b"01/05/2026,A,2\n", "line 2: '01/05/2026' is not a time; use 09:30:00, 2026-01-05 or "),
            (b"9:30,A,2\n2026-01-05,A,3\n", "line 3: the time is a date, and in the first row a clock"),
            (b"23:59,A,2\n00:01,A,3\n", "line 3: the clock goes past midnight; give each time with its date"),
            (b"9:30,A,1\n12:00,A,2\n16:00,A,3\n" * 2, "line 5: the clock goes past midnight"),
            (b"16:00,A,3\n12:00,A,2\n9:30,A,1\n" * 2, "line 5: the clock goes past midnight"),
            (b"1,\xff,2\n", "prices.csv is not a text in UTF-8"),
            (b"", "line 1: there are no prices after the header"),
        ],
    )
    def test_what_is_wrong_with_a_recording_is_named(self, tmp_path: Path, rows: bytes, says: str) -> None:
        (tmp_path / "prices.csv").write_bytes(b"time,symbol,price\n" + rows)
        with pytest.raises(ValueError, match=re.escape(says)):
            ReplayedMarket(tmp_path / "prices.csv")

    def test_recording_without_a_header(self, tmp_path: Path) -> None:
        for header in ("", "time;symbol;price"):
            (tmp_path / "prices.csv").write_text(header)
            with pytest.raises(ValueError, match=f"line 1: the header has to be .*, not '{header}"):
                ReplayedMarket(tmp_path / "prices.csv")

    def test_what_a_reader_sees_of_a_wrong_recording_is_one_line(self, step: Step, tmp_path: Path) -> None:
        for name, says in [("nowhere.csv", ": No such file or directory"), (".", ": ")]:
            server = Server(step.folder, "--source", str(tmp_path / name))
            assert server.wait_ended() == 1
            assert len(server.lines) == 1
            assert server.output.startswith(f"{tmp_path / name} cannot be read{says}")

    def test_recording_of_a_spreadsheet(self, tmp_path: Path) -> None:
        path = tmp_path / "prices.csv"
        path.write_bytes(
            b'\xef\xbb\xbftime, symbol, price\r\n"9:30", "A" ,187.125\r\n9:31,A, 0187.1\r\n\r\n  \r\n,,\r\n'
        )
        market = ReplayedMarket(path)
        assert market.closes == {"A": Decimal("187.125")}
        assert market.prices == {}
        assert market.update() == {"A": Decimal("187.125")}
        assert not market.ended
        assert market.update() == market.prices == {"A": Decimal("187.100")}
        assert market.ended
        assert market.update() == {}

    @pytest.mark.parametrize(
        ("prices", "shown"),
        [
            # As the file has them
            (["1.08325", "1.08341", "1.0812"], ["1.08325", "1.08341", "1.08120"]),
            (["187.12", "187.1", "187"], ["187.12", "187.10", "187.00"]),
            (["7", "8"], ["7", "8"]),
            (["0.00001462", "1.463e-05"], ["0.00001462", "0.00001463"]),
            (["+5.", ".5"], ["5.0", "0.5"]),
            (["67012.12345678"], ["67012.12345678"]),
            # What a computer made of a price
            (["254.5292510986328", "256.53147567397895"], ["254.529", "256.531"]),
            (["1.0832500457763672"], ["1.08325"]),
            (["0.000014621234567890123"], ["0.0000146212"]),
            (["600000.1234567890123"], ["600000.12"]),
            (["0.09843750298023224", "254.5292510986328"], ["0.0984", "254.5293"]),
            (["5.098765432109876e-10", "8.612345678901234e-05"], ["0.000000000510", "0.000086123457"]),
            (["0.000000000123456789", "0.000000000123457889"], ["0.000000000123457", "0.000000000123458"]),
            (["-0.0", "-0.5", "0"], ["0.0", "-0.5", "0.0"]),
            (["100.01", "100.0199966430664"], ["100.010", "100.020"]),
        ],
    )
    def test_decimals_are_those_of_the_file(self, write: Write, prices: list[str], shown: list[str]) -> None:
        market = ReplayedMarket(write(*(f"{number},A,{price}" for number, price in enumerate(prices))))
        assert [f"{market.update()['A']:f}" for _ in prices] == shown

    def played(self, path: Path) -> list[dict[str, int]]:
        market = ReplayedMarket(path)
        found = []
        while not market.ended:
            found.append({symbol: int(price) for symbol, price in market.update().items()})
        return found

    @pytest.mark.parametrize(
        "times",
        [
            ["9:30", "10:00", "15:59:59.5"],
            ["2026-01-02", "2026-01-05", "2026-01-05T09:30"],
            ["2025-12-31 23:59:59", "2026-01-01 00:00:00", "2026-01-01T00:00:00.5"],
            ["2026-01-05T10:00:00+02:00", "2026-01-05T08:30:00Z", "2026-01-05T04:00:00-05:00"],
            ["9", "10", "10.5"],
            # A day with long breaks, and times that differ by less than a microsecond
            ["00:05", "12:30", "23:50"],
            [
                "2026-01-05T09:30:00.123456100",
                "2026-01-05T09:30:00.123456500",
                "2026-01-05T09:30:00.123456900",
            ],
            ["1767225600100000001", "1767225600100000002", "1767225600100000003"],
            ["20260102", "20260105", "20260106"],
        ],
    )
    def test_rows_are_played_in_the_order_of_their_times(self, write: Write, times: list[str]) -> None:
        rows = [(time, symbol, str(number)) for number, time in enumerate(times, start=1) for symbol in "AB"]
        played = [{"A": number, "B": number} for number in (1, 2, 3)]
        mixed = random.Random(5).sample(rows, len(rows))
        by_symbol = sorted(rows, key=lambda row: row[1])
        for order in (rows, rows[::-1], by_symbol, by_symbol[::-1], mixed):
            assert self.played(write(*map(",".join, order))) == played

    def test_no_trade_is_lost_where_several_share_a_time(self, write: Write) -> None:
        rows = ["9:30,A,1", "9:30,A,2", "9:30,B,7", "09:30:00,A,3", "9:31,B,8", "9:31,A,4"]
        played = [{"A": 1, "B": 7}, {"A": 2}, {"A": 3}, {"B": 8, "A": 4}]
        assert self.played(write(*rows)) == played
        # The newest first
        assert self.played(write(*rows[::-1])) == played
        # The newest of one symbol first, and of another one last
        rows = ["3,A,4", "2,A,3", "2,A,2", "1,A,1", "1,B,1", "2,B,2", "2,B,3"]
        assert self.played(write(*rows)) == [{"A": 1, "B": 1}, {"A": 2, "B": 2}, {"A": 3, "B": 3}, {"A": 4}]
        # The newest first, also of a symbol that has all its trades at one time
        rows = ["2,A,2", "1,B,8", "1,B,7", "1,A,1"]
        assert self.played(write(*rows)) == [{"A": 1, "B": 7}, {"B": 8}, {"A": 2}]

    def test_recording_is_shown_with_exact_decimals_until_its_end(
        self, start_server: Starter, pages: Pages, write: Write
    ) -> None:
        shown = {
            # As floats, these would be 0.19999999999999998 and -0.009999999999999787.
            "UP": ("0.10", "0.30", "up", "0.30", "▲ +0.20 +200.00 %"),
            "DOWN": ("12.35", "12.34", "down", "12.34", "▼ -0.01 -0.08 %"),
            "STAYS": ("1000000.00", "1000000", "unchanged", "1000000.00", "\u2013 0.00 0.00 %"),
            # Negative, or nothing
            "OIL": ("18.27", "-37.63", "down", "-37.63", "▼ -55.90 -305.97 %"),
            "FREE": ("0", "5", "up", "5", "▲ +5"),
            "DEBT": ("-10.0", "-5", "up", "-5.0", "▲ +5.0 +50.00 %"),
            # Names that could do harm
            "<b>X</b>": ("7", "7", "unchanged", "7", "\u2013 0 0.00 %"),
            "__proto__": ("8", "8", "unchanged", "8", "\u2013 0 0.00 %"),
        }
        rows = [f"09:3{i},{symbol},{quote[i]}" for i in (0, 1) for symbol, quote in shown.items()]
        server = start_server("--source", str(write(*rows, "09:32,LATE,9")))
        for _ in range(2):  # at the end of the recording, and for a page that comes later
            page = pages.connect()
            expect(page.get_by_text(ENDED)).to_be_visible()
            page.get_by_role("button", name="Choose all").click()
            expect_quote(page, "LATE", "unchanged", "9", "\u2013 0 0.00 %")
            for symbol, (_, _, arrow, price, change) in shown.items():
                expect_quote(page, symbol, arrow, price, change)
            page.evaluate("localStorage.clear()")
        server.wait_for(ENDED)

    # The page

    def test_prices_shown_equal_prices_sent_in_rows_that_stay(
        self, start_server: Starter, step: Step, pages: Pages, write: Write
    ) -> None:
        walk = list(itertools.accumulate(random.Random(1).choices([-7, -2, 3, 8], k=150), initial=2000))
        rows = [f"{i},{symbol},{price / 100:.2f}" for i, price in enumerate(walk) for symbol in "ABC"]
        start_server("--rate", "100", "--source", str(write(*rows)))
        page = pages.open("about:blank")
        sent: list[str] = []

        def note(frame: str | bytes) -> None:
            message = json.loads(frame)
            if message["event"] in ("snapshot", "quotes") and "B" in message["data"]:
                sent.append(message["data"]["B"][0])

        page.on("websocket", lambda socket: socket.on("framereceived", note))
        page.goto(step.url)
        expect(row(page, "B").locator(".price")).to_have_text(PRICE)
        before = row(page, "B").element_handle()
        page.evaluate(
            """() => {
              window.shown = [];
              window.made = 0;
              const heads = [...document.querySelectorAll("th")];
              const price = heads.find((th) => th.textContent === "B").parentElement.cells[2];
              const watch = (element, then) =>
                new MutationObserver(then).observe(element, { childList: true });
              watch(price, () => shown.push(price.textContent));
              watch(document.querySelector("table"), () => { made += 1; });
              watch(document.querySelector("tbody"), () => { made += 1; });
            }"""
        )
        expect(page.get_by_text(ENDED)).to_be_visible()
        expect(row(page, "B").locator(".price")).to_have_text(sent[-1])
        assert sent[-1] == f"{walk[-1] / 100:.2f}"
        shown = page.evaluate("shown")
        assert len(shown) > 20
        # Several updates may arrive within one animation frame, of which the latest is shown.
        rest = iter(sent)
        assert all(price in rest for price in shown), "what is shown was sent, in this order"
        assert page.evaluate("made") == 0, "neither the table nor a row was made anew"
        assert before.evaluate("(row) => row.isConnected")
        # The chart has the latest 60 prices.
        points = row(page, "B").locator("polyline").get_attribute("points").split()
        assert len(points) == 60
        heights = [-float(point.split(",")[1]) for point in points]
        latest = [float(price) for price in sent[-60:]]
        scale = (max(heights) - min(heights)) / (max(latest) - min(latest))
        for height, price in zip(heights, latest, strict=True):
            assert height - heights[0] == pytest.approx((price - latest[0]) * scale, abs=0.2)

    def test_drawn_once_a_frame_and_bounded(self, start_server: Starter, pages: Pages) -> None:
        start_server("--rate", "0.01")
        page = pages.connect()
        expect(row(page, "BALAN").locator(".price")).to_have_text(PRICE)
        drawn = page.evaluate(
            """async () => {
              const draw = drawSparkline;
              let draws = 0;
              window.drawSparkline = (...all) => { draws += 1; draw(...all); };
              await new Promise(requestAnimationFrame);
              for (let i = 0; i < 5000; i++) {
                const quote = [`${i}.00`, "+1.00", "+1.00"];
                socket.dispatch("quotes", { data: { BALAN: quote, NOSUCH: quote } });
              }
              await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
              return [draws, rows.get("BALAN").prices.length];
            }"""
        )
        assert drawn == [1, 60]
        expect(row(page, "BALAN").get_by_role("cell").nth(1)).to_have_text("4999.00")
        expect_chosen(page, HANDFUL)

    def test_first_visit_search_pick_drop_and_choose_all(self, server: Server, pages: Pages) -> None:
        page = pages.connect()
        search = page.get_by_role("textbox", name="Search symbols")
        response = page.get_by_label("Response")
        boxes = page.get_by_role("checkbox")
        expect_chosen(page, HANDFUL)
        expect(quotes(page).get_by_role("columnheader")).to_have_text(["Symbol", "Trend", "Price", "Change"])
        expect(boxes).to_have_count(500)
        expect(page.get_by_role("checkbox", checked=True)).to_have_count(6)
        search.fill("zon")
        assert all("ZON" in text for text in page.get_by_role("listitem").all_inner_texts())
        assert 2 < boxes.count() < 30
        page.get_by_role("checkbox", name="LEZON").check()
        expect_chosen(page, [*HANDFUL, "LEZON"])
        expect(row(page, "LEZON").locator(".price")).to_have_text(PRICE)
        expect(response).to_have_text("Added LEZON.")
        page.get_by_role("checkbox", name="LEZON").uncheck()
        expect_chosen(page, HANDFUL)
        expect(response).to_have_text("Removed LEZON.")
        # The whole symbol and Enter, in small letters too.
        search.fill("telex")
        search.press("Enter")
        expect_chosen(page, [*HANDFUL, "TELEX"])
        expect(search).to_have_value("")
        expect(boxes).to_have_count(500)
        expect(page.get_by_role("checkbox", name="TELEX")).to_be_checked()
        # What is unknown goes to the server, whose answer is shown.
        search.fill("<b>XYZ</b>")
        expect(boxes).to_have_count(0)
        search.press("Enter")
        expect(response).to_have_text(
            "ERROR: unknown symbol '<b>XYZ</b>'; try one in the list, such as 'BALAN' or 'BALEX'"
        )
        expect_chosen(page, [*HANDFUL, "TELEX"])
        # By keyboard: dropping a row passes the focus on.
        for symbol, focused in [("VAZON", "TELEX"), ("TELEX", "REROR")]:
            page.get_by_role("button", name=f"Remove {symbol}").press("Enter")
            expect(page.get_by_role("button", name=f"Remove {focused}")).to_be_focused()
        expect_chosen(page, HANDFUL[:-1])
        search.fill("MILOS")
        page.get_by_role("button", name="Choose none").click()
        expect_chosen(page, ["BALAN", "DONOX", "KIVOS", "REROR"])
        search.fill("")
        page.get_by_role("button", name="Choose none").click()
        expect_chosen(page, [])
        expect(page.get_by_text("0 of 500 chosen")).to_be_visible()
        page.reload()
        expect(page.get_by_text("0 of 500 chosen")).to_be_visible()
        page.get_by_role("button", name="Choose all").click()
        expect(response).to_have_text("Added 500 symbols.")
        expect(page.get_by_text("500 of 500 chosen")).to_be_visible()
        expect(page.locator(".price").filter(has_text=PRICE)).to_have_count(500)
        seconds = page.evaluate("""async () => {
          const began = performance.now();
          for (let frames = 0; frames < 5; frames += 1) await new Promise(requestAnimationFrame);
          return (performance.now() - began) / 1000;
        }""")
        assert seconds < 2, "the page answers while it shows 500 prices"
        search.fill("zenon")
        expect(boxes).to_have_count(1)
        page.get_by_role("checkbox", name="ZENON").uncheck()
        expect(page.get_by_text("499 of 500 chosen")).to_be_visible()

    def test_choice_survives_a_reload_and_a_restart(
        self, start_server: Starter, pages: Pages, write: Write
    ) -> None:
        pages.errors_are_expected = True
        server = start_server()
        page = pages.connect()
        page.get_by_role("button", name="Choose none").click()
        for symbol in ("ZENON", "BALEX"):
            page.get_by_role("checkbox", name=symbol).check()
        page.reload()
        expect_chosen(page, ["ZENON", "BALEX"])
        expect(page.get_by_role("checkbox", checked=True)).to_have_count(2)
        expect(row(page, "ZENON").locator(".price")).to_have_text(PRICE)
        server.kill()
        expect(page.get_by_role("status")).to_contain_text("Disconnected: ")
        # What is picked meanwhile is asked for as soon as there is a connection.
        page.get_by_role("checkbox", name="BALOS").check()
        server = start_server()
        expect(page.get_by_role("status")).to_have_text("Connected to localhost")
        expect_chosen(page, ["ZENON", "BALEX", "BALOS"])
        expect(row(page, "BALOS").locator(".price")).to_have_text(PRICE)
        # A server that has only one of them: the others are dropped without a word.
        server.stop()
        start_server("--source", str(write("1,BALEX,1", "1,OTHER,2", "2,BALEX,3.50")))
        expect(page.get_by_text(ENDED)).to_be_visible(timeout=15_000)
        expect_chosen(page, ["BALEX"])
        expect(row(page, "BALEX").get_by_role("cell").nth(1)).to_have_text("3.50")
        expect(page.get_by_role("checkbox")).to_have_count(2)
        page.reload()
        expect_chosen(page, ["BALEX"])
        expect(page.get_by_label("Response")).to_have_text("")
        # Rubbish in the browser's memory is as good as nothing.
        for rubbish in ("{", '{"a": 1}', "7", '["NOSUCH", 7]'):
            page.evaluate("(text) => localStorage.setItem('ticker', text)", rubbish)
            page.reload()
            expect_chosen(page, ["BALEX", "OTHER"])

    def test_fits_the_screen_and_no_price_however_long_covers_another_cell(
        self, start_server: Starter, pages: Pages, write: Write
    ) -> None:
        prices = {
            "USUAL": ("67012.12", "66000.01"),
            "COIN": ("0.000000000510", "0.000086123457"),
            "DEBT": ("123456789012.12345678", "-123456789012.12345678"),
            "RISE": ("1e-12", "999999999999"),
            "X" * 20: ("1400", "987.65"),
        }
        rows = [f"{i},{name},{prices[name][i]}" for i in (0, 1) for name in prices]
        start_server("--source", str(write(*rows)))
        page = pages.connect()
        expect(page.get_by_text(ENDED)).to_be_visible()
        for width in (320, 390, 1000):
            page.set_viewport_size({"width": width, "height": 780})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for name in prices:
                boxes = [cell.bounding_box() for cell in row(page, name).locator("th, td > *").all()]
                assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
                columns = []
                for cell in row(page, name).locator("td").all()[1:]:
                    boxes = cell.evaluate(RECTANGLES)
                    columns.append((min(left for left, _ in boxes), max(right for _, right in boxes)))
                assert all(left[1] <= right[0] for left, right in pairwise(columns)), f"{name}: {columns}"
                assert columns[-1][1] <= width
            if width >= 390:
                # A usual price stays in one line, so that nobody takes its last digit for another number.
                assert row(page, "USUAL").locator(".price").evaluate(RECTANGLES)[1:] == []
            heads = page.locator("thead th").all()
            assert not any(head.evaluate("(head) => head.scrollWidth > head.clientWidth") for head in heads)
        # By keyboard, the list of symbols can be skipped.
        page.get_by_role("link", name="Skip the list").press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Remove USUAL")).to_be_focused()

    def test_seeds_and_statistics_of_the_simulated_market(self) -> None:
        def run(seed: int | None) -> list[Any]:
            market = SimulatedMarket(10, seed)
            return [market.closes, dict(market.prices), *(market.update() for _ in range(20))]

        assert run(1) == run(1)
        assert run(1) != run(2)
        assert run(None) != run(None)
        traded = [len(prices) for prices in run(1)[2:]]
        assert 0 < min(traded) <= max(traded) < 500, "not every symbol is traded in every update"

        # A market of one symbol with a known volatility, at an update a second, which is a minute of trading.
        class OneSymbol(SimulatedMarket):
            VOLATILITY = (0.4, 0.4)
            START = (1000, 1000)
            TRADES = (1e6, 1e6)

        market = OneSymbol(1, 5, ["ONE"])
        prices = [float(market.update()["ONE"]) for _ in range(4000)]
        steps = [math.log(after / before) for before, after in itertools.pairwise(prices)]
        assert statistics.stdev(steps) == pytest.approx(0.4 / math.sqrt(252 * 390), rel=0.05)
        assert all(PRICE.fullmatch(str(price)) for price in market.closes.values())
