"""The tests, and which files and ports they use: that is settled here, before anything else is imported.

Every step wants port 5678. Where several processes share the tests, each of them works on a copy of the
repository, in which another port stands for that one.
"""

import contextlib
import os
import re
import shutil
import socket
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOT_COPIED = (".git", ".venv", "node_modules", ".*_cache", "__pycache__", "*.egg-info", "build", "logs")
TEXTS = {".html", ".js", ".md", ".patch", ".py"}


def reserve_port() -> tuple[int, socket.socket]:
    """Return a port, and what keeps it and the next 98 from other tests for as long as it is open.

    All of them are below those that systems give to clients.
    """
    for port in range(11678, 32000, 100):
        with contextlib.suppress(OSError):
            socket.create_server(("", port)).close()
            return port, socket.create_server(("localhost", port + 99))
    raise OSError("no port is free for the tests")


def copy_repository(folder: Path, port: int) -> None:
    """Copy what the tests use, with this port, and the one above it, for 5678 and 5679."""
    ignored = shutil.ignore_patterns(*NOT_COPIED)
    shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)
    for path in folder.rglob("*.*"):
        if path.suffix in TEXTS:
            text = path.read_text(encoding="utf-8")
            changed = re.sub(r"\b567[89]\b", lambda found: str(int(found[0]) - 5678 + port), text)
            if changed != text:
                path.write_text(changed, encoding="utf-8")
    for name in (".git", ".venv", "tests/check/node_modules"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)


if "PYTEST_XDIST_WORKER" in os.environ and "TESTS_PORT" not in os.environ:
    port, _reservation = reserve_port()
    _folder = tempfile.TemporaryDirectory(prefix="steps-", ignore_cleanup_errors=True)
    copy_repository(Path(_folder.name), port)
    ROOT = Path(_folder.name)
    # The `common` of the copy is used here, and by all that is started here.
    sys.path.insert(0, str(ROOT))
    os.environ |= {"TESTS_PORT": str(port), "PYTHONPATH": str(ROOT)}
    # Otherwise each of hundreds of servers would be compiled anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False

PORT = int(os.environ.get("TESTS_PORT", 5678))
