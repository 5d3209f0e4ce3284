"""The facts of arithmetic of a model: what changes its outputs, but no key and no shape."""

from __future__ import annotations

import enum
import functools
import hashlib
import json
import types
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

IGNORED = ("Identity", "Dropout", "DropPath", "DropBlock", "StochasticDepth", "PatchDropout")
"""Modules that do nothing in eval mode, by the start of their class's name."""

OF_SHAPES = [
    "in_features",
    "out_features",
    "in_channels",
    "out_channels",
    "num_features",
    "num_channels",
    "embed_dim",
    "dim",
    "num_classes",
    "num_classes_cat",
    "head_hidden_size",
    "normalized_shape",
    "num_embeddings",
    "embedding_dim",
    "in_chans",
    "in_dim",
    "out_dim",
    "hidden_dim",
    "hidden_size",
    "feature_dim",
    "out_chs",
    "img_size",
    "image_size",
    "grid_size",
    "num_patches",
    "input_resolution",
    "patches_resolution",
    "feat_size",
    "seq_length",
    "seq_len",
    "full_img_size",
]
"""Settings that shapes or the options of the classes and of the image decide."""

OF_TRAINING = [
    "training",
    "momentum",
    "inplace",
    "p",
    "drop",
    "drop_rate",
    "drop_prob",
    "drop_path",
    "drop_path_rate",
    "dropout",
    "dropout_rate",
    "attn_drop",
    "proj_drop",
    "attention_dropout",
    "stochastic_depth_prob",
    "head_drop_rate",
    "scale_by_keep",
    "pos_drop_rate",
    "patch_drop_rate",
    "attn_drop_rate",
    "proj_drop_rate",
    "grad_checkpointing",
    "use_checkpoint",
    "with_cp",
    "memory_efficient",
    "init_values",
    "init_weights",
    "fix_init",
    "weight_init_mode",
    "weight_init",
    "dynamic_img_size",
    "strict_img_size",
    "fused_attn",
    "default_cfg",
    "pretrained_cfg",
    "feature_info",
    "name",
    "stage_name",
    "aux_loss",
]
"""Settings that training alone uses, and those that say how the same is computed."""

SKIPPED = frozenset((*OF_SHAPES, *OF_TRAINING, *vars(nn.Module())))

NORMS = ("BatchNorm", "LayerNorm", "GroupNorm", "RmsNorm", "RMSNorm", "InstanceNorm", "EvoNorm")
"""Kinds of norm, by a part of their class's name."""

DIGITS = 16
"""The hexadecimal digits of a digest: two of 1,492 are equal by chance once in 10^13 times."""


