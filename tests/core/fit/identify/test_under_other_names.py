"""Which architecture a file is for whose names no architecture has: transformers' networks, and
people's own."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import transformers
from torch import nn
from torchvision.models import googlenet, resnet18

from core.architectures import matrix_form, parse_architecture, signature
from core.checkpoint import open_checkpoint
from core.fit.identify import identify
from core.fit.index import Lookup
from core.fit.index.index import make_index
from core.load import load_model
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.fit.align.models import varied
from tests.core.fit.identify.files import classifier, told
from tests.core.fit.renamed_networks import linear, prefixed, renamed, resnet, turned, without

pytestmark = pytest.mark.slow

HAS = "Under other key names this has the tensors of"

TINY = {
    "hidden_size": 192,
    "num_hidden_layers": 12,
    "num_attention_heads": 3,
    "intermediate_size": 768,
}
"""The size of timm's tiny vision transformers."""


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: classifier("ViT", **TINY),
            f"{HAS} a timm vit_tiny_patch16_224 with 7 classes.",
        ),
        (
            lambda: classifier("ViT", **TINY, image_size=64, num_channels=1),
            f"{HAS} a timm vit_tiny_patch16_224 with images of 64\u202fpx, "
            "1 input channel and 7 classes.",
        ),
        (
            lambda: classifier(
                "ResNet",
                hidden_sizes=[64, 128, 256, 512],
                depths=[2, 2, 2, 2],
                layer_type="basic",
            ),
            f"{HAS} a torchvision resnet18 with 7 classes.",
        ),
        (
            lambda: classifier("MobileNetV2"),
            f"{HAS} a torchvision mobilenet_v2 with 7 classes or of a timm "
            "mobilenetv2_100 with 7 classes. Its key names are those of transformers' MobileNetV2, "
            "which computes something else unless it was configured otherwise: padding SAME, "
            "BatchNorm eps 0.001.",
        ),
        (
            lambda: classifier("MobileViT"),
            f"{HAS} a timm mobilevit_s with 7 classes.",
        ),
        (
            lambda: classifier("Swin"),
            f"{HAS} a timm swin_tiny_patch4_window7_224 with 7 classes.",
        ),
    ],
    ids=["vit", "small_grey_vit", "resnet", "mobilenet", "mobilevit", "swin"],
)
def test_networks_of_transformers_are_told_by_their_shapes_and_give_the_same(
    lookup: Lookup, tmp_path: Path, build: Callable[[], nn.Module], sentence: str
) -> None:
    torch.manual_seed(0)
    model = build()
    found = told(lookup, tmp_path / "a.pth", model.state_dict())
    assert found.sentence.startswith(sentence)
    assert found.known
    best = found.candidates[0]
    assert best.fits
    assert best.renamed
    repaired = apply_recipe(best.recipe, open_checkpoint(tmp_path / "a.pth").state_dict())
    here = load_model(repaired.state_dict, best.architecture).model
    size = dict(best.architecture.options).get("img_size", 224)
    channels = dict(best.architecture.options).get("in_chans", 3)
    image = torch.randn(1, channels, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = model.eval()(pixel_values=image).logits
        torch.testing.assert_close(here(image), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "beside",
    [
        linear("gcn", 512, 512),
        {"cbam.fc1.weight": torch.randn(32, 512), "cbam.fc2.weight": torch.randn(512, 32)},
    ],
    ids=["gcn", "cbam"],
)
def test_what_is_under_its_own_names_beside_another_layer_is_not_under_other_names(
    lookup: Lookup, tmp_path: Path, beside: dict[str, torch.Tensor]
) -> None:
    trunk = prefixed("net.", without(resnet(), "fc"))
    found = told(lookup, tmp_path / "a.pth", trunk | beside | linear("fc", 7, 512))
    assert found.sentence.startswith(
        "By its tensors this is a timm resnet18, without a head, saved under `net.`; "
        f"`{next(iter(beside)).split('.')[0]}.*` and `fc.*` are left out."
    )
    best = found.candidates[0]
    assert not best.renamed
    assert best.evidence[0] == "120 of 120 keys match in name and shape."
    assert "Models of the same shapes" not in " ".join(best.evidence)


def test_an_encoder_beside_its_decoder_is_found_under_its_prefix(
    lookup: Lookup, tmp_path: Path
) -> None:
    config = transformers.ViTMAEConfig(
        **TINY, decoder_hidden_size=96, decoder_num_attention_heads=3
    )
    model = transformers.ViTMAEForPreTraining(config)
    found = told(lookup, tmp_path / "a.pth", model.state_dict())
    best = found.candidates[0]
    assert found.sentence == (
        f"{HAS} a timm vit_tiny_patch16_224, without a head, saved under "
        "`vit.`; `decoder.*` is left out."
    )
    repaired = apply_recipe(best.recipe, open_checkpoint(tmp_path / "a.pth").state_dict())
    query = model.state_dict()["vit.layers.3.attention.q_proj.weight"]
    fused = read_tensor(repaired.state_dict["blocks.3.attn.qkv.weight"])
    assert torch.equal(fused[:192], query)


def test_a_network_of_ones_own_names_is_told_with_its_options(
    lookup: Lookup, tmp_path: Path
) -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            model = resnet18(num_classes=3)
            model.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
            self.entry = nn.Sequential(model.conv1, model.bn1)
            self.groups = nn.ModuleList([model.layer1, model.layer2, model.layer3, model.layer4])
            self.exit = model.fc

    found = told(lookup, tmp_path / "a.pth", Mine().state_dict())
    best = found.candidates[0]
    assert best.architecture == parse_architecture("timm:resnet18?in_chans=1&num_classes=3")
    repaired = apply_recipe(best.recipe, open_checkpoint(tmp_path / "a.pth").state_dict())
    load_model(repaired.state_dict, best.architecture)


@pytest.mark.parametrize("aux_logits", [True, False])
def test_auxiliary_heads_under_other_names_are_told(
    lookup: Lookup, tmp_path: Path, aux_logits: bool
) -> None:
    model = googlenet(num_classes=9, aux_logits=aux_logits, init_weights=False)
    children = [module for module in model.children() if any(True for _ in module.parameters())]
    found = told(lookup, tmp_path / "a.pth", nn.Sequential(*children).state_dict())
    best = found.candidates[0]
    assert best.fits
    assert dict(best.architecture.options) == {"num_classes": 9} | (
        {} if aux_logits else {"aux_logits": 0}
    )
    assert best.architecture.name == "googlenet"


Tensors = dict[str, torch.Tensor]


def detectron2s(tensors: Tensors) -> Tensors:
    """torchvision's ResNet as detectron2 has it, with a part of its other networks."""

    def name(key: str) -> str:
        key = re.sub(r"^layer(\d)", lambda found: f"res{int(found[1]) + 1}", key)
        key = re.sub(r"bn(\d)", r"conv\1.norm", key)
        key = key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        return f"backbone.bottom_up.{'stem.' if key.startswith('conv1') else ''}{key}"

    kept = {key: value for key, value in tensors.items() if not key.startswith("fc.")}
    return {
        **{name(key): value for key, value in kept.items() if "batches" not in key},
        "backbone.fpn_lateral2.weight": torch.zeros(256, 64, 1, 1),
        "roi_heads.box_head.fc1.weight": torch.zeros(1024, 12544),
    }


def sequential(tensors: Tensors) -> Tensors:
    """torchvision's ResNet without its head as a Sequential of its children, as in fastai."""
    model = resnet18()
    model.load_state_dict(tensors)
    body = nn.Sequential(*[*model.children()][:-2])
    head = nn.Sequential(nn.BatchNorm1d(512), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 4))
    return nn.Sequential(body, head).state_dict()


