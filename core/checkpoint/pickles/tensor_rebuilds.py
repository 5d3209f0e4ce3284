"""Loupe's counterparts of the functions that rebuild tensors in pickles of torch.save.

Those of torch are in torch/_utils.py, torch/_tensor.py and torch/nested/_internal/nested_tensor.py;
these return a description of the tensor. The arguments come from a file that may be hostile: each
function raises ValueError or TypeError for arguments that it does not accept, and never calls them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace

from core.checkpoint.containers.budget import check_dimensions
from core.checkpoint.entries import ITEMSIZES, is_float_dtype
from core.checkpoint.pickles.inert import (
    Global,
    InertArray,
    InertDict,
    InertNested,
    InertQuantized,
    InertSparse,
    InertSubclass,
    InertTensor,
    InlineStorage,
    Pending,
    Storage,
    Tree,
)
from core.checkpoint.pickles.numpy_values import array_tensor

STORAGE_DTYPES: Mapping[str, str] = {
    f"torch.{name}Storage": dtype
    for name, dtype in {
        "Double": "float64",
        "Float": "float32",
        "Half": "float16",
        "BFloat16": "bfloat16",
        "Long": "int64",
        "Int": "int32",
        "Short": "int16",
        "Char": "int8",
        "Byte": "uint8",
        "Bool": "bool",
        "ComplexDouble": "complex128",
        "ComplexFloat": "complex64",
        "QUInt8": "quint8",
        "QInt8": "qint8",
        "QInt32": "qint32",
        "QUInt4x2": "quint4x2",
        "QUInt2x4": "quint2x4",
    }.items()
} | dict.fromkeys(
    ("torch.storage.UntypedStorage", "torch.UntypedStorage", "torch.storage._UntypedStorage"),
    "uint8",
)
"""The storage classes of torch/storage.py, with the dtype of their elements."""

SPARSE_PARTS: Mapping[str, tuple[str, ...]] = {
    "sparse_coo": ("indices", "values"),
    "sparse_csr": ("crow_indices", "col_indices", "values"),
    "sparse_csc": ("ccol_indices", "row_indices", "values"),
    "sparse_bsr": ("crow_indices", "col_indices", "values"),
    "sparse_bsc": ("ccol_indices", "row_indices", "values"),
}
"""The parts of a tensor of each sparse layout, in torch's order and by torch's names."""

LAYOUTS = frozenset(f"torch.{name}" for name in (*SPARSE_PARTS, "strided", "jagged", "_mkldnn"))
"""The layouts that a pickle may name (torch.layout)."""

QUANTIZATION_SCHEMES = frozenset(
    f"torch.per_{name}"
    for name in (
        *("tensor_affine", "channel_affine", "tensor_symmetric", "channel_symmetric"),
        "channel_affine_float_qparams",
    )
)
"""torch's quantization schemes by the names in a pickle (torch.qscheme)."""


def rebuild_tensor(
    storage: Tree,
    storage_offset: Tree,
    size: Tree,
    stride: Tree,
    requires_grad: Tree = False,
    _hooks: Tree = None,
    metadata: Tree = None,
) -> InertTensor:
    """`torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`."""
    if not isinstance(storage, Storage):
        raise TypeError("a tensor without a storage")
    tensor = _tensor(storage, storage.dtype, storage_offset, size, stride, requires_grad)
    tensor.form = _pending(metadata)
    return tensor


def rebuild_tensor_v3(
    storage: Tree,
    storage_offset: Tree,
    size: Tree,
    stride: Tree,
    requires_grad: Tree,
    _hooks: Tree,
    dtype: Tree,
    metadata: Tree = None,
) -> InertTensor:
    """`torch._utils._rebuild_tensor_v3`: an untyped storage, and the dtype separately."""
    if not isinstance(storage, Storage):
        raise TypeError("a tensor without a storage")
    tensor = _tensor(storage, _dtype(dtype), storage_offset, size, stride, requires_grad)
    tensor.form = _pending(metadata)
    return tensor


