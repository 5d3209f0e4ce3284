"""Which architecture a file is for: the index that comes with Loupe against files as people save
them."""

import random
from argparse import Namespace
from pathlib import Path

import peft
import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.optim.swa_utils import AveragedModel

from benchmarks.identify import corpus, is_clear, is_right
from benchmarks.identify_corpus import state_dict_of
from core.architectures import Architecture, signature
from core.checkpoint import open_checkpoint
from core.fit.identify import Identification, hints_of, identify
from core.fit.identify.sentences import recipe_words
from core.fit.index import Lookup
from core.fit.key_match import match
from core.fixes import Drop, Recipe, StripPrefix
from core.load import load_model
from core.recipe import apply_recipe
from tests.core.fit.identify.files import told


def names(found: Identification) -> set[str]:
    best = found.candidates[0]
    return {each.plain_key for each in (best.architecture, *best.also)}


def test_a_moco_encoder_without_a_head_is_told_with_the_repair_that_loads_it(
    lookup: Lookup, tmp_path: Path
) -> None:
    model = timm.create_model("resnet26d", num_classes=37)
    body = {key: value for key, value in model.state_dict().items() if not key.startswith("fc.")}
    encoders = {
        f"module.{encoder}.{key}": value
        for encoder in ("encoder_q", "encoder_k")
        for key, value in body.items()
    }
    found = told(
        lookup, tmp_path / "a.pth", {"state_dict": encoders | {"module.queue": torch.zeros(8, 16)}}
    )
    best = found.candidates[0]
    assert best.architecture == Architecture("timm", "resnet26d", (("num_classes", 0),))
    assert found.sentence == (
        "This is a timm resnet26d, without a head, saved from DataParallel inside a MoCo encoder; "
        "`module.encoder_k.*` and `module.queue` are left out."
    )
    repaired = apply_recipe(best.recipe, open_checkpoint(tmp_path / "a.pth").state_dict())
    loaded = load_model(repaired.state_dict, best.architecture).model.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in body.items())


def test_the_number_of_classes_channels_and_the_image_size_are_read_from_the_shapes(
    lookup: Lookup, tmp_path: Path
) -> None:
    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=11, in_chans=5, img_size=160, no_embed_class=False
    )
    found = told(lookup, tmp_path / "a.pth", model.state_dict())
    best = found.candidates[0]
    assert best.fits
    assert "timm:vit_tiny_patch16_224" in names(found)
    assert {"num_classes": 11, "in_chans": 5, "img_size": 160}.items() <= dict(
        best.architecture.options
    ).items()
    wanted = signature(best.architecture)
    assert {key: spec.shape for key, spec in wanted.items()} == {
        key: tuple(value.shape) for key, value in model.state_dict().items()
    }


@pytest.mark.parametrize(
    ("build", "architecture"),
    [
        (
            lambda: torchvision.models.googlenet(
                num_classes=9, aux_logits=False, init_weights=False
            ),
            "torchvision:googlenet?aux_logits=0&num_classes=9",
        ),
        (
            lambda: torchvision.models.segmentation.deeplabv3_mobilenet_v3_large(
                weights_backbone=None, num_classes=5, aux_loss=True
            ),
            "torchvision:deeplabv3_mobilenet_v3_large?aux_loss=1&num_classes=5",
        ),
        (
            lambda: torchvision.models.detection.ssdlite320_mobilenet_v3_large(
                weights_backbone=None, num_classes=4
            ),
            "torchvision:ssdlite320_mobilenet_v3_large?num_classes=4",
        ),
        (
            lambda: torchvision.models.vit_b_32(image_size=96, num_classes=3),
            "torchvision:vit_b_32?image_size=96&num_classes=3",
        ),
        (torchvision.models.video.r3d_18, "torchvision:r3d_18"),
        (torchvision.models.optical_flow.raft_small, "torchvision:raft_small"),
    ],
)
def test_networks_of_every_kind_are_told_with_their_options(
    lookup: Lookup, tmp_path: Path, build, architecture: str
) -> None:
    with torch.device("meta"):
        model = build()
    shapes = {key: torch.zeros(value.shape) for key, value in model.state_dict().items()}
    found = told(lookup, tmp_path / "a.pth", shapes)
    best = found.candidates[0]
    assert best.fits
    assert {each.key for each in (best.architecture, *best.also)} >= {architecture}
    assert not best.recipe.steps


