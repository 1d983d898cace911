"""Clients that make the server send, and read nothing of it: common/clients.py, at every step that has it."""

import asyncio
import gc
import itertools
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from common.clients import MAX_BACKLOG, CarefulConnection
from common.http import HttpConnection
from tests.steps import STEPS, kept_by
from tests.support import PORT, Server, Step, printed, raw_connection, reset, run, text_frame, wait_until

FROM_5 = STEPS[STEPS.index("test5") :]


def frame(opcode: int, payload: bytes) -> bytes:
    """Encode a short frame as a client sends it (RFC 6455, section 5.2), masked with zeros."""
    return struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload)) + bytes(4) + payload


LONG_PING, PING, PONG = frame(9, b"x" * 125), frame(9, b""), frame(10, b"")


def flood(client: socket.socket, data: bytes, seconds: float = 20) -> bool:
    """Send the same again and again, and read nothing; return whether the server hangs up in this time."""
    deadline = time.monotonic() + seconds
    client.settimeout(1)
    while time.monotonic() < deadline:
        try:
            client.send(data)
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


@contextmanager
def running(step: Step, *options: str) -> Iterator[Server]:
    server = Server(step.folder, *options)
    try:
        server.wait_listening()
        yield server
    finally:
        server.stop()
        server.remove_log()


@pytest.mark.parametrize("name", kept_by(FROM_5))
def test_client_that_floods_pings_is_cut_off_and_others_are_not_disturbed(name: str) -> None:
    step = Step(name)
    waits, done = [], threading.Event()
    with running(step) as server, step.connect() as other:
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss

        def use() -> None:
            while not done.wait(0.05):
                asked = time.monotonic()
                assert other.ping().wait(10)
                waits.append(time.monotonic() - asked)

        thread = threading.Thread(target=use)
        thread.start()
        for role in step.roles:
            with raw_connection(f"/{role}", buffer=4096) as client:
                assert flood(client, LONG_PING * 500), "never cut off"
        done.set()
        thread.join()
        assert max(waits) < 3
        assert process.memory_info().rss - before < 2**26
        server.wait_for("Cut off a client that does not read what it is sent", count=len(step.roles))


