"""A tensor's description that torch.load refuses is no tensor here, and the others still open."""

import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._tensor import _rebuild_from_type_v2
from torch.nested._internal.nested_tensor import _rebuild_njt

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError
from core.tensors import read_tensor
from tests.core.checkpoint.same_tensors import assert_same_tensors

pytestmark = pytest.mark.filterwarnings("ignore")


class Rebuilt:
    """Pickled as a call of a function."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.args


with warnings.catch_warnings(action="ignore"):  # typed storages and quantized tensors are old
    STORAGE = torch.arange(8, dtype=torch.int8).storage()
    INTEGERS = torch.quantize_per_tensor(torch.ones(8), 0.5, 0, torch.qint8).storage()
INDICES, VALUES = torch.tensor([[0, 1], [1, 0]]), torch.ones(2)
HOOKS: dict[str, object] = OrderedDict()


def quantized(*quantizer: object) -> Rebuilt:
    shape = (2, 4), (4, 1)
    return Rebuilt(torch._utils._rebuild_qtensor, INTEGERS, 0, *shape, quantizer, False, HOOKS)


def sparse(layout: torch.layout, data: object) -> Rebuilt:
    return Rebuilt(torch._utils._rebuild_sparse_tensor, layout, data)


def described() -> dict[str, Rebuilt]:
    utils = torch._utils
    channels = torch.per_channel_affine
    shape = ((2,), (1,))
    size = torch.Size([2, 2])
    return {
        "a number as storage": Rebuilt(utils._rebuild_tensor_v3, 3, 0, *shape, False, HOOKS,
                                       torch.float32),
        "a text as dtype": Rebuilt(utils._rebuild_tensor_v3, STORAGE, 0, *shape, False, HOOKS,
                                   "float32"),
        "no scale": quantized(torch.per_tensor_affine),
        "a layout as scheme": quantized(torch.strided, 0.5, 0),
        "an axis out of range": quantized(channels, torch.ones(2), torch.zeros(2).long(), 2),
        "too few scales": quantized(channels, torch.ones(1), torch.zeros(1).long(), 0),
        "texts as scales": quantized(channels, ["a", "b"], [0, 0], 0),
        "a dense layout of sparse parts": sparse(torch.strided, (INDICES, VALUES, size)),
        "sparse parts in a dict": sparse(torch.sparse_coo, {"values": VALUES}),
        "a sparse tensor without indices": sparse(torch.sparse_csr, (INDICES, VALUES, size)),
        "a sparse tensor without a shape": sparse(torch.sparse_coo, (INDICES, VALUES, 2, False)),
        "a text for is_coalesced": sparse(torch.sparse_coo, (INDICES, VALUES, size, "no")),
        "a sparse part of a sparse tensor": sparse(torch.sparse_coo,
                                                   (INDICES.to_sparse(), VALUES, size, False)),
        "no parts of a nested tensor": Rebuilt(_rebuild_njt, 3),
        "a nested tensor without values": Rebuilt(_rebuild_njt, {"offsets": INDICES}),
        "a tensor for an array": Rebuilt(utils._rebuild_device_tensor_from_numpy, VALUES,
                                         torch.float32, "cpu", False),
        "a number as class": Rebuilt(utils._rebuild_wrapper_subclass, 3, torch.float32, *shape, 0,
                                     torch.strided, torch.device("cpu"), False),
        "a number as function": Rebuilt(_rebuild_from_type_v2, 3, torch.Tensor, (), {}),
        "an unknown layout": sparse(
            Rebuilt(torch.serialization._get_layout, "torch.nothing"),  # type: ignore[arg-type]
            (INDICES, VALUES, size),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", described())
def test_what_torch_load_refuses_is_listed_as_an_object_beside_the_tensors(
    tmp_path: Path, name: str
) -> None:
    torch.save({"good": torch.ones(2), "odd": described()[name]}, tmp_path / "odd.pth")
    with pytest.raises((TypeError, ValueError, RuntimeError, AttributeError, KeyError)):
        torch.load(tmp_path / "odd.pth", weights_only=False)
    checkpoint = open_checkpoint(tmp_path / "odd.pth")
    assert list(checkpoint.state_dict()) == ["good"]
    assert torch.equal(read_tensor(checkpoint.state_dict()["good"]), torch.ones(2))
    odd: Any = checkpoint.metadata["odd"]
    assert odd["class"].startswith("torch.")


class Packed(torch.Tensor):
    """A tensor whose data are in an attribute, as those of quantization libraries are."""

    packed: torch.Tensor | None

    @staticmethod
    def __new__(cls, packed: torch.Tensor | None, requires_grad: bool = True) -> "Packed":
        made: Packed = torch.Tensor._make_wrapper_subclass(
            cls, (2, 3), dtype=torch.float32, requires_grad=requires_grad
        )
        made.packed = packed
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, _types: Any, args: Any, _kwargs: Any = None) -> "Packed":
        assert func is torch.ops.aten.detach.default  # which `.data` calls
        return Packed(args[0].packed, False)


class PackedParameter(Packed, nn.Parameter):
    """A parameter of such a class, which torch.save writes as a parameter around the tensor."""


def test_a_parameter_of_a_tensor_subclass_gives_its_inner_tensor(tmp_path: Path) -> None:
    packed = torch.arange(6, dtype=torch.uint8)
    saved = {"w": PackedParameter(packed), "bias": torch.ones(2)}
    torch.save(saved, tmp_path / "packed.pth")
    checkpoint = open_checkpoint(tmp_path / "packed.pth")
    assert_same_tensors(checkpoint, {"w": packed, "bias": torch.ones(2)})


def test_a_parameter_of_a_tensor_subclass_without_data_has_its_shape(tmp_path: Path) -> None:
    torch.save({"w": PackedParameter(None), "frozen": Packed(None, False)}, tmp_path / "none.pth")
    found = open_checkpoint(tmp_path / "none.pth").state_dict()
    assert {key: (entry.shape, entry.dtype) for key, entry in found.items()} == {
        "w": ((2, 3), "float32"),
        "frozen": ((2, 3), "float32"),
    }
    assert {key: entry.requires_grad for key, entry in found.items()} == {
        "w": True,
        "frozen": False,
    }
    with pytest.raises(CheckpointError, match="has no data"):
        read_tensor(found["w"])


def test_a_tensor_from_another_device_keeps_its_shape_without_data(tmp_path: Path) -> None:
    """Of a model on the meta device, the elements are nowhere."""
    with torch.device("meta"):
        data = torch.empty(3, 4)
    moved = Rebuilt(
        torch._utils._rebuild_device_tensor_from_cpu_tensor, data, torch.float16, "xla:0", False
    )
    torch.save({"w": moved}, tmp_path / "meta.pth")
    entry = open_checkpoint(tmp_path / "meta.pth").state_dict()["w"]
    assert (entry.shape, entry.record) == ((3, 4), None)
