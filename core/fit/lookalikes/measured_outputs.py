"""Which architectures of one signature give the same outputs for the same weights, by trying it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from core.architectures import Architecture, build_uninitialised
from core.inputs import output_tensors, random_inputs

SAME = 1e-9
"""Outputs that differ by less, relative to their greatest value, are the same but for rounding:
measured in float64, other orders of the same sums differ by about 1e-13."""

OTHER = 1e-7
"""Outputs that differ by more are other outputs: one eps of 1e-5 in place of 1e-6 changes them by
1e-6. Between the two nothing is said."""

EDGES: tuple[int, ...] = (64, 95)
"""The edges in pixels of the images. Padding SAME is the usual one for some sizes, and a pooling
that rounds up is the usual one for others: so there is an even and an odd edge."""


def numbers_of_outputs(architectures: Sequence[Architecture]) -> list[int | None]:
    """For architectures of one signature a number each: equal where their outputs are the same.

    None where that cannot be measured: the model takes no random image, or only one of another size
    than those before it; its outputs are all equal or not finite; or they nearly agree with those
    of another.
    """
    seen: list[SeededOutputs] = []
    numbers: list[int | None] = []
    for architecture in architectures:
        outputs = outputs_of(architecture)
        if outputs is None or any(outputs.edges != each.edges for each in seen):
            numbers.append(None)  # of images of other sizes, other outputs say nothing
            continue
        distances = [_distance(outputs.values, each.values) for each in seen]
        near = [number for number, distance in enumerate(distances) if distance < SAME]
        if any(SAME <= distance <= OTHER for distance in distances):
            numbers.append(None)
        elif near:
            numbers.append(near[0])
        else:
            numbers.append(len(seen))
            seen.append(outputs)
    return numbers


@dataclass(frozen=True, slots=True)
class SeededOutputs:
    """A model's outputs as one float64 vector, for images of these edges in pixels."""

    values: torch.Tensor
    edges: tuple[int, ...]


@torch.inference_mode()
def outputs_of(architecture: Architecture) -> SeededOutputs | None:
    """All outputs for weights that depend on the keys alone; None if it cannot be run so."""
    try:
        model = build_uninitialised(architecture).double()
        _fill(model)
        inputs = random_inputs(architecture, model, "cpu", "float64", seed=0)
        edges, outputs = EDGES, _at_small_sizes(model, inputs.arguments)
        if not outputs:
            edges, outputs = inputs.shape[-2:], [*output_tensors(model(*inputs.arguments))]
    except Exception:  # a library's own code: a model that cannot be run is not measured
        return None
    joined = torch.cat([each.double().flatten() for each in outputs])
    usable = bool(joined.isfinite().all()) and float(joined.std()) > 0
    return SeededOutputs(joined, edges) if usable else None


def _at_small_sizes(model: nn.Module, inputs: Sequence[object]) -> list[torch.Tensor]:
    """The outputs for images of EDGES; none from a model that does not take these sizes."""
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor) or inputs[0].ndim != 4:
        return []
    generator = torch.Generator().manual_seed(1)
    shapes = [(*inputs[0].shape[:2], edge, edge) for edge in EDGES]
    try:
        return [
            tensor
            for shape in shapes
            for tensor in output_tensors(model(torch.randn(shape, generator=generator).double()))
        ]
    except Exception:  # a library's own code refuses a size in its own way
        return []


def _distance(outputs: torch.Tensor, other: torch.Tensor) -> float:
    if outputs.shape != other.shape:
        return math.inf
    return float((outputs - other).abs().max() / other.abs().max())


def _fill(model: nn.Module) -> None:
    """Give every tensor of the state_dict values that depend on its key and shape alone."""
    for key, tensor in model.state_dict(keep_vars=True).items():
        if not tensor.is_floating_point():
            continue
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        values = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if key.endswith("running_var"):
            values = 0.2 + values.abs()
        elif tensor.ndim > 1:
            values *= math.sqrt(2 / max(1, math.prod(tensor.shape[1:])))
        elif key.endswith("bias") or key.endswith("running_mean"):
            values *= 0.1
        else:
            values = 1 + 0.1 * values
        tensor.data.copy_(values)
