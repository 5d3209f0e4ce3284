"""A load in words: its options before it, and afterwards what is loaded and how it went."""

from pathlib import Path

import torch
from torchvision.models import shufflenet_v2_x0_5

from core.architectures import Architecture, signature
from core.checkpoint import open_checkpoint
from core.fit import match
from core.fixes import Recipe
from core.load import (
    LoadOutcome,
    ModelRequest,
    load_requested,
    load_words,
    loaded_headline,
    own_dtype,
    smoke_run,
)

NETWORK = Architecture("torchvision", "shufflenet_v2_x0_5", (("num_classes", 10),))


def loaded(path: Path, body: object, *, strict: bool) -> tuple[LoadOutcome, str, str]:
    torch.save(body, path)
    checkpoint = open_checkpoint(path)
    state_dict = checkpoint.state_dict()
    request = ModelRequest(checkpoint.identity, "", Recipe(), NETWORK, strict=strict)
    model = load_requested(request, state_dict)
    left = len(signature(NETWORK)) - len(state_dict)
    outcome = LoadOutcome(
        *(request, False, model.seconds, model.nbytes, left, model.notes),
        *(model.bytes_per_second, model.effects, smoke_run(model)),
    )
    told = loaded_headline(request, match(state_dict, signature(NETWORK)), outcome)
    return outcome, told.title, told.evidence


def test_a_strict_load_is_told_with_its_time_and_its_trial_pass(tmp_path: Path) -> None:
    body = shufflenet_v2_x0_5(num_classes=10).state_dict()
    outcome, title, evidence = loaded(tmp_path / "a.pth", body, strict=True)
    assert title == ("Loaded as torchvision shufflenet_v2_x0_5 with 10 classes: all 338 keys match")
    assert evidence.startswith("On cpu in ")
    assert ", strict, 1.44\u202fMB of weights. A random input gave 1 × 10 in " in evidence
    assert "1.44\u202fMB" in outcome.took


def test_a_partial_load_says_how_much_is_from_the_file(tmp_path: Path) -> None:
    body = shufflenet_v2_x0_5(num_classes=10).state_dict()
    without_head = {key: value for key, value in body.items() if not key.startswith("fc.")}
    _, title, evidence = loaded(tmp_path / "a.pth", without_head, strict=False)
    assert title.endswith(": 336 of 338 keys are from the file")
    assert "2 keys keep initial values." in evidence


def test_a_model_of_another_session_is_told_as_shared() -> None:
    request = ModelRequest("a", "", Recipe(), NETWORK)
    wanted = match({}, signature(NETWORK))  # type: ignore[arg-type]
    assert "and is shared" in loaded_headline(request, wanted, None).evidence


def test_the_options_of_a_load_are_one_line() -> None:
    own = own_dtype(signature(NETWORK))
    assert load_words("cpu", None, True, (), own) == (
        "cpu, float32 as in the model, strict: every key must match"
    )
    assert load_words("cuda:0", "float16", False, ("channels_last",), own) == (
        "cuda:0, float16, channels_last, partial"
    )