@pytest.mark.parametrize(
    ("name", "size", "told_size"),
    [
        ("vit_so400m_patch14_siglip_gap_384", 384, 384),
        ("vit_so400m_patch14_siglip_gap_384", 520, 518),
        ("efficientvit_m1", 224, 224),
        ("efficientvit_m1", 448, 448),
    ],
)
def test_an_image_size_is_told_where_patches_leave_a_margin_or_a_table_stops_to_grow(
    lookup: Lookup, name: str, size: int, told_size: int
) -> None:
    built = signature(Architecture("timm", name, (("img_size", size),)))
    shapes = {key: spec.shape for key, spec in built.items()}
    best = identify(state_dict_of(shapes), lookup).candidates[0]
    group = [each for each in (best.architecture, *best.also) if each.name == name]
    assert [dict(each.options).get("img_size", size) for each in group] == [told_size]
    assert best.fits
    assert not best.recipe.steps
    assert {key: spec.shape for key, spec in signature(group[0]).items()} == shapes


def test_models_with_the_same_keys_are_one_group_that_names_the_plainest_first(
    lookup: Lookup, tmp_path: Path
) -> None:
    found = told(lookup, tmp_path / "a.pth", torchvision.models.resnet18().state_dict())
    assert found.candidates[0].architecture == Architecture("torchvision", "resnet18")
    assert {"timm:resnet18", "torchvision:quantized_resnet18"} <= names(found)
    assert "same keys and shapes" in " ".join(found.candidates[0].evidence)


@pytest.mark.parametrize(
    ("beside", "name", "evidence"),
    [
        ({"arch": "timm/resnetblur18"}, "a.pth", "The file says `arch` is `timm/resnetblur18`."),
        (
            {"hyper_parameters": {"model_name": "resnetblur18"}},
            "a.pth",
            "The file says `hyper_parameters.model_name` is `resnetblur18`.",
        ),
        (
            {"args": Namespace(arch="resnetblur18")},
            "a.pth",
            "The file says `args.arch` is `resnetblur18`.",
        ),
        ({}, "my_resnetblur18-best.pth", "The file is called `my_resnetblur18-best.pth`."),
    ],
)
def test_what_the_file_says_breaks_a_tie_and_is_named_as_evidence(
    lookup: Lookup, tmp_path: Path, beside: dict[str, object], name: str, evidence: str
) -> None:
    blurred = timm.create_model("resnetblur18").state_dict()
    plain = torchvision.models.resnet18().state_dict()
    assert blurred.keys() == plain.keys()
    found = told(lookup, tmp_path / name, {"state_dict": blurred, **beside})
    assert found.candidates[0].architecture == Architecture("timm", "resnetblur18")
    assert evidence in found.candidates[0].evidence


def test_what_the_file_says_does_not_outweigh_its_tensors(lookup: Lookup, tmp_path: Path) -> None:
    lying = {"arch": "resnet50", "state_dict": torchvision.models.resnet18().state_dict()}
    found = told(lookup, tmp_path / "a.pth", lying)
    assert "torchvision:resnet18" in names(found)
    assert "torchvision:resnet50" not in names(found)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: timm.create_model("resnet18"), "timm:resnet18"),
        (torchvision.models.resnet18, "torchvision:resnet18"),
        (
            lambda: torchvision.models.quantization.resnet18(quantize=False),
            "torchvision:quantized_resnet18",
        ),
        (torchvision.models.densenet121, "torchvision:densenet121"),
    ],
)
def test_the_class_of_a_whole_model_breaks_a_tie(
    lookup: Lookup, tmp_path: Path, build, name: str
) -> None:
    model = build()
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    best = told(lookup, tmp_path / "a.pth", model).candidates[0]
    assert best.architecture.key == name
    assert f"The file contains a `{kind}`." in best.evidence


