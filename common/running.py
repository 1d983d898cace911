"""Run a server until somebody stops it: what test1 and test2 show in full."""

import argparse
import asyncio
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Coroutine
from typing import Any

# How long the connections may take to say goodbye, in seconds.
GRACE = 5.0


def run(main: Coroutine[Any, Any, None], options: argparse.Namespace) -> None:
    """Run the coroutine `main` until it ends, Ctrl-C is pressed, or SIGTERM arrives.

    Stopping cancels it, which lets the server close its connections. A client that takes no part
    in that (its buffers are full and it reads nothing, so even the goodbye cannot be sent) is cut off
    after `GRACE` seconds; the exit status is 0 all the same.

    Args:
        main: the server, as in `run(main(), options)`.
        options: what `common.options.parse_options` returned.

    Raises:
        SystemExit: with a message, if the server cannot listen where the options say.
    """
    # SIGTERM, which `kill` and service managers send, does the same as Ctrl-C. This works on Windows
    # too, where event loops have no add_signal_handler(); there, Ctrl-Break is the other way to stop.
    for name in ("SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: signal.raise_signal(signal.SIGINT))
    # A terminal that cannot show a character gets a question mark, not an exception.
    sys.stdout.reconfigure(errors="replace")
    try:
        asyncio.run(_stop_in_time(main))
    except KeyboardInterrupt:
        print("Stopped")
    except OSError as error:
        reason = _why_not_listening(error, options)
        if reason is None:
            raise
        raise SystemExit(reason) from None


async def _stop_in_time(main: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(main)
    try:
        # Shielded, so that the grace period begins before the server hears of the end.
        await asyncio.shield(task)
    except asyncio.CancelledError:
        deadline = threading.Timer(GRACE, _leave)
        deadline.daemon = True
        deadline.start()
        task.cancel()
        await task


def _leave() -> None:
    print("Stopped; clients that did not answer were cut off", flush=True)
    os._exit(0)


def _why_not_listening(error: OSError, options: argparse.Namespace) -> str | None:
    """Put the usual reasons why a server cannot start into words; None if it is something else."""
    port = options.port
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} is already in use, probably by a server that is still running. "
            f"Stop that one with Ctrl-C, or use another port: python server.py --port {port + 1}"
        )
    if error.errno == errno.EACCES:
        return f"Port {port} is not for everyone's use on this machine. Use one from 1024 up: --port 5678"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return (
            f"This machine has no address {options.host!r}. Leave --host out to listen on every network "
            f"interface, or use --host localhost for this machine only"
        )
    return None
