"""Streamlit's own renderer shows what core.plain_text makes of any text, word for word."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import REPOSITORY, Server, settled
from tests.browser.nasty_texts import WAYS, sentences, texts


@pytest.fixture(scope="module")
def texts_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = {"PYTHONPATH": str(REPOSITORY)}
    app = REPOSITORY / "tests/browser/nasty_texts.py"
    server = Server(tmp_path_factory.mktemp("texts"), path, app=app)
    yield server
    server.stop()


def drawn(page: Page, server: Server, way: str, expected: int) -> list[str]:
    """What stands in each of the page's texts, once the last one is there."""
    page.goto(f"{server.url}/?way={way}")
    page.locator(f".st-key-text-{expected - 1}").wait_for()
    settled(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    found: list[str] = page.evaluate(
        """() => Array.from(document.querySelectorAll("[class*=st-key-text-]"))
            .sort((a, b) => number(a) - number(b))
            .map(each => Array.from(each.querySelectorAll(
                    "[data-testid=stMarkdownContainer], [data-testid=stCaptionContainer]"))
                .map(text => text.textContent).join(""));
        function number(each) { return Number(each.className.match(/st-key-text-(\\d+)/)[1]) }"""
    )
    assert len(found) == expected
    return found


@pytest.mark.parametrize("way", [*WAYS, "sentence"])
def test_the_renderer_shows_every_text_word_for_word(
    texts_server: Server, page: Page, way: str
) -> None:
    foreign: list[str] = []
    page.on("request", lambda one: foreign.append(one.url) if "evil" in one.url else None)
    meant = texts() if way != "sentence" else [text.replace("`", "") for text in sentences()]
    if way == "code":
        meant = [f"of {text} in" for text in meant]
    if way == "inside":
        meant = [f"A · {text}, {text}" for text in meant]
    found = drawn(page, texts_server, way, len(meant))
    if way == "sentence":
        found = [text.replace("`", "") for text in found]
    wrong = [(was, shown) for was, shown in zip(meant, found, strict=True) if was != shown]
    assert wrong == []
    links = "[class*=st-key-text-] :is(a, img, s, del, strong strong, li, hr, table, .katex)"
    assert page.locator(links).count() == 0
    assert page.locator("[class*=st-key-text-] [role=img]").count() == 0
    assert foreign == []
