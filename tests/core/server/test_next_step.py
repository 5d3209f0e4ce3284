"""The main button of each page, row by row, and the stage of a slot from real files."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import resnet18

from core.architectures import parse_architecture, signature
from core.checkpoint import open_checkpoint
from core.fit import fit_of
from core.fit.identify import Identification, hints_of, identify
from core.fit.index import Lookup
from core.fixes import Recipe
from core.server import (
    EMPTY_SLOT,
    SAMPLES,
    Action,
    NextStep,
    SlotStage,
    Stage,
    next_step,
    slot_stage,
)

NEEDS_REPAIR = SlotStage(Stage.SURE, needs_repair=True)
SURE = SlotStage(Stage.SURE)
FITS, LOADED = SlotStage(Stage.FITS), SlotStage(Stage.LOADED)
DETECTOR = SlotStage(Stage.SURE, needs_repair=True, predicts=False)
LOADED_DETECTOR = SlotStage(Stage.LOADED, predicts=False)
SEVERAL, UNKNOWN = SlotStage(Stage.SEVERAL), SlotStage(Stage.UNKNOWN)
NEAR = SlotStage(Stage.NEAR, keys=26)
READING, UNREADABLE = SlotStage(Stage.IDENTIFYING), SlotStage(Stage.UNREADABLE)

ALL_PAGES = ("open", "inspect", "compare", "fit", "predict")


@pytest.mark.parametrize(
    ("pages", "a", "b", "expected"),
    [
        (ALL_PAGES, EMPTY_SLOT, EMPTY_SLOT, NextStep("Open the sample pair", Action.OPEN_SAMPLE)),
        (ALL_PAGES, READING, EMPTY_SLOT, NextStep("Reading…", Action.WAIT, ("A",))),
        (("open",), NEEDS_REPAIR, EMPTY_SLOT,
         NextStep("Repair, load and predict", Action.QUICK_DEMO, ("A",))),
        (("open",), SURE, EMPTY_SLOT, NextStep("Load and predict", Action.QUICK_DEMO, ("A",))),
        (("open",), NEEDS_REPAIR, NEEDS_REPAIR,
         NextStep("Repair, load and predict", Action.QUICK_DEMO, ("A", "B"))),
        (("open",), DETECTOR, EMPTY_SLOT,
         NextStep("Repair and load", Action.QUICK_DEMO, ("A",))),
        (("inspect", "compare", "fit", "predict"), NEEDS_REPAIR, EMPTY_SLOT,
         NextStep("Apply repair", Action.APPLY, ("A",))),
        (("compare",), NEEDS_REPAIR, NEEDS_REPAIR,
         NextStep("Repair A and B", Action.APPLY, ("A", "B"))),
        (("inspect", "fit"), NEEDS_REPAIR, NEEDS_REPAIR,
         NextStep("Apply repair", Action.APPLY, ("A",))),
        (("compare", "fit", "inspect", "predict"), SURE, EMPTY_SLOT,
         NextStep("Load", Action.LOAD, ("A",))),
        (ALL_PAGES, SEVERAL, EMPTY_SLOT,
         NextStep("Choose an architecture", Action.CHOOSE, ("A",))),
        (ALL_PAGES, UNKNOWN, EMPTY_SLOT,
         NextStep("Choose an architecture", Action.CHOOSE, ("A",))),
        (ALL_PAGES, NEAR, EMPTY_SLOT, NextStep("Review 26 keys", Action.REVIEW, ("A",))),
        (ALL_PAGES, SlotStage(Stage.NEAR, keys=1), EMPTY_SLOT,
         NextStep("Review 1 key", Action.REVIEW, ("A",))),
        (ALL_PAGES, SlotStage(Stage.NEAR, keys=26, partial=True), EMPTY_SLOT,
         NextStep("Load in part", Action.LOAD, ("A",))),
        (ALL_PAGES, FITS, EMPTY_SLOT, NextStep("Load", Action.LOAD, ("A",))),
        (("compare", "open"), FITS, FITS, NextStep("Load A and B", Action.LOAD, ("A", "B"))),
        (("open", "inspect", "compare", "fit"), LOADED, EMPTY_SLOT,
         NextStep("Predict", Action.PREDICT, ("A",))),
        (("open", "compare"), LOADED, LOADED, NextStep("Predict", Action.PREDICT, ("A", "B"))),
        (("predict",), LOADED, EMPTY_SLOT, NextStep("Add images", Action.ADD_IMAGES, ("A",))),
        (("predict",), LOADED, NEAR, NextStep("Add images", Action.ADD_IMAGES, ("A",))),
        (("open", "compare"), LOADED, NEAR, NextStep("Predict", Action.PREDICT, ("A",))),
        (ALL_PAGES, LOADED_DETECTOR, EMPTY_SLOT,
         NextStep("Open another file", Action.OPEN_ANOTHER)),
        (ALL_PAGES, UNREADABLE, EMPTY_SLOT,
         NextStep("Open another file", Action.OPEN_ANOTHER)),
    ],
)  # fmt: skip
def test_the_main_button_of_each_bench(
    pages: tuple[str, ...], a: SlotStage, b: SlotStage, expected: NextStep
) -> None:
    for page in pages:
        assert next_step(page, {"A": a, "B": b}, "A") == expected, page


def test_the_button_acts_on_the_slot_in_view() -> None:
    stages = {"A": LOADED, "B": NEEDS_REPAIR}
    assert next_step("fit", stages, "A") == NextStep("Predict", Action.PREDICT, ("A",))
    assert next_step("fit", stages, "B") == NextStep("Apply repair", Action.APPLY, ("B",))


def test_a_slot_in_view_that_is_empty_leaves_the_other() -> None:
    stages = {"A": EMPTY_SLOT, "B": FITS}
    assert next_step("inspect", stages, "A") == NextStep("Load", Action.LOAD, ("B",))


def test_the_first_file_is_in_view_until_another_is_chosen() -> None:
    stages = {"A": NEEDS_REPAIR, "B": NEEDS_REPAIR}
    assert next_step("inspect", stages) == NextStep("Apply repair", Action.APPLY, ("A",))


def test_a_file_that_cannot_be_read_does_not_hide_what_the_other_needs() -> None:
    stages = {"A": UNREADABLE, "B": NEEDS_REPAIR}
    assert next_step("compare", stages) == NextStep("Apply repair", Action.APPLY, ("B",))


def test_of_two_files_in_view_the_button_names_the_one_that_it_acts_on() -> None:
    stages = {"A": SEVERAL, "B": NEEDS_REPAIR}
    assert next_step("open", stages).label == "Repair, load and predict B"
    assert next_step("compare", stages).label == "Repair B"
    assert next_step("compare", {"A": SEVERAL, "B": FITS}).label == "Load B"


def identified(path: Path, lookup: Lookup) -> Identification:
    checkpoint = open_checkpoint(path)
    state_dict = checkpoint.state_dict()
    return identify(state_dict, lookup, hints_of(checkpoint, state_dict))


def stage(found: Identification | None) -> SlotStage:
    return slot_stage(found, None, Recipe(), chosen=None, resident=False, predicts=True)


def test_a_file_that_proves_its_architecture_is_sure(lookup: Lookup) -> None:
    assert stage(identified(SAMPLES["early"].path, lookup)) == NEEDS_REPAIR


def test_without_an_index_nothing_is_known_yet() -> None:
    assert stage(None) == READING


def test_a_file_whose_tensors_two_architectures_take_differently_is_not_sure(
    tmp_path: Path, lookup: Lookup
) -> None:
    """timm's resnetaa50 takes resnet50's tensors and pools elsewhere; nothing says which it is,
    unless the file's name does."""
    weights = timm.create_model("resnet50").state_dict()
    torch.save(weights, tmp_path / "best.pth")
    torch.save(weights, tmp_path / "resnet50-0676ba61.pth")
    assert stage(identified(tmp_path / "best.pth", lookup)) == SEVERAL
    assert stage(identified(tmp_path / "resnet50-0676ba61.pth", lookup)) == SURE


