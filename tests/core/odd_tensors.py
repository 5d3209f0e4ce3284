"""Files and entries of tensors that are more than one run of strided elements."""

import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from core.checkpoint import Piece, Pieces, TensorEntry


def _odd() -> dict[str, torch.Tensor]:
    numbers = torch.linspace(-1, 1, 40).reshape(8, 5)
    rows, columns = (torch.linspace(0.01, 0.08, n, dtype=torch.float64) for n in (8, 5))
    zeros = torch.zeros(5, dtype=torch.int64)
    return {
        "per_tensor": torch.quantize_per_tensor(numbers, 0.02, 3, torch.qint8),
        "per_channel": torch.quantize_per_channel(numbers, rows, torch.arange(8), 0, torch.qint8),
        "columns": torch.quantize_per_channel(numbers, columns, zeros, 1, torch.quint8),
        "coo": torch.eye(6).to_sparse().coalesce(),
        "csr": (torch.eye(6) * 3).to_sparse_csr(),
        "bsr": torch.arange(64.0).reshape(8, 8).to_sparse_bsr((2, 2)),
        "nested": torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(4, 3)]),
    }


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch calls some of these layouts beta or deprecated
    ODD = _odd()
"""Tensors of every layout that torch.save writes beside the strided one."""


def in_pieces(
    key: str, pieces: Mapping[tuple[int, ...], TensorEntry], shape: tuple[int, ...]
) -> TensorEntry:
    """The entry of a tensor whose blocks are other tensors, by where each begins."""
    some = next(iter(pieces.values()))
    form = Pieces(tuple(Piece(offsets, entry) for offsets, entry in pieces.items()))
    return replace(some, key=key, shape=shape, stride=(), record=None, form=form)


def turn_round(source: Path, target: Path, width: int) -> None:
    """The torch.save zip as a big-endian machine would have written it; its storages hold numbers
    of `width` bytes."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/byteorder"):
                data = b"big"
            elif "/data/" in name:
                data = np.frombuffer(data, f"u{width}").byteswap().tobytes()
            new.writestr(name, data)