def pytorchcvs(tensors: Tensors) -> Tensors:
    """As pytorchcv names a ResNet: a network that has no head has all of `features.` too."""
    names = (
        (r"^conv1\.0\.", "features.init_block.conv1.conv."),
        (r"^conv1\.1\.", "features.init_block.conv1.bn."),
        (r"^conv1\.3\.", "features.init_block.conv2.conv."),
        (r"^conv1\.4\.", "features.init_block.conv2.bn."),
        (r"^conv1\.6\.", "features.init_block.conv3.conv."),
        (r"^bn1\.", "features.init_block.conv3.bn."),
        (r"^layer(\d)\.(\d)\.(conv|bn)(\d)\.", r"features.stage\1.unit\2.body.conv\4.\3."),
        (r"^layer(\d)\.(\d)\.downsample\.0\.", r"features.stage\1.unit\2.identity_block.conv."),
        (r"^layer(\d)\.(\d)\.downsample\.1\.", r"features.stage\1.unit\2.identity_block.bn."),
        (r"^fc\.", "output."),
    )
    renamed = {}
    for key, tensor in tensors.items():
        pattern, new = next(pair for pair in names if re.search(pair[0], key))
        renamed[re.sub(pattern, new, key)] = tensor
    return renamed


def mmpretrains(tensors: Tensors) -> Tensors:
    """timm's ViT as mmpretrain has it."""
    names = {
        r"^head\.": "head.layers.head.",
        r"^norm\.": "backbone.ln1.",
        r"^(cls_token|pos_embed|patch_embed\.)": r"backbone.\1",
        r"^blocks\.": "backbone.layers.",
        r"\.norm(\d)": r".ln\1",
        r"mlp\.fc1": "ffn.layers.0.0",
        r"mlp\.fc2": "ffn.layers.1",
        r"patch_embed\.proj": "patch_embed.projection",
    }
    found = {}
    for key, value in tensors.items():
        for pattern, new in names.items():
            key = re.sub(pattern, new, key)  # noqa: PLW2901
        found[key] = value
    return found


