"""What can go wrong in test5."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.copies import Copy
from tests.readme import Trouble
from tests.support import PORT, Server, raw_connection, read_log, reset, wait_until
from tests.troubleshooting import trouble

# A thread beside the event loop, which waits for the test before it calls something.
THREAD = """    announce(options)
    loop = asyncio.get_running_loop()

    async def hello():
        print("Hello from the loop")

    def work():
        input()
        time.sleep(0.2)  # by now the loop is asleep
        {call}
        print("Called")

    threading.Thread(target=work, daemon=True).start()
"""


def stands_still(server: Server, copy: Copy, control: ClientConnection) -> bool:
    """Return whether no reading is logged while twenty commands are answered, each of which takes longer."""
    before = server.log.stat().st_size
    for _ in range(20):
        copy.step.ask(control, "FOO")
    return server.log.stat().st_size == before


@dataclass
class Held:
    """A server that waits for each client in turn, and now for one that does not read."""

    server: Server
    frozen: socket.socket

    def read_until(self, enough: Callable[[bytes], bool]) -> None:
        """Let the client read on, with room for more, until what it reads is enough."""
        self.frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        while not enough(chunk := self.frozen.recv(2**16)):
            assert chunk, f"the server hung up; it printed:\n{self.server.output}"


@contextmanager
def held_up(copy: Copy) -> Iterator[Held]:
    """Let the step wait for each client, and one of its clients read nothing."""
    for old, new in [
        ("def send_to_all", "async def send_to_all"),
        (
            "    broadcast(clients[role], message)\n",
            "    for connection in clients[role]:\n        await connection.send(message)\n",
        ),
        # Long messages fill the buffers of a client sooner.
        (
            '            send_to_all("/data", f"{values[0]}")',
            '            await send_to_all("/data", f"{values[0]:10000}")',
        ),
        ("        write_limit=MAX_BACKLOG,\n", ""),
    ]:
        copy.replace("server.py", old, new)
    server = copy.start("--rate", "10000")
    frozen = raw_connection("/data", buffer=4096)
    try:
        # The other one takes whatever comes.
        with (
            connect(f"ws://localhost:{PORT}/data", proxy=None, max_queue=None),
            copy.step.connect("control") as control,
        ):
            server.wait_for("Hello, client", count=3)
            copy.step.ask(control, "START")
            server.wait_for("Logging to")
            wait_until(lambda: stands_still(server, copy, control), "everything waits for one client")
            yield Held(server, frozen)
    finally:
        frozen.close()


class TestTroubles:
    step = "test5"

    @trouble("A client that does not read holds up all others.")
    def test_waiting_for_each_client(self, copy: Copy, entry: Trouble) -> None:
        with held_up(copy) as held:
            before = held.server.log.stat().st_size
            # It is this client that all have waited for: when it reads, they go on.
            held.read_until(lambda chunk: held.server.log.stat().st_size > before)

    @trouble("`RuntimeError: Set changed size during iteration`")
    def test_client_comes_while_the_loop_waits(self, copy: Copy, entry: Trouble) -> None:
        with held_up(copy) as held, copy.step.connect("data"):
            held.server.wait_for("Hello, client (data)", count=3)
            # Until the server says goodbye: no reading has this byte.
            held.read_until(lambda chunk: b"\x88" in chunk)
            reset(held.frozen)
            assert held.server.wait_ended(30) == 1
            entry.seen_in(held.server.output)

    @trouble("A client vanishes, and the whole server stops")
    def test_client_vanishes_while_the_loop_waits(self, copy: Copy, entry: Trouble) -> None:
        with held_up(copy) as held:
            reset(held.frozen)
            assert held.server.wait_ended(30) == 1
            entry.seen_in(held.server.output)

    @trouble("Every answer is late, and few readings arrive.")
    def test_sensor_that_makes_its_caller_wait(self, copy: Copy, entry: Trouble) -> None:
        # Its driver waits for a device that says a line when the test wants it.
        driver = "sensor.read = lambda: (print('Asked'), [float(input())])[1]\n"
        copy.replace("server.py", "running = asyncio.Event()\n", f"running = asyncio.Event()\n{driver}")
        server = copy.start(stdin=subprocess.PIPE)
        with server.process.stdin as device, copy.step.connect("control") as control:
            control.send("START")
            server.wait_for("Asked")
            assert control.recv(timeout=30) == "OK: started"
            control.send("FOO")
            readings, answer = 0, None
            while answer is None:
                try:
                    answer = control.recv(timeout=0.1)
                except TimeoutError:
                    readings += 1
                    device.write("21.5\n")
                    device.flush()
                    server.wait_for("Asked", count=1 + readings)
            assert readings >= 2, "an answer waits for more than one reading"
            server.kill()

        # The cure: the answer comes while the device still says nothing.
        (cure,) = [quote for quote in entry.quotes if "to_thread" in quote]
        copy.replace("server.py", "sensor.read()\n", f"{cure}\n")
        server = copy.start(stdin=subprocess.PIPE)
        with server.process.stdin, copy.step.connect("control") as control:
            assert copy.step.ask(control, "START") == "OK: started"
            server.wait_for("Asked")
            assert "ERROR" in copy.step.ask(control, "FOO")
            server.kill()

    def start_thread(self, copy: Copy, call: str) -> Server:
        """Start the step with a thread that makes this call when it is sent a line."""
        copy.replace("server.py", "import time\n", "import threading\nimport time\n")
        copy.replace("server.py", "    announce(options)\n", THREAD.format(call=call))
        return copy.start(stdin=subprocess.PIPE)

    @trouble("You set an Event in a thread, and nothing happens")
    @pytest.mark.parametrize("cured", [False, True])
    def test_event_set_in_a_thread(self, copy: Copy, entry: Trouble, cured: bool) -> None:
        (cure,) = [quote for quote in entry.quotes if quote.startswith("loop.")]
        server = self.start_thread(copy, cure if cured else "running.set()")
        with server.process.stdin as line, copy.step.connect("data") as data:
            data.send("hello")
            assert "this is the data socket" in data.recv(timeout=30)
            line.write("\n")
            line.flush()
            server.wait_for("Called")
            if not cured:
                with pytest.raises(TimeoutError):
                    data.recv(timeout=0.3)
                data.send("hello")
            messages = [data.recv(timeout=30) for _ in range(3)]
            assert not all(message.startswith("ERROR") for message in messages), "readings"

    @trouble("`RuntimeError: no running event loop`")
    @pytest.mark.parametrize("cured", [False, True])
    def test_task_made_in_a_thread(self, copy: Copy, entry: Trouble, cured: bool) -> None:
        wrong, cure = [quote for quote in entry.quotes if quote.startswith("asyncio.")]
        call = cure.replace("coroutine,", "hello(),") if cured else wrong.replace("()", "(hello())")
        server = self.start_thread(copy, call)
        with server.process.stdin as line:
            line.write("\n")
        if cured:
            server.wait_for("Hello from the loop")
        else:
            entry.seen_in(server.wait_for("RuntimeError"))

    @pytest.mark.skipif(sys.platform == "win32", reason="nobody can delete a file that is open there")
    @trouble("`ERROR: somebody has deleted or changed")
    def test_log_that_somebody_saves(self, copy: Copy, entry: Trouble) -> None:
        server = copy.start("--rate", "100")
        with copy.step.connect("control") as control:
            copy.step.ask(control, "START")
            server.wait_for("Logging to")
            wait_until(lambda: server.log.read_text().count("\n") > 5, "some rows")
            log = server.log
            log.write_bytes(log.read_bytes().replace(b"\n", b"\r\n"))  # as an editor does
            entry.seen_in(control.recv(timeout=30), **{"2026-11-21T03-49-40.464260.csv": log.name})
            server.wait_for("Logging to", count=2)
            entry.seen_in(server.output, **{"2026-11-21T03-49-40.464260.csv": log.name})
            # A copy can be saved by whoever likes to.
            newest = server.logs[-1]
            other = newest.with_name("copy.csv")
            other.write_bytes(newest.read_bytes())
            other.unlink()
            copy.step.ask(control, "STOP")
        server.stop()
        first = int(newest.read_text().splitlines()[1].split(",")[0])
        assert read_log(newest, begins_late=True)[0]["seq"] == first > 5
        assert server.output.count("ERROR") == 1
