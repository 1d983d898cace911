"""Named events: common/events.py with clients that are no pages, and common/static/events.js in a browser."""

import asyncio
import errno
import json
import math
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Page
from websockets.sync.client import ClientConnection, connect

from common.clients import MAX_BACKLOG
from common.events import (
    CONNECT_EVENT,
    DISCONNECT_EVENT,
    MAX_MESSAGE,
    MAX_QUEUED_CALLS,
    MESSAGE_EVENT,
    Data,
    Event,
    EventServer,
)
from tests.conftest import Pages
from tests.promises import next_event, request, send_event
from tests.support import PORT, close_of, messages, printed, raw_connection, reset, text_frame, wait_until

URL = f"ws://localhost:{PORT}"


@pytest.fixture
def server() -> Iterator[EventServer]:
    """A server that runs in a thread of its own, with nothing registered yet."""
    server = EventServer("localhost", PORT)
    server.start()
    yield server
    server.close()


@contextmanager
def client(server: EventServer) -> Iterator[ClientConnection]:
    """Connect, and wait until the server knows of it."""
    others = server.client_count
    with connect(URL, proxy=None, close_timeout=1, max_size=None) as connection:
        wait_until(lambda: server.client_count == others + 1, "the client is counted")
        yield connection


class TestCallbacks:
    def test_every_form_in_the_order_of_registration(self, server: EventServer) -> None:
        calls: list[Any] = []

        def plain(e: Event, *args: Any, **kwargs: Any) -> None:
            calls.append(("plain", e.data, args, kwargs))

        async def coroutine(e: Event, *args: Any, **kwargs: Any) -> None:
            await asyncio.sleep(0)
            calls.append(("coroutine", e.data, args, kwargs))

        assert server.on_message("go", plain) is plain
        assert server.on_message("go", coroutine, 1, 2, unit="V") is coroutine

        @server.on_message("go")
        def decorated(e: Event) -> None:
            calls.append(("decorated", e.data))

        @server.on_message("go", number=3, unit="A")
        async def decorated_too(e: Event, number: int, unit: str) -> None:
            calls.append(("decorated too", number, unit))

        @server.callback(MESSAGE_EVENT)
        def each(e: Event) -> None:
            calls.append((e.event, e.data))

        server.on_message("go", lambda e: e.client.send("done"))
        with client(server) as page:
            send_event(page, "go", 5)
            next_event(page, "done")
            assert calls == [
                ("go", 5),
                ("plain", 5, (), {}),
                ("coroutine", 5, (1, 2), {"unit": "V"}),
                ("decorated", 5),
                ("decorated too", 3, "A"),
            ]
            # A listener for every message leaves no name unknown.
            send_event(page, "something else")
            send_event(page, "go")
            next_event(page, "done")
        assert calls[5] == ("something else", None)
        assert callable(decorated)
        assert asyncio.iscoroutinefunction(decorated_too)
        with pytest.raises(TypeError, match="5 is no function"):
            server.on_message("go", 5)
        with pytest.raises(ValueError, match=r"'click' is no kind of event; .* on_message\('click', …\)"):
            server.callback("click", plain)

    def test_three_kinds_of_event(self, server: EventServer) -> None:
        events: list[tuple[Event, int, list[Any]]] = []

        def note(e: Event) -> None:
            events.append((e, server.client_count, server.clients))

        server.on_connect(note)
        server.on_message("go", note)
        server.on_disconnect()(note)
        with client(server) as page:
            send_event(page, "go", True)
            wait_until(lambda: len(events) == 2, "the message has arrived")
        wait_until(lambda: len(events) == 3, "the goodbye has been noticed")
        who = events[0][0].client
        assert who.address in ("127.0.0.1", "::1")
        assert events == [
            (Event(CONNECT_EVENT, who), 1, [who]),
            (Event(MESSAGE_EVENT, who, "go", True), 1, [who]),
            (Event(DISCONNECT_EVENT, who), 0, []),
        ]
        who.send("too late")  # which does no harm
        reset(raw_connection())
        wait_until(lambda: len(events) == 5, "the client that is lost has been noticed")
        assert events[4] == (Event(DISCONNECT_EVENT, events[3][0].client), 0, [])

    def test_a_callback_that_waits_keeps_only_its_own_client_waiting(self, server: EventServer) -> None:
        released = asyncio.Event()

        @server.on_message("wait")
        async def wait(e: Event) -> None:
            await released.wait()
            e.client.send("waited")

        server.on_message("echo", lambda e: e.client.send("echo", e.data))
        server.on_message("release", lambda e: released.set())
        with client(server) as first, client(server) as second:
            send_event(first, "wait")
            send_event(first, "echo", 1)
            send_event(second, "echo", 2)
            assert next_event(second, "echo") == 2
            send_event(second, "release")
            names = (json.loads(message)["event"] for message in messages(first))
            assert next(name for name in names if name != "heartbeat") == "waited"
            assert next_event(first, "echo") == 1

    def test_what_a_callback_raises_is_told_and_changes_nothing(
        self, server: EventServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def plain_fails(e: Event) -> None:
            raise ValueError(e.data)

        def fails_like_ctrl_c(e: Event) -> None:
            raise KeyboardInterrupt

        async def coroutine_fails(e: Event) -> None:
            await asyncio.sleep(0)
            raise KeyError("gone")

        async def awaits_what_is_cancelled(e: Event) -> None:
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task

        def goodbye_fails(e: Event) -> None:
            raise OSError("gone too")

        server.on_connect(lambda e: 1 / 0)
        server.on_disconnect(goodbye_fails)
        server.on_message("fail", plain_fails)
        server.on_message("fail", lambda e: sys.exit(3))
        for func in (fails_like_ctrl_c, coroutine_fails, awaits_what_is_cancelled):
            server.on_message("fail", func)
        server.on_message("fail", lambda e: e.client.send("the last one"))
        with client(server) as other:
            says = "the handler of the connect event failed: ZeroDivisionError: division by zero"
            assert next_event(other, "error") == says
            with client(server) as page:
                next_event(page, "error")
                # Neither a terminal's control characters nor half a character may do harm.
                send_event(page, "fail", "\x1b[31m\n\ud800")
                for error in (
                    r"ValueError: \x1b[31m\n\ud800",
                    "SystemExit: 3",
                    "KeyboardInterrupt",
                    "KeyError: 'gone'",
                    "asyncio.exceptions.CancelledError",
                ):
                    assert f"the handler of the event 'fail' failed: {error}" in next_event(page, "error")
                next_event(page, "the last one")
            wait_until(lambda: server.client_count == 1, "the client has left")
            server.send_all("end")
            names = (json.loads(message)["event"] for message in messages(other))
            assert next(name for name in names if name != "heartbeat") == "end", "errors are for their own"
        output = printed(capsys)
        assert "\x1b" not in output
        failed = (plain_fails, coroutine_fails, awaits_what_is_cancelled, goodbye_fails)
        for name in ("<lambda>", *(func.__name__ for func in failed)):
            assert re.search(rf"^{name}\(\), the handler of .*\(test_events\.py:", output, re.M), name

    def test_timers(self, server: EventServer, capsys: pytest.CaptureFixture[str]) -> None:
        times: list[float] = []
        enough = threading.Event()

        def tick(name: str, unit: str) -> None:
            assert (name, unit) == ("a", "V")
            times.append(time.monotonic())
            time.sleep(0.04)
            if len(times) == 45:
                enough.set()

        async def fail() -> None:
            failures.append(1)
            raise OSError("no such sensor")

        server.close()
        failures: list[int] = []
        server.every(0.01, fail)
        assert server.every(0.05, tick, "a", unit="V") is tick
        server.start()
        assert enough.wait(10)
        # Pauses of 0.05 s after each call would make it 1.35 s. A busy machine makes some late, but not all.
        assert 0.7 < min(times[i + 15] - times[i] for i in range(30)) < 1.2
        wait_until(lambda: len(failures) > 3, "a timer that raises goes on")
        assert "fail(), the handler of the timer of 0.01 s failed: OSError: no such sensor (test_events" in (
            printed(capsys)
        )
        later = threading.Event()

        @server.every(0.01)
        def also_while_it_runs() -> None:
            later.set()

        assert later.wait(10)
        server.close()
        counts = len(times), len(failures)
        server.start()
        wait_until(lambda: len(times) > counts[0] + 3, "timers go on after a restart")
        for wrong in (0, -1, math.nan):
            with pytest.raises(ValueError, match="more than 0 seconds"):
                server.every(wrong, tick)

    def test_background(self, server: EventServer, capsys: pytest.CaptureFixture[str]) -> None:
        states: list[str] = []

        async def run(name: str) -> None:
            states.append(f"{name} begins")
            try:
                await asyncio.Future()
            finally:
                states.append(f"{name} ends")

        server.background(lambda: 1 / 0)
        server.background(run, "first")
        wait_until(lambda: states == ["first begins"], "started")
        server.close()
        assert states == ["first begins", "first ends"]
        server.start()
        wait_until(lambda: len(states) == 3, "started again")
        assert "the handler of the background failed: ZeroDivisionError" in printed(capsys)

    def test_a_timer_that_is_late_makes_nothing_up(self, server: EventServer) -> None:
        times: list[float] = []

        @server.every(0.02)
        def slow_at_first() -> None:
            times.append(time.monotonic())
            if len(times) == 1:
                time.sleep(0.3)

        wait_until(lambda: len(times) >= 6, "called again")
        assert times[5] - times[1] > 0.06


class TestSending:
    def test_data_both_ways(self, server: EventServer) -> None:
        received: list[Any] = []

        @server.on_message("data")
        def echo(e: Event) -> None:
            received.append(e.data)
            e.client.send("echo", e.data)

        with client(server) as page:
            for value in (
                0, -1.5, True, None, "", "Grüße \U0001f44b <b>", [], [1, [2, [None]]], {},
                {"a b": {"class": [{"x": 1}]}},
            ):  # fmt: skip
                send_event(page, "data", value)
                assert next_event(page, "echo") == value
            page.send('{"event": "data", "else": 1}')
            assert next_event(page, "echo") is None
            send_event(
                page, "data", {"count": 3, "point": {"x": [1, {"y": 2}]}, "__class__": "z", "tolist": 1}
            )
            next_event(page, "echo")
            data = received.pop()
            assert isinstance(data, Data)
            assert data.count == 3
            assert data.point.x[1] == Data(y=2)
            assert vars(data)["__class__"] == "z"
            assert received[-2] == Data(**{"a b": Data(**{"class": [Data(x=1)]})})
            for value, arrives in [
                (Data(count=3, inner=Data(x=Data())), {"count": 3, "inner": {"x": {}}}),
                ((1, Data(x=2)), [1, {"x": 2}]),
                ({1: SimpleNamespace(tolist=lambda: 2.5)}, {"1": 2.5}),
                (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
            ]:
                server.send_all("all", value)
                server.clients[0].send("one", value)
                assert next_event(page, "all") == arrives
                assert next_event(page, "one") == arrives

    def test_exactly_or_not_at_all(self, server: EventServer) -> None:
        """What Python has and JSON or JavaScript cannot say is refused in the caller, with its place."""
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        circle: list[Any] = []
        circle.append(circle)
        for data, error, words in [
            (2**53 + 1, ValueError, "9007199254740993 exactly for a page (data); send it as text"),
            ([0, -(2**53) - 1], ValueError, "(data[1])"),
            (np.array([2**60]), ValueError, "send it as text"),
            (np.uint64(2**64 - 1), ValueError, "send it as text"),
            (10**5000, ValueError, "send it as text"),
            ({"list": [1, 2, 3, math.nan]}, ValueError, "nan (data.list[3]); send None"),
            ([Data(x=-math.inf)], ValueError, "-inf (data[0].x)"),
            (np.array([1, math.inf]), ValueError, "inf (data[1])"),
            (np.float32("nan"), ValueError, "nan (data)"),
            (Decimal("NaN"), TypeError, "Decimal('NaN') (data)"),
            ([Fraction(1, 3)], TypeError, "Fraction(1, 3) (data[0])"),
            (memoryview(b"x"), TypeError, "memory"),
            ({1, 2}, TypeError, "{1, 2}"),
            ([Data(x=server)], TypeError, "(data[0].x)"),
            ({None: 1}, TypeError, "the key None"),
            ({True: 1}, TypeError, "the key True"),
            ({1: "a", "1": "b"}, ValueError, "two keys '1'"),
            (deep, ValueError, "nested too deeply"),
            (circle, ValueError, "contains itself"),
            (np.datetime64("2026-01-05"), TypeError, "of the type datetime64"),
            (np.longdouble(1) / 3, TypeError, "0.333333333333333333"),
            (np.zeros(1, "i4,f4"), TypeError, "of the type void"),
            (np.complex64(1), TypeError, "1+0j"),
            (np.ndarray, TypeError, "tolist() failed"),
            ({"x" * 150: object}, TypeError, f"(data.{'x' * 55}…{'x' * 30})"),
        ]:
            with pytest.raises(error) as caught:
                server.send_all("x", data)
            assert str(caught.value).startswith("JSON cannot hold ")
            assert words in str(caught.value)
        exact = [2**53, -(2**53), 0.1, 1e300, True, None, "\ud800", "1285704473650888702", {"a": [[]]}]
        with client(server) as page:
            for data, arrives in [
                (exact, exact),
                # Below a power of two, numbers are half as far apart as above it.
                (array("f", [0.05, 0.1, 1 / 3, 2**-103]), [0.05, 0.1, 0.33333334, 9.8607613e-32]),
                (np.float32(0.05), 0.05),
                (np.array([[0.05, 1e-9, 3e38]], "float32"), [[0.05, 1e-9, 3e38]]),
                (np.array([0.05, 0.1], "float16"), [0.05, 0.1]),
                (np.array([0.1, 1 / 3]), [0.1, 1 / 3]),
                ([np.bool_(True), np.str_("x"), np.int64(2**53)], [True, "x", 2**53]),
                (np.ma.array([1, 2], mask=[0, 1]), [1, None]),
            ]:
                server.send_all("x", data)
                assert next_event(page, "x") == arrives

    def test_what_a_page_sends_is_exact_or_refused(self, server: EventServer) -> None:
        received: list[Any] = []
        server.on_message("x", lambda e: received.append(e.data) or e.client.send("done"))
        many = ",".join(f'"{number}":1' for number in [*range(40_000), 39_999])
        begun = time.monotonic()
        with client(server) as page:
            for data, why in [
                ("NaN", "NaN is not JSON"),
                ("[1e999]", "1e999 is too large"),
                (f"{{{many}}}", "the name '39999' is there twice"),
                ("9" * 5000, "a number of 5000 digits"),
                ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
            ]:
                page.send(f'{{"event": "x", "data": {data}}}')
                assert f"({why}" in next_event(page, "error").replace("(it is ", "(")
            assert time.monotonic() - begun < 3, "a name that is there twice is found soon"
            for data in ("1285704473650888702", '"\\ud800"'):
                page.send(f'{{"event": "x", "data": {data}}}')
                next_event(page, "done")
        assert received == [1285704473650888702, "\ud800"]

    def test_whoever_is_to_get_it_what_cannot_be_sent_raises(self, server: EventServer) -> None:
        with client(server) as page:
            for send in (server.send_all, server.clients[0].send):
                with pytest.raises(TypeError, match="JSON cannot hold"):
                    send("x", object())
                with pytest.raises(TypeError, match="the name of an event is text, not 7"):
                    send(7, None)
                for name in ("open", "close", "heartbeat"):
                    with pytest.raises(ValueError, match="page's own"):
                        send(name, 1)
                with pytest.raises(ValueError, match="characters"):
                    send("x", "x" * MAX_MESSAGE)
                send("x", "x" * (MAX_MESSAGE - 100))
                assert len(next_event(page, "x")) == MAX_MESSAGE - 100
        server.close()
        with pytest.raises(TypeError):
            server.send_all("x", object())  # also when nobody is there to get it

    def test_a_longer_message_than_memory_is_for_ends_its_own_connection(self, server: EventServer) -> None:
        server.on_message("echo", lambda e: e.client.send("echo", e.data))
        with client(server) as other, client(server) as page:
            send_event(page, "echo", "x" * (MAX_MESSAGE - 100))
            assert len(next_event(page, "echo")) == MAX_MESSAGE - 100
            send_event(page, "echo", "x" * MAX_MESSAGE)
            assert "the limit is 1048576" in next_event(page, "error")
            page.send("x" * (4 * MAX_MESSAGE + 1))
            assert close_of(page).code == 1009
            send_event(other, "echo", 1)
            assert next_event(other, "echo") == 1

    def test_senders_in_many_threads_wait_for_the_loop_and_keep_their_order(
        self, server: EventServer
    ) -> None:
        inside, release = threading.Event(), threading.Event()

        @server.on_message("block")
        def block(e: Event) -> None:
            inside.set()
            release.wait(10)

        # None of them could send all of its messages before the others have begun.
        each, sent, seen = MAX_QUEUED_CALLS + 1, [0] * 4, [0] * 4

        def send(name: int) -> None:
            for sent[name] in range(1, each + 1):
                server.send_all("number", [name, sent[name]])

        threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
        with client(server) as page:
            send_event(page, "block")
            assert inside.wait(10)
            for thread in threads:
                thread.start()
            wait_until(lambda: sum(sent) == MAX_QUEUED_CALLS + 4, "the senders wait")
            threads[0].join(0.2)
            assert sum(sent) == MAX_QUEUED_CALLS + 4
            release.set()
            while seen != [each] * 4:
                name, number = next_event(page, "number")
                seen[name] += 1
                assert number == seen[name]
            for thread in threads:
                thread.join()

    def test_of_a_hundred_clients_one_has_stalled(
        self, server: EventServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        filled = threading.Event()

        @server.on_message("fill")
        def fill(e: Event) -> None:
            while e.client._connection.transport.get_write_buffer_size() < MAX_BACKLOG - 20_000:
                e.client.send("fill", "x" * 10_000)
            filled.set()

        stalled = raw_connection(buffer=4096)
        stalled.sendall(text_frame('{"event": "fill"}'))
        assert filled.wait(10)
        (victim,) = server.clients
        others = [raw_connection() for _ in range(99)]
        wait_until(lambda: server.client_count == 100, "all are counted")
        # Each call only leaves a note for the loop; one that waited for a stalled client would never return.
        for number in range(10):
            server.send_all("tick", [number, "x" * 4_000])
        server.send_all("last")
        for other in others:
            received = bytearray()
            while b'"last"' not in received:
                received += other.recv(2**20)
            ticks = re.findall(rb'"tick", "data": \[(\d), "x{4000}"', received)
            assert ticks == [b"%d" % number for number in range(10)]
        # At once: who only sends nothing for long is cut off later, for another reason.
        wait_until(lambda: server.client_count == 99, "the stalled client is cut off", 10)
        assert victim not in server.clients
        assert printed(capsys) == "Cut off a client that does not read what it is sent\n"
        for one in [stalled, *others]:
            one.close()
        wait_until(lambda: server.client_count == 0, "all have left")


class TestRunning:
    def test_start_and_close(self) -> None:
        server, other = EventServer("localhost", PORT), EventServer("localhost", PORT)
        server.close()  # not started yet; nor is anybody there to send to
        server.send_all("x", 1)
        assert server.client_count == 0
        server.start()
        with pytest.raises(RuntimeError, match="runs already"):
            server.start()
        with pytest.raises(OSError, match="in use"):
            other.start()
        with client(server) as page:
            server.close()
            assert close_of(page).code == 1001
        assert (server.client_count, server.clients) == (0, [])
        server.close()
        server.send_all("x", 1)
        other.start()  # the port is free, and a server that could not start can start later
        other.close()
        server.start()
        with client(server) as page:
            server.send_all("x", 2)
            assert next_event(page, "x") == 2
        closers = [threading.Thread(target=server.close) for _ in range(4)]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(10)
        with pytest.raises(ConnectionRefusedError):
            connect(URL, proxy=None)

    def test_close_from_a_callback(self, server: EventServer) -> None:
        goodbyes: list[int] = []

        @server.on_message("close")
        def close(e: Event) -> None:
            server.close()
            e.client.send("closing")

        server.on_disconnect(lambda e: goodbyes.append(1))
        with client(server) as page, client(server) as other:
            send_event(page, "close")
            next_event(page, "closing")
            assert close_of(page).code == close_of(other).code == 1001
        server.close()  # waits for the end
        assert goodbyes == [1, 1]
        server.start()

    def test_a_callback_that_never_ends_does_not_keep_the_server(
        self, server: EventServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("common.events.CLOSE_TIMEOUT", 0.3)
        inside = threading.Event()

        @server.on_message("hang")
        async def hang(e: Event) -> None:
            inside.set()
            await asyncio.sleep(3600)

        with client(server) as page:
            send_event(page, "hang")
            assert inside.wait(10)
            started = time.monotonic()
            server.close()
            assert time.monotonic() - started < 10
            assert close_of(page).code == 1001
        assert server.client_count == 0

    PROGRAM = """
import threading, time
from common import events

events.CLOSE_TIMEOUT = 0.5
server = events.EventServer("localhost")
leave = threading.Event()
server.on_message("leave", lambda e: leave.set())
server.on_message("close", lambda e: (server.close(), leave.set()))

@server.on_message("block")
def block(e):
    while server._waiting._value > 0:
        time.sleep(0.01)
    leave.set()
    time.sleep(3600)

server.start()

def busy():
    while True:
        server.send_all("number", 1)

threading.Thread(target=busy, daemon=True).start()
print("ready", flush=True)
try:
    leave.wait()
except KeyboardInterrupt:
    print("stopped by hand")
"""

    @pytest.fixture
    def program(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        """A program that never calls close(), with a thread that sends as fast as it can."""
        (tmp_path / "program.py").write_text(self.PROGRAM)
        process = subprocess.Popen(
            [sys.executable, "-W", "error", tmp_path / "program.py"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()
        process.wait()
        process.stdout.close()

    @pytest.mark.parametrize("how", ["leave", "close", "Ctrl-C"])
    def test_a_program_that_ends_without_close_says_1001(
        self, program: subprocess.Popen[str], how: str
    ) -> None:
        with connect(URL, proxy=None, close_timeout=1) as page:
            next_event(page, "number")
            if how != "Ctrl-C":
                send_event(page, how)
            elif sys.platform == "win32":
                pytest.skip("a console of its own is needed to press Ctrl-C in")
            else:
                program.send_signal(signal.SIGINT)
            assert close_of(page).code == 1001
        assert program.wait(10) == 0
        assert program.stdout.read() == ("stopped by hand\n" if how == "Ctrl-C" else "")

    def test_a_program_ends_also_while_a_callback_blocks(self, program: subprocess.Popen[str]) -> None:
        # Its busy thread fills the queue to the loop, and the end comes while it waits there.
        with connect(URL, proxy=None, close_timeout=0) as page:
            send_event(page, "block")
            assert program.wait(10) == 0
        assert program.stdout.read() == ""


class TestPages:
    def test_client_that_is_gone_before_the_goodbye_is_no_error(
        self, server: EventServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        tried = threading.Event()

        def shutdown(self: socket.socket, how: int) -> None:
            tried.set()
            raise OSError(errno.ENOTCONN, "the client has gone")

        def goodbye_after_more() -> bool:
            with suppress(TimeoutError):
                client.recv(2**20)
            return tried.is_set()

        server.register_page("", "home")
        server.register_page("large", "x" * 2**24)
        with socket.create_connection(("localhost", PORT), timeout=0.1) as client:
            monkeypatch.setattr(socket.socket, "shutdown", shutdown)
            client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(goodbye_after_more, "the server has sent all, and says goodbye")
        # The answer to the next one comes after whatever has been said of this one.
        assert request("GET", "/").body == b"home"
        assert "the client has gone" not in caplog.text

    def test_what_is_registered_is_served(self, server: EventServer, tmp_path: Path) -> None:
        file = tmp_path / "page.html"
        file.write_text("<p>Grüße</p>", encoding="utf-8")
        with pytest.raises(FileNotFoundError, match=r"nothing\.html"):
            server.register_page("nothing", tmp_path / "nothing.html")
        with pytest.raises(FileNotFoundError):
            server.register_page("folder", tmp_path)
        (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
        with pytest.raises(ValueError, match=r"\.jpg"):
            server.register_page("photo", tmp_path / "photo.jpg")
        assert request("GET", "/").status == 404
        server.register_page("", "<p>home</p>")
        server.register_page("from a file", file)
        server.register_page("/Überblick/1?", "<p>Ü</p>")
        assert request("GET", "/").body == b"<p>home</p>"
        assert request("GET", "/?x=1").headers["Content-Type"] == "text/html; charset=utf-8"
        assert request("GET", f"/{quote('Überblick/1?')}").body.decode() == "<p>Ü</p>"
        page = request("GET", "/from%20a%20file")
        assert page.body.decode() == "<p>Grüße</p>"
        again = request("GET", "/from%20a%20file", {"If-None-Match": page.headers["ETag"]})
        assert again.status == 304
        file.write_text("<p>new</p>")
        changed = request("GET", "/from%20a%20file", {"If-None-Match": page.headers["ETag"]})
        assert (changed.status, changed.body) == (200, b"<p>new</p>")
        file.unlink()
        missing = request("GET", "/from%20a%20file")
        assert missing.status == 404
        assert "/, /from a file, /Überblick/1?" in missing.body.decode()
        outside = ("/server.py", "/../README.md", "/common/static/../log.py", "/%2e")
        for path in ("/nothing", "//", "/%", "/%ff", "/photo", *outside):
            assert request("GET", path).status == 404, path
        server.register_page("", "<p>another</p>")
        assert request("GET", "/").body == b"<p>another</p>"
        script = request("GET", "/common/static/events.js")
        assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert "class EventSocket" in script.body.decode()


# A page that notes what it is told, in the order in which it is told.
PAGE = """<!doctype html><title>Events</title><link rel="icon" href="data:,">
<script src="/common/static/events.js"></script>
<script>
  const told = [];
  const socket = new EventSocket();
  for (const name of ["open", "close", "error", "echo"]) socket.onevent(name, (e) => told.push(e));
</script>"""


class TestEventSocket:
    step = "test10"

    @pytest.fixture
    def page(self, server: EventServer, pages: Pages) -> Page:
        """The page, as soon as it has been told that it is connected."""
        server.register_page("", PAGE)
        server.on_message("echo", lambda e: e.client.send("echo", e.data))
        page = pages.open(f"http://localhost:{PORT}/")
        wait_for_events(page, "open")
        return page

    def test_page_sends_exactly_or_not_at_all(self, server: EventServer, page: Page) -> None:
        received: list[Any] = []
        server.on_message("x", lambda e: received.append(e.data))
        refused = {
            "12n": "12 exactly; send it as text",
            "{ a: [0, 1285704473650888702] }": "1285704473650888700 (1) exactly; send it as text",
            "9007199254740993": "9007199254740992 exactly",
            "[NaN]": "NaN (0)",
            "Object(NaN)": "Number;",
            "-Infinity": "-Infinity; send null",
            "[undefined]": "Undefined (0)",
            "{ f() {} }": "Function (f)",
            "new Map()": "Map;",
            "new Date(0)": "Date;",
            "new Float32Array(2)": "Float32Array;",
            "new Date(NaN)": "Invalid Date",
            "(() => { const a = []; a.push(a); return a; })()": "this data: TypeError",
        }
        for code, why in refused.items():
            assert page.evaluate(f"() => socket.send('x', {code})") is False
            said = page.evaluate("() => told.pop().data")
            assert said.startswith('"x" was not sent: JSON cannot hold ')
            assert why in said
        exact = [2**53 - 1, 1e300, 0.1, None, True, "\ud800", {"a": [[]]}]
        code = '[2 ** 53 - 1, 1e300, 0.1, null, true, "\\ud800", { a: [[]] }]'
        assert page.evaluate(f"() => socket.send('x', {code})") is True
        wait_until(lambda: received, "the data arrives")
        assert received == [[*exact[:-1], Data(a=[[]])]]

    def test_events_both_ways(self, page: Page, pages: Pages) -> None:
        assert page.evaluate("() => EventSocket.isSupported()") is True
        assert page.evaluate("() => told") == [{"event": "open", "data": f"localhost:{PORT}"}]
        page.evaluate("() => socket.onevent('echo', () => told.push('second listener'))")
        data = {"count": 3, "list": [1.5, None, "Grüße <b>"], "inner": {"x": {}}}
        assert page.evaluate("(data) => socket.send('echo', data)", data) is True
        page.wait_for_function("told.length === 3")
        assert page.evaluate("() => told.slice(1)") == [{"event": "echo", "data": data}, "second listener"]
        page.evaluate("() => socket.send('echo')")
        assert wait_for_events(page, "echo", 2)[-1]["data"] is None
        page.evaluate("() => socket.send('nobody listens to this')")
        (*_, error) = wait_for_events(page, "error")
        assert error["data"] == "unknown event 'nobody listens to this'; try 'echo'"
        assert page.evaluate("() => socket.isOpen")
        assert pages.errors == []
        # A listener that throws keeps no other from its event.
        pages.errors_are_expected = True
        page.evaluate("""() => {
          socket.listeners.get("echo").unshift(() => { throw new Error("on purpose"); });
          socket.send("echo", 1);
        }""")
        assert wait_for_events(page, "echo")[-1]["data"] == 1
        wait_until(lambda: any("on purpose" in error for error in pages.errors), "the error is shown")

    def test_send_before_open_and_after_close_says_so_and_page_comes_back(
        self, server: EventServer, page: Page, pages: Pages
    ) -> None:
        pages.errors_are_expected = True
        early = """(listens) => {
          const early = new EventSocket(), errors = [];
          if (listens) early.onevent("error", (e) => errors.push(e.data));
          return [early.send("echo", 1), errors];
        }"""
        says = '"echo" was not sent: there is no connection.'
        assert page.evaluate(early, True) == [False, [says]]
        assert says not in "".join(pages.errors)
        assert page.evaluate(early, False) == [False, []]
        wait_until(lambda: says in "".join(pages.errors), "an error without a listener goes to the console")
        too_long = "() => socket.send('echo', 'x'.repeat(EventSocket.MAX_MESSAGE))"
        assert page.evaluate(too_long) is False
        assert wait_for_events(page, "error")[-1]["data"] == (
            f'"echo" was not sent: it has more than {MAX_MESSAGE} characters.'
        )
        server.close()
        (closed,) = wait_for_events(page, "close")
        assert (closed["data"], closed["code"], closed["wasOpen"]) == ("close code 1001", 1001, True)
        assert page.evaluate("() => socket.send('echo', 1)") is False
        assert wait_for_events(page, "error", 2)[-1]["data"] == says
        assert wait_for_events(page, "echo", 0) == []
        page.evaluate("() => { socket.onevent('close', () => socket.reconnect()); socket.reconnect(); }")
        assert wait_for_events(page, "close", 2)[1]["wasOpen"] is False
        server.start()
        wait_for_events(page, "open", 2)
        page.evaluate("() => socket.send('echo', 2)")
        assert wait_for_events(page, "echo")[-1]["data"] == 2
        assert server.client_count == 1

    def test_reconnect_waits_longer_each_time_and_never_the_same(
        self, server: EventServer, page: Page
    ) -> None:
        delays = """(random) => {
          const [setTimeout, mathRandom] = [window.setTimeout, Math.random], delays = [];
          window.setTimeout = (func, delay) => delays.push(delay);
          if (random !== null) Math.random = () => random;
          for (let i = 0; i < 2000; i += 1) socket.reconnect();
          [window.setTimeout, Math.random] = [setTimeout, mathRandom];
          return delays;
        }"""

        def hear_the_server() -> None:
            page.evaluate("() => { told.length = 0; socket.connect(); }")
            page.wait_for_function("socket.attempts === 0")

        assert page.evaluate(delays, 0) == [125, 250, 500, 1000] + [2000] * 1996
        hear_the_server()
        assert page.evaluate(delays, 0.5) == [187.5, 375, 750, 1500] + [3000] * 1996
        hear_the_server()
        late = page.evaluate(delays, None)[4:]
        assert 2000 <= min(late) < 2100
        assert 3900 < max(late) <= 4000
        hear_the_server()
        assert wait_for_events(page, "close", 0) == [], "what a page lets go of itself is not lost"
        assert server.client_count == 1

    def test_silence_is_a_close_and_a_heartbeat_is_not_silent(self, server: EventServer, page: Page) -> None:
        inside, release = threading.Event(), threading.Event()
        server.on_message("block", lambda e: (inside.set(), release.wait(20)))
        page.clock.install()
        page.reload()
        wait_for_events(page, "open")
        for _ in range(2):
            page.evaluate("() => { window.before = socket.silence; }")
            page.wait_for_function("socket.silence !== before")
            page.clock.fast_forward(3000)
        assert wait_for_events(page, "close", 0) == []
        page.evaluate("() => socket.send('block')")
        try:
            assert inside.wait(10)
            page.clock.fast_forward(5000)
            (closed,) = wait_for_events(page, "close")
            assert closed["data"] == f"nothing heard from localhost:{PORT} for 5 seconds"
            assert (closed["code"], closed["wasOpen"]) == (1006, True)
            assert page.evaluate("() => socket.isOpen") is False
        finally:
            release.set()
        # It is counted from the opening.
        page.evaluate("""() => {
          window.WebSocket = class { close() {} };
          window.slow = new EventSocket();
          window.closes = 0;
          slow.onevent("close", () => { closes += 1; });
        }""")
        page.clock.run_for(4000)
        page.evaluate("() => slow.socket.onopen()")
        page.clock.run_for(4000)
        assert page.evaluate("closes") == 0
        page.clock.run_for(1000)
        assert page.evaluate("closes") == 1


def wait_for_events(page: Page, name: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until the page has been told of as many events of this name, and return them."""
    page.wait_for_function(
        "([name, count]) => told.filter((e) => e.event === name).length >= count", arg=[name, count]
    )
    return page.evaluate("(name) => told.filter((e) => e.event === name)", name)
