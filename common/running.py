"""Run a server until somebody stops it: what test1 shows in full.

Unlike there, a second Ctrl-C, SIGTERM, a closed terminal, clients that take no goodbye, and a console that
takes no text are thought of, too.
"""

import asyncio
import atexit
import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any

from common.console import drain, free_from_console, say
from common.network import Address

# How long the connections may take to say goodbye, in seconds.
STOP_TIMEOUT = 4.0


def run(main: Coroutine[Any, Any, None], options: Address) -> None:
    """Run the coroutine `main` until it ends, Ctrl-C is pressed, SIGTERM arrives, or the terminal is closed.

    Stopping cancels it, which lets the server close its connections. A client that takes no part in that (its
    buffers are full and it reads nothing, so even the goodbye cannot be sent) is cut off after `STOP_TIMEOUT`
    seconds, or when Ctrl-C is pressed again; the exit status is 0 all the same.

    What the program prints from now on waits for no console, and does not fail where there is none any more.

    Args:
        main: the server, as in `run(main(), options)`.
        options: where the server listens, for the message when it cannot.

    Raises:
        SystemExit: with a message, if the server cannot listen where the options say.
    """
    free_from_console()
    deadline = threading.Timer(STOP_TIMEOUT, _leave)
    deadline.daemon = True
    try:
        asyncio.run(_run_until_stopped(main, deadline))
    except KeyboardInterrupt:
        pass  # Ctrl-C before the server was there to hear it
    except (OSError, UnicodeError) as error:
        reason = _why_not_listening(error, options)
        if reason is None:
            raise
        raise SystemExit(reason) from None
    finally:
        # It is for clients. What comes now, such as a log on a slow disk, may take its time.
        deadline.cancel()
    for number in _signals():
        signal.signal(number, signal.SIG_IGN)  # one more Ctrl-C changes nothing now
    print("Stopped")


def expect_hang_ups() -> None:
    """Let the running event loop say nothing of a client that is gone before the server's goodbye.

    The library says goodbye with `write_eof()`. While there is still something to be sent, asyncio does that
    later, in a callback, and prints a traceback if the client has gone by then (`_write_ready` in
    asyncio/selector_events.py). The connection is closed all the same.
    """

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not ("handle" in context and isinstance(error, OSError) and error.errno == errno.ENOTCONN):
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(report)


def end_on_signals() -> None:
    """Let Ctrl-C, SIGTERM and the end of the terminal end a program that has no event loop, quietly.

    They raise `SystemExit` where the program is, so `with` and `finally` do their work, and the exit status
    is 0. To be called once, in the main thread, before anything else.
    """
    stopping = None  # since when, by time.monotonic()

    def stop(*_: object) -> None:
        nonlocal stopping
        # A second Ctrl-C at once must not cut short what the first has begun. Where that has come to nothing
        # (`except:` catches it too, for example), a later one tries again.
        if stopping is None or time.monotonic() - stopping > STOP_TIMEOUT:
            stopping = time.monotonic()
            raise SystemExit

    def leave() -> None:
        for number in _signals():
            signal.signal(number, signal.SIG_IGN)  # one more Ctrl-C changes nothing now
        if stopping is not None:
            say("Stopped")
            if not drain():
                os._exit(0)  # the console takes nothing, and to flush it would wait for ever

    # What is registered first is done last, so all that closes itself at the end has been closed by then.
    atexit.register(leave)
    for number in _signals():
        signal.signal(number, stop)


def _signals() -> list[int]:
    """Return the signals that ask to stop, and are not ignored already.

    SIGHUP comes when the terminal is closed; Windows has Ctrl-Break instead. What `nohup`, or a shell that
    starts a program with `&` in a script, has asked to be ignored stays so.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


async def _run_until_stopped(main: Coroutine[Any, Any, None], deadline: threading.Timer) -> None:
    expect_hang_ups()
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(main)
    stopping = False

    def stop(number: int, _: object) -> None:
        nonlocal stopping
        if stopping:
            # Somebody who presses Ctrl-C again has lost patience. A terminal that is closed says so twice.
            if number == signal.SIGINT:
                _leave()
            return
        stopping = True
        deadline.start()
        loop.call_soon_threadsafe(task.cancel)

    # A signal that comes in the instant before the loop falls asleep has to wake it, which is likely where
    # another thread runs too. On Windows the loop sees to that itself, and has no add_signal_handler().
    woken, waker = socket.socketpair()
    if sys.platform != "win32":
        woken.setblocking(False)
        waker.setblocking(False)
        loop.add_reader(woken, woken.recv, 4096)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    for number in _signals():
        signal.signal(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping:
            raise
    finally:
        if sys.platform != "win32":
            signal.set_wakeup_fd(-1)
            loop.remove_reader(woken)
        woken.close()
        waker.close()


def _leave() -> None:
    print("Stopped; clients that did not answer were cut off")
    drain()
    os._exit(0)


def _why_not_listening(error: Exception, options: Address) -> str | None:
    """Put the usual reasons why a server cannot start into words; None if it is something else."""
    port = options.port
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return (
            f"Port {port} is already in use, probably by a server that is still running. "
            f"Stop that one with Ctrl-C, or use another port: python server.py --port {port + 1}"
        )
    if code == errno.EACCES:
        return f"The system keeps port {port} for others. Use another one: python server.py --port 8765"
    if code == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror | UnicodeError):
        return (
            f"This machine has no address {options.host!r}. Leave --host out to listen on every network "
            f"interface, or use --host localhost for this machine only"
        )
    return None
