"""Candidates side by side: what each computes, needs, and has in the file for it."""

from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import resnet18

from core.fit.identify import Hints
from core.fit.index import Lookup
from core.fit.lookalikes import known_facts
from core.fit.review import choices_of
from tests.core.fit.review.files import identified

pytestmark = pytest.mark.skipif(not known_facts(), reason="other versions than the facts'")


def test_what_computes_the_same_is_one_choice_and_each_other_arithmetic_its_own(
    lookup: Lookup, tmp_path: Path
) -> None:
    body = torch.nn.DataParallel(resnet18()).state_dict()
    found, _ = identified(lookup, tmp_path / "a.pth", body)
    first, second = choices_of(found, Hints())
    assert first.architecture.key == "torchvision:resnet18"
    assert "timm:resnet18" in {other.key for other in first.alike}
    assert first.arithmetic == "downsampling by the stride of convolutions or pooling"
    assert first.repair == second.repair == "Strip `module.`"
    assert second.architecture.key == "timm:resnetblur18"
    assert second.arithmetic == "downsampling through blur pooling"
    assert first.fits
    assert first.matches == "every key matches"


def test_a_choice_has_what_the_file_says_for_it(lookup: Lookup, tmp_path: Path) -> None:
    found, _ = identified(lookup, tmp_path / "a.pth", resnet18().state_dict())
    hints = Hints(file_name="my_resnetblur18.pth")
    first, second = choices_of(found, hints)
    assert not first.facts
    assert second.facts == ("The file is called `my_resnetblur18.pth`.",)


def test_where_none_fits_the_nearest_are_told_with_their_share(
    lookup: Lookup, tmp_path: Path
) -> None:
    model = timm.create_model("resnet26d", num_classes=3).state_dict()
    body = {key: value for key, value in model.items() if not key.startswith("layer4.1.bn")}
    found, _ = identified(lookup, tmp_path / "a.pth", body)
    first, *others = choices_of(found, Hints())
    assert others
    assert not first.fits
    assert first.matches.endswith(" % of its keys match".replace(" ", "\u202f", 1))
    assert not any(choice.arithmetic for choice in (first, *others))
