"""Mending the logs of runs that were killed, and how one is told from a run that is still written."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

from common.runs.files import end_of_rows, read_header, read_info, write_info

if sys.platform != "win32":  # which has none
    import fcntl


def repair(folder: Path) -> list[str]:
    """Mend the logs of runs that were killed: cut off a row that was being written.

    A log whose JSON file does not say which process wrote it is left alone; what reads it stops before a torn
    row anyway.

    Args:
        folder: where the logs are.

    Returns:
        What was mended, in words for the reader.
    """
    mended = []
    for path in sorted(folder.glob("*.csv")):
        info = read_info(path)
        if "process" not in info:
            continue
        with suppress(OSError), path.open("r+b") as file:
            if is_being_written(path, file, info):
                continue
            end = 0
            with suppress(ValueError):
                names, begin = read_header(path)
                end = end_of_rows(path, begin, len(names))
            cut = file.seek(0, os.SEEK_END) - end
            file.truncate(end)
            # A power cut can have left anything in it; it is made anew from the log.
            for left in (".index", ".index-journal", ".json.new"):
                path.with_suffix(left).unlink(missing_ok=True)
            text = f"{cut} bytes of a torn row cut off" if cut else "nothing was torn"
            events = info.get("events")
            info["events"] = events if isinstance(events, list) else []
            info["events"].append({"time_ns": time.time_ns(), "what": "killed", "text": text})
            del info["process"]
            info.pop("locked", None)
            write_info(path, info)
            mended.append(f"Mended {folder.name}/{path.name}, whose run was killed: {text}")
    return mended


def lock(file: IO[bytes]) -> bool:
    """Mark a log as one that is being written; even `kill -9` ends that. Return whether the disk can do it.

    Windows lets nobody rename a file that is open, which says the same.
    """
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False


def is_being_written(path: Path, file: IO[bytes], info: dict[str, Any]) -> bool:
    """Return whether a log is being written by a run that has not ended.

    Args:
        path: the log.
        file: the same, open for writing.
        info: what its JSON file says.
    """
    if info.get("locked") is not True:
        return is_running(info["process"])
    if sys.platform != "win32":
        return not lock(file)
    try:
        path.rename(path)
        return False
    except PermissionError:
        return True


def this_process() -> tuple[int, float]:
    """Return the id of this process, and when it was started, in seconds of Unix time."""
    return os.getpid(), psutil.Process().create_time()


def is_running(process: object) -> bool:
    """Return whether the process is there that a run's JSON file names, as `this_process` returned it."""
    try:
        match process:
            case [int(number), int(started) | float(started)]:
                return bool(abs(psutil.Process(number).create_time() - started) < 2)
    except psutil.AccessDenied:
        return True  # somebody else's, but there
    except (ValueError, psutil.Error):
        pass
    return False