def configuration(model: nn.Module) -> str:
    """A digest of every module's path, class and settings that matter in eval mode."""
    dump = [
        (path, _name(type(module)), _settings(module))
        for path, module in model.named_modules()
        if not _is_idle(module)
    ]
    text = json.dumps(dump, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def root_class(model: nn.Module) -> str:
    """The qualified name of the model's class."""
    return _name(type(model))


def named_facts(model: nn.Module) -> Mapping[str, str]:
    """ArithmeticFacts in words by their kind: `BatchNorm eps` → `0.001`, `padding` → `SAME`."""
    counted: dict[str, Counter[str]] = {}
    for module in model.modules():
        if not _is_idle(module):
            for kind, value in _facts(module):
                counted.setdefault(kind, Counter())[value] += 1
    texts = {
        kind: " and ".join(
            f"{value} ({count}\u202f×)" if kind in COUNTED else value
            for value, count in sorted(values.items())
        )
        for kind, values in counted.items()
    }
    return {**texts, "downsampling": _downsampling(model), **_of_root(model)}


def _downsampling(model: nn.Module) -> str:
    """How the model makes maps smaller; timm calls a layer of its own for that `aa`."""
    if any("Blur" in type(module).__name__ for module in model.modules()):
        return "through blur pooling"
    for path, module in model.named_modules():
        if path.endswith(".aa") and isinstance(module, nn.AvgPool2d):
            return "through average pooling"
    return "by the stride of convolutions or pooling"


COUNTED = ("stride", "dilation")
"""Kinds of which it matters how many modules have a value."""


def _facts(module: nn.Module) -> Iterator[tuple[str, str]]:
    name = type(module).__name__
    eps = getattr(module, "eps", None)
    norm = next((kind for kind in NORMS if any(kind in each for each in _bases(module))), None)
    if norm is not None and isinstance(eps, float):
        yield f"{norm.replace('Rms', 'RMS')} eps", f"{eps:g}"
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and max(module.kernel_size) > 1:
        if max(module.stride) > 1:
            # With stride 1 both are the same, and timm then takes the plain class.
            yield "padding", "SAME" if "Same" in name else "symmetric"
        if module.padding_mode != "zeros":
            yield "padding mode", module.padding_mode
        for kind in COUNTED:
            value = max(getattr(module, kind))
            if value > 1:
                yield kind, str(value)
    if _is_activation(module):
        yield "activation", name.removesuffix("Me")
    if (
        "Pool" in name
        and "Blur" not in name
        and not any(module.children())
        and hasattr(module, "kernel_size")
    ):
        yield "pooling", _pooling(module, name)
    heads = getattr(module, "num_heads", None)
    if isinstance(heads, int) and heads > 1:
        yield "heads", str(heads)


def _pooling(module: nn.Module, name: str) -> str:
    """A pooling in words: `MaxPool2d of 3, stride 2, ceil_mode`."""
    words = [f"{name} of {_one(module.kernel_size)}", f"stride {_one(module.stride)}"]
    if getattr(module, "ceil_mode", False):
        words.append("ceil_mode")
    if getattr(module, "count_include_pad", True) is False:
        words.append("without the padding in its count")
    return ", ".join(words)


def _one(size: object) -> str:
    values = list(size) if isinstance(size, (tuple, list)) else [size]
    return " × ".join(map(str, values if len(set(values)) > 1 else values[:1]))


def _of_root(model: nn.Module) -> Mapping[str, str]:
    """The model's own plain settings, such as `global_pool=` → `avg`."""
    return {
        f"{name}=": str(value)
        for name, value in vars(model).items()
        if name not in SKIPPED and not name.startswith("_") and isinstance(value, (bool, int, str))
    }


def _is_idle(module: nn.Module) -> bool:
    return type(module).__name__.startswith(IGNORED)


def _is_activation(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return False
    of = type(module).__module__
    return of == "torch.nn.modules.activation" or of.startswith("timm.layers.activations")


def _bases(module: nn.Module) -> Iterator[str]:
    for base in type(module).__mro__:
        yield base.__name__


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _settings(module: nn.Module) -> Mapping[str, object]:
    return {
        name: _plain(value)
        for name, value in vars(module).items()
        if name not in SKIPPED and not isinstance(value, (nn.Module, torch.Tensor))
    }


def _plain(value: Any) -> object:
    """A setting as JSON; of an object that JSON cannot say, its class and what it is made of."""
    match value:
        case enum.Enum():
            return str(value)
        case None | bool() | int() | str():
            return value
        case float():
            return repr(value)
        case nn.Module():
            return [_name(type(value)), _settings(value)]
        case torch.Tensor():
            return ["tensor", list(value.shape)]
        case functools.partial():
            return [_plain(value.func), _plain(value.args), _plain(value.keywords)]
        case type() | types.FunctionType() | types.BuiltinFunctionType():
            return _name(value)
        case types.MethodType():
            return _name(value.__func__)
        case dict():
            return {str(key): _plain(each) for key, each in value.items() if key not in SKIPPED}
        case list() | tuple():
            return [_plain(each) for each in value]
        case set() | frozenset():
            return sorted(map(str, value))
    return _name(type(value))
