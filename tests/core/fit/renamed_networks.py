"""State_dicts of small networks under the names that people and other libraries give them."""

import re
from collections.abc import Mapping
from functools import cache

import timm
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

Weights = dict[str, Tensor]

DETECTRON2 = (
    *((rf"layer{stage}\b", f"res{stage + 1}") for stage in (1, 2, 3, 4)),
    (r"bn(\d)", r"conv\1.norm"),
    (r"downsample\.0", "shortcut"),
    (r"downsample\.1", "shortcut.norm"),
)

MMPRETRAIN = (
    (r"^blocks", "backbone.layers"),
    (r"^(cls_token|pos_embed)", r"backbone.\1"),
    (r"^patch_embed\.proj", "backbone.patch_embed.projection"),
    (r"norm(\d)", r"ln\1"),
    (r"mlp\.fc1", "ffn.layers.0.0"),
    (r"mlp\.fc2", "ffn.layers.1"),
    (r"^norm\.", "backbone.ln1."),
    (r"^head\.", "head.layers.head."),
)

HUGGING_FACE = (
    (r"blocks", "encoder.layer"),
    (r"attn\.proj", "attention.output.dense"),
    (r"norm1", "layernorm_before"),
    (r"norm2", "layernorm_after"),
    (r"mlp\.fc1", "intermediate.dense"),
    (r"mlp\.fc2", "output.dense"),
    (r"^norm\.", "layernorm."),
    (r"^head", "classifier"),
    (r"^cls_token", "embeddings.cls_token"),
    (r"^pos_embed", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj", "embeddings.patch_embeddings.projection"),
)


def trained(model: nn.Module, seed: int = 0) -> Weights:
    """The model's state_dict with numbers of which no two tensors have the same."""
    dice = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(value.shape, generator=dice) / 10
        if value.is_floating_point()
        else value + seed + 1
        for key, value in model.state_dict().items()
    }


@cache
def resnet(seed: int = 1, classes: int = 1000) -> Weights:
    return trained(resnet18(num_classes=classes), seed)


@cache
def vit(seed: int = 1, **options: object) -> Weights:
    return trained(timm.create_model("vit_tiny_patch16_224", **options), seed)


def prefixed(prefix: str, weights: Mapping[str, Tensor]) -> Weights:
    return {prefix + key: value for key, value in weights.items()}


def renamed(weights: Mapping[str, Tensor], *names: tuple[str, str]) -> Weights:
    """The tensors with each regex replaced in their keys, one after the other."""
    new: Weights = {}
    for old, value in weights.items():
        key = old
        for pattern, name in names:
            key = re.sub(pattern, name, key)
        new[key] = value
    assert len(new) == len(weights)
    return new


def without(weights: Mapping[str, Tensor], pattern: str) -> Weights:
    return {key: value for key, value in weights.items() if not re.search(pattern, key)}


def turned(weights: Mapping[str, Tensor], pattern: str = "") -> Weights:
    """The matrices whose keys have the pattern with rows and columns exchanged, as Conv1D's."""
    return {
        key: value.T.contiguous() if value.ndim == 2 and re.search(pattern, key) else value
        for key, value in weights.items()
    }


def own_biases(weights: Mapping[str, Tensor]) -> Weights:
    """The weights as BEiT and EVA write them: q_bias and v_bias beside qkv.weight."""
    new: Weights = {}
    for key, value in weights.items():
        if key.endswith("qkv.bias"):
            q, _, v = value.chunk(3)
            start = key.removesuffix("qkv.bias")
            new |= {f"{start}q_bias": q.clone(), f"{start}v_bias": v.clone()}
        else:
            new[key] = value
    return new


def linear(path: str, outputs: int, inputs: int) -> Weights:
    return prefixed(f"{path}.", trained(nn.Linear(inputs, outputs), outputs))


def batch_norm(path: str, width: int) -> Weights:
    return prefixed(f"{path}.", trained(nn.BatchNorm1d(width), width))


def apart(weights: Mapping[str, Tensor], names: tuple[str, str, str], order: str) -> Weights:
    """Hugging Face's ViT: q, k and v are three layers called `names`, written in the `order`."""
    new: Weights = {}
    for key, value in weights.items():
        if ".qkv." in key:
            parts = dict(zip("qkv", zip(names, value.chunk(3), strict=True), strict=True))
            for letter in order:
                name, part = parts[letter]
                new[key.replace("attn.qkv", f"attention.attention.{name}")] = part.clone()
        else:
            new[key] = value
    return renamed(new, *HUGGING_FACE)


def _under_their_own_names(key: str) -> str:
    """A key of timm's EfficientNet as efficientnet_pytorch names it; blocks count through."""
    key = re.sub(r"^conv_stem\.", "_conv_stem.", key)
    key = re.sub(r"^conv_head\.", "_conv_head.", key)
    key = re.sub(r"^bn1\.", "_bn0.", key)
    key = re.sub(r"^bn2\.", "_bn1.", key)
    return re.sub(r"^classifier\.", "_fc.", key)


def efficientnet_pytorch_names(weights: Mapping[str, Tensor]) -> Weights:
    """The tensors of timm's EfficientNet under the key names of efficientnet_pytorch."""
    theirs: Weights = {}
    numbers: dict[str, int] = {}
    for key, value in weights.items():
        found = re.match(r"blocks\.(\d+\.\d+)\.(.*)", key)
        if found is None:
            theirs[_under_their_own_names(key)] = value
            continue
        place, rest = found.groups()
        number = numbers.setdefault(place, len(numbers))
        parts = {
            "conv_pw": "_expand_conv",
            "bn1": "_bn0",
            "conv_dw": "_depthwise_conv",
            "bn2": "_bn1",
            "se.conv_reduce": "_se_reduce",
            "se.conv_expand": "_se_expand",
            "conv_pwl": "_project_conv",
            "bn3": "_bn2",
        }
        if place.startswith("0."):  # its block has no expansion
            parts |= {"bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
        layer, _, tensor = rest.rpartition(".")
        theirs[f"_blocks.{number}.{parts[layer]}.{tensor}"] = value
    return theirs
