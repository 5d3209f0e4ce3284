"""A session without a browser sees what a browser would show."""

from collections import Counter

import pytest

from tests.browser.driver import Server
from tests.running import run
from tests.sessions.client import session

pytestmark = pytest.mark.slow


def test_a_page_of_remembered_messages_shows_the_same_in_fewer_bytes(server: Server) -> None:
    async def twice() -> None:
        async with session(server.url) as person:
            await person.click("next")
            first = await person.go("Fit")
            shown = Counter(drawn.words for drawn in person.screen.all())
            again = await person.rerun()
            assert Counter(drawn.words for drawn in person.screen.all()) == shown
            assert again.nbytes < first.nbytes

    run(twice())


def test_the_link_puts_a_bench_into_another_session(server: Server) -> None:
    async def handed_over() -> None:
        async with session(server.url) as one:
            await one.click("next")
            link = one.screen.query
        async with session(server.url, "comparison", link) as other:
            assert other.screen.has("compare-tab")
            assert other.errors == []

    run(handed_over())


def test_an_error_on_the_page_is_seen(server: Server) -> None:
    async def lost() -> None:
        async with session(server.url, query=f"a=sha256:{'0' * 64}/lost.pth") as person:
            assert any("not on this server any more" in error for error in person.errors)

    run(lost())


def test_a_button_that_is_not_there_is_named_beside_those_that_are(server: Server) -> None:
    async def missed() -> None:
        async with session(server.url) as person:
            with pytest.raises(LookupError, match=r"no 'Swap A and B'; it has .*next, "):
                await person.click("Swap A and B")

    run(missed())
