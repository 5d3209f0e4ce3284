"""Whatever the texts of a file are, no page asks another host, links to it, or falls apart."""

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import Server, go, open_tab, settled
from tests.browser.hostile_texts import HOST, write_all
from tests.browser.key_table import key_table
from tests.browser.test_policy import Watch

HIGHEST, WIDEST = 20_000, 1_440
"""Pixels of a page at most, with lists of 22 hostile keys on it."""

OUR_WORDS = re.compile(
    "cannot be read|none here|[0-9\u202f]+ of [0-9\u202f]+|[!✓]|[!✓] [a-zA-Z0-9\u202f, ]{1,80}"
)
"""What Loupe writes in colour by itself: states, counts, and a mark with plain words."""

PAGES = ("Open", "Inspect", "Compare", "Fit", "Predict")
A = f"a ![n](http:) :red[x] www.{HOST}.pth"


@pytest.fixture(scope="module")
def hostile_server(server: Server) -> Server:
    """The server, with the hostile files in its folder."""
    write_all(server.root)
    return server


def link(server: Server, a: str, b: str | None = None, **more: str) -> str:
    """The address that opens files of the served folder in A and B."""
    parts = [f"a={quote(f'root:0/{a}', safe='')}"]
    parts += [f"b={quote(f'root:0/{b}', safe='')}"] if b else []
    parts += [f"{name}={quote(text, safe='')}" for name, text in more.items()]
    return f"{server.url}/?{'&'.join(parts)}"


def assert_text_is_text(page: Page, watch: Watch) -> None:
    """Nothing foreign is asked for, linked or drawn, and the page is of a bounded size."""
    assert watch.foreign == []
    assert page.locator(f"a[href*='{HOST}'], img[src*='{HOST}']").count() == 0
    assert page.locator("a[href^='mailto:'], a[href^='http://www.']").count() == 0
    for icon in page.locator("[role=img]").all_inner_texts():
        assert icon != "delete"
    # The bar's states and steps are coloured words of Loupe's own.
    kinds = (".stMarkdownColoredText", ".stMarkdownColoredBackground", ".katex")
    coloured = page.locator(", ".join(f"{kind}:not(.st-key-bench *)" for kind in kinds))
    foreign = [text for text in coloured.all_inner_texts() if not OUR_WORDS.fullmatch(text)]
    assert foreign == []
    assert page.locator(".st-key-bench .katex, .st-key-bench a[href*='://']").count() == 0
    high, wide = page.evaluate(
        """() => {
            const main = document.querySelector("[data-testid=stMain]")
            return [main.scrollHeight, main.scrollWidth]
        }"""
    )
    assert high <= HIGHEST
    assert wide <= WIDEST
    assert page.get_by_text("An internal error stopped this page").count() == 0


def tabs(page: Page, names: tuple[str, ...], check: Callable[[], None]) -> None:
    for name in names:
        open_tab(page, name)
        check()


@pytest.mark.parametrize(
    ("a", "b"),
    [(A, "b.pth"), ("b.pth", A), ("dangerous.pkl", "c.safetensors"), ("c.safetensors", A)],
)
def test_hostile_files_are_text_on_all_pages(
    hostile_server: Server, page: Page, a: str, b: str
) -> None:
    watch = Watch(page, hostile_server.url)
    page.goto(link(hostile_server, a, b))
    settled(page)

    def check() -> None:
        assert_text_is_text(page, watch)

    expect(page.get_by_test_id("stMetric").first).to_be_visible()
    check()
    for name in PAGES[1:]:
        go(page, name)
        check()
        if name == "Inspect":
            tabs(page, ("Modules", "Safety", "Checksums"), check)
        if name == "Compare":
            tabs(page, ("Pairs", "Metadata", "Evidence"), check)
    assert watch.complaints == []


def test_a_state_dict_of_any_name_can_be_chosen(hostile_server: Server, page: Page) -> None:
    watch = Watch(page, hostile_server.url)
    page.goto(link(hostile_server, A, "b.pth"))
    settled(page)
    go(page, "Inspect")
    for name in ("half \\ud801 path", "![ema]"):
        page.get_by_test_id("stSelectbox").get_by_role("combobox").click()
        page.get_by_role("option").filter(has_text=name).first.click()
        settled(page)
        expect(key_table(page)).to_be_visible()
        assert_text_is_text(page, watch)
        for other in ("Compare", "Fit", "Predict", "Open", "Inspect"):
            go(page, other)
            assert_text_is_text(page, watch)
            if other == "Compare":
                tabs(page, ("Pairs", "Metadata"), lambda: assert_text_is_text(page, watch))
    assert watch.complaints == []


def test_a_web_page_with_a_hostile_title_is_told_as_text(
    hostile_server: Server, page: Page
) -> None:
    watch = Watch(page, hostile_server.url)
    page.goto(link(hostile_server, "page.pth"))
    settled(page)
    expect(page.get_by_test_id("stAlert").first).to_be_visible()
    for name in PAGES:
        go(page, name)
        assert_text_is_text(page, watch)


@pytest.mark.parametrize(
    "text", [f"![p](http://{HOST}/p.png)", f"www.{HOST} :material/delete:", "x" * 6_000]
)
def test_a_link_with_hostile_parameters_is_text(
    hostile_server: Server, page: Page, text: str
) -> None:
    watch = Watch(page, hostile_server.url)
    hostile = {"a_arch": f"timm:{text}", "a_recipe": text, "a_device": text, "a_state_dict": text}
    page.goto(link(hostile_server, "b.pth", text, **hostile))
    settled(page)
    for name in PAGES:
        go(page, name)
        assert_text_is_text(page, watch)
