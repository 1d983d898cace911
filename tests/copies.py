"""A step that may be changed: a copy of its folder and of `common`, for mistakes and for solutions."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support import ROOT, Server, Step


class Copy:
    """A copy of a step and of `common`, whose server uses the copy of both."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        for part in (name, "common"):
            shutil.copytree(
                ROOT / part,
                folder / part,
                ignore=shutil.ignore_patterns("logs", "__pycache__"),
                dirs_exist_ok=True,
            )
        self.step = Step(name, folder)
        self.servers: list[Server] = []

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a file of the step, or one that begins with common/, in the one place that says `old`."""
        path = (self.folder if name.startswith("common/") else self.step.folder) / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (
            f"{self.step.name}: {name} has this {text.count(old)} times instead of once:\n{old}\n"
            "Mend the test that changes it, and see whether the README still tells the truth."
        )
        path.write_text(text.replace(old, new), encoding="utf-8")

    def add_sensor(self, code: str, name: str) -> None:
        """Add the code of a sensor, and the option that chooses it, as the README says."""
        marker = "# What the option --sensor offers."
        self.replace("common/sensors.py", marker, f"{code}\n\n{marker}")
        self.replace("common/sensors.py", '"cpu": Cpu,\n', f'"cpu": Cpu,\n    "{name.lower()}": {name},\n')

    def write(self, name: str, text: str) -> None:
        """Write a file in the step's folder."""
        (self.step.folder / name).write_text(text, encoding="utf-8")

    def apply(self, patch: Path) -> None:
        """Apply a patch as the reader does, with `git apply`."""
        result = subprocess.run(
            ["git", "apply", patch],
            cwd=self.folder,
            # Otherwise a folder for temporary files that is inside of a repository would be taken for that.
            env=os.environ | {"GIT_CEILING_DIRECTORIES": str(self.folder.parent)},
            capture_output=True,
            encoding="utf-8",
        )
        assert result.returncode == 0, (
            f"{patch.name} does not fit {self.step.name} any more. Make it anew, "
            f"unless the exercise is solved in place:\n{result.stderr}"
        )

    def run(self, *options: str, environment: dict[str, str] | None = None, **how: object) -> Server:
        """Run the step's server, which may fail; it is killed at the end of the test."""
        here = {"PYTHONPATH": str(self.folder)} | (environment or {})
        self.servers.append(Server(self.step.folder, *options, environment=here, **how))
        return self.servers[-1]

    def fail(self, *options: str) -> str:
        """Run the step's server, which has to end with an error, and return what it prints."""
        server = self.run(*options)
        assert server.wait_ended() != 0
        return server.output

    def start(self, *options: str, **how: object) -> Server:
        """Run the step's server, and wait until it listens."""
        server = self.run(*options, at_once="environment" not in how, **how)
        server.wait_listening()
        return server

    def close(self) -> None:
        for server in self.servers:
            server.kill()
