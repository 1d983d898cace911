"""`make check` sees what is wrong in a page: a name that nothing defines, and scripts in the wrong order."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

ESLINT = ROOT / "tests" / "check" / "node_modules" / "eslint" / "bin" / "eslint.js"


@pytest.mark.skipif(not ESLINT.exists(), reason="make check has not installed ESLint: there is no Node")
@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("test9/client.html", "createPlot(", "createPlott(", "'createPlott' is not defined"),
        ("test9/client.html", '<script src="../common/static/page.js"></script>', "", "plot.js without what"),
        ("test9/client.html", "createPlot(", "createLegend(event, ", "'event' is not defined"),
        ("test12/client.html", "demos/ticker.js", "demos/factory.js", "'createPicker' is not defined"),
        ("common/static/demos/ticker.js", "function keep(", "function keeps(", "does not define keep"),
        (
            "common/static/demos/ticker.js",
            "function keep(",
            "const lose = 1;\nfunction keep(",
            "'lose' is assigned",
        ),
    ],
)
def test_eslint_sees(tmp_path: Path, name: str, old: str, new: str, says: str) -> None:
    for file in (*ROOT.glob("test*/client.html"), *ROOT.glob("common/static/**/*.js")):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    changed = tmp_path / name
    text = changed.read_text(encoding="utf-8")
    assert old in text
    changed.write_text(text.replace(old, new), encoding="utf-8")
    result = subprocess.run(
        ["node", ESLINT, "--config", ROOT / "tests" / "check" / "eslint.config.mjs", name],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode != 0
    assert says in result.stdout + result.stderr
