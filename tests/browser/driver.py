"""Drives a real Loupe server and a real Chromium."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.waiting import PATIENCE

REPOSITORY = Path(__file__).parents[2]
SETTLED_WITHIN = 1000 * PATIENCE
"""In milliseconds, as Playwright counts."""

NARROW = 700
"""Pixels below which Streamlit puts the navigation into a drawer."""


@dataclass
class Server:
    """A `streamlit run app.py` of its own: data folder, one served root, a free port."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    base_path: str = ""
    app: Path = REPOSITORY / "app.py"

    running: ClassVar[list[Self]] = []

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.root = self.folder / "served"
        self.root.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{self.base_path}"
        self._log = self.folder / "server.log"
        self.process = self._start()
        self.running.append(self)

    def _start(self) -> subprocess.Popen[bytes]:
        environ = os.environ | {"LOUPE_DATA": str(self.data), "LOUPE_ROOTS": str(self.root)}
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "streamlit", "run", str(self.app)),
                    *("--server.address", "127.0.0.1", "--server.port", str(self.port)),
                    *("--server.headless", "true", "--server.baseUrlPath", self.base_path),
                ],
                cwd=REPOSITORY,
                env=environ | dict(self.environ),
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._healthy():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"The server did not start:\n{self.log()}")
            time.sleep(0.1)
        return process

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=10):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def log(self) -> str:
        """What the server has printed so far."""
        return self._log.read_text()

    def kill_and_restart(self) -> None:
        """End the server without a word to it, and start another on the same data folder."""
        self.process.kill()
        self.process.wait(timeout=PATIENCE)
        self.process = self._start()

    def stop(self) -> None:
        """End the server."""
        self.running.remove(self)
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A server that is ended at the end."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()


def new_context(browser: Browser) -> BrowserContext:
    """What pages share that know nothing of all others: cookies, storage, cache."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(SETTLED_WITHIN)
    return context


def settled(page: Page) -> None:
    """Wait until the app has finished running; fail on a traceback."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible(
        timeout=SETTLED_WITHIN
    )
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


def open_tab(page: Page, name: str) -> None:
    """Choose a tab by its name, and wait until the run that draws its panel has ended.

    The panel is empty until then, so `settled` alone may look before the run has begun.
    """
    tab = page.get_by_role("tab", name=name)
    tab.click()
    panel = page.locator(f"[id='{tab.get_attribute('aria-controls')}']")
    expect(panel.get_by_test_id("stElementContainer").first).to_be_attached(timeout=SETTLED_WITHIN)
    settled(page)


def go(page: Page, name: str) -> None:
    """Choose a page of the top navigation by its name, and wait until it is there."""
    narrow = page.viewport_size is not None and page.viewport_size["width"] < NARROW
    drawer = page.get_by_test_id("stExpandSidebarButton")
    if narrow and drawer.is_visible():
        drawer.click()
    links = page.get_by_test_id("stSidebarNavLink" if narrow else "stTopNavLink")
    links.filter(has_text=re.compile(f"{name}$")).click()
    expect(page.locator(f".st-key-page-{name.lower()}")).to_be_visible(timeout=SETTLED_WITHIN)
    settled(page)
    if narrow and not drawer.is_visible():
        page.get_by_role("button", name="Collapse sidebar").click()
        expect(drawer).to_be_visible()