def chunked(tensors: Tensors) -> Tensors:
    """timm's ViT with its blocks in groups of three, as DINOv2's training has them."""
    return {
        re.sub(r"^blocks\.(\d+)", lambda one: f"blocks.{int(one[1]) // 3}.{one[1]}", key): value
        for key, value in tensors.items()
        if not key.startswith("head.")
    }


@pytest.mark.parametrize(
    ("name", "layout", "sentence"),
    [
        (
            "resnet18",
            detectron2s,
            "timm resnet18, without a head, saved under `backbone.`; `roi_heads.*` and "
            "`backbone.fpn_lateral2.*` are left out.",
        ),
        (
            "resnet18",
            sequential,
            "timm resnet18, without a head, saved under `0.`; `1.*` is left out.",
        ),
        ("resnet50c", pytorchcvs, "timm resnet50c or of a timm resnet50d"),
        ("vit_tiny_patch16_224", mmpretrains, "timm vit_tiny_patch16_224."),
        ("vit_tiny_patch16_224", chunked, "timm vit_tiny_patch16_224, without a head."),
    ],
)
def test_other_peoples_layouts_are_told_and_every_tensor_finds_its_place(
    lookup: Lookup,
    tmp_path: Path,
    name: str,
    layout: Callable[[Tensors], Tensors],
    sentence: str,
) -> None:
    torch.manual_seed(0)
    tensors = varied(timm.create_model(name)).state_dict()
    torch.save(layout(tensors), tmp_path / "a.pth")
    state_dict = open_checkpoint(tmp_path / "a.pth").state_dict()
    found = identify(state_dict, lookup)
    assert found.sentence.startswith(f"{HAS} a {sentence}")
    best = found.candidates[0]
    wanted = signature(best.architecture)
    repaired = apply_recipe(best.recipe, state_dict, wanted).state_dict
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    assert set(repaired) | counters == set(wanted)
    assert all(torch.equal(read_tensor(entry), tensors[key]) for key, entry in repaired.items())


