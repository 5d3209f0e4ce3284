"""A guess of what kind of model a state_dict belongs to, from its layers alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from core.checkpoint import Quantized, StateDict, TensorEntry
from core.fixes import adapters_alone
from core.keys import ATTENTION, MAX_LENGTH, OPTIMIZER_STATE, dotted
from core.wording import count, counted

ATTENDS = re.compile(rf"(^|\.)({ATTENTION})(\.|_|$)", re.IGNORECASE)
RECURRENT = re.compile(r"(^|\.)weight_hh_l(\d+)$")
WEIGHT = re.compile(r"weight(?:_orig|_v|_mu|\.original1?)?$")
"""Ends of the keys of weights, also of those that spectral norm, weight norm, pruning or a Bayesian
layer computes from others."""

RESIDUAL = re.compile(r"downsample|shortcut|layer\d\.\d+\.conv")


def family(state_dict: StateDict) -> str:
    """A few words such as `a transformer of 12 blocks of width 768`.

    Of a very long key only the last MAX_LENGTH characters are used.
    """
    adapted = adapters_alone(state_dict)
    if adapted:
        of = counted(adapted, "layer")
        return f"a set of LoRA adapters for {of}, without the weights that they change"
    names = dotted(state_dict)
    entries = {names.get(key, key)[-MAX_LENGTH:]: entry for key, entry in state_dict.items()}
    matrices = [entry for entry in entries.values() if len(entry.shape) == 2]
    weights = [entry for key, entry in entries.items() if WEIGHT.search(key)]
    kernels = [entry for entry in weights if len(entry.shape) in (3, 4, 5)]
    if not weights:  # Then the shapes alone say it: a table of positions has one row.
        kernels = [
            entry for entry in entries.values() if len(entry.shape) in (4, 5) and entry.shape[0] > 1
        ]
    attends = {key: entry for key, entry in entries.items() if ATTENDS.search(key)}
    layers = {hit[0] for key in entries if (hit := RECURRENT.search(key))}
    # Not any of them: a model may have a buffer that is called `step`.
    state = sum(key.rpartition(".")[2] in OPTIMIZER_STATE for key in entries)
    if 2 * state > len(entries):
        return "the state of an optimizer, not a model"
    if not matrices and not kernels:
        return "not a model: it has neither a matrix nor a convolution"
    quantized = any(
        isinstance(entry.form, Quantized) or entry.dtype.startswith(("qint", "quint"))
        for entry in entries.values()
    )
    more = ", with quantized weights" if quantized else ""
    if attends and len(matrices) >= len(attends) / 2:
        return _transformer(attends) + more
    if layers:
        return f"a recurrent network of {counted(len(layers), 'layer')}{more}"
    if 2 * len(kernels) >= len(matrices):
        return _convolutional(entries, [entry.shape for entry in kernels]) + more
    also = f" and {counted(len(kernels), 'convolution')}" if kernels else ""
    return f"a model of {counted(len(matrices), 'linear layer')}{also}{more}"


def _transformer(attends: Mapping[str, TensorEntry]) -> str:
    """The number of blocks, by the paths before `attn` or the like, and the width."""
    paths = {key[: hit.start()] for key in attends if (hit := ATTENDS.search(key))}
    # The narrower side: q, k and v may be one matrix, three times as long, and that transposed.
    widths = Counter(min(entry.shape) for entry in attends.values() if len(entry.shape) == 2)
    blocks = f" of {count(len(paths))} blocks" if len(paths) > 1 else ""
    common = sorted(width for width, count in widths.items() if 4 * count >= len(paths))
    if len(common) > 1 and common[-1] > 2 * common[0]:
        return f"a transformer{blocks} of widths from {count(common[0])} to {count(common[-1])}"
    width = f" of width {count(widths.most_common(1)[0][0])}" if widths else ""
    return f"a transformer{blocks}{width}"


def _convolutional(keys: Iterable[str], shapes: list[tuple[int, ...]]) -> str:
    """The kind of convolutions, how many, and the most channels."""
    spatial = Counter(len(shape) for shape in shapes).most_common(1)[0][0] - 2
    # Not the first one: it may take a grey image, of one channel, without being depthwise.
    depthwise = sum(shape[1] == 1 < shape[0] for shape in shapes[1:])
    kind = {1: "1-D ", 3: "3-D "}.get(spatial, "")
    if 4 * depthwise >= len(shapes):
        kind += "depthwise "
    if any(RESIDUAL.search(key) for key in keys):
        kind += "ResNet-like "
    widest = max(shape[0] for shape in shapes)
    return (
        f"a {kind}convolutional network of {counted(len(shapes), 'convolution')}, "
        f"up to {count(widest)} channels"
    )
