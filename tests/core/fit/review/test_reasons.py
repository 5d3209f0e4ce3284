"""What speaks for an architecture, and what is to be looked at before it is taken."""

from pathlib import Path

import pytest
from torchvision.models import resnet18

from core.architectures import Architecture, Stated, signature
from core.fit import match
from core.fit.identify import Hints
from core.fit.index import Lookup
from core.fit.lookalikes import known_facts
from core.fit.review import reasons_for
from tests.core.fit.review.files import identified

RESNET = Architecture("torchvision", "resnet18")


def test_the_keys_the_files_word_and_its_classes_speak_for_it(saved) -> None:
    state_dict = saved(resnet18().state_dict())
    reasons = reasons_for(
        RESNET,
        match(state_dict, signature(RESNET)),
        Hints(names=(("arch", "resnet18"),)),
        classes=1000,
    )
    assert [(reason.sentence, reason.speaks_for) for reason in reasons] == [
        ("122 of 122 keys match in name and shape", True),
        ("The file says `arch` is `resnet18`", True),
        ("The file’s last layer has 1\u202f000 classes", True),
    ]


def test_what_contradicts_it_is_to_be_looked_at(saved) -> None:
    state_dict = saved(resnet18(num_classes=10).state_dict())
    reasons = reasons_for(
        RESNET,
        match(state_dict, signature(RESNET)),
        Hints(names=(("arch", "resnet34"),)),
        stated=Stated(Architecture("torchvision", "resnet34"), "arch"),
        classes=10,
        other_classes=10,
        remarks=("The file has another copy.",),
    )
    assert [reason.sentence for reason in reasons if not reason.speaks_for] == [
        "120 of 122 keys match in name and shape",
        "The file says `arch` is `resnet34`",
        "The file’s last layer has 10 classes, the model’s another number",
        "The file has another copy.",
    ]


@pytest.mark.skipif(not known_facts(), reason="other versions than the facts'")
def test_what_else_takes_the_same_tensors_is_told(lookup: Lookup, tmp_path: Path) -> None:
    found, state_dict = identified(lookup, tmp_path / "a.pth", resnet18().state_dict())
    reasons = reasons_for(
        RESNET,
        match(state_dict, signature(RESNET)),
        Hints(),
        candidate=found.candidates[0],
    )
    assert [reason.sentence for reason in reasons if not reason.speaks_for] == [
        "timm resnetblur18 takes the same tensors and computes something else"
    ]


@pytest.mark.skipif(not known_facts(), reason="other versions than the facts'")
def test_a_sure_file_proves_only_what_computes_the_same(lookup: Lookup, tmp_path: Path) -> None:
    found, _ = identified(lookup, tmp_path / "resnet18.pth", resnet18().state_dict())
    assert found.proves(RESNET)
    assert found.proves(Architecture("timm", "resnet18"))
    assert not found.proves(Architecture("timm", "resnetblur18"))
