"""Find a browser for the tests, or install one, and what else they run: `python -m tests.browser`.

They need no more than the Chromium that has no window, which takes a third of the processor time. If the
environment variable WHOLE_BROWSER is set, they use one that people have.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Error, sync_playwright

# Chromium's own connections to its maker have no place in a test; and it has no sandbox for root.
LAUNCH_ARGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
]

WHOLE = bool(os.environ.get("WHOLE_BROWSER"))
SHELL = "chromium-headless-shell"
COMMANDS = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "msedge",
]
FOLDERS = {
    "Darwin": [
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    ],
    "Windows": [
        r"C:\Program Files\Google\Chrome\Application\chrome.exe",
        r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
        r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    ],
}


def find_browser() -> str | None:
    """Return the path of a browser that starts: the one that Playwright installed, or one on this machine."""
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        # Beside …/chromium-1255/ is …/chromium_headless_shell-1255/.
        folder = next(parent for parent in own.parents if parent.name.startswith("chromium"))
        own_shell = folder.name.replace("chromium", "chromium_headless_shell")
        candidates = [*folder.parent.glob(f"{own_shell}/*/*headless*shell*"), shutil.which(SHELL)]
        if WHOLE:
            candidates = []
        candidates += [own, *map(shutil.which, COMMANDS), *FOLDERS.get(platform.system(), [])]
        for path in candidates:
            if path and Path(path).exists():
                try:
                    playwright.chromium.launch(executable_path=path, args=LAUNCH_ARGS).close()
                except Error as error:
                    # Playwright's own, for one, needs system libraries that may be missing.
                    print(f"{path} does not start: {error}")
                else:
                    return str(path)
    return None


def install(*packages: str) -> None:
    """Install Debian packages, where that is possible and allowed."""
    if not shutil.which("apt-get"):
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if sudo and not shutil.which("sudo"):
        return
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*sudo, "apt-get", "update", "-qq"], env=quiet, check=False)
    subprocess.run([*sudo, "apt-get", "install", "-qq", "-y", *packages], env=quiet, check=False)


def main() -> None:
    # "Another device" is tested in network namespaces, which only root can make, with the command ip. The
    # proxies are nginx, with a certificate that openssl makes, and Caddy, which pip installs.
    if platform.system() == "Linux" and os.geteuid() == 0:
        commands = {"ip": "iproute2", "nginx": "nginx-light", "openssl": "openssl"}
        if missing := [package for command, package in commands.items() if not shutil.which(command)]:
            install(*missing)
    browser = find_browser()
    # Packages of this name are Playwright's and Debian's.
    for package in ["chromium"] if WHOLE else [SHELL, "chromium"]:
        if browser is None or (package == SHELL and "shell" not in browser):
            print(f"Installing {package} for the tests …", flush=True)
            subprocess.run([sys.executable, "-m", "playwright", "install", package], check=False)
            if find_browser() == browser:
                install(package)
            browser = find_browser()
    if browser is None:
        sys.exit(
            "The tests need a browser, and none could be installed. Install Chromium, Chrome or Edge as your "
            "system does it, or run: python -m playwright install --with-deps chromium"
        )
    print(f"The tests use {browser}")


if __name__ == "__main__":
    main()
