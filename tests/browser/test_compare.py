"""Compare in a real browser: the sample pair from the empty page to numbers and CSV."""

import csv

import pytest
import torch
from playwright.sync_api import expect

from core.samples import SAMPLES
from tests.browser.driver import settled


def test_the_sample_pair_is_compared_filtered_measured_and_downloaded(server, page):
    page.goto(f"{server.url}/comparison")
    settled(page)
    page.get_by_role("button", name="Open the sample pair").click()
    expect(page.get_by_role("heading", name="changed")).to_be_visible()
    settled(page)
    page.locator("button", has_text="changed").first.click()
    settled(page)
    page.get_by_label("Search keys").fill("*fc.*")
    page.get_by_role("button", name="Numbers of the 2 that differ").click()
    expect(page.get_by_role("button", name="Numbers of the 2 that differ")).to_have_count(0)
    settled(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the rows as CSV").click()
    with open(download.value.path()) as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"module.fc.weight", "module.fc.bias"}
    early, final = (
        torch.load(SAMPLES[name].path, weights_only=True)["state_dict"]
        for name in ("early", "final")
    )
    for key, row in rows.items():
        step = (final[key].double() - early[key].double()).abs()
        assert row["state"] == "changed"
        assert float(row["max_abs"]) == pytest.approx(float(step.max()))
        assert float(row["relative_l2"]) == pytest.approx(
            float(step.norm() / early[key].double().norm())
        )
