"""The Compare page, as a person reads it."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from core.compare import measurability
from tests.core.compare.damaged_files import overwritten
from tests.core.odd_tensors import ODD
from tests.pages.shown_table import ShownTable, shown_table
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
LEGACY = {"_use_new_zipfile_serialization": False}


@pytest.fixture
def compare(tmp_path, monkeypatch) -> Callable[..., AppTest]:
    """Save the objects as torch does, and open the page on them.

    `spoil` is a member of B's zip in which bytes are overwritten in place.
    """
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LOUPE_ROOTS", str(tmp_path))

    def opened(*values: object, tab: str = "Tensors", spoil: str = "", **options) -> AppTest:
        app = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=PATIENCE)
        for slot, value in zip("ab", values, strict=False):
            torch.save(value, tmp_path / f"{slot}.pth", **options)
            app.query_params[slot] = f"root:0/{slot}.pth"
        if spoil:
            overwritten(tmp_path / "b.pth", tmp_path / "b.pth.new", spoil).replace(
                tmp_path / "b.pth"
            )
        app.run()
        return shown(app.switch_page("pages/compare.py"), tab)

    return opened


def shown(app: AppTest, tab: str) -> AppTest:
    """The page with one of its tabs open."""
    app.session_state["compare-tab"] = tab
    return app.run()


def table(app: AppTest) -> ShownTable:
    return shown_table(app)


def states(app: AppTest) -> list[str]:
    return table(app).columns[""]


def with_the_same(app: AppTest) -> AppTest:
    """The page with the rows of all states."""
    (pills,) = [group for group in app.button_group if str(group.key).startswith("states-")]
    return pills.set_value([]).run()


def sentence(app: AppTest) -> str:
    return app.title[0].value.replace("\\", "")


def button(app: AppTest, text: str):
    (found,) = [found for found in app.button if text in found.label]
    return found


WEIGHTS = {
    f"layer{index}.weight": torch.linspace(-1, 1, 12).roll(index).reshape(3, 4)
    for index in range(4)
}
TUNED = {**WEIGHTS, "layer3.weight": WEIGHTS["layer3.weight"] + torch.eye(3, 4) / 2}
ONE_CHANGED = "in its last layer, as by further training: layer3.weight changed"


def test_without_files_the_page_offers_the_sample_pair(compare):
    app = compare()
    assert sentence(app) == "Nothing to compare yet"
    app.button(key="next").click().run()
    assert not app.exception
    assert "B is A" in sentence(app)
    assert set(states(app)) >= {"changed"}


def test_with_one_file_the_page_says_which_slot_is_empty(compare):
    app = compare(WEIGHTS)
    assert not app.exception
    assert sentence(app) == "B is still empty"


def test_the_sentence_the_counts_and_the_rows_agree(compare):
    app = compare(WEIGHTS, TUNED)
    assert not app.exception
    assert ONE_CHANGED in sentence(app)
    assert table(app).keys == ["layer3.weight"]
    assert states(app) == ["changed"]
    app = with_the_same(app)
    assert table(app).keys == ["layer3.weight", *(f"layer{index}.weight" for index in range(3))]
    assert states(app) == ["changed", "same", "same", "same"]
    assert set(table(app).columns["Evidence"]) == {"bytes"}


def test_what_was_overwritten_in_place_is_told_by_tensor(compare, tmp_path):
    app = compare(WEIGHTS, WEIGHTS, spoil="data/3")
    assert sentence(app).startswith(
        "Damaged: the stored checksum of layer3.weight in B does not hold. "
    )
    row = table(app).row("layer3.weight")
    assert row["Note"] == "damaged in B: the stored checksum does not hold"


def test_large_files_are_the_same_by_checksum_until_somebody_asks_for_the_bytes(
    compare, monkeypatch
):
    monkeypatch.setattr(measurability, "READ_BY_ITSELF", 0)
    app = compare(WEIGHTS, WEIGHTS, spoil="data/3")
    assert sentence(app) == (
        "Same by checksum: all 4 tensors have the same stored checksums; no byte of them was read."
    )
    assert set(table(app).columns["Evidence"]) == {"checksum"}
    button(app, "Read and compare 4 tensors").click().run()
    wait_until(lambda: "Damaged" in sentence(app.run()))
    assert not app.exception
    assert set(table(app).columns["Evidence"]) == {"bytes"}
    assert not [each for each in app.button if "Read and compare" in each.label]


def test_a_changed_tensor_of_large_files_is_checked_when_it_is_measured(compare, monkeypatch):
    monkeypatch.setattr(measurability, "READ_BY_ITSELF", 0)
    app = measured(compare(WEIGHTS, TUNED, spoil="data/3"))
    assert sentence(app).startswith("Damaged: the stored checksum of layer3.weight in B does ")


def test_where_nothing_changed_no_row_has_a_share_of_the_change(compare):
    assert "Δ share" in table(compare(WEIGHTS, TUNED)).columns
    assert "Δ share" not in table(with_the_same(compare(WEIGHTS, dict(WEIGHTS)))).columns


def test_a_text_narrows_the_rows(compare):
    app = with_the_same(compare(WEIGHTS, TUNED))
    app.text_input(key="compare-search").set_value("*[12].weight").run()
    assert table(app).keys == ["layer1.weight", "layer2.weight"]


def test_a_wrapping_prefix_pairs_by_itself(compare):
    app = compare({f"module.{key}": value for key, value in WEIGHTS.items()}, TUNED)
    assert ONE_CHANGED in sentence(app)


def measured(app: AppTest) -> AppTest:
    """The page once its numbers are there."""
    wait_until(lambda: "Max |Δ|" in table(app.run()).columns)
    return app


def test_the_numbers_of_small_files_come_by_themselves(compare):
    app = measured(compare(WEIGHTS, TUNED))
    row = table(app).row("layer3.weight")
    moved = torch.eye(3, 4) / 2
    assert row["Δ share"] == 1
    assert row["Max |Δ|"] == 0.5
    assert row["Mean |Δ|"] == pytest.approx(float(moved.mean()))
    assert row["Rel. L2"] == pytest.approx(float(moved.norm() / WEIGHTS["layer3.weight"].norm()))
    assert row["Changed"] == row["Not close"] == 0.25


def test_another_tolerance_calls_less_not_close(compare):
    app = measured(compare(WEIGHTS, TUNED))
    app.number_input(key="compare-atol").set_value(0.5).run()
    row = table(measured(app)).row("layer3.weight")
    assert (row["Changed"], row["Not close"]) == (0.25, 0)
    assert any("1 of the 1 measured tensors" in one.value for one in app.caption)


def test_files_without_checksums_are_compared_by_their_bytes(compare):
    app = compare(WEIGHTS, TUNED, **LEGACY)
    assert ONE_CHANGED in sentence(app)
    assert set(table(app).columns["Evidence"]) == {"bytes"}
    shown(app, "Evidence")
    assert any("bytes of both were read" in found.value for found in app.markdown)


def test_another_layout_is_told_and_quantized_weights_have_numbers(compare):
    """FIELD 29: what the scales give is what is measured."""
    before = {"q": ODD["per_tensor"], "s": ODD["coo"], "w": torch.ones(2)}
    doubled = torch._make_per_tensor_quantized_tensor(ODD["per_tensor"].int_repr(), 0.04, 3)
    app = compare(before, {"q": doubled, "s": torch.eye(6), "w": torch.ones(2)})
    assert not app.exception
    app = with_the_same(app)
    rows = [table(app).row(key) for key in "qsw"]
    assert [row["Layout"] for row in rows] == ["quantized", "sparse_coo → strided", "strided"]
    assert [row["Evidence"] for row in rows] == ["layout", "layout", "bytes"]
    measured(app)
    far = (doubled.dequantize() - ODD["per_tensor"].dequantize()).abs().max()
    assert table(app).row("q")["Max |Δ|"] == pytest.approx(float(far), rel=1e-6)


def rows_of(app: AppTest) -> dict[str, str]:
    return dict(zip(table(app).keys, states(app), strict=True))


def test_renamed_tensors_stand_in_one_row_with_their_evidence(compare):
    weights = {key: torch.randn(8, 8) for key in WEIGHTS}
    app = compare(weights, {key.replace("layer", "stage"): value for key, value in weights.items()})
    assert not app.exception
    assert rows_of(app) == {
        f"layer{index}.weight → stage{index}.weight": "renamed" for index in range(4)
    }
    assert set(table(app).columns["Paired"]) == {"content, 99\u202f%"}


def test_two_tensors_are_paired_by_hand_and_the_link_keeps_it(compare):
    torch.manual_seed(0)
    a = {"shared.weight": torch.ones(30), "old.thing": torch.randn(7, 5)}
    b = {"shared.weight": torch.ones(30), "fresh.part": torch.randn(7, 5)}
    app = compare(a, b, tab="Pairs")
    app.selectbox[0].select("old.thing")
    app.selectbox[1].select("fresh.part").run()
    button(app, "Pair by hand").click().run()
    assert not app.exception
    assert "pairing" in app.query_params
    shown(app, "Tensors")
    assert rows_of(app)["old.thing → fresh.part"] == "changed"
    shown(app, "Pairs")
    button(app, "Discard my decisions").click().run()
    assert "pairing" not in app.query_params


def test_what_is_no_weight_is_told_in_a_sentence_and_a_tree(compare):
    app = compare(
        {"state_dict": WEIGHTS, "epoch": 2, "lr": 0.1},
        {"state_dict": TUNED, "epoch": 12, "lr": 0.1},
        tab="Metadata",
    )
    assert not app.exception
    assert any("10 epochs later" in one.value for one in app.markdown)
    assert any("2 → 12" in one.value for one in app.get("html"))


def test_a_run_of_several_says_where_the_nan_came_in(compare, tmp_path):
    torch.manual_seed(0)
    for epoch in range(4):
        weights = {key: torch.randn(6, 6) for key in WEIGHTS}
        if epoch == 3:
            weights["layer1.weight"][0, 0] = float("nan")
        torch.save({"state_dict": weights, "epoch": epoch}, tmp_path / f"epoch{epoch}.pth")
    app = compare()
    app.segmented_control(key="compare-mode").set_value("Run").run()
    wait_until(lambda: app.run().dataframe)
    assert not app.exception
    assert "epoch 3" in sentence(app)
    assert "layer1.weight" in sentence(app)
    found = app.dataframe[0].value.set_index("key")
    assert list(found["nan"]) == ["", "epoch 3", "", ""]
    assert len(found["norms"]["layer0.weight"]) == 4


def test_the_files_named_at_the_start_are_a_run(compare, tmp_path, monkeypatch):
    paths = [tmp_path / f"epoch_{epoch}.pth" for epoch in range(3)]
    for epoch, path in enumerate(paths):
        torch.save({key: value * (epoch + 1) for key, value in WEIGHTS.items()}, path)
    monkeypatch.setenv("LOUPE_BENCH", os.pathsep.join(map(str, paths)))
    app = compare()
    app.segmented_control(key="compare-mode").set_value("Run").run()
    app.selectbox(key="run-place").select("Named on the command line").run()
    wait_until(lambda: app.run().dataframe)
    assert not app.exception
    assert "epoch_2.pth" in app.caption[0].value.replace("\\", "")
    assert list(app.dataframe[0].value.set_index("key")["last"]) == [50] * 4


def test_what_is_wrong_with_one_file_of_a_run_says_which(compare, tmp_path, monkeypatch):
    for step in range(3):
        torch.save({"w": torch.full((4,), float(step))}, tmp_path / f"epoch_{step}.pth")
    (tmp_path / "epoch_1.pth").write_text("<html>404</html>")
    monkeypatch.setenv("LOUPE_BENCH", os.pathsep.join(map(str, sorted(tmp_path.glob("epoch_*")))))
    app = compare(WEIGHTS, TUNED)
    app.segmented_control(key="compare-mode").set_value("Run").run()
    app.selectbox(key="run-place").select("Named on the command line").run()
    (error,) = app.error
    assert error.value.replace("\\", "").startswith("epoch_1.pth: ")


def test_names_of_a_run_and_a_sentence_of_many_values_are_not_cut(compare, tmp_path):
    names = [f"{'a network with a long name, ' * 3}epoch {epoch}.pth" for epoch in range(8)]
    for epoch, name in enumerate(names):
        torch.save({key: value * (epoch + 1) for key, value in WEIGHTS.items()}, tmp_path / name)
    app = compare()
    app.segmented_control(key="compare-mode").set_value("Run").run()
    wait_until(lambda: app.run().dataframe)
    assert ", ".join(names) in app.caption[0].value.replace("\\", "")

    options = [
        {f"{'an option of many words ' * 2}number {index}": "x" * 40 + value for index in range(3)}
        for value in "ab"
    ]
    found = [{"args": some, "model": WEIGHTS} for some in options]
    app = compare(*found, tab="Metadata")
    said = next(each.value for each in app.markdown if "an option of many words" in each.value)
    assert len(said) > 300
    assert "left out" not in said


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo never",)


def test_what_a_file_would_have_run_stands_above_the_comparison(compare):
    app = compare(WEIGHTS, {**WEIGHTS, "x": Command()})
    (notice,) = app.error
    assert "b.pth would have run posix.system" in notice.value.replace("\\", "")


def test_what_a_checkpoint_of_a_run_would_have_run_stands_above_the_run(
    compare, tmp_path, monkeypatch
):
    for step in range(3):
        odd = {"x": Command()} if step == 1 else {}
        torch.save({**WEIGHTS, **odd}, tmp_path / f"epoch_{step}.pth")
    monkeypatch.setenv("LOUPE_BENCH", os.pathsep.join(map(str, sorted(tmp_path.glob("epoch_*")))))
    app = compare()
    app.segmented_control(key="compare-mode").set_value("Run").run()
    app.selectbox(key="run-place").select("Named on the command line").run()
    (notice,) = app.error
    assert "epoch_1.pth would have run posix.system" in notice.value.replace("\\", "")


def test_an_array_that_differs_stands_in_the_sentence(compare):
    weights = {"w": torch.ones(3)}
    a, b = ({**weights, "body": np.full((50, 50), value)} for value in (1.0, 2.0))
    assert sentence(compare(a, b)) == (
        "Besides the tensors, the numpy array body differs from A to B. The one tensor has the "
        "same bytes."
    )


def test_the_pills_count_what_changed_and_what_only_one_side_has(compare):
    app = compare(WEIGHTS, {**TUNED, "new.weight": torch.ones(2)})
    (pills,) = [group for group in app.button_group if str(group.key).startswith("states-")]
    assert [option.content.replace("\\", "") for option in pills.proto.options] == [
        *("~ changed **1**", "= same **3**", "A only in A **0**", "B only in B **1**")
    ]
    assert sorted(states(app)) == ["changed", "only in B"]


def test_a_tensor_of_one_side_has_its_own_numbers_beside_the_table(compare):
    app = compare(WEIGHTS, {**WEIGHTS, "new.weight": torch.full((2,), 3.0)})
    (found,) = [one.value for one in app.get("html") if "loupe-sides" in one.value]
    assert '<th scope="row">mean</th><td>3</td>' in found
    assert '<th scope="col" class="A">' not in found