def test_a_library_in_front_of_a_name_breaks_a_tie_between_the_libraries(
    lookup: Lookup, tmp_path: Path
) -> None:
    weights = torchvision.models.resnet18().state_dict()
    for text, library in (("timm/resnet18", "timm"), ("resnet18", "torchvision")):
        found = told(lookup, tmp_path / "a.pth", {"arch": text, "state_dict": weights})
        assert found.candidates[0].architecture == Architecture(library, "resnet18")


def test_a_name_of_another_library_is_no_evidence(lookup: Lookup, tmp_path: Path) -> None:
    weights = torchvision.models.resnet34().state_dict()
    body = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    found = told(lookup, tmp_path / "a.pth", {"arch": "torchvision.models.resnet34", "net": body})
    whole = Architecture("torchvision", "resnet34")
    headless = Architecture("timm", "resnet34", (("num_classes", 0),))
    evidence = {each.architecture: " ".join(each.evidence) for each in found.candidates}
    assert "The file says" in evidence[whole]
    assert "The file says" not in evidence[headless]


@pytest.mark.parametrize(
    ("average", "own"),
    [
        ("ema.", "net."),
        ("net_ema.", "net."),
        ("shadow.", "network."),
        ("momentum_encoder.", "base_encoder."),
        ("target_network.", "online_network."),
        ("module.encoder_k.", "module.encoder_q."),
        ("student.backbone.", "teacher.backbone."),
    ],
)
def test_of_a_network_and_its_average_the_one_to_use_is_taken_wherever_it_stands(
    lookup: Lookup, average: str, own: str
) -> None:
    shapes = {
        key: spec.shape for key, spec in signature(Architecture("torchvision", "resnet18")).items()
    }
    for prefixes in ((average, own), (own, average)):
        both = state_dict_of({p + key: shape for p in prefixes for key, shape in shapes.items()})
        recipe = identify(both, lookup).candidates[0].recipe
        assert StripPrefix(own) in [step.fix for step in recipe.steps]


def test_the_evidence_names_who_put_parts_into_the_keys_that_are_taken(
    lookup: Lookup, tmp_path: Path
) -> None:
    model = torchvision.models.resnet18()
    averaged = told(lookup, tmp_path / "a.pth", AveragedModel(model).state_dict())
    assert averaged.sentence.startswith(
        "By its tensors this is a torchvision resnet18, saved from "
        "AveragedModel. timm resnetblur18 takes"
    )
    student = {f"student.module.backbone.{key}": v for key, v in model.state_dict().items()}
    teacher = {f"teacher.backbone.{key}": v for key, v in model.state_dict().items()}
    distilled = told(lookup, tmp_path / "b.pth", student | teacher)
    assert distilled.sentence.startswith(
        "By its tensors this is a torchvision resnet18, saved inside a teacher as a backbone; "
        "`student.*` is left out."
    )


def test_an_unknown_network_fits_none_and_its_family_is_guessed(
    lookup: Lookup, tmp_path: Path
) -> None:
    layer = nn.TransformerEncoderLayer(48, 4, 96, batch_first=True)
    own = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
    found = told(lookup, tmp_path / "a.pth", own.state_dict())
    assert not found.known
    assert found.family == "a transformer of 6 blocks of width 48"
    assert "fits" in found.sentence.lower()
    assert found.family in found.sentence


def test_a_file_without_any_known_key_has_no_candidate(lookup: Lookup, tmp_path: Path) -> None:
    strange = {"alpha.w": torch.zeros(3, 4), "beta.w": torch.zeros(4, 3)}
    found = told(lookup, tmp_path / "a.pth", strange)
    assert found.candidates == ()
    assert found.sentence.startswith("No architecture that Loupe knows fits")


@pytest.mark.parametrize(
    ("gone", "extra"), [("", 1), ("", 4), ("classifier.4.", 0)], ids=["1", "4", "headless"]
)
def test_a_network_is_not_taken_for_the_backbone_inside_it(
    lookup: Lookup, tmp_path: Path, gone: str, extra: int
) -> None:
    with torch.device("meta"):
        model = torchvision.models.segmentation.fcn_resnet101(weights_backbone=None)
    shapes = {
        f"net.{key}": torch.zeros(value.shape)
        for key, value in model.state_dict().items()
        if not gone or not key.startswith(gone)
    }
    beside = {f"net.extra_{i}": torch.zeros(2) for i in range(extra)}
    found = told(lookup, tmp_path / "a.pth", shapes | beside)
    assert "torchvision:fcn_resnet101" in names(found)


