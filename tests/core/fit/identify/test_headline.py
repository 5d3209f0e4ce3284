"""An identification as the found.title of a page, and the found.evidence below it."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from core.fit.identify import headline
from core.fit.index import Lookup
from core.server import SAMPLES
from core.wording import Headline
from tests.core.fit.identify.files import told


def test_a_sure_file_says_what_it_takes_to_load(lookup: Lookup, tmp_path: Path) -> None:
    saved = torch.load(SAMPLES["early"].path)
    assert headline(told(lookup, tmp_path / "a.pth", saved)) == Headline(
        "torchvision shufflenet_v2_x0_5 with 10 classes, saved from DataParallel",
        "One repair makes it load: strip `module.`",
    )


def test_a_sure_file_without_a_repair_loads_as_it_is(lookup: Lookup, tmp_path: Path) -> None:
    saved = {"arch": "resnet18", "state_dict": resnet18().state_dict()}
    found = headline(told(lookup, tmp_path / "a.pth", saved))
    assert (found.title, found.evidence) == ("torchvision resnet18", "It loads as it is")


def test_a_file_that_another_architecture_takes_too_is_not_told_as_that_one(
    lookup: Lookup, tmp_path: Path
) -> None:
    found = headline(told(lookup, tmp_path / "a.pth", resnet18().state_dict()))
    assert found.title == "By its tensors a torchvision resnet18"
    assert found.evidence.startswith(
        "timm resnetblur18 takes the same tensors and computes something else"
    )
    assert found.evidence.endswith("Nothing in the file says which.")


@pytest.mark.parametrize("key", ["weight", "odd. Really odd: `x`"])
def test_a_file_that_fits_nothing_says_so_whatever_its_keys_are(
    lookup: Lookup, tmp_path: Path, key: str
) -> None:
    saved = {key: nn.Linear(7, 2).weight.detach()}
    found = headline(told(lookup, tmp_path / "a.pth", saved))
    assert found.title == "No architecture that Loupe knows fits"
    assert found.evidence == "By its layers this is a model of 1 linear layer."


def test_what_the_nearest_lacks_is_told_below_it(lookup: Lookup, tmp_path: Path) -> None:
    saved = {key: each for key, each in resnet18().state_dict().items() if "layer4.1" not in key}
    found = headline(told(lookup, tmp_path / "a.pth", saved))
    assert found.title == "The nearest is a torchvision resnet18"
    assert "are missing" in found.evidence