def rebuild_quantized(
    storage: Tree,
    storage_offset: Tree,
    size: Tree,
    stride: Tree,
    quantizer: Tree,
    requires_grad: Tree = False,
    *_hooks: Tree,
) -> InertTensor:
    """`torch._utils._rebuild_qtensor`: the integers, with the scales and zero points as form."""
    tensor = rebuild_tensor(storage, storage_offset, size, stride, requires_grad)
    match quantizer:
        case (Global() as scheme, int() | float() as scale, int() as zero_point):
            tensor.form = InertQuantized(_qscheme(scheme), float(scale), zero_point)
        case (Global() as scheme, scales, zero_points, int() as axis):
            if not 0 <= axis < len(tensor.shape):
                raise ValueError("a quantized tensor whose axis is out of range")
            name = _qscheme(scheme)
            floats = name == "per_channel_affine_float_qparams"
            channels = _channels(scales, "float32" if floats else "float64")
            zeros = _channels(zero_points, "float32" if floats else "int64")
            if not channels.shape == zeros.shape == (tensor.shape[axis],):
                raise ValueError("a quantized tensor with too few scales")
            if is_float_dtype(zeros.dtype):
                # torch writes `per_channel_affine` for this scheme too; only the dtype differs.
                name = "per_channel_affine_float_qparams"
            tensor.form = InertQuantized(name, channels, zeros, axis)
        case _:
            raise TypeError("a quantized tensor without its scales")
    return tensor


def rebuild_sparse(layout: Tree, data: Tree) -> InertTensor:
    """`torch._utils._rebuild_sparse_tensor`, for all its layouts."""
    name = layout.name.removeprefix("torch.") if isinstance(layout, Global) else ""
    names = SPARSE_PARTS.get(name)
    if names is None or not isinstance(data, tuple):
        raise TypeError("a sparse tensor of an unknown layout")
    is_coalesced = None
    if name == "sparse_coo" and len(data) == 4:
        *data_parts, size, flag = data
        if not (flag is None or isinstance(flag, bool)):
            raise TypeError("a sparse tensor whose is_coalesced is not a bool")
        is_coalesced = flag
    else:
        *data_parts, size = data
    if len(data_parts) != len(names):
        raise TypeError("a sparse tensor without all its parts")
    parts = {part: _plain(value) for part, value in zip(names, data_parts, strict=True)}
    if type(size) is not tuple:
        raise TypeError("a sparse tensor without a shape")
    tensor = _tensor(None, parts["values"].dtype, 0, size, (0,) * len(size), False)
    tensor.stride = row_major(tensor.shape)
    tensor.form = InertSparse(name, parts, is_coalesced)
    return tensor


def rebuild_nested(buffer: Tree, sizes: Tree, strides: Tree, offsets: Tree) -> InertTensor:
    """`torch._utils._rebuild_nested_tensor`: the buffer, and the layout of its rows."""
    form = InertNested(_plain(sizes), _plain(strides), _plain(offsets))
    return replace(_plain(buffer), form=form)


def rebuild_jagged(parts: Tree) -> InertSubclass:
    """`torch.nested._internal.nested_tensor._rebuild_njt`: the values of all rows, and the
    offset of each."""
    if not isinstance(parts, dict):
        raise TypeError("a nested tensor without its parts")
    values = parts.get("values")
    inside = InertDict()
    inside.update(
        (name, parts[name]) for name in ("values", "offsets", "lengths") if parts.get(name)
    )
    if not isinstance(values, InertTensor):
        raise TypeError("a nested tensor without values")
    name = "torch.nested._internal.nested_tensor.NestedTensor"
    return InertSubclass(
        name, values.dtype, values.shape, values.stride, parts.get("requires_grad") is True, inside
    )


def rebuild_from_cpu(
    data: Tree, dtype: Tree, device: Tree = None, requires_grad: Tree = False
) -> InertTensor:
    """`torch._utils._rebuild_device_tensor_from_cpu_tensor`."""
    return _moved(_plain(data), dtype, device, requires_grad)


def rebuild_from_numpy(
    data: Tree, dtype: Tree, device: Tree = None, requires_grad: Tree = False
) -> InertTensor:
    """`torch._utils._rebuild_device_tensor_from_numpy` and `_rebuild_xla_tensor`."""
    if not isinstance(data, InertArray):
        raise TypeError("a tensor without its array")
    return _moved(array_tensor(data), dtype, device, requires_grad)