def test_a_head_apart_is_found_where_many_batch_counters_are_absent(lookup: Lookup) -> None:
    known = signature(Architecture("timm", "hrnet_w18"))
    counters = {key for key in known if key.endswith("num_batches_tracked")}
    assert len(counters) > 256
    shapes = {
        ("head.fc." if key.startswith("classifier.") else "backbone.") + key: spec.shape
        for key, spec in known.items()
        if key not in counters
    }
    best = identify(state_dict_of(shapes), lookup).candidates[0]
    assert best.architecture == Architecture("timm", "hrnet_w18")
    assert best.fits


def test_a_one_channel_file_of_torchvision_gets_its_input_adapted(
    lookup: Lookup, tmp_path: Path
) -> None:
    model = torchvision.models.mobilenet_v2()
    first = model.features[0][0]
    model.features[0][0] = nn.Conv2d(1, first.out_channels, 3, 2, 1, bias=False)
    found = told(lookup, tmp_path / "a.pth", model.state_dict())
    best = found.candidates[0]
    assert best.architecture == Architecture("torchvision", "mobilenet_v2")
    assert best.recipe.steps[0].fix.words().startswith("Adapt the input")
    wanted = signature(best.architecture)
    state_dict = open_checkpoint(tmp_path / "a.pth").state_dict()
    assert match(apply_recipe(best.recipe, state_dict, wanted).state_dict, wanted).fits


@pytest.mark.parametrize(
    ("beside", "path"),
    [
        (lambda average: {"state_dict_ema": average}, "state_dict_ema"),
        (lambda average: {"ema": {"shadow": average, "decay": 0.999}}, "ema.shadow"),
        (
            lambda average: {
                "averaged": {
                    "n_averaged": torch.tensor(3),
                    **{f"module.{key}": value for key, value in average.items()},
                }
            },
            "averaged",
        ),
    ],
)
def test_an_average_in_a_place_of_its_own_is_the_same_network(
    lookup: Lookup, tmp_path: Path, beside, path: str
) -> None:
    weights = torchvision.models.resnet18(num_classes=6).state_dict()
    torch.save({"state_dict": weights, **beside(weights)}, tmp_path / "a.pth")
    checkpoint = open_checkpoint(tmp_path / "a.pth")
    found = [
        identify(checkpoint.state_dict(each), lookup).candidates[0] for each in ("state_dict", path)
    ]
    assert {each.architecture.key for each in found} == {"torchvision:resnet18?num_classes=6"}
    assert all(each.fits for each in found)


def test_an_average_beside_the_weights_fills_no_gap_in_them(lookup: Lookup, tmp_path: Path) -> None:
    weights = torchvision.models.resnet18().state_dict()
    gap = "layer1.0.conv1.weight"
    both = {f"model.{key}": value for key, value in weights.items() if key != gap}
    both |= {f"model_ema.{key}": value for key, value in weights.items() if "conv2" not in key}
    found = told(lookup, tmp_path / "a.pth", both)
    assert found.candidates[0].missing_keys == (gap,)


def test_a_layer_inside_another_copy_fills_no_gap_of_the_same_name_further_out(
    lookup: Lookup, tmp_path: Path
) -> None:
    weights = torchvision.models.resnet18().state_dict()
    body = {key: value for key, value in weights.items() if not key.startswith(("conv1.", "bn1."))}
    both = {
        f"module.{encoder}.{key}": value
        for encoder in ("encoder_q", "encoder_k")
        for key, value in body.items()
    }
    assert "module.encoder_k.layer1.0.bn1.weight" in both
    found = told(lookup, tmp_path / "a.pth", both)
    best = found.candidates[0]
    assert best.architecture == Architecture("torchvision", "resnet18")
    assert set(best.missing_keys) == weights.keys() - body.keys()
    assert not best.mismatched
    repaired = apply_recipe(best.recipe, open_checkpoint(tmp_path / "a.pth").state_dict())
    assert list(repaired.state_dict) == list(body)


