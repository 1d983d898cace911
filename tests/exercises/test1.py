"""The exercises of test1. To see how far you are: pytest tests/exercises/test1.py"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from websockets.sync.client import ClientConnection

from tests.exercises import Look, exercise

TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
# The number is that of the first exercise, which may have been done before the second.
TEMPERATURE = r"(\d+ )?(-?\d+(\.\d+)?) °C"


class Clients:
    """Some clients at once: each waits for seconds, but one of them has its next message soon."""

    def __init__(self, connections: list[ClientConnection]) -> None:
        self.connections = connections
        self.messages: list[list[str]] = [[] for _ in connections]

    def listen(self, enough: Callable[[list[str]], bool], how_many: Callable[..., bool] = all) -> list[str]:
        """Receive until all or any of the clients have enough messages, and return those of one that has."""
        deadline = time.monotonic() + 10
        while not how_many(map(enough, self.messages)) and time.monotonic() < deadline:
            for connection, messages in zip(self.connections, self.messages, strict=True):
                with suppress(TimeoutError):
                    messages.append(connection.recv(timeout=0.01))
        return max(self.messages, key=enough)


@contextmanager
def ten_clients(look: Look) -> Iterator[Clients]:
    server = look.start()
    with ExitStack() as stack:
        yield Clients([stack.enter_context(look.connect()) for _ in range(10)])
        # Ctrl-C would wait until each handler has slept its seconds.
        server.kill()


def timestamps(messages: list[str]) -> list[str]:
    return [message for message in messages if re.search(TIMESTAMP, message)]


@exercise(
    "A variable of handler() belongs to one client. Let it begin at 0, and count up before each send()."
)
def test_1_numbers(look: Look) -> None:
    with ten_clients(look) as clients:
        first, *_ = clients.listen(lambda messages: len(messages) > 0)
        look.find(
            "the first timestamp with its number, as in '1 2026-…Z'", first, re.compile(f"1 {TIMESTAMP}")
        )
        firsts = [messages[0].partition(" ")[0] for messages in clients.messages]
        look.find("the first number of each of ten clients", ", ".join(firsts), ", ".join(["1"] * 10))
        _, second, *_ = timestamps(clients.listen(lambda messages: len(timestamps(messages)) > 1, any))
        look.find("the next timestamp of the same client", second, re.compile(f"2 {TIMESTAMP}"))


@exercise("Call send() twice. random.gauss(21, 1) is a temperature, and f'{temperature:.1f} °C' its text.")
def test_2_temperature(look: Look) -> None:
    with ten_clients(look) as clients:
        first, second, *_ = clients.listen(lambda messages: len(messages) > 1, any)
        look.find("a timestamp as the first message", first, re.compile(rf"(\d+ )?{TIMESTAMP}"))
        look.find("a temperature after it, as in '21.7 °C'", second, re.compile(TEMPERATURE))
        clients.listen(lambda messages: len(messages) > 1)
        temperatures = {re.fullmatch(TEMPERATURE, messages[1])[2] for messages in clients.messages}
        look.find(
            "temperatures of ten clients that differ", sorted(temperatures), lambda found: len(found) > 1
        )
        *_, third, fourth = clients.listen(lambda messages: len(messages) > 3, any)[:4]
        look.find("the next timestamp", third, re.compile(rf"(\d+ )?{TIMESTAMP}"))
        look.find("a temperature after that too", fourth, re.compile(TEMPERATURE))
