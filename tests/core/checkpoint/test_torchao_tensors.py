"""Tensors that torchao quantized are told as quantized, in its pickles and its safetensors files.

torchao is not installed. The classes here have its names and fields (torchao/quantization/
quantize_/workflows and torchao/dtypes), and torch.save writes them as it writes torchao's.
"""

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.checkpoint import open_checkpoint


class Quantized(torch.Tensor):
    """A tensor with integers and scales in place of elements."""

    @staticmethod
    def __new__(cls, qdata: torch.Tensor, scale: torch.Tensor | None) -> "Quantized":
        made: Quantized = torch.Tensor._make_wrapper_subclass(
            cls, qdata.shape, dtype=torch.bfloat16
        )
        made.qdata = qdata  # type: ignore[attr-defined]
        if scale is not None:
            made.scale = scale  # type: ignore[attr-defined]
        return made

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> torch.Tensor:
        tensor: torch.Tensor = args[0]
        return tensor


def named(name: str, monkeypatch: pytest.MonkeyPatch) -> type[Quantized]:
    """A class that pickle finds under a name of torchao's."""
    module, _, last = name.rpartition(".")
    above = module.split(".")
    for depth in range(1, len(above) + 1):
        path = ".".join(above[:depth])
        monkeypatch.setitem(sys.modules, path, types.ModuleType(path))
    made = type(last, (Quantized,), {"__module__": module})
    monkeypatch.setattr(sys.modules[module], last, made, raising=False)
    return made


def notes_of(path: Path) -> str:
    return " ".join(open_checkpoint(path).notes)


@pytest.mark.parametrize(
    "name",
    [
        "torchao.quantization.quantize_.workflows.int8.int8_tensor.Int8Tensor",
        "torchao.quantization.quantize_.workflows.float8.float8_tensor.Float8Tensor",
        "torchao.dtypes.affine_quantized_tensor.AffineQuantizedTensor",
        "torchao.dtypes.nf4tensor.NF4Tensor",
    ],
)
def test_a_tensor_of_torchao_is_told_as_quantized(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized = named(name, monkeypatch)
    weight = quantized(torch.ones(4, 4, dtype=torch.int8), torch.ones(4))
    torch.save({"l.weight": weight, "l.bias": torch.ones(4)}, tmp_path / "m.pth")
    said = f"torchao quantized 1 tensor (1 {name.rpartition('.')[2]}). Its parts are here"
    assert said in notes_of(tmp_path / "m.pth")
    assert "l.weight.qdata" in open_checkpoint(tmp_path / "m.pth").state_dict()


def test_a_wrapper_of_one_plain_tensor_is_not_quantized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "torchao.float8.fsdp_utils.WeightWithDynamicFloat8CastTensor"
    torch.save({"w": named(name, monkeypatch)(torch.ones(4, 4), None)}, tmp_path / "m.pth")
    assert "quantized" not in notes_of(tmp_path / "m.pth")


def flattened(path: Path, kind: str, separator: str) -> None:
    parts = {"qdata": torch.ones(4, 4, dtype=torch.int8), "scale": torch.ones(4)}
    save_file(
        {"l.bias": torch.ones(4), **{f"l.weight{separator}{k}": v for k, v in parts.items()}},
        path,
        metadata={
            "l.weight": json.dumps({"_type": kind, "_data": {"block_size": [1, 4]}}),
            "l.bias": json.dumps({"_type": "Tensor"}),
            "tensor_names": json.dumps(["l.weight", "l.bias"]),
        },
    )


@pytest.mark.parametrize("separator", ["_", ":"])
def test_torchaos_parts_in_safetensors_are_told_as_quantized(
    tmp_path: Path, separator: str
) -> None:
    flattened(tmp_path / "m.safetensors", "Int8Tensor", separator)
    assert notes_of(tmp_path / "m.safetensors") == (
        "torchao quantized 1 tensor (1 Int8Tensor). Its parts are here, such as the integers and "
        "the scales: a float model cannot take them."
    )


def test_plain_tensors_that_torchao_wrote_are_not_quantized(tmp_path: Path) -> None:
    flattened(tmp_path / "m.safetensors", "Tensor", "_")
    assert notes_of(tmp_path / "m.safetensors") == ""


@pytest.mark.parametrize("names", ["[", "3", '["w"]', '[["w"]]', "[null]"])
def test_texts_that_say_nothing_of_the_kind_hurt_nobody(tmp_path: Path, names: str) -> None:
    save_file(
        {"w": torch.ones(2)}, tmp_path / "m.safetensors", metadata={"tensor_names": names, "w": "["}
    )
    assert notes_of(tmp_path / "m.safetensors") == ""
