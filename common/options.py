"""The options that every server from test3 on understands."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any


def parse_options(
    description: str,
    *,
    sensors: Sequence[str] = (),
    rate: float | None = None,
    extra: Mapping[str, Mapping[str, Any]] | None = None,
) -> argparse.Namespace:
    """Read the options on the command line.

    Args:
        description: the server's docstring; its first line is shown by `--help`.
        sensors: the names that `--sensor` takes, the default first; with none there is no `--sensor`.
        rate: the default of `--rate`, in readings a second; without it there is no `--rate` and `--seed`.
        extra: options of the server's own by their names, each with what
            `argparse.ArgumentParser.add_argument` takes, as in `{"--source": {"type": Path, "help": "…"}}`.

    Returns:
        `host` (str, or None for every network interface), `port` (int), and for a server that has them
        `sensor` (str), `rate` (float, readings a second), `seed` (int or None), and the extra ones.

    Raises:
        SystemExit: after `--help`, or with a message when an option is wrong.
    """
    parser = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    parser.add_argument(
        "--host",
        default=None,
        help="the address to listen on; without it, every network interface of this machine; "
        "with 'localhost', only programs on this machine can connect",
    )
    parser.add_argument("--port", type=parse_port, default=5678, help="the port to listen on (%(default)s)")
    if sensors:
        parser.add_argument(
            "--sensor", choices=sensors, default=sensors[0], help="what to read (%(default)s)"
        )
    if rate is not None:
        parser.add_argument(
            "--rate",
            type=_rate,
            default=rate,
            help="how many readings, steps or updates a second (%(default)g)",
        )
        parser.add_argument("--seed", type=int, help="make what is simulated the same in every run")
    for name, how in (extra or {}).items():
        parser.add_argument(name, **how)
    options = parser.parse_args()
    if options.host in ("", "0.0.0.0", "::"):
        # Other ways to say the same. None listens on IPv4 and IPv6 alike.
        options.host = None
    return options


def parse_port(text: str) -> int:
    """Return the port that an option names; for `extra` too, as in `{"type": parse_port}`."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; use a number from 1024 to 65535")
    return int(text)


def _rate(text: str) -> float:
    return _number(text, 10_000, "a sample rate; use more than 0 and at most 10000")


def parse_speed(text: str) -> float:
    """Return how many times as fast something is to be played; for `extra`, as in `{"type": parse_speed}`."""
    return _number(text, 1_000_000, "a speed; use 10 for ten times as fast")


def parse_seconds(text: str) -> float:
    """Return the time that an option gives, in seconds, which is more than 0; for `extra` too."""
    return _number(text, sys.float_info.max, "a time; use a number of seconds")


def _number(text: str, most: float, what: str) -> float:
    with suppress(ValueError):
        if 0 < (number := float(text)) <= most:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
