"""Moves a model to its device and dtype before a file fills it."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from core.errors import LoadError

NOT_ON_APPLES_GPU = (torch.float64, torch.complex128)
"""Dtypes that Metal lacks (getMPSDataType in aten/src/ATen/native/mps/OperationUtils.mm)."""


def move_empty(
    model: nn.Module, filled: Collection[str], device: str, dtype: torch.dtype | None
) -> None:
    """Move the model as `model.to(device, dtype)` does, without copying what a file will fill.

    The tensors under the keys `filled` get memory and no values. Only floating-point tensors get
    `dtype`, complex ones do not. Raises LoadError if the device lacks a dtype.
    """
    if device == "cpu" and dtype is None:
        return
    tensors = model.state_dict(keep_vars=True)
    to_fill = {id(tensors[key]) for key in filled}
    empty: dict[int, torch.Tensor] = {}
    if device == "mps":
        for tensor in (*model.parameters(), *model.buffers()):
            _require_on_apples_gpu(_target(tensor, dtype))

    def placed(tensor: torch.Tensor) -> torch.Tensor:
        target = _target(tensor, dtype)
        if target == tensor.dtype and tensor.device == torch.device(device):
            return tensor
        if id(tensor) not in to_fill:
            return tensor.to(device, target)
        if id(tensor) not in empty:  # A buffer with two names must stay one tensor.
            empty[id(tensor)] = torch.empty(tensor.shape, dtype=target, device=device)
        return empty[id(tensor)]

    # Module.to calls `_apply`, and modules override it: rotary embeddings that stay float32,
    # recurrent weights that stay in one run of memory.
    model._apply(placed)  # type: ignore[no-untyped-call]


def _target(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype and tensor.is_floating_point() else tensor.dtype


def _require_on_apples_gpu(dtype: torch.dtype) -> None:
    if dtype in NOT_ON_APPLES_GPU:
        name = str(dtype).removeprefix("torch.")
        way_out = "Load it as float32, or choose" if dtype.is_floating_point else "Choose"
        raise LoadError(f"Apple's GPU (mps) has no {name}.", f"{way_out} another device.")
