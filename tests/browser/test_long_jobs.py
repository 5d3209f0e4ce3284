"""Long work of one person goes on when the caches are emptied, leaves room for others, says when it
waits, and ends with the server."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.driver import Server, go, new_context, open_tab, settled
from tests.browser.slow_network import SlowNetwork
from tests.browser.test_emptied_caches import empty_caches


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowNetwork]:
    network = SlowNetwork(tmp_path_factory.mktemp("slow"))
    yield network
    if network.server in Server.running:
        network.server.stop()


@pytest.fixture
def slow(network: SlowNetwork) -> SlowNetwork:
    """The network, whose passes wait, on a server that runs."""
    network.gate.unlink(missing_ok=True)
    if network.server not in Server.running:
        network.start()
    return network


def test_anothers_job_goes_on_when_the_caches_are_emptied_and_its_result_arrives(
    slow: SlowNetwork, browser: Browser, page: Page
) -> None:
    page.goto(slow.address("fitting", "another"))
    settled(page)
    slow.load(page)
    empty_caches(browser, slow.server)
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    slow.gate.touch()
    expect(page.get_by_text("On cpu in ")).to_be_visible()
    empty_caches(browser, slow.server)
    page.reload()
    settled(page)
    expect(page.get_by_text("loaded on this server already")).to_be_visible()


def verify(page: Page) -> None:
    open_tab(page, "Checksums")
    page.get_by_role("button", name="Verify checksums", exact=True).click()


def test_one_persons_long_work_waits_while_another_is_served_and_ends_with_the_server(
    slow: SlowNetwork, browser: Browser, page: Page
) -> None:
    page.goto(slow.address("fitting", "a", "b"))
    settled(page)
    slow.load(page)
    page.get_by_role("radiogroup").first.get_by_text("B · b.pth").click()
    slow.load(page)
    go(page, "Inspect")
    verify(page)
    # The checks of the values, which run by themselves, wait before it.
    expect(page.get_by_text("Waiting: 1 job before yours")).to_be_visible()

    context = new_context(browser)
    other = context.new_page()
    other.goto(slow.address("inspector", "other"))
    settled(other)
    verify(other)
    expect(other.get_by_role("button", name="Verify checksums again")).to_be_visible()
    expect(page.get_by_text("Waiting: 1 job before yours")).to_be_visible()
    context.close()

    slow.server.stop()