def rebuild_meta(dtype: Tree, size: Tree, stride: Tree, requires_grad: Tree) -> InertTensor:
    """`torch._utils._rebuild_meta_tensor_no_storage`."""
    return _tensor(None, _dtype(dtype), 0, size, stride, requires_grad)


def rebuild_parameter(data: Tree, requires_grad: Tree = True, *_more: Tree) -> Tree:
    """`torch._utils._rebuild_parameter` and `_rebuild_parameter_with_state`, and the classes
    Parameter and Variable, which files from before PyTorch 0.4 call."""
    if not isinstance(data, InertTensor | InertSubclass):
        raise TypeError("a parameter without a tensor")
    if isinstance(data, InertSubclass):
        return replace(data, requires_grad=bool(requires_grad))
    # dataclasses.replace takes ten times as long, and a pickled model calls this per parameter.
    return InertTensor(
        data.storage, data.dtype, data.shape, data.stride, data.storage_offset,
        bool(requires_grad), data.form,
    )  # fmt: skip


def rebuild_uninitialized(requires_grad: Tree = True) -> InertTensor:
    """`torch.nn.UninitializedParameter` and `UninitializedBuffer`, which have no shape yet.

    Like torch, it takes an empty tensor as their data.
    """
    storage = InlineStorage("in the pickle", "float32", "cpu", 0)
    return InertTensor(storage, "float32", (0,), (1,), 0, bool(requires_grad))


def rebuild_wrapper(
    class_: Tree,
    dtype: Tree,
    size: Tree,
    stride: Tree,
    _storage_offset: Tree,
    _layout: Tree,
    _device: Tree,
    requires_grad: Tree,
) -> InertSubclass:
    """`torch._utils._rebuild_wrapper_subclass`: a tensor whose data are in its state."""
    if not isinstance(class_, Global):
        raise TypeError("a tensor without a class")
    shell = _tensor(None, _dtype(dtype), 0, size, stride, requires_grad)
    return InertSubclass(class_.name, shell.dtype, shell.shape, shell.stride, shell.requires_grad)


def rebuild_from_type(function: Tree, class_: Tree, args: Tree, state: Tree) -> Tree:
    """`torch._tensor._rebuild_from_type_v2`: a tensor with attributes, or of a subclass."""
    if not isinstance(function, Global) or not isinstance(args, tuple):
        raise TypeError("a tensor without a function that rebuilds it")
    rebuild = _REBUILDS.get(function.name)
    if rebuild is None:
        raise TypeError("not a function that rebuilds a tensor")
    tensor = rebuild(*args)
    if isinstance(tensor, InertSubclass) and tensor.state is None:
        tensor.state = _attributes(state)
    return tensor


def _attributes(state: Tree) -> Tree:
    """The attributes in an object's state: a dict or, for a class with slots, a tuple of dicts."""
    if not isinstance(state, tuple) or not all(
        part is None or isinstance(part, dict) for part in state
    ):
        return state
    merged = InertDict()
    for part in state:
        merged.update(part if isinstance(part, dict) else {})
    return merged


def layout_named(name: Tree) -> Global:
    """`torch.serialization._get_layout`, which returns a layout by its name."""
    if not isinstance(name, str) or name not in LAYOUTS:
        raise ValueError("an unknown layout")
    return Global(name)


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous tensor of this shape, in elements."""
    steps = [1]
    for length in reversed(shape[1:]):
        steps.append(steps[-1] * max(1, length))
    return tuple(reversed(steps[: len(shape)]))


def _tensor(
    storage: Storage | None,
    dtype: str,
    storage_offset: Tree,
    size: Tree,
    stride: Tree,
    requires_grad: Tree,
) -> InertTensor:
    if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride):
        raise TypeError("a tensor without a shape")
    check_dimensions(len(size))
    if type(storage_offset) is not int:
        raise TypeError("a tensor without an offset")
    for number in (*size, *stride, storage_offset):
        if type(number) is not int or not 0 <= number < 1 << 62:
            raise ValueError("a tensor with an impossible size")
    return InertTensor(
        storage,
        dtype,
        size,  # type: ignore[arg-type]  # every item was just seen to be an int
        stride,  # type: ignore[arg-type]  # likewise
        storage_offset,
        bool(requires_grad),
    )


def _dtype(value: Tree) -> str:
    name = value.name.removeprefix("torch.") if isinstance(value, Global) else ""
    if name not in ITEMSIZES:
        raise ValueError(f"an unknown dtype {name}")
    return name


def _pending(metadata: Tree) -> Pending | None:
    """The `conj` and `neg` bits in a tensor's metadata (torch/_utils.py, set_tensor_metadata)."""
    if not isinstance(metadata, dict):
        return None
    conjugate, negative = metadata.get("conj") is True, metadata.get("neg") is True
    return Pending(conjugate, negative) if conjugate or negative else None


