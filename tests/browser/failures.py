"""What a failed test of a real server ends with: its open pages in pictures, the server's log."""

import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error

from tests.browser.driver import Server

LINES = 60
"""Of each log, the last ones."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A hook of pytest, in the conftest.py of each folder that imports it."""
    report = yield
    if report.failed:
        browser = item.funcargs.get("browser")
        if isinstance(browser, Browser):
            report.sections.append(("The open pages", "\n".join(_pictures(browser))))
        for server in Server.running:
            log = server.log().splitlines()[-LINES:]
            report.sections.append((f"The log of {server.url}", "\n".join(log)))
    return report


def _pictures(browser: Browser) -> Iterator[str]:
    """A line for each open page: its address, and the file that shows it."""
    folder = Path(tempfile.mkdtemp(prefix="loupe-failed-"))
    pages = [page for context in browser.contexts for page in context.pages]
    for number, page in enumerate(pages):
        path = folder / f"page-{number}.png"
        try:
            page.screenshot(path=path)
        except Error as error:  # a page that has crashed, or draws without an end
            yield f"{page.url}: no picture: {error.message}"
        else:
            yield f"{page.url}: {path}"
