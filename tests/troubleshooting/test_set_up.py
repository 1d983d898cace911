"""What can go wrong while setting up."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.readme import Trouble
from tests.support import ROOT
from tests.troubleshooting import trouble

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run(*command: str | Path, folder: Path = ROOT, path: Path | None = None) -> str:
    """Run a command as a reader does in whose environment nothing is installed, and return what it prints.

    Args:
        command: the command.
        folder: where it is run.
        path: a folder from which Python imports besides its own.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))
    }
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
    if path:
        environment["PYTHONPATH"] = str(path)
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    return result.stdout


def folder_of(package: str) -> Path:
    return Path(find_spec(package).origin).parent


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A new virtual environment, in which nothing has been installed yet."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv")
    return tmp_path / ".venv"


@pytest.fixture
def python(environment: Path) -> Path:
    """The Python of that environment."""
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


@pytest.fixture
def debian(tmp_path: Path) -> Path:
    """The Python of Debian or Ubuntu, without ensurepip, as it is before somebody installs python3-venv."""
    if not Path("/etc/debian_version").exists() or not Path("/usr/bin/python3").exists():
        pytest.skip("only the Python of Debian and Ubuntu says that")
    program = Path("/usr/bin/python3").resolve()
    library = Path(f"/usr/lib/{program.name}")
    if not library.is_dir():
        pytest.skip(f"the library of {program} is not in {library}")
    for folder in ("bin", f"lib/{program.name}"):
        (tmp_path / "usr" / folder).mkdir(parents=True)
    for part in library.iterdir():
        if part.name not in ("ensurepip", "__pycache__"):
            (tmp_path / "usr" / "lib" / program.name / part.name).symlink_to(part)
    # A program finds its library from where it is itself, so a link would not do.
    return Path(shutil.copy2(program, tmp_path / "usr" / "bin"))


class TestTroubles:
    section = "Set-up"
    step = "test1"

    @trouble("`ModuleNotFoundError: No module named 'websockets'`")
    def test_nothing_is_installed(self, python: Path, entry: Trouble) -> None:
        entry.seen_in(run(python, "server.py", folder=ROOT / "test1"))

    @trouble("`ModuleNotFoundError: No module named 'websockets'`")
    def test_websockets_alone_is_installed(self, python: Path, entry: Trouble, tmp_path: Path) -> None:
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(folder_of("websockets"), tmp_path / "packages" / "websockets", ignore=unwanted)
        output = run(python, "server.py", folder=ROOT / "test3", path=tmp_path / "packages")
        entry.seen_in(output, "ModuleNotFoundError", **{"'websockets'": "'common'"})
        entry.seen_in(output, "'common'")

    @pytest.mark.skipif(sys.platform != "win32", reason="PowerShell has this policy on Windows only")
    @trouble("`… cannot be loaded because running scripts is disabled")
    def test_powershell_runs_no_scripts(self, environment: Path, python: Path, entry: Trouble) -> None:
        # The message as it is: in a terminal, PowerShell breaks it into lines wherever these end.
        activate = "try { .venv\\Scripts\\Activate.ps1 } catch { $_.Exception.Message }"
        command = ["powershell", "-NoProfile", "-ExecutionPolicy", "Restricted", "-Command", activate]
        entry.seen_in(run(*command, folder=environment.parent))
        assert run(python, "-c", "print('cured')").strip() == "cured"

    @pytest.mark.skipif(not find_spec("pip"), reason="this environment has no pip")
    @trouble("`ERROR: Package 'live-data-steps' requires a different Python")
    def test_python_is_too_old(self, entry: Trouble, tmp_path: Path) -> None:
        name = f"live_data_steps-{PROJECT['version']}"
        wheel = tmp_path / f"{name}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as file:
            lines = [f"Name: {PROJECT['name']}", f"Version: {PROJECT['version']}", "Requires-Python: >=99"]
            file.writestr(f"{name}.dist-info/METADATA", "\n".join(["Metadata-Version: 2.1", *lines, ""]))
            file.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            file.writestr(f"{name}.dist-info/RECORD", "")
        output = run(sys.executable, "-m", "pip", "install", "--no-index", "--dry-run", wheel)
        wanted = PROJECT["requires-python"]
        here = "{}.{}.{}".format(*sys.version_info)
        entry.seen_in(output, **{"3.10.12": here, wanted: ">=99"})

    @trouble("`The virtual environment was not created successfully because ensurepip is not available.`")
    def test_debian_without_ensurepip(self, debian: Path, entry: Trouble, tmp_path: Path) -> None:
        output = run(debian, "-m", "venv", tmp_path / "new")
        entry.seen_in(output)
        assert "apt install python3" in output

    @pytest.mark.skipif(not find_spec("pip"), reason="this environment has no pip")
    @trouble("`error: externally-managed-environment`")
    def test_pip_of_the_system(self, debian: Path, entry: Trouble, tmp_path: Path) -> None:
        if not list(debian.parent.parent.glob("lib/*/EXTERNALLY-MANAGED")):
            pytest.skip("this release of Debian or Ubuntu does not keep pip for itself")
        (tmp_path / "pip").symlink_to(folder_of("pip"))
        output = run(debian, "-m", "pip", "install", "--no-index", "--dry-run", "-e", ".", path=tmp_path)
        entry.seen_in(output)
