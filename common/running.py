"""Run a server until somebody stops it: what test1 shows, and what it leaves out."""

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
GRACE = 4.0


def run(main: Coroutine[Any, Any, None], options: argparse.Namespace) -> None:
    """Run the coroutine `main` until it ends, Ctrl-C is pressed, or SIGTERM arrives.

    Stopping cancels it, which lets the server close its connections. A client that takes no part in that (its
    buffers are full and it reads nothing, so even the goodbye cannot be sent) is cut off after `GRACE`
    seconds, or when Ctrl-C is pressed again; the exit status is 0 all the same.

    Args:
        main: the server, as in `run(main(), options)`.
        options: what `common.options.parse_options` returned.

    Raises:
        SystemExit: with a message, if the server cannot listen where the options say.
    """
    # A terminal that cannot show a character gets a question mark, not an exception.
    sys.stdout.reconfigure(errors="replace")
    try:
        asyncio.run(_run_until_stopped(main))
    except (OSError, UnicodeError) as error:
        reason = _why_not_listening(error, options)
        if reason is None:
            raise
        raise SystemExit(reason) from None
    print("Stopped")


async def _run_until_stopped(main: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(main)
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        if stopping:
            _leave()
        stopping = True
        deadline = threading.Timer(GRACE, _leave)
        deadline.daemon = True
        deadline.start()
        loop.call_soon_threadsafe(task.cancel)

    # Windows has Ctrl-Break besides Ctrl-C, and no add_signal_handler() in its event loops.
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping:
            raise


def _leave() -> None:
    print("Stopped; clients that did not answer were cut off", flush=True)
    os._exit(0)


def _why_not_listening(error: Exception, options: argparse.Namespace) -> str | None:
    """Put the usual reasons why a server cannot start into words; None if it is something else."""
    port = options.port
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return (
            f"Port {port} is already in use, probably by a server that is still running. "
            f"Stop that one with Ctrl-C, or use another port: python server.py --port {port + 1}"
        )
    if code == errno.EACCES:
        return f"Port {port} is not for everyone's use on this machine. Use one from 1024 up: --port 5678"
    if code == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror | UnicodeError):
        return (
            f"This machine has no address {options.host!r}. Leave --host out to listen on every network "
            f"interface, or use --host localhost for this machine only"
        )
    return None
