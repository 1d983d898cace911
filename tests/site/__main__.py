"""Make the site, in build/site or in the folder that is named: `python -m tests.site [FOLDER]`."""

import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import build_main

from tests.readme import README
from tests.site.pages import Book
from tests.steps import MistakeError
from tests.support import ROOT


def build(folder: Path, readme: str = README) -> None:
    """Write the site into a new folder."""
    book = Book(readme)
    if folder.exists():
        raise MistakeError(f"{folder} is there already; name a folder that is not.")
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary, "source")
        for name, text in book.pages.items():
            page = source / f"{name}.md"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
        for name in book.pictures:
            picture = source / name
            picture.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, picture)
        settings = ["-c", str(Path(__file__).parent), "-d", str(Path(temporary, "cache"))]
        # Every warning is an error: a link that leads nowhere must not be published.
        if build_main(["-q", "-W", "--keep-going", *settings, str(source), str(folder)]) != 0:
            raise MistakeError(
                "Sphinx says above what is wrong in which page; a page is a section of README.md, or a file."
            )


def main() -> None:
    folder = ROOT / "build" / "site"
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
    else:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        build(folder)
    except MistakeError as mistake:
        sys.exit(f"The site is not made. {mistake}")
    print(f"The site is made; open {folder / 'index.html'}")


if __name__ == "__main__":
    main()
