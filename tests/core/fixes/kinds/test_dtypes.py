"""Quantized tensors as the floats that they stand for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.checkpoint import Quantized, StateDict
from core.errors import FixError
from core.fixes import CastDtype, Dequantize
from core.tensors import chunks, read_tensor, read_tensor_into
from tests.core.fixes.files import applied, assert_tensors, saved

pytestmark = pytest.mark.filterwarnings("ignore:.*quantize.*:UserWarning")

DTYPES = (torch.qint8, torch.quint8, torch.qint32)


def per_tensor(dtype: torch.dtype) -> torch.Tensor:
    return torch.quantize_per_tensor(torch.randn(5, 7, 3), 0.0371, 2, dtype)


def per_channel(axis: int, dtype: torch.dtype) -> torch.Tensor:
    values = torch.randn(5, 7, 3)
    scales = torch.rand(values.shape[axis], dtype=torch.float64) * 0.1
    zeros = torch.randint(0, 9, (values.shape[axis],))
    return torch.quantize_per_channel(values, scales, zeros, axis, dtype)


def packed(dtype: torch.dtype) -> torch.Tensor:
    scales, zeros = torch.rand(5) * 0.1 + 0.1, torch.rand(5) * 4
    return torch.quantize_per_channel(torch.randn(5, 7), scales, zeros, 0, dtype)


def every_kind() -> dict[str, torch.Tensor]:
    return {
        **{f"tensor.{dtype}": per_tensor(dtype) for dtype in DTYPES},
        **{
            f"axis{axis}.{dtype}": per_channel(axis, dtype) for dtype in DTYPES for axis in range(3)
        },
        **{f"packed.{dtype}": packed(dtype) for dtype in (torch.quint4x2, torch.quint2x4)},
        "view": per_tensor(torch.qint8).transpose(0, 2),
        "float": torch.randn(3),
        "empty": torch.quantize_per_tensor(torch.randn(0, 3), 0.1, 0, torch.qint8),
    }


def floats(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.dequantize() if tensor.is_quantized else tensor


def test_field_29_the_floats_are_exactly_torchs_own(tmp_path: Path) -> None:
    tensors = every_kind()
    after = applied(saved(tmp_path, tensors), Dequantize(), Dequantize())
    for key, tensor in tensors.items():
        entry = after.state_dict[key]
        assert (entry.dtype, entry.shape) == ("float32", tuple(tensor.shape))
        assert torch.equal(read_tensor(entry), floats(tensor)), key
    assert [effect.changed for effect in after.effects] == [len(tensors) - 1, 0]


def test_they_are_cast_copied_and_cut_into_chunks_as_any_float(tmp_path: Path) -> None:
    tensors = every_kind()
    after = applied(saved(tmp_path, tensors), Dequantize(), CastDtype("bfloat16")).state_dict
    assert_tensors(after, {key: floats(tensor).bfloat16() for key, tensor in tensors.items()})
    into = torch.empty(5, 7, 3)
    read_tensor_into(after["axis1.torch.qint8"], into)
    assert torch.equal(into, floats(tensors["axis1.torch.qint8"]).bfloat16().float())
    pieces = torch.cat([piece.clone() for piece in chunks(after["axis1.torch.qint8"], 64)])
    assert torch.equal(pieces.float(), into.reshape(-1))


def test_integers_without_scales_stay_and_are_said(tmp_path: Path) -> None:
    given = saved(tmp_path, {"a": per_tensor(torch.qint8), "b": torch.ones(2)})
    bare = StateDict([replace(given["a"], form=None), given["b"]])
    after = applied(bare, Dequantize())
    assert after.effects[0].sentence == (
        "No tensor dequantized. 1 tensor unchanged: the file has no scales for them."
    )
    assert list(after.state_dict.values()) == list(bare.values())


def test_scales_that_do_not_go_with_the_tensor_are_a_sentence(tmp_path: Path) -> None:
    entry = saved(tmp_path, {"a": per_channel(1, torch.qint8)})["a"]
    form = entry.form
    assert isinstance(form, Quantized)
    for wrong in (replace(form, axis=0), replace(form, axis=7), replace(form, zero_point=0)):
        with pytest.raises(FixError, match="scale"):
            applied(StateDict([replace(entry, form=wrong)]), Dequantize())
