"""A tensor's kind, told by its name and shape, is what the real network's modules say."""

import pytest
import timm
import torch
from torch import nn
from torchvision import models

from core.keys import STATISTICS, ModuleKind, module_kinds

TORCHVISION = (
    *("alexnet", "vgg11_bn", "resnet18", "densenet121", "inception_v3", "googlenet"),
    *("squeezenet1_1", "mobilenet_v3_small", "efficientnet_b0", "mnasnet0_5"),
    *("shufflenet_v2_x0_5", "convnext_tiny", "swin_t", "swin_v2_t", "vit_b_32", "maxvit_t"),
)
TIMM = (
    *("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto", "mixer_s32_224"),
    *("regnety_002", "levit_128s", "xcit_nano_12_p8_224", "poolformer_s12", "maxvit_tiny_tf_224"),
)


def built(library: str, name: str) -> nn.Module:
    with torch.device("meta"):
        if library == "timm":
            return timm.create_model(name)
        return models.get_model(name, weights=None)


def truth(model: nn.Module) -> dict[str, set[ModuleKind]]:
    """What each tensor may be said to be, by the class of the module that holds it."""
    found = {}
    for path, module in model.named_modules():
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, _ in tensors:
            key = f"{path}.{name}" if path else name
            if name in STATISTICS:
                found[key] = {ModuleKind.STATISTICS}
            elif "Norm" in type(module).__name__:
                found[key] = {ModuleKind.NORM}
            elif isinstance(module, nn.MultiheadAttention):
                found[key] = {ModuleKind.ATTENTION}
            elif isinstance(module, nn.Conv2d):
                found[key] = {ModuleKind.CONV, ModuleKind.ATTENTION, ModuleKind.HEAD}
            elif isinstance(module, nn.Linear):
                found[key] = {ModuleKind.LINEAR, ModuleKind.ATTENTION, ModuleKind.HEAD}
    return found


@pytest.mark.parametrize(
    ("library", "name"),
    [*(("torchvision", name) for name in TORCHVISION), *(("timm", name) for name in TIMM)],
)
def test_kinds_are_those_of_the_modules(library, name):
    model = built(library, name)
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    found = module_kinds(shapes)
    assert list(found) == list(shapes)
    wrong = {
        key: found[key]
        for key, may in truth(model).items()
        if key in found and found[key] not in may
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("resnet18", "fc"),
        ("vgg11_bn", "classifier.6"),
        ("vit_b_32", "heads.head"),
        ("swin_t", "head"),
        ("squeezenet1_1", "classifier.1"),
    ],
)
def test_the_last_module_that_is_called_a_head_is_the_head(name, head):
    shapes = {key: tuple(one.shape) for key, one in built("torchvision", name).state_dict().items()}
    heads = {key for key, kind in module_kinds(shapes).items() if kind is ModuleKind.HEAD}
    assert {f"{head}.weight", f"{head}.bias"} <= heads
    assert all(key.startswith(head.partition(".")[0]) for key in heads)


def test_attention_and_embeddings_are_told_by_their_names():
    found = module_kinds(
        {
            "transformer.wte.weight": (50, 8),
            "transformer.h.0.attn.c_attn.weight": (8, 24),
            "transformer.h.0.attn.c_attn.bias": (24,),
            "transformer.h.0.ln_1.weight": (8,),
            "transformer.h.0.mlp.c_fc.weight": (8, 32),
            "model.layers.0.self_attn.q_proj.weight": (8, 8),
            "lm_head.weight": (50, 8),
        }
    )
    assert [str(kind) for kind in found.values()] == [
        *("embedding", "attention", "attention", "norm", "linear", "attention", "head"),
    ]


@pytest.mark.parametrize(
    ("key", "shape", "kind"),
    [
        ("shared.weight", (50, 8), ModuleKind.EMBEDDING),
        ("model.layers.0.mlp.shared_expert.up_proj.weight", (8, 8), ModuleKind.LINEAR),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", (8, 8), ModuleKind.ATTENTION),
        ("decoder.block.0.layer.1.EncDecAttention.k.weight", (8, 8), ModuleKind.ATTENTION),
        ("encoder.block.0.layer.0.layer_norm.weight", (8,), ModuleKind.NORM),
        ("encoder.block.0.layer.1.DenseReluDense.wi.weight", (8, 8), ModuleKind.LINEAR),
        ("bert.encoder.layer.0.attention.self.query.bias", (8,), ModuleKind.ATTENTION),
        ("bert.encoder.layer.0.attention.output.LayerNorm.weight", (8,), ModuleKind.NORM),
        ("bert.embeddings.word_embeddings.weight", (50, 8), ModuleKind.EMBEDDING),
        ("vit.encoder.layer.0.layernorm_before.weight", (8,), ModuleKind.NORM),
        ("stages.0.blocks.1.xca.qkv.weight", (24, 8), ModuleKind.ATTENTION),
        ("logit_scale", (), ModuleKind.OTHER),
    ],
)
def test_the_names_of_transformers_are_known(key, shape, kind):
    assert module_kinds({key: shape})[key] is kind


def test_names_that_mean_nothing_do_no_harm():
    assert module_kinds({}) == {}
    assert module_kinds({"": (), ".": (2,), "a": (3, 3)}) == {
        "": ModuleKind.OTHER,
        ".": ModuleKind.OTHER,
        "a": ModuleKind.LINEAR,
    }
