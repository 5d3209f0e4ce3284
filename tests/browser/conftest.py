"""A real server and a real Chromium for the session, and a fresh page for each test."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from tests.browser.chromium import FLAGS, find_chromium
from tests.browser.driver import SETTLED_WITHIN, Server, new_context
from tests.browser.failures import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder: the hook is given the tests of all folders."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    assert path, "No Chromium: run `make test`, which installs one, or set LOUPE_CHROMIUM."
    with sync_playwright() as playwright:
        expect.set_options(timeout=SETTLED_WITHIN)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(shared_server: Server) -> Iterator[Server]:
    """The server of all modules, since a start costs seconds; its served folder is empty at
    first. What others uploaded and loaded is still there."""
    yield shared_server
    shutil.rmtree(shared_server.root)
    shared_server.root.mkdir()


@dataclass(frozen=True, slots=True)
class Profile:
    """What the pages of all tests share: Streamlit's scripts, loaded and compiled.

    The compiled scripts are in the process that draws the pages of a site, which ends with the last
    of them. So `empty` has a page of each site that is to be kept.
    """

    context: BrowserContext
    empty: list[Page]

    @contextlib.contextmanager
    def kept_open(self, url: str) -> Iterator[None]:
        """With an empty page of this site, whatever its address would show."""
        page = self.context.new_page()
        page.route("**", lambda route: route.fulfill(body=""))
        page.goto(url)
        self.empty.append(page)
        yield
        self.empty.remove(page)
        page.close()


@pytest.fixture(scope="session")
def profile(browser: Browser) -> Iterator[Profile]:
    profile = Profile(new_context(browser), [])
    with profile.kept_open("http://127.0.0.1/"):
        yield profile
    profile.context.close()


@contextlib.contextmanager
def fresh_page(profile: Profile) -> Iterator[Page]:
    """A page without cookies or storage; those that are opened beside it are closed with it."""
    page = profile.context.new_page()
    yield page
    for opened in profile.context.pages:
        if opened not in profile.empty:
            forget_storage(opened)
            opened.close()
    profile.context.set_offline(False)
    profile.context.clear_cookies()


@pytest.fixture
def page(profile: Profile) -> Iterator[Page]:
    with fresh_page(profile) as page:
        yield page


def forget_storage(page: Page) -> None:
    with contextlib.suppress(Error):  # a page that has crashed, or has no origin
        page.evaluate("localStorage.clear(); sessionStorage.clear()")
