"""Any browser may ask Streamlit to empty its caches: nobody loses anything by it."""

import urllib.request
from pathlib import Path

import torch
from playwright.sync_api import Browser, Page, expect

from tests.browser.driver import Server, go, new_context, open_tab, settled
from tests.waiting import PATIENCE, wait_until

HOLD_SOCKETS = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) { super(...given); window.sockets.push(this); }
};
"""

EMPTY_CACHES = "window.sockets.at(-1).send(new Uint8Array([0x28, 0x01]))"
"""BackMsg of streamlit/proto: field 5, clear_cache, is true."""

WATCHED = """
import time
from contextlib import asynccontextmanager

import streamlit as st
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from core.server.job_watch import watched
from pages.components.resources import jobs
from pages.components.session import session_id

def endless(progress):
    while True:
        progress(0, 1)
        time.sleep(0.01)

if __name__ != "__main__":
    async def going(request):
        return PlainTextResponse(str(jobs().under_way("endless")))

    @asynccontextmanager
    async def lifespan(app):
        async with watched(jobs(), every=0.05, absence=0.5):
            yield

    app = st.App(__file__, routes=[Route("/going", going)], lifespan=lifespan)
else:
    jobs().start(endless, session_id(), "endless")
    st.title("Going")
"""
"""A server whose page starts a job, and that says whether it goes on."""


def new_page(browser: Browser) -> Page:
    return new_context(browser).new_page()


def empty_caches(browser: Browser, server: Server) -> None:
    """Somebody opens the app, and sends the two bytes."""
    other = new_page(browser)
    other.add_init_script(HOLD_SOCKETS)
    other.goto(server.url)
    settled(other)
    other.evaluate(EMPTY_CACHES)
    # The socket's messages are dealt with in order: what this draws comes after them.
    go(other, "Inspect")
    other.context.close()


def test_a_page_that_was_open_before_uploads_as_before(
    server: Server, browser: Browser, page: Page, tmp_path: Path
) -> None:
    torch.save({"w": torch.arange(6.0)}, tmp_path / "mine.pth")
    page.goto(server.url)
    settled(page)
    empty_caches(browser, server)
    page.locator("input[type=file]").first.set_input_files(tmp_path / "mine.pth")
    expect(page.get_by_text("mine.pth").first).to_be_visible()
    expect(page.get_by_text("does not know the server")).to_have_count(0)
    expect(page.get_by_test_id("stMetricValue").first).to_have_text("1")


def test_what_a_job_found_stays(server: Server, browser: Browser, page: Page) -> None:
    torch.save({"w": torch.ones(3)}, server.root / "small.pth")
    page.goto(f"{server.url}/inspector?a=root:0/small.pth")
    settled(page)
    open_tab(page, "Checksums")
    page.get_by_role("button", name="Verify checksums", exact=True).click()
    again = page.get_by_role("button", name="Verify checksums again")
    expect(again).to_be_visible()
    empty_caches(browser, server)
    page.reload()
    settled(page)
    open_tab(page, "Checksums")
    expect(again).to_be_visible()


def test_a_job_goes_on_until_its_tab_is_closed_whatever_is_emptied(
    browser: Browser, tmp_path: Path
) -> None:
    """Holds what jobs and uploads ask of Streamlit: whether a session is there."""
    (tmp_path / "small.py").write_text(WATCHED)
    server = Server(tmp_path, app=tmp_path / "small.py")

    def going() -> bool:
        with urllib.request.urlopen(f"{server.url}/going", timeout=PATIENCE) as answer:
            return answer.read() == b"True"

    try:
        tab = new_page(browser)
        tab.add_init_script(HOLD_SOCKETS)
        tab.goto(server.url)
        expect(tab.get_by_role("heading", name="Going")).to_be_visible()
        other = new_page(browser)
        other.add_init_script(HOLD_SOCKETS)
        other.goto(server.url)
        expect(other.get_by_role("heading", name="Going")).to_be_visible()
        other.evaluate(EMPTY_CACHES)
        other.context.close()
        expect(tab.get_by_role("heading", name="Going")).to_be_visible()
        assert going()
        tab.context.close()
        wait_until(lambda: not going())
    finally:
        server.stop()