def test_only_what_needs_the_same_recipe_is_called_the_same(lookup: Lookup, tmp_path: Path) -> None:
    model = timm.create_model("resnet18", in_chans=4, num_classes=3)
    best = told(lookup, tmp_path / "a.pth", model.state_dict()).candidates[0]
    assert best.architecture.key == "timm:resnet18?in_chans=4&num_classes=3"
    assert not best.recipe.steps
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    for other in best.also:
        assert {key: spec.shape for key, spec in signature(other).items()} == shapes
    assert "torchvision:resnet18?num_classes=3" in {other.key for other in best.adapted}
    assert "once the input convolution is adapted" in " ".join(best.evidence)


def test_another_window_of_a_swin_is_the_same_network_resampled(
    lookup: Lookup, tmp_path: Path
) -> None:
    name = "swin_tiny_patch4_window7_224"
    model = timm.create_model(name, img_size=384, window_size=12, num_classes=3)
    best = told(lookup, tmp_path / "a.pth", model.state_dict()).candidates[0]
    assert (best.architecture.name, dict(best.architecture.options)) == (name, {"num_classes": 3})
    assert best.fits


def test_a_whole_network_is_told_beside_much_else(lookup: Lookup, tmp_path: Path) -> None:
    body = torchvision.models.resnet50(num_classes=5).state_dict()
    decoder = {f"decoder.{i}.weight": torch.zeros(2, 2) for i in range(390)}
    found = told(lookup, tmp_path / "a.pth", body | decoder)
    assert found.sentence.startswith(
        "By its tensors this is a torchvision resnet50 with 5 classes; `decoder.*` is left out."
    )


def test_a_doubt_and_what_is_left_out_besides_are_two_clauses(
    lookup: Lookup, tmp_path: Path
) -> None:
    weights = torchvision.models.resnet18().state_dict()
    weights |= {"extra.weight": torch.randn(7, 3), "other": torch.randn(4)}
    weights |= {f"decoder.{number}.weight": torch.randn(5, 512) for number in range(3)}
    assert told(lookup, tmp_path / "a.pth", weights).sentence.startswith(
        "The nearest is a torchvision resnet18; 2 trained tensors of the network itself are left "
        "out: `extra.weight` and `other`; `decoder.*` is left out."
    )


def test_what_has_two_tensors_of_a_network_is_not_called_near_it(
    lookup: Lookup, tmp_path: Path
) -> None:
    layers = nn.Sequential(nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)).state_dict()
    named = {key.replace("0.", "conv1.").replace("1.", "conv2."): v for key, v in layers.items()}
    found = told(lookup, tmp_path / "a.pth", named)
    assert found.candidates == ()
    assert found.family == "a convolutional network of 2 convolutions, up to 64 channels"


def test_a_name_that_is_not_the_tensors_is_told(lookup: Lookup, tmp_path: Path) -> None:
    tensors = torchvision.models.resnet18().state_dict()
    best = told(lookup, tmp_path / "a.pth", {"arch": "ResNet-50", "model": tensors}).candidates[0]
    assert (
        "The file says `arch` is `ResNet-50`, but its tensors are not those of that architecture."
        in (best.evidence)
    )
    home = {"arch": "/home/optimmer/runs/resnet18", "model": tensors}
    best = told(lookup, tmp_path / "b.pth", home).candidates[0]
    assert best.architecture.key == "torchvision:resnet18"


def test_another_set_of_the_same_weights_is_named(lookup: Lookup, tmp_path: Path) -> None:
    student = nn.DataParallel(torchvision.models.resnet18()).state_dict()
    teacher = torchvision.models.resnet18().state_dict()
    both = {"student": student, "teacher": teacher, "head": nn.Linear(2, 2).state_dict()}
    found = told(lookup, tmp_path / "a.pth", both)
    assert found.candidates[0].evidence[-2:] == (
        "The file also contains tensors of the same shapes in `student`: choose which to use.",
        "`teacher` is taken, which follows the student as its average and is used after training.",
    )
    counters = {key: value for key, value in teacher.items() if not key.endswith("tracked")}
    found = told(lookup, tmp_path / "b.pth", {"model": teacher, "model_ema": counters})
    assert found.candidates[0].evidence[-1] == (
        "The file also contains tensors of the same shapes in `model_ema`: choose which to use."
    )
    parameters = dict(torchvision.models.resnet18().named_parameters())
    momentum = {number: {"momentum_buffer": value} for number, value in enumerate(teacher.values())}
    optimizer = {"state": {key: momentum[key] for key in range(len(parameters))}}
    value = {"model": teacher, "ema": {"shadow": parameters}, "optimizer": optimizer}
    found = told(lookup, tmp_path / "c.pth", value)
    assert found.candidates[0].evidence[-1] == (
        "The file also contains tensors of the same shapes in `ema.shadow`: choose which to use."
    )


