"""Two people ask for the same model, and the server loads it once."""

from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from core.fixes import Recipe, Step, StripPrefix
from core.server import Bench, SlotState, bench_to_query
from tests.browser.driver import Server, settled

FINAL = SlotState(
    "sample:final",
    None,
    "torchvision:shufflenet_v2_x0_5?num_classes=10",
    Recipe((Step(StripPrefix("module.")),)),
)


def test_the_second_session_gets_the_model_that_the_first_one_loaded(
    fresh_server: Server, page: Page
) -> None:
    address = f"{fresh_server.url}/fitting?{urlencode(bench_to_query(Bench(FINAL)))}"
    page.goto(address)
    settled(page)
    page.get_by_role("button", name="Load the model").click()
    expect(page.get_by_text("Loaded on cpu in ")).to_be_visible()
    browser = page.context.browser
    assert browser
    second = browser.new_context().new_page()
    second.goto(address)
    settled(second)
    expect(second.get_by_text("loaded on this server already")).to_be_visible()
    expect(second.get_by_role("button", name="Load the model")).to_have_count(0)
    second.get_by_role("button", name="Use the loaded model").click()
    expect(second.get_by_text("Already loaded on cpu and shared")).to_be_visible()
    second.context.close()
