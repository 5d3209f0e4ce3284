"""Two people ask for the same model, and the server loads it once."""

from urllib.parse import urlencode

import torch
from playwright.sync_api import Page, expect
from torchvision.models import shufflenet_v2_x0_5

from core.server import Bench, SlotState, bench_to_query
from tests.browser.driver import Server, settled


def test_the_second_session_gets_the_model_that_the_first_one_loaded(
    server: Server, page: Page
) -> None:
    # New weights, which no test before has loaded.
    torch.save(shufflenet_v2_x0_5().state_dict(), server.root / "new.pth")
    bench = Bench(SlotState("root:0/new.pth", None, "torchvision:shufflenet_v2_x0_5"))
    address = f"{server.url}/fitting?{urlencode(bench_to_query(bench))}"
    page.goto(address)
    settled(page)
    page.get_by_role("button", name="Load the model").click()
    expect(page.get_by_text("On cpu in ")).to_be_visible()
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