def test_another_set_of_nearly_the_same_weights_is_named(lookup: Lookup, tmp_path: Path) -> None:
    whole = torchvision.models.resnet18(num_classes=7).state_dict()
    trunk = {key: value for key, value in whole.items() if not key.startswith("fc.")}
    other = nn.Linear(9, 9).state_dict()
    nearly = "The file also contains tensors of nearly the same shapes in"
    found = told(lookup, tmp_path / "a.pth", {"student": trunk, "teacher": whole, "other": other})
    assert found.candidates[0].evidence[-2:] == (
        f"{nearly} `student`: choose which to use.",
        "`teacher` is taken, which follows the student as its average and is used after training.",
    )
    value = {"netG": trunk, "netD": whole, "netG_ema": trunk}
    torch.save(value, tmp_path / "b.pth")
    checkpoint = open_checkpoint(tmp_path / "b.pth")
    found = identify(chosen := checkpoint.state_dict("netG"), lookup, hints_of(checkpoint, chosen))
    assert found.candidates[0].evidence[-2:] == (
        "The file also contains tensors of the same shapes in `netG_ema`: choose which to use.",
        f"{nearly} `netD`: choose which to use.",
    )


@pytest.mark.parametrize("path", ["", "backbone"])
def test_the_parts_of_a_network_are_no_copies_of_it(tmp_path: Path, path: str) -> None:
    whole = torchvision.models.resnet18(num_classes=7).state_dict()
    head = {key[3:]: whole.pop(key) for key in ("fc.weight", "fc.bias")}
    torch.save({"backbone": whole, "head": head}, tmp_path / "a.pth")
    checkpoint = open_checkpoint(tmp_path / "a.pth")
    hints = hints_of(checkpoint, checkpoint.state_dict(path))
    assert hints.twins == hints.near_twins == ()


def test_adapters_without_an_alpha_are_named_where_they_keep_a_network_from_fitting(
    lookup: Lookup, tmp_path: Path
) -> None:
    config = peft.LoraConfig(r=4, target_modules=["qkv"])
    adapted = peft.get_peft_model(timm.create_model("vit_tiny_patch16_224"), config)
    found = told(lookup, tmp_path / "a.pth", adapted.state_dict())
    assert found.sentence.startswith("The nearest is a timm vit_tiny_patch16_224")
    assert found.sentence.endswith(
        "12 LoRA adapters are not merged, since the file has no alpha that states the scale."
    )


