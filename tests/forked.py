"""Servers that start at once, because they are forked from a process that has imported what they all import.

To start Python and import `websockets` is most of what the server of a short test computes. With `--all`, and
on other systems than Linux, a server is `python server.py` and nothing else.
"""

# The modules that take long to import, but nothing of `common`, of which some tests have a copy of their own.
import argparse  # noqa: F401
import asyncio  # noqa: F401
import atexit
import email.utils  # noqa: F401
import hashlib  # noqa: F401
import ipaddress  # noqa: F401
import multiprocessing
import os
import runpy
import sqlite3  # noqa: F401
import subprocess
import sys
import traceback
import warnings
import webbrowser  # noqa: F401
from multiprocessing.connection import Connection
from pathlib import Path

import psutil  # noqa: F401
import segno  # noqa: F401
import websockets.asyncio.server  # noqa: F401

# Whether there are such servers; tests/conftest.py decides it too.
enabled = sys.platform == "linux"
if enabled:
    CONTEXT = multiprocessing.get_context("forkserver")
    CONTEXT.set_forkserver_preload([__name__])


def _run(output: Connection, folder: Path, options: list[str], environment: dict[str, str]) -> None:
    """Do in this process what `python server.py` does in this folder, with `output` for what is printed."""
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    sys.stdout, sys.stderr = (open(file, "w", 1, "utf-8", closefd=False) for file in (1, 2))  # noqa: SIM115
    warnings.simplefilter("error")
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv[1:] = options
    sys.path[:0] = [str(folder), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    try:
        runpy.run_path(str(folder / "server.py"), run_name="__main__")
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    finally:
        atexit._run_exitfuncs()


class Process:
    """A forked server, with what tests use of a `subprocess.Popen`."""

    def __init__(self, folder: Path, options: tuple[str, ...], environment: dict[str, str]) -> None:
        reader, writer = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_run, args=(writer, folder, options, environment))
        self._process.start()
        writer.close()
        self.pid = self._process.pid
        self.stdout = reader

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("server.py", timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()