def test_tensors_under_other_names_prove_no_architecture(tmp_path: Path, lookup: Lookup) -> None:
    weights = {f"tensor_{i:03}": t for i, t in enumerate(resnet18().state_dict().values())}
    torch.save(weights, tmp_path / "m.pth")
    found = identified(tmp_path / "m.pth", lookup)
    assert found.sure is None
    assert stage(found).stage in (Stage.SEVERAL, Stage.NEAR, Stage.UNKNOWN)


def test_a_part_that_is_missing_is_to_be_reviewed(tmp_path: Path, lookup: Lookup) -> None:
    weights = resnet18().state_dict()
    for key in ("layer1.0.conv1.weight", "layer3.1.conv2.weight"):
        del weights[key]
    torch.save(weights, tmp_path / "resnet18.pth")
    assert stage(identified(tmp_path / "resnet18.pth", lookup)) == SlotStage(Stage.NEAR, keys=2)


def test_tensors_of_no_known_model_are_unknown(tmp_path: Path, lookup: Lookup) -> None:
    torch.save({"a.weight": torch.zeros(3, 5), "b.weight": torch.zeros(7)}, tmp_path / "m.pth")
    assert stage(identified(tmp_path / "m.pth", lookup)) == UNKNOWN


def test_a_chosen_architecture_decides(tmp_path: Path, lookup: Lookup) -> None:
    path = SAMPLES["early"].path
    checkpoint, found = open_checkpoint(path), identified(path, lookup)
    state_dict = checkpoint.state_dict()

    def with_choice(key: str, **said: bool) -> SlotStage:
        architecture = parse_architecture(key)
        fit = fit_of(state_dict, state_dict, signature(architecture))
        known = {"resident": False, "predicts": True} | said
        return slot_stage(found, fit, Recipe(), chosen=key, **known)

    assert found.sure is not None
    # Its own one, chosen without the repair, is still one click away from fitting.
    assert with_choice(found.sure.architecture.key) == NEEDS_REPAIR
    assert with_choice("torchvision:resnet18").stage is Stage.NEAR
    assert with_choice("torchvision:resnet18", resident=True) == LOADED
    # None of its keys match, so a partial load would load nothing.
    assert not with_choice("torchvision:resnet18", strict=False).partial
