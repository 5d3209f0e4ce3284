"""The Inspect page, as a person reads it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core.checkpoint import TensorEntry, open_checkpoint
from core.wording import parameters, share_text, size
from tests.core.odd_tensors import ODD, in_pieces
from tests.pages.shown_table import choose_row, shown_table
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


class Payload:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.fixture
def inspect(tmp_path, monkeypatch) -> Callable[[object], AppTest]:
    """Save an object as torch does, and open the page on it."""
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOUPE_ROOTS", str(tmp_path))

    def opened(value: object = None) -> AppTest:
        app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=PATIENCE)
        if value is not None:
            torch.save(value, tmp_path / "file.pth")
        if (tmp_path / "file.pth").exists():
            app.query_params["a"] = "root:0/file.pth"
        app.run()
        return app.switch_page("pages/inspect.py").run()

    return opened


def keys(app: AppTest) -> list[str]:
    return shown_table(app).keys


def test_without_a_file_the_page_teaches_and_offers_the_sample(inspect):
    app = inspect()
    assert not app.exception
    assert app.title[0].value == "Nothing to inspect yet"
    app.button(key="next").click().run()
    assert not app.exception
    assert app.title[0].value.startswith(f"{len(keys(app))} tensors, ")


def test_totals_come_first(inspect):
    app = inspect({"a.weight": torch.zeros(2000, 3), "a.bias": torch.zeros(5, dtype=torch.half)})
    assert app.title[0].value.startswith(f"2 tensors, {parameters(6005)} parameters")
    assert app.caption[0].value == f"{size(24_010)}, float16 and float32."


def test_the_table_is_filtered_by_text_pattern_and_dtype(inspect):
    weights = {f"layer{index}.{name}": torch.zeros(2) for index in (1, 2) for name in "ab"}
    app = inspect({**weights, "steps": torch.tensor(3)})
    assert keys(app) == [*weights, "steps"]
    app.text_input(key="inspect-search").set_value("layer2").run()
    assert keys(app) == ["layer2.a", "layer2.b"]
    app.text_input(key="inspect-search").set_value(r"/\.a$/").run()
    assert keys(app) == ["layer1.a", "layer2.a"]
    app.text_input(key="inspect-search").set_value("/(/").run()
    assert "not a regular expression" in app.warning[0].value
    app.text_input(key="inspect-search").set_value("").run()
    assert keys(app) == [*weights, "steps"]


def test_a_dangerous_file_is_told_by_one_line_on_top(inspect):
    app = inspect({"w": torch.ones(2), "x": Payload()})
    assert "would have run posix.system" in app.error[0].value
    assert app.error[0].value.endswith("Loupe did not run it.")


def test_a_plain_file_can_run_nothing(inspect):
    app = inspect({"w": torch.ones(2)})
    assert not app.error
    assert any("Nothing in this file can run" in found.value for found in app.markdown)


def test_layouts_have_a_column_only_where_one_is_not_strided(inspect):
    assert "Layout" not in shown_table(inspect({"w": torch.ones(2)})).columns
    table = shown_table(inspect({"w": torch.ones(2), **ODD}))
    assert dict(zip(table.keys, table.columns["Layout"], strict=True)) == {
        "w": "strided",
        "per_tensor": "quantized",
        "per_channel": "quantized",
        "columns": "quantized",
        "coo": "sparse_coo",
        "csr": "sparse_csr",
        "bsr": "sparse_bsr",
        "nested": "nested",
    }


def test_rows_are_grouped_by_module_with_sums(inspect):
    app = inspect(
        {
            "conv.weight": torch.zeros(4, 3),
            "scale": torch.zeros(()),
            "conv.bias": torch.zeros(4),
            "head.weight": torch.zeros(2, 4, dtype=torch.half),
            "head.bias": torch.zeros(2, dtype=torch.half),
        }
    )
    table = shown_table(app)
    assert keys(app) == ["conv.weight", "conv.bias", "scale", "head.weight", "head.bias"]
    assert table.sums("Shape") == {"conv": "2 tensors", "head": "2 tensors"}
    assert table.sums("Parameters") == {"conv": "16", "head": "10"}
    assert table.sums("Share") == {"conv": share_text(16 / 27), "head": share_text(10 / 27)}
    assert table.sums("Size") == {"conv": size(64), "head": size(20)}
    assert [group["open"] for group in table.groups] == [True, True]
    app.session_state["inspect-order"] = []
    assert keys(app.run()) == ["conv.weight", "scale", "conv.bias", "head.weight", "head.bias"]
    assert not shown_table(app).groups


def test_a_filtered_table_says_what_is_left_and_a_chosen_row_stays_chosen(inspect, tmp_path):
    app = inspect({"a.w": torch.zeros(2), "a.b": torch.zeros(3), "steps": torch.tensor(3)})
    name = f"keys-{open_checkpoint(tmp_path / 'file.pth').identity}:''"
    choose_row(app, name, 1)
    assert has_card(app, "a.b")
    app.text_input(key="inspect-search").set_value("steps").run()
    assert shown_table(app).document["foot"] == f"1 of 3 tensors, 1 parameter, {size(8)}"
    assert not has_card(app, "a.b")
    app.text_input(key="inspect-search").set_value("").run()
    assert has_card(app, "a.b")


def has_card(app: AppTest, key: str) -> bool:
    return any(key in found.value for found in (*app.markdown, *app.subheader))


def card_of(entry: TensorEntry) -> AppTest:
    """The tensor's card alone."""

    def script(entry):
        from pages.components.inspect.tensor_card import tensor_card

        tensor_card(entry, "one file")

    app = AppTest.from_function(script, args=(entry,), default_timeout=PATIENCE).run()
    assert not app.exception
    return app