@pytest.mark.parametrize("data", [PING, PONG], ids=["ping", "pong"])
def test_short_frames_in_a_flood_hold_nobody_up(data: bytes) -> None:
    """Thousands of them fit into what asyncio takes in at once."""
    step = Step("test5")
    times = []
    with running(step, "--rate", "100"), step.connect() as control, step.connect("data") as readings:
        step.ask(control, "START")
        with raw_connection("/control") as client:
            thread = threading.Thread(target=flood, args=(client, data * 20_000, 2))
            thread.start()
            while thread.is_alive():
                readings.recv(timeout=30)
                times.append(time.monotonic())
            thread.join()
    assert len(times) > 20
    waits = sorted(after - before for before, after in itertools.pairwise(times))
    # A busy machine makes some of them late, but not half.
    assert waits[len(waits) // 2] < 0.1


def serve_and(check: object, connection: type[ServerConnection], handler: object) -> None:
    """Run a check, in a thread, beside a server that has the limits of the steps."""

    async def main() -> None:
        how = {"create_connection": connection, "write_limit": MAX_BACKLOG, "compression": None}
        async with serve(handler, "localhost", PORT, **how):
            await asyncio.to_thread(check)

    run(main())


@pytest.mark.parametrize("connection", [CarefulConnection, HttpConnection])
def test_pings_beside_a_long_message_on_its_way_are_no_flood(
    connection: type[ServerConnection], capsys: pytest.CaptureFixture[str]
) -> None:
    length = 16 * MAX_BACKLOG

    async def handler(connection: ServerConnection) -> None:
        await connection.send("x" * length)
        await connection.wait_closed()

    def check() -> None:
        with raw_connection("/", buffer=4096) as client:
            received = 0
            while received < length:
                client.sendall(LONG_PING)
                received += len(client.recv(2**16))

    serve_and(check, connection, handler)
    assert "Cut off" not in printed(capsys)


def test_pings_whose_answers_are_read_are_no_flood_however_many(capsys: pytest.CaptureFixture[str]) -> None:
    # Most of the answers to a burst wait for the client, and all of them together are more than may wait.
    burst = 3 * MAX_BACKLOG // 4 // len(LONG_PING)
    length = burst * (len(LONG_PING) - 4)  # a server masks nothing

    async def handler(connection: ServerConnection) -> None:
        # The system would keep all of them, and hand them over one by one.
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await connection.send("ready")
        await connection.wait_closed()

    def check() -> None:
        with raw_connection("/", buffer=4096) as client:
            assert client.recv(100).endswith(b"ready")
            for _ in range(4):
                client.sendall(LONG_PING * burst)
                left = length
                while left and (data := client.recv(min(left, 2**16))):
                    left -= len(data)
                assert left == 0, "cut off"

    serve_and(check, CarefulConnection, handler)
    assert "Cut off" not in printed(capsys)


def test_answers_to_what_comes_together_are_sent_together() -> None:
    sent = []

    async def handler(connection: ServerConnection) -> None:
        transport = connection.transport
        write, write_eof = transport.write, transport.write_eof
        transport.write = lambda data: (sent.append(bytes(data)), write(data))
        transport.write_eof = lambda: (sent.append("the end"), write_eof())
        await connection.send("ready")
        await connection.wait_closed()

    def check() -> None:
        with raw_connection("/") as client:
            assert client.recv(100).endswith(b"ready")
            client.sendall(PING * 100 + frame(8, struct.pack("!H", 1000)))
            while client.recv(2**16):
                pass

    serve_and(check, CarefulConnection, handler)
    ready, close = b"\x81\x05ready", b"\x88\x02\x03\xe8"
    assert sent == [ready, b"\x8a\x00" * 100 + close, "the end"]


def test_client_that_has_taken_all_is_looked_at_no_more() -> None:
    ended = []

    async def handler(connection: ServerConnection) -> None:
        await connection.send("x" * 20 * MAX_BACKLOG)
        # Later, the timer would compare what waits then with what has waited here.
        ended.append(connection.timer.cancelled())
        await connection.wait_closed()

    def check() -> None:
        with raw_connection("/") as client:
            wait_until(lambda: len(client.recv(2**18)) == 0 or ended, "the message is taken")

    serve_and(check, CarefulConnection, handler)
    assert ended == [True]


def test_slow_client_that_has_gone_is_forgotten() -> None:
    known = []

    async def handler(connection: ServerConnection) -> None:
        known.append(weakref.ref(connection))
        with suppress(ConnectionClosed):
            await connection.send("x" * 20 * MAX_BACKLOG)

    def check() -> None:
        with raw_connection("/", buffer=4096) as client:
            wait_until(lambda: known and known[0]() and known[0]().timer, "its connection takes no more")
            reset(client)
        wait_until(lambda: gc.collect() >= 0 and known[0]() is None, "nothing keeps it in memory")

    serve_and(check, CarefulConnection, handler)


@pytest.mark.parametrize("connection", [CarefulConnection, HttpConnection])
def test_client_whose_answers_wait_for_ever_is_cut_off(
    connection: type[ServerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.clients.SEND_TIMEOUT", 0.5)
    left = threading.Event()

    async def handler(connection: ServerConnection) -> None:
        try:
            async for _ in connection:
                await connection.send("x" * 100_000)
        finally:
            left.set()

    def check() -> None:
        with raw_connection("/", buffer=4096) as client:
            assert flood(client, text_frame("more") * 100), "never cut off"
        assert left.wait(10)

    serve_and(check, connection, handler)


def test_client_that_takes_a_little_now_and_then_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.clients.SEND_TIMEOUT", 0.5)

    async def handler(connection: ServerConnection) -> None:
        await connection.send("x" * 20 * MAX_BACKLOG)
        await connection.send("the end")

    def check() -> None:
        with raw_connection("/") as client:
            end = b""
            while b"the end" not in end:
                time.sleep(0.05)
                data = client.recv(2**18)
                assert data, "cut off"
                end = (end + data)[-100:]

    serve_and(check, CarefulConnection, handler)