@pytest.mark.parametrize(
    "build",
    [
        lambda: transformers.BertModel(transformers.BertConfig(vocab_size=100, **TINY)),
        lambda: transformers.LlamaModel(transformers.LlamaConfig(vocab_size=100, **TINY)),
        lambda: transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**TINY)),
        lambda: nn.Sequential(*(nn.Linear(8, 8) for _ in range(12))),
    ],
    ids=["bert", "llama", "wav2vec2", "linear"],
)
def test_what_has_the_blocks_of_a_network_but_not_its_input_is_none(
    lookup: Lookup, tmp_path: Path, build: Callable[[], nn.Module]
) -> None:
    found = told(lookup, tmp_path / "a.pth", build().state_dict())
    assert not found.known
    assert not any(candidate.renamed for candidate in found.candidates)


PADDLE = (r"running_mean$", "_mean"), (r"running_var$", "_variance")


def test_the_classes_of_a_head_that_paddle_stores_transposed_are_counted(
    lookup: Lookup, tmp_path: Path
) -> None:
    own = without(resnet(classes=5), "num_batches_tracked$")
    best = told(lookup, tmp_path / "a.pth", turned(renamed(own, *PADDLE))).candidates[0]
    assert best.fits
    assert best.architecture.key == "torchvision:resnet18?num_classes=5"
    file, wanted = open_checkpoint(tmp_path / "a.pth").state_dict(), signature(best.architecture)
    repaired = apply_recipe(best.recipe, file, wanted).state_dict
    assert all(torch.equal(read_tensor(repaired[key]), value) for key, value in own.items())


def test_a_layer_of_few_inputs_is_not_turned_into_a_head(lookup: Lookup, tmp_path: Path) -> None:
    own = without(resnet(classes=5), "num_batches_tracked$|^fc")
    tensors = {**renamed(own, *PADDLE), **linear("fc", 512, 5)}
    best = told(lookup, tmp_path / "a.pth", tensors).candidates[0]
    assert "fc.weight" in best.left_out or not best.fits


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 3, 7, 7), ((64, 3, 7, 7), 1)),
        ((64, 48, 1, 1), ((48, 64), 1)),
        ((48, 64), ((48, 64), 1)),
        ((192, 64), ((64, 64), 3)),
        ((64, 192), ((64, 64), 3)),
        ((64, 64), ((64, 64), 1)),
        ((1, 1, 64), ((), 0)),
        ((), ((), 0)),
        ((0, 0), ((0, 0), 1)),
        ((0, 64), ((0, 64), 1)),
    ],
)
def test_the_form_of_a_tensor_is_what_libraries_agree_in(
    shape: tuple[int, ...], expected: tuple[tuple[int, ...], int]
) -> None:
    assert matrix_form(shape) == expected


def test_shapes_of_any_length_are_looked_at(lookup: Lookup, tmp_path: Path) -> None:
    strange = {
        **{f"vector{number}": torch.empty(2**60, device="meta") for number in range(10)},
        "matrices": torch.empty(2**30, 2**30, device="meta"),
        "a": torch.zeros(0, 0),
        "b": torch.zeros(0, 3, 3, 3),
    }
    torch.save({**resnet18().state_dict(), **strange}, tmp_path / "a.pth")
    state_dict = open_checkpoint(tmp_path / "a.pth").state_dict()
    assert identify(state_dict, lookup).candidates[0].architecture.name == "resnet18"
    torch.save({f"{key}.0": value for key, value in strange.items()}, tmp_path / "b.pth")
    assert not identify(open_checkpoint(tmp_path / "b.pth").state_dict(), lookup).known


def test_an_index_of_nothing_tells_nothing(tmp_path: Path) -> None:
    torch.save(resnet18().state_dict(), tmp_path / "a.pth")
    state_dict = open_checkpoint(tmp_path / "a.pth").state_dict()
    assert not identify(state_dict, Lookup(make_index({}, ()))).candidates
