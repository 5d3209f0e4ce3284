"""The Compare page, as a person reads it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from tests.core.odd_tensors import ODD

REPOSITORY = Path(__file__).parents[2]
LEGACY = {"_use_new_zipfile_serialization": False}


@pytest.fixture
def compare(tmp_path, monkeypatch) -> Callable[..., AppTest]:
    """Save the objects as torch does, and open the page on them."""
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOUPE_ROOTS", str(tmp_path))
    st.cache_resource.clear()

    def opened(*values: object, **options) -> AppTest:
        app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=30)
        for slot, value in zip("ab", values, strict=False):
            torch.save(value, tmp_path / f"{slot}.pth", **options)
            app.query_params[slot] = f"root:0/{slot}.pth"
        app.run()
        return app.switch_page("pages/compare.py").run()

    yield opened
    st.cache_resource.clear()


def table(app: AppTest):
    return app.dataframe[0].value


def sentence(app: AppTest) -> str:
    return app.subheader[0].value


def button(app: AppTest, text: str):
    (found,) = [found for found in app.button if text in found.label]
    return found


WEIGHTS = {f"layer{index}.weight": torch.full((3, 4), float(index + 1)) for index in range(4)}
TUNED = {**WEIGHTS, "layer3.weight": torch.full((3, 4), 6.0)}


def test_without_files_the_page_offers_the_sample_pair(compare):
    app = compare()
    assert sentence(app) == "Nothing to compare yet"
    button(app, "sample").click().run()
    assert not app.exception
    assert "tensor" in sentence(app)
    assert set(table(app)["state"].str[0]) >= {"changed"}


def test_with_one_file_the_page_says_which_slot_is_empty(compare):
    app = compare(WEIGHTS)
    assert not app.exception
    assert sentence(app) == "B is still empty"


def test_the_sentence_the_counts_and_the_rows_agree(compare):
    app = compare(WEIGHTS, TUNED)
    assert not app.exception
    assert sentence(app) == "B differs from A in 1 of 4 tensors: layer3.weight."
    assert list(table(app)["key"]) == list(WEIGHTS)
    assert list(table(app)["state"].str[0]) == ["same", "same", "same", "changed"]
    assert set(table(app)["evidence"]) == {"checksum"}


def test_a_text_narrows_the_rows(compare):
    app = compare(WEIGHTS, TUNED)
    app.text_input(key="compare-search").set_value("*[12].weight").run()
    assert list(table(app)["key"]) == ["layer1.weight", "layer2.weight"]


def test_a_wrapping_prefix_pairs_by_itself(compare):
    app = compare({f"module.{key}": value for key, value in WEIGHTS.items()}, TUNED)
    assert sentence(app) == "B differs from A in 1 of 4 tensors: layer3.weight."


def test_the_numbers_appear_in_the_table_when_they_are_asked_for(compare):
    app = compare(WEIGHTS, TUNED)
    assert "max" not in table(app)
    button(app, "Numbers of the 1 that differ").click().run()
    deadline = time.monotonic() + 20
    while "max" not in table(app) and time.monotonic() < deadline:
        app.run()
    row = table(app).set_index("key").loc["layer3.weight"]
    assert (row["max"], row["l2"], row["elements"]) == (2, 0.5, 1)
    assert row["cosine"] == pytest.approx(1)


def test_files_without_checksums_are_compared_by_their_bytes(compare):
    app = compare(WEIGHTS, TUNED, **LEGACY)
    assert sentence(app) == "B differs from A in 1 of 4 tensors: layer3.weight."
    assert set(table(app)["evidence"]) == {"bytes"}
    assert any("bytes of both were read" in found.value for found in app.markdown)


def test_another_layout_is_told_and_quantized_weights_have_numbers(compare):
    """FIELD 29: what the scales give is what is measured."""
    before = {"q": ODD["per_tensor"], "s": ODD["coo"], "w": torch.ones(2)}
    doubled = torch._make_per_tensor_quantized_tensor(ODD["per_tensor"].int_repr(), 0.04, 3)
    app = compare(before, {"q": doubled, "s": torch.eye(6), "w": torch.ones(2)})
    assert not app.exception
    assert list(table(app)["layout"]) == ["quantized", "sparse_coo → strided", "strided"]
    assert list(table(app)["evidence"]) == ["layout", "layout", "checksum"]
    button(app, "Numbers of the 1 that differ").click().run()
    for _ in range(50):
        if "max" in table(app):
            break
        time.sleep(0.1)
        app.run()
    far = (doubled.dequantize() - ODD["per_tensor"].dequantize()).abs().max()
    assert table(app)["max"][0] == pytest.approx(float(far), rel=1e-6)
