"""The Content-Security-Policy: nothing of Loupe's own violates it, and what is foreign does."""

from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page, Request, expect

from core.server import SAMPLES
from tests.browser.driver import Server, go, open_tab, settled
from tests.browser.sample_job import open_the_sample, whole_job


class Watch:
    """What a page's console complains of, and what it asks of other hosts."""

    def __init__(self, page: Page, url: str) -> None:
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self._url = url
        page.on("console", self._console)
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._url, "data:", "blob:")):
            self.foreign.append(request.url)


def test_the_whole_sample_job_stays_within_the_policy(server: Server, page: Page) -> None:
    watch = Watch(page, server.url)
    whole_job(page, server.url, lambda _: None)
    go(page, "Inspect")
    for tab in ("Modules", "Safety", "Checksums"):
        open_tab(page, tab)
    go(page, "Compare")
    for picture in ("By part", "Norm against change"):
        page.get_by_text(picture).click()
        settled(page)
        expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
    for tab in ("Pairs", "Metadata", "Evidence"):
        open_tab(page, tab)
    with page.expect_download():
        page.get_by_role("button", name="Report").click()
    go(page, "Fit")
    page.get_by_role("button", name=".safetensors").click()
    page.get_by_role("link", name="Download").wait_for()
    with page.expect_download():
        page.get_by_role("link", name="Download").click()
    assert watch.complaints == []
    assert watch.foreign == []


def test_an_upload_and_a_reload_stay_within_the_policy(server: Server, page: Page) -> None:
    watch = Watch(page, server.url)
    page.goto(server.url)
    settled(page)
    path: Path = SAMPLES["early"].path
    page.locator("input[type=file]").first.set_input_files(path)
    expect(page.get_by_test_id("stMetric").first).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("stMetric").first).to_be_visible()
    assert watch.complaints == []


def test_a_foreign_picture_a_script_and_a_frame_are_stopped(server: Server, page: Page) -> None:
    open_the_sample(page, server.url)
    page.evaluate(
        """() => {
            window.stopped = new Set()
            addEventListener("securitypolicyviolation", event =>
                window.stopped.add(event.effectiveDirective))
            const add = (name, values) =>
                document.body.append(Object.assign(document.createElement(name), values))
            add("img", {src: "http://evil.example/p.png"})
            add("script", {src: "http://evil.example/s.js"})
            add("iframe", {src: "http://evil.example/"})
            fetch("http://evil.example/f").catch(() => null)
        }"""
    )
    for directive in ("img-src", "script-src-elem", "frame-src", "connect-src"):
        page.wait_for_function("name => window.stopped.has(name)", arg=directive)