def _qscheme(scheme: Global) -> str:
    if scheme.name not in QUANTIZATION_SCHEMES:
        raise ValueError("a quantized tensor of an unknown scheme")
    return scheme.name.removeprefix("torch.")


def _channels(values: Tree, dtype: str) -> InertTensor:
    """The scales or zero points of the channels, which older files contain as a list."""
    if not isinstance(values, list):
        return _plain(values)
    if not all(isinstance(value, int | float) for value in values):
        raise TypeError("scales that are not numbers")
    code = {"float32": "f", "float64": "d", "int64": "q"}[dtype]
    data = struct.pack(f"<{len(values)}{code}", *values)
    storage = InlineStorage("in the pickle", dtype, "cpu", len(values), data=data)
    return InertTensor(storage, dtype, (len(values),), (1,), 0)


def _plain(value: Tree) -> InertTensor:
    """The value, checked to be a plain strided tensor, as a part of another tensor must be."""
    if not isinstance(value, InertTensor) or value.form is not None:
        raise TypeError("a part that is not a plain tensor")
    return value


def _moved(data: InertTensor, dtype: Tree, device: Tree, requires_grad: Tree) -> InertTensor:
    """The tensor with the device and dtype that it had when it was saved through the CPU."""
    device_dtype = _dtype(dtype)
    storage = data.storage
    if storage is not None and isinstance(device, str):
        storage = replace(storage, location=device)
    form = Pending(dtype=device_dtype) if device_dtype != data.dtype else None
    return replace(data, storage=storage, requires_grad=bool(requires_grad), form=form)


_UTILS: Mapping[str, Callable[..., Tree]] = {
    "_rebuild_tensor": rebuild_tensor,
    "_rebuild_tensor_v2": rebuild_tensor,
    "_rebuild_tensor_v3": rebuild_tensor_v3,
    "_rebuild_qtensor": rebuild_quantized,
    "_rebuild_sparse_tensor": rebuild_sparse,
    "_rebuild_nested_tensor": rebuild_nested,
    "_rebuild_device_tensor_from_cpu_tensor": rebuild_from_cpu,
    "_rebuild_device_tensor_from_numpy": rebuild_from_numpy,
    "_rebuild_xla_tensor": rebuild_from_numpy,
    "_rebuild_meta_tensor_no_storage": rebuild_meta,
    "_rebuild_wrapper_subclass": rebuild_wrapper,
    "_rebuild_parameter": rebuild_parameter,
    "_rebuild_parameter_with_state": rebuild_parameter,
}

_REBUILDS: Mapping[str, Callable[..., Tree]] = {
    **{f"torch._utils.{name}": function for name, function in _UTILS.items()},
    "torch.nested._internal.nested_tensor._rebuild_njt": rebuild_jagged,
}

TENSOR_REBUILDS: Mapping[str, Callable[..., Tree]] = {
    **_REBUILDS,
    "torch._tensor._rebuild_from_type": rebuild_from_type,
    "torch._tensor._rebuild_from_type_v2": rebuild_from_type,
    "torch.serialization._get_layout": layout_named,
    "torch.nn.parameter.Parameter": rebuild_parameter,
    "torch.nn.parameter.UninitializedParameter": rebuild_uninitialized,
    "torch.nn.parameter.UninitializedBuffer": rebuild_uninitialized,
    "torch.autograd.variable.Variable": rebuild_parameter,
}
"""The functions and classes of torch that make a tensor, with Loupe's counterparts."""