@pytest.mark.parametrize(
    ("tensors", "family"),
    [
        (nn.LSTM(8, 16, 2).state_dict(), "a recurrent network of 2 layers"),
        (
            nn.Sequential(nn.Conv2d(3, 8, 4), *(nn.Linear(8, 8) for _ in range(5))).state_dict(),
            "a model of 5 linear layers and 1 convolution",
        ),
        (
            {
                "h.0.attn.c_attn.weight": torch.zeros(48, 144),
                "h.1.attn.c_attn.weight": torch.zeros(48, 144),
            },
            "a transformer of 2 blocks of width 48",
        ),
        (
            {
                f"block.{stage}.{i}.attention.self.query.weight": torch.zeros(width, width)
                for stage, width in enumerate((32, 64, 160))
                for i in range(2)
            },
            "a transformer of 6 blocks of widths from 32 to 160",
        ),
        (
            {"0.exp_avg": torch.zeros(4, 4), "0.exp_avg_sq": torch.zeros(4, 4)},
            "the state of an optimizer, not a model",
        ),
        (
            {"0.step": torch.zeros(1), "0.square_avg": torch.zeros(4, 4)},
            "the state of an optimizer, not a model",
        ),
        (
            {"a.weight": torch.zeros(4, 4), "b.weight": torch.zeros(4, 4), "step": torch.zeros(1)},
            "a model of 2 linear layers",
        ),
        (
            {f"layers.{i}.mha.wq.weight": torch.zeros(8, 8) for i in range(3)},
            "a transformer of 3 blocks of width 8",
        ),
        (
            {
                f"blocks.{i}.qkv.lora_{part}.default.weight": torch.zeros(4, 4)
                for part in "AB"
                for i in range(3)
            },
            "a set of LoRA adapters for 3 layers, without the weights that they change",
        ),
        (
            {f"layers.{i}.mixer.in_proj.weight": torch.zeros(32, 8) for i in range(3)}
            | {"value.weight": torch.zeros(1, 8)},
            "a model of 4 linear layers",
        ),
    ],
    ids=["lstm", "linear", "gpt2", "stages", "adam", "rmsprop", "counter", "mha", "lora", "mamba"],
)
def test_the_family_is_what_the_layers_say(
    lookup: Lookup, tmp_path: Path, tensors: dict[str, torch.Tensor], family: str
) -> None:
    assert told(lookup, tmp_path / "a.pth", tensors).family == family


def test_a_file_of_very_many_keys_is_told_to_be_looked_at_in_part(lookup: Lookup) -> None:
    strange = {f"{'a.' * 60}{i}.conv1.weight": (64, 3, 7, 7) for i in range(30_000)}
    known = signature(Architecture("torchvision", "resnet18"))
    late = state_dict_of(strange | {key: spec.shape for key, spec in known.items()})
    found = identify(late, lookup)
    assert not found.known
    assert found.family.startswith(
        "a ResNet-like convolutional network of 30\u202f020 convolutions"
    )
    assert found.sentence.endswith(" Only the first 20\u202f000 of its 30\u202f122 keys were used.")


def test_a_key_longer_than_any_path_is_dropped_from_beside_the_network(lookup: Lookup) -> None:
    known = signature(Architecture("torchvision", "resnet18"))
    shapes = {key: spec.shape for key, spec in known.items()}
    found = identify(state_dict_of(shapes | {"module." * 500_000 + "weight": (7,)}), lookup)
    assert found.candidates[0].architecture == Architecture("torchvision", "resnet18")
    assert [step.fix for step in found.candidates[0].recipe.steps] == [Drop("module.*")]
    assert not found.candidates[0].fits
    assert "left out" in found.sentence


@pytest.mark.slow
def test_a_seeded_slice_of_the_corpus_is_told_right(lookup: Lookup) -> None:
    chance = random.Random(20)
    every = 71
    judged = [
        (case, identify(case.state_dict, lookup))
        for case in corpus(lookup.index, every, chance.randrange(1000), all_pairs=False)
    ]
    wrong = [
        f"{case.model.architecture.key} | {case.wrapping} | {case.change}: {found.sentence}"
        for case, found in judged
        if not is_right(case, found) and is_clear(case, found)
    ]
    assert len(judged) > 300
    assert len(wrong) <= 0.005 * len(judged), wrong


def test_a_long_pattern_of_what_is_dropped_is_not_told_in_a_line() -> None:
    one = Recipe.of((StripPrefix("module."), Drop("fc.*")))
    assert recipe_words(one) == "Strip `module.`; Drop `fc.*`"
    assert recipe_words(Recipe.of((Drop("^(?:a|b)$" * 20, "regex"),))) == "Drop the other keys"


@pytest.mark.parametrize("name", ["deit3_base_patch16_224", "vit_base_patch14_reg4_dinov2"])
def test_a_network_that_lacks_some_of_its_layer_scale_is_still_that_network(
    lookup: Lookup, name: str
) -> None:
    wanted = signature(Architecture("timm", name))
    gone = {
        key for block in (0, 1, 4, 8) for key in wanted if key.startswith(f"blocks.{block}.ls1.")
    }
    file = state_dict_of({key: spec.shape for key, spec in wanted.items() if key not in gone})
    best = identify(file, lookup).candidates[0]
    assert best.architecture.name == name
    assert set(best.missing_keys) == gone
