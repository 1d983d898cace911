"""Find a browser for the tests, or install one, and what else they run: `python -m tests.browser`."""

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
        candidates = [playwright.chromium.executable_path]
        candidates += [path for command in COMMANDS if (path := shutil.which(command))]
        candidates += FOLDERS.get(platform.system(), [])
        for path in candidates:
            if Path(path).exists():
                try:
                    playwright.chromium.launch(executable_path=path, args=LAUNCH_ARGS).close()
                except Error as error:
                    # Playwright's own, for one, needs system libraries that may be missing.
                    print(f"{path} does not start: {error}")
                else:
                    return path
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
    if browser is None:
        print("Installing a browser for the tests …", flush=True)
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
        browser = find_browser()
    if browser is None:
        install("chromium")
        browser = find_browser()
    if browser is None:
        sys.exit(
            "The tests need a browser, and none could be installed. Install Chromium, Chrome or Edge as your "
            "system does it, or run: python -m playwright install --with-deps chromium"
        )
    print(f"The tests use {browser}")


if __name__ == "__main__":
    main()
