"""Finds the Chromium that the browser tests drive, and installs one where there is none.

Run as a program it sees to it that there is one: a browser that is there is used, on Debian as
root apt's `chromium-headless-shell` is installed, elsewhere Playwright's own. So it does for the
library without which Playwright does not start.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
)
"""Programs, the best first: the shell draws pages without a browser's own windows around them, and
so takes half of the time."""

DRIVER_LIBRARY = "libatomic.so.1"

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A camera that shows a clock, to which every page has access.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    # Else each page has a process of its own, which compiles Streamlit's scripts again: half of the
    # time that a page takes to open.
    "--process-per-site",
]


def find_chromium() -> str | None:
    """The path of a Chromium: LOUPE_CHROMIUM, one on the PATH, or Playwright's own."""
    named = os.environ.get("LOUPE_CHROMIUM")
    on_path = (shutil.which(name) for name in NAMES)
    return named or next(filter(None, on_path), None) or _playwrights_own()


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install_driver_library() -> None:
    """Install what Playwright's driver is linked with, and a bare Debian lacks."""
    try:
        ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        if _has_apt():
            _install("libatomic1")


def install_chromium() -> None:
    """Install a Chromium the way that suits the machine."""
    if _has_apt():
        _install("chromium-headless-shell")
    else:
        print("Installing Playwright's Chromium for the browser tests", flush=True)
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def _has_apt() -> bool:
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def _install(package: str) -> None:
    print(f"Installing Debian's {package} for the browser tests", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", package]):
        subprocess.run(
            ["apt-get", *command], check=True, env=environment, stdout=subprocess.DEVNULL
        )


if __name__ == "__main__":
    install_driver_library()
    if find_chromium() is None:
        install_chromium()
    if find_chromium() is None:
        sys.exit("No Chromium for the browser tests: install one, or name it in LOUPE_CHROMIUM.")
