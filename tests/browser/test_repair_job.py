"""From a file that nobody knows to a loaded model, in a real browser."""

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
import timm
import torch
from playwright.sync_api import Page, expect
from torchvision.models import resnet18

from core.fixes import Recipe, RenameTable
from core.server import Bench, SlotState, bench_to_query
from tests.browser.driver import Server, go, settled


@pytest.fixture(scope="module")
def encoder() -> dict[str, torch.Tensor]:
    """A pretraining checkpoint's two encoders, as DataParallel saves them, without heads."""
    model = timm.create_model("resnet18d").state_dict()
    return {
        f"module.{name}.{key}": value
        for name in ("encoder_q", "encoder_k")
        for key, value in model.items()
        if not key.startswith("fc.")
    }


def fit(server: Server, page: Page, **slot: object) -> None:
    page.goto(f"{server.url}/fitting?{urlencode(bench_to_query(Bench(SlotState(**slot))))}")
    settled(page)


FITS = re.compile(r"^Fits .*: \d+ of \d+ keys")


def test_a_dropped_file_is_told_repaired_in_one_click_and_loaded(
    server: Server, page: Page, tmp_path: Path, encoder: dict[str, torch.Tensor]
) -> None:
    torch.save({"epoch": 3, "state_dict": encoder}, tmp_path / "pretraining.pth")
    page.goto(server.url)
    settled(page)
    page.locator(".st-key-slot-A input[type=file]").set_input_files(tmp_path / "pretraining.pth")
    title = "timm resnet18d, without a head, saved from DataParallel inside a MoCo"
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    settled(page)
    go(page, "Fit")
    page.get_by_role("button", name="Apply repair").click()
    expect(page.get_by_role("heading", name=FITS)).to_be_visible()
    page.get_by_role("button", name="Load the model").click()
    expect(page.get_by_role("heading", name="Loaded as timm resnet18d")).to_be_visible()
    expect(page.get_by_text("A random input gave 1 × 512 in ")).to_be_visible()


def test_names_of_another_library_are_found_and_shown_before_they_are_taken(
    server: Server, page: Page
) -> None:
    words = {"blocks.": "layers.block_", "attn.": "mixer.", "mlp.": "ffn."}
    renamed = {
        re.sub("|".join(words), lambda found: words[found[0]], key): value
        for key, value in timm.create_model("test_vit").state_dict().items()
    }
    torch.save(renamed, server.root / "renamed.pth")
    fit(server, page, file="root:0/renamed.pth", architecture="timm:test_vit")
    expect(page.get_by_role("button", name=re.compile("^Apply")).first).to_be_visible()
    page.get_by_text("Show the pairs").first.click()
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    page.get_by_role("button", name=re.compile("^Apply")).first.click()
    expect(page.get_by_role("heading", name=FITS)).to_be_visible()


def test_on_a_narrow_screen_the_way_to_the_repair_is_not_cut_off(
    server: Server, page: Page, encoder: dict[str, torch.Tensor]
) -> None:
    torch.save(encoder, server.root / "narrow.pth")
    page.set_viewport_size({"width": 390, "height": 844})
    fit(server, page, file="root:0/narrow.pth")
    page.locator(".st-key-panelbody-architecture").get_by_role("button", name="Choose").click()
    expect(page.get_by_text("Other candidates", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Use with its repair").click()
    expect(page.get_by_role("heading", name=FITS)).to_be_visible()
    settled(page)
    page.keyboard.press("Escape")  # the candidates may still be open, over the page
    expect(page.get_by_test_id("stPopoverBody")).to_have_count(0)
    box = page.get_by_label("Add a repair")
    box.click()
    box.fill("table")
    page.get_by_role("option", name="Rename by a table").click()
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    names = {"conv1.0.weight": "stem.weight", "conv1.1.bias": "stem.bias"}
    page.locator(".st-key-fit-A-table-file input[type=file]").set_input_files(
        {
            "name": "names.json",
            "mimeType": "application/json",
            "buffer": json.dumps(names).encode(),
        }
    )
    expect(page.locator("td").filter(has_text="stem.weight")).to_be_attached()
    settled(page)
    page.get_by_role("button", name="Add to the recipe").click()
    expect(page.get_by_text("2 keys renamed", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_recipe_is_proved_or_not_and_each_recipe_has_its_own_proof(
    server: Server, page: Page
) -> None:
    torch.manual_seed(0)
    torch.save(resnet18(num_classes=10).state_dict(), server.root / "own.pth")
    first, second = (f"layer1.0.conv{number}.weight" for number in (1, 2))
    swapped = Recipe.of([RenameTable(((first, second), (second, first)))])
    chosen = "torchvision:resnet18?num_classes=10"
    fit(server, page, file="root:0/own.pth", architecture=chosen, recipe=swapped)
    page.get_by_role("button", name="Prove", exact=True).click()
    failed = page.get_by_text("The proof failed: its outputs are not those of torchvision resnet18")
    expect(failed).to_be_visible()
    expect(page.get_by_text("Largest difference", exact=True)).to_be_visible()
    settled(page)
    page.locator(".st-key-fit-A-switch-0 label").first.click()
    expect(failed).to_have_count(0)
    settled(page)
    page.get_by_role("button", name="Prove", exact=True).click()
    expect(page.get_by_text("Proved: it loads with the right values.")).to_be_visible()
    expect(page.get_by_text("The file has the target's own key names")).to_be_visible()
    expect(page.get_by_role("button", name="Prove again")).to_be_visible()
