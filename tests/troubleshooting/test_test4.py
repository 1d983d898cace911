"""What can go wrong in test4."""

import pytest

from tests.copies import Copy
from tests.readme import Trouble
from tests.support import Server, Step
from tests.troubleshooting import trouble

WHILE_IT_RECEIVES = """\
    sender = asyncio.create_task(send_readings(connection))
    try:
        async for _ in connection:
            await connection.send("ERROR: this is the data socket; send commands on the control socket")
    finally:
        # The client has left, perhaps while nothing was being sent. Its sender must not wait for ever.
        sender.cancel()
        print("Bye, client (data)")
"""
ONLY_SENDS = """\
    await send_readings(connection)
    print("Bye, client (data)")
"""


def ask_for_readings(copy: Copy, server: Server) -> None:
    """Start the acquisition, and see to it that no reading arrives."""
    with copy.step.connect("data") as data, copy.step.connect() as control:
        server.wait_for("Hello, client (data)")
        copy.step.ask(control, "START")
        # The sender has had its turn before the next answer.
        copy.step.ask(control, "START")
        with pytest.raises(TimeoutError):
            data.recv(timeout=0)
    server.wait_for("Bye, client", count=2)


def print_what_the_sender_raises(copy: Copy, entry: Trouble) -> None:
    """Put into the sender what the README says."""
    (clause,) = [quote for quote in entry.quotes if quote.startswith("except")]
    copy.replace("server.py", "import asyncio\n", "import asyncio\nimport traceback\n")
    end = "        pass\n"
    copy.replace("server.py", f"{end}\n\nasync def main", f"{end}    {clause}\n\n\nasync def main")


class TestTroubles:
    step = "test4"

    @trouble("You close the page while the acquisition is stopped")
    def test_handler_only_sends(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("server.py", WHILE_IT_RECEIVES, ONLY_SENDS)
        server = copy.start()
        with copy.step.connect("data"):
            server.wait_for("Hello, client (data)")
        with copy.step.connect() as control:
            # The goodbye has been said, and the server has done something else since then.
            copy.step.ask(control, "STOP")
            assert "Bye, client (data)" not in server.output
            # Only the next attempt to send tells the handler.
            copy.step.ask(control, "START")
            entry.seen_in(server.wait_for("Bye, client (data)"))

    @pytest.mark.parametrize("is_cancelled", [True, False])
    @trouble("The number of tasks grows with every client that leaves")
    def test_sender_that_nobody_cancels(self, copy: Copy, entry: Trouble, is_cancelled: bool) -> None:
        if not is_cancelled:
            copy.replace("server.py", "        sender.cancel()\n", "")
        tasks = 'print("Hello, client, tasks:", len(asyncio.all_tasks()))'
        copy.replace("server.py", 'print("Hello, client (data)")', tasks)
        server = copy.start()
        for number in range(1, 11):
            with copy.step.connect("data"):
                server.wait_for("Hello, client", count=number)
            server.wait_for("Bye, client (data)", count=number)
        counts = [int(line.rpartition(" ")[2]) for line in server.lines if line.startswith("Hello")]
        assert (counts[-1] < counts[0] + 9) == is_cancelled, counts

    @trouble("No reading arrives, and no error appears either")
    def test_sender_fails(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("server.py", "(value,) = sensor.read()", "(value,) = sensor.red()")
        server = copy.start()
        ask_for_readings(copy, server)
        server.stop()  # which would find a traceback
        print_what_the_sender_raises(copy, entry)
        server = copy.start()
        ask_for_readings(copy, server)
        server.wait_for("AttributeError")

    @trouble("No reading arrives, and no error appears either")
    def test_two_receivers(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("server.py", "(value,) = sensor.read()", "value = await connection.recv()")
        print_what_the_sender_raises(copy, entry)
        server = copy.start()
        ask_for_readings(copy, server)
        entry.seen_in(server.wait_for("ConcurrencyError"), "ConcurrencyError")

    @trouble("`STOP` gets no answer, and the readings go on for ever")
    def test_blocking_call(self, copy: Copy, entry: Trouble) -> None:
        copy.replace("server.py", "import asyncio\n", "import asyncio\nimport time\n")
        copy.replace("server.py", "await asyncio.sleep(1 / options.rate)", "time.sleep(1 / options.rate)")
        server = copy.start("--rate", "1000")
        with copy.step.connect("data") as data, copy.step.connect() as control:
            server.wait_for("Hello, client (data)")
            copy.step.ask(control, "START")
            data.recv(timeout=30)
            control.send("STOP")
            for _ in range(300):
                data.recv(timeout=30)
            with pytest.raises(TimeoutError):
                control.recv(timeout=0)
            server.kill()

    @trouble("Two pages show different numbers")
    def test_each_client_reads_the_sensor(self, fast_server: Server, step: Step, entry: Trouble) -> None:
        with step.connect("data") as first, step.connect("data") as second, step.connect() as control:
            fast_server.wait_for("Hello, client (data)", count=2)
            step.ask(control, "START")
            numbers = [[client.recv(timeout=30) for _ in range(10)] for client in (first, second)]
            assert numbers[0] != numbers[1]
