"""What can go wrong in test12."""

import re

from playwright.sync_api import expect

from tests.conftest import Pages
from tests.copies import Copy
from tests.promises import next_event, send_event
from tests.readme import Trouble
from tests.support import Server, Step
from tests.test_test12 import PRICE, row
from tests.troubleshooting import trouble

HEADER = "time,symbol,price\n"


def recording(*prices: str, symbols: str = "TEA") -> str:
    """Return a recording in which each symbol has these prices, one after the other."""
    rows = [f"{i},{symbol},{price}\n" for i, price in enumerate(prices) for symbol in symbols.split()]
    return HEADER + "".join(rows)


class TestTroubles:
    step = "test12"

    @trouble("`12.340000000000002` in the page")
    def test_float(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        copy.write("prices.csv", recording("12.21", "12.34"))
        text = "str(float(close) + float(change))"
        copy.replace("server.py", '[f"{price:f}", f"{change:+', f'[{text}, f"{{change:+')
        copy.start("--source", "prices.csv")
        page = pages.connect()
        expect(row(page, "TEA").locator(".change")).to_have_text("+0.13")
        entry.seen_in(row(page, "TEA").locator(".price").inner_text())

    @trouble("`TypeError: JSON cannot hold Decimal")
    def test_decimal(self, copy: Copy, entry: Trouble) -> None:
        copy.write("prices.csv", recording("12.21", "12.34"))
        copy.replace("server.py", '[f"{price:f}", f"{change:+', '[price, f"{change:+')
        server = copy.start("--source", "prices.csv")
        with copy.step.connect() as client:
            send_event(client, "subscribe", ["TEA"])
            entry.seen_in(server.wait_for("Decimal('12.34')"))

    @trouble("A row shows `\u2013`")
    def test_no_snapshot(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        rows = [f"{i},MOVES,{i + 1}.00\n{i},STAYS,12.34\n" for i in range(500)]
        copy.write("prices.csv", HEADER + "".join(rows))
        copy.replace("server.py", '    e.client.send("snapshot"', '    _ = ("snapshot"')
        copy.start("--source", "prices.csv", "--rate", "50")
        with copy.step.connect() as client:
            send_event(client, "subscribe", ["MOVES"])
            next_event(client, "quotes")  # so the first price of each symbol is known when the page comes
            page = pages.connect()
            expect(row(page, "MOVES").locator(".price")).to_have_text(PRICE)
            entry.seen_in(row(page, "STAYS").locator(".price").inner_text())

    @trouble("After a reconnect the page stands still")
    def test_subscribed_only_once(self, copy: Copy, pages: Pages, entry: Trouble) -> None:
        subscribe = 'socket.send("subscribe", choice);'
        copy.replace("client.html", subscribe, f"if (!socket.asked) {subscribe}\nsocket.asked = true;")
        server = copy.start("--rate", "50")
        page = pages.connect()
        prices = page.locator("#rows .price")
        expect(prices.first).to_have_text(PRICE)
        symbols = page.locator("#rows th").all_inner_texts()
        page.evaluate("() => socket.socket.close()")
        server.wait_for("Hello, client", count=2)
        expect(page.get_by_role("status")).to_contain_text("Connected")
        before = prices.all_inner_texts()
        with copy.step.connect() as client:
            send_event(client, "subscribe", symbols)
            for _ in range(5):
                next_event(client, "quotes")
        assert prices.all_inner_texts() == before

    @trouble("`unknown symbol 'zenon'")
    def test_small_letters(self, server: Server, step: Step, entry: Trouble) -> None:
        with step.connect() as client:
            send_event(client, "subscribe", ["zenon"])
            entry.seen_in(next_event(client, "error"))

    @trouble("`prices.csv, line 3: the clock goes past midnight")
    def test_night(self, copy: Copy, entry: Trouble) -> None:
        self.check_refused(f"{HEADER}23:59,TEA,4.20\n00:01,TEA,4.21\n", copy, entry)
        dated = f"{HEADER}2026-01-05T23:59,TEA,4.20\n2026-01-06T00:01,TEA,4.21\n"
        copy.write("prices.csv", dated)
        server = copy.start("--source", "prices.csv", "--rate", "50")
        with copy.step.connect() as client:
            send_event(client, "subscribe", ["TEA"])
            server.wait_for("has ended")

    @trouble("`prices.csv, line 1: the header")
    def test_semicolons(self, copy: Copy, entry: Trouble) -> None:
        self.check_refused("time;symbol;price\n09:30:00;TEA;4,20\n", copy, entry)

    def check_refused(self, text: str, copy: Copy, entry: Trouble) -> None:
        copy.write("prices.csv", text)
        entry.seen_in(copy.fail("--source", "prices.csv"))

    @trouble("The prices stand still")
    def test_end_of_the_recording(self, copy: Copy, entry: Trouble) -> None:
        copy.write("prices.csv", recording("4.20", "4.21", "4.19"))
        server = copy.start("--source", "prices.csv", "--rate", "50")
        with copy.step.connect() as client:
            send_event(client, "subscribe", ["TEA"])
            assert next_event(client, "source") == "Prices from the recording prices.csv."
            entry.seen_in(next_event(client, "source"))
            send_event(client, "subscribe", ["TEA"])
            assert next_event(client, "snapshot")["TEA"][0] == "4.19"
        server.kill()
        copy.start("--source", "prices.csv", "--rate", "0.01")
        with copy.step.connect() as client:
            send_event(client, "subscribe", ["TEA"])
            assert re.match("Prices from", next_event(client, "source"))
            assert next_event(client, "snapshot") == {}
