"""The page's title and its evidence, for every way in which a file can fit."""

from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18, shufflenet_v2_x0_5

from core.architectures import Architecture, signature
from core.checkpoint import StateDict
from core.fit import fit_of
from core.fit.identify import Identification
from core.fit.index import Lookup
from core.fit.lookalikes import known_facts
from core.fit.proposals import propose
from core.fit.review import chosen_headline, keys_to_decide, proposed_headline
from core.recipe import try_recipe
from tests.core.fit.review.files import identified

RESNET = Architecture("torchvision", "resnet18")

pytestmark = pytest.mark.skipif(not known_facts(), reason="other versions than the facts'")


def headline(found: Identification, state_dict: StateDict) -> tuple[str, str]:
    if not found.candidates:
        told = proposed_headline(found, None)
        return told.title, told.evidence
    best = found.candidates[0]
    wanted = signature(best.architecture)
    repaired = try_recipe(best.recipe, state_dict, wanted).state_dict
    told = proposed_headline(found, fit_of(state_dict, repaired, wanted))
    return told.title, told.evidence


def test_a_sure_file_is_told_with_its_repair(lookup: Lookup, tmp_path: Path) -> None:
    body = torch.nn.DataParallel(shufflenet_v2_x0_5(num_classes=10)).state_dict()
    title, evidence = headline(*identified(lookup, tmp_path / "a.pth", body))
    assert title == "Fits torchvision shufflenet_v2_x0_5 with 10 classes after one repair"
    assert evidence == "Proposed: strip `module.`. Nothing is changed until you apply it."


def test_a_sure_file_that_needs_no_repair_is_told_so(lookup: Lookup, tmp_path: Path) -> None:
    body = shufflenet_v2_x0_5().state_dict()
    title, evidence = headline(*identified(lookup, tmp_path / "a.pth", body))
    assert title == "Fits torchvision shufflenet_v2_x0_5 as it is"
    assert evidence == "338 of 338 keys match in name and shape."


def test_of_two_copies_the_one_that_is_taken_is_told_before_it_is(
    lookup: Lookup, tmp_path: Path
) -> None:
    model = shufflenet_v2_x0_5().state_dict()
    body = {f"{name}.{key}": model[key] for name in ("encoder_q", "encoder_k") for key in model}
    title, evidence = headline(*identified(lookup, tmp_path / "a.pth", body))
    assert title.startswith("Fits torchvision shufflenet_v2_x0_5 after ")
    assert "the one under `encoder_q.` is taken" in evidence


def test_of_several_that_fit_the_number_is_told_and_what_leaves_it_open(
    lookup: Lookup, tmp_path: Path
) -> None:
    found, state_dict = identified(lookup, tmp_path / "a.pth", resnet18().state_dict())
    title, evidence = headline(found, state_dict)
    assert title == f"{1 + len(found.candidates[0].also)} architectures fit all 122 keys"
    assert evidence == (
        "1 of them computes something else than torchvision resnet18, and nothing in the file says "
        "which it is. Nothing is changed until you choose."
    )


def test_tensors_under_other_names_are_told_as_matched_by_their_shapes(
    lookup: Lookup, tmp_path: Path
) -> None:
    body = {
        f"{k.replace('stage', 'part')}": v for k, v in shufflenet_v2_x0_5().state_dict().items()
    }
    renamed = {key.replace("branch", "path"): value for key, value in body.items()}
    found, state_dict = identified(lookup, tmp_path / "a.pth", renamed)
    title, evidence = headline(found, state_dict)
    assert found.sure is None
    assert "fit" in title
    assert "The file has other key names, so its tensors are matched by their shapes." in evidence


def test_a_file_that_fits_in_part_counts_the_keys_that_need_a_decision(
    lookup: Lookup, tmp_path: Path
) -> None:
    body = {k: v for k, v in resnet18().state_dict().items() if not k.startswith("layer4.1.bn2.")}
    found, state_dict = identified(lookup, tmp_path / "a.pth", body)
    title, _ = headline(found, state_dict)
    best = found.candidates[0]
    assert title == "117 of 122 keys fit torchvision resnet18; 5 keys need a decision"
    assert keys_to_decide(best, best.doubts, best.unsure) == 5


def test_of_a_file_that_fits_none_the_layers_are_told(lookup: Lookup, tmp_path: Path) -> None:
    body = {"alpha.w": torch.zeros(3, 4), "beta.w": torch.zeros(4, 3)}
    title, evidence = headline(*identified(lookup, tmp_path / "a.pth", body))
    assert title == "No architecture that Loupe knows fits"
    assert evidence == "By its layers this is a model of 2 linear layers."


def test_what_is_chosen_is_told_with_the_repair_that_gains_most(saved) -> None:
    wrapped = saved(torch.nn.DataParallel(resnet18()).state_dict())
    wanted = signature(RESNET)
    told = chosen_headline(RESNET, fit_of(wrapped, wrapped, wanted), propose(wrapped, wanted))
    assert told.title == "0 of 122 keys fit torchvision resnet18; 244 keys need a decision"
    assert told.evidence == "Strip `module.`, and 122 of 122 keys match."


def test_what_is_chosen_and_fits_is_told_with_what_is_left_out(saved) -> None:
    body = saved(resnet18().state_dict())
    assert chosen_headline(RESNET, fit_of(body, body, signature(RESNET))).title == (
        "Fits torchvision resnet18: 122 of 122 keys"
    )
    old = saved({k: v for k, v in resnet18().state_dict().items() if "num_batches" not in k})
    told = chosen_headline(RESNET, fit_of(old, old, signature(RESNET)))
    assert told.evidence == "20 batch counters are absent, which is harmless."