@pytest.mark.parametrize(
    ("name", "words", "facts"),
    [
        ("per_tensor", "as .dequantize() computes them", {"scale": "0.02", "zero point": "3"}),
        ("per_channel", "zero points", {"scales": "8, float64", "zero points": "8, int64"}),
        ("coo", "the other 30 elements are zeros", {"indices": "2 × 6, int64", "coalesced": "yes"}),
        ("csr", "6 values that the file", {"layout": "sparse_csr", "values": "6, float32"}),
        ("nested", "2 rows of different shapes", {"rows": "2"}),
    ],
)  # fmt: skip
def test_the_card_tells_scales_indices_and_rows(tmp_path, name, words, facts):
    torch.save({name: ODD[name]}, tmp_path / "odd.pth")
    app = card_of(open_checkpoint(tmp_path / "odd.pth").state_dict()[name])
    assert any(words in caption.value for caption in app.caption)
    told = {str(key): str(value) for key, value in app.table[0].value.iloc[:, 0].items()}
    for fact, value in facts.items():
        assert told[fact] == f"`{value}`"


def test_the_card_of_a_tensor_in_pieces_counts_them(tmp_path):
    torch.save({"top": torch.ones(3, 4), "rest": torch.ones(3, 4)}, tmp_path / "a.pth")
    parts = open_checkpoint(tmp_path / "a.pth").state_dict()
    whole = in_pieces("w", {(0, 0): parts["top"], (3, 0): parts["rest"]}, (6, 4))
    app = card_of(whole)
    assert "2 pieces" in app.caption[0].value
    assert "`2 in 1 file`" in str(app.table[0].value)


def checksums(app: AppTest) -> AppTest:
    app.session_state["inspect-tab"] = "Checksums"
    app.run()
    app.button(key=next(b.key for b in app.button if b.label == "Verify checksums")).click().run()
    wait_until(lambda: app.run() and (app.success or app.error))
    assert not app.exception
    return app


def test_checksums_are_verified_in_a_job_with_one_sentence_at_its_end(inspect):
    app = checksums(inspect({"w": torch.ones(2)}))
    assert "are sound" in app.success[0].value
    assert [button.label for button in app.button][-1] == "Verify checksums again"


def test_a_damaged_tensor_is_named(inspect, tmp_path):
    torch.save({"w": torch.ones(200), "v": torch.zeros(3)}, tmp_path / "file.pth")
    data = bytearray((tmp_path / "file.pth").read_bytes())
    data[data.index(torch.ones(200).numpy().tobytes()) + 5] ^= 1
    (tmp_path / "file.pth").write_bytes(data)
    app = checksums(inspect())
    assert "is damaged" in app.error[0].value
    assert list(app.dataframe[-1].value["tensors"]) == ["w"]


def test_a_tensor_whose_key_holds_half_a_character_can_be_chosen(inspect, tmp_path):
    app = inspect({"half \ud801": torch.arange(6.0)})
    identity = open_checkpoint(tmp_path / "file.pth").identity
    assert keys(app) == ["half \\ud801"]
    choose_row(app, f"keys-{identity}:''", 0)
    assert not app.exception
    assert not app.error
    assert has_card(app, "half \\ud801")


def test_the_values_of_a_small_file_are_checked_by_itself_and_a_finding_leads_to_its_row(inspect):
    torch.manual_seed(0)
    broken = torch.randn(4, 3)
    broken[1, 2] = torch.nan
    app = inspect({"sound.weight": torch.randn(4, 3), "broken.weight": broken})
    wait_until(lambda: "1 tensor holds NaN" in app.run().title[0].value)
    assert not app.exception
    (found,) = [button for button in app.button if "broken.weight" in button.label]
    found.click().run()
    assert not app.exception
    assert "#### `broken.weight`" in [each.value for each in app.markdown]
    app.button(key="inspect-back").click().run()
    assert "Largest tensors" in " ".join(each.value for each in app.markdown)


def test_what_was_not_checked_is_in_the_title(inspect):
    torch.manual_seed(0)
    app = inspect({"fc.weight": torch.randn(4, 300), "packed": torch.zeros(3, dtype=torch.uint8)})
    wait_until(lambda: app.run().title[0].value.endswith("no anomalies in 1 tensor, 1 not checked"))
    assert "Not checked: 1 tensor" in " ".join(each.value for each in app.caption)
