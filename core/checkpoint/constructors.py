"""The short list of names that a pickle may call, each with the function of ours that is called.

Whatever is not in CONSTRUCTORS becomes an Opaque. A function here gets arguments that a hostile
file chose: it raises ValueError or TypeError for what it does not take, and never calls them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from math import prod

from core.checkpoint.entries import ITEMSIZES
from core.checkpoint.inert import (
    Global,
    InertArray,
    InertDict,
    InertDtype,
    InertTensor,
    Opaque,
    Storage,
    Tree,
)

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
    }.items()
} | {"torch.storage.UntypedStorage": "uint8", "torch.UntypedStorage": "uint8"}
"""The storage classes of torch/storage.py, with the dtype of their elements."""

MAX_DIMENSIONS = 64


def rebuild_tensor(
    storage: Tree,
    storage_offset: Tree,
    size: Tree,
    stride: Tree,
    requires_grad: Tree = False,
    *_hooks: Tree,
) -> InertTensor:
    """`torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`."""
    if not isinstance(storage, Storage):
        raise TypeError("a tensor without a storage")
    return _tensor(storage, storage.dtype, storage_offset, size, stride, requires_grad)


def rebuild_tensor_v3(
    storage: Tree,
    storage_offset: Tree,
    size: Tree,
    stride: Tree,
    requires_grad: Tree,
    _hooks: Tree,
    dtype: Tree,
    *_metadata: Tree,
) -> InertTensor:
    """`torch._utils._rebuild_tensor_v3`: an untyped storage with the dtype beside it."""
    if not isinstance(storage, Storage):
        raise TypeError("a tensor without a storage")
    return _tensor(storage, _dtype(dtype), storage_offset, size, stride, requires_grad)


def rebuild_quantized(
    storage: Tree,
    storage_offset: Tree,
    size: Tree,
    stride: Tree,
    _quantizer: Tree,
    requires_grad: Tree = False,
    *_hooks: Tree,
) -> InertTensor:
    """`torch._utils._rebuild_qtensor`: the integers, without their scales."""
    return rebuild_tensor(storage, storage_offset, size, stride, requires_grad)


def rebuild_meta(dtype: Tree, size: Tree, stride: Tree, requires_grad: Tree) -> InertTensor:
    """`torch._utils._rebuild_meta_tensor_no_storage`."""
    return _tensor(None, _dtype(dtype), 0, size, stride, requires_grad)


def rebuild_parameter(data: Tree, requires_grad: Tree = True, *_more: Tree) -> InertTensor:
    """`torch._utils._rebuild_parameter` and `_rebuild_parameter_with_state`."""
    if not isinstance(data, InertTensor):
        raise TypeError("a parameter without a tensor")
    return InertTensor(
        data.storage,
        data.dtype,
        data.shape,
        data.stride,
        data.storage_offset,
        bool(requires_grad),
    )


def rebuild_from_type(function: Tree, _type: Tree, args: Tree, _state: Tree) -> Tree:
    """`torch._tensor._rebuild_from_type_v2`: a tensor with attributes, or of a subclass."""
    if not isinstance(function, Global) or not isinstance(args, tuple):
        raise TypeError("no function to rebuild a tensor with")
    constructor = CONSTRUCTORS.get(function.name)
    if constructor is None or constructor is rebuild_from_type:
        raise TypeError("not a function that rebuilds a tensor")
    return constructor(*args)


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
    if len(size) > MAX_DIMENSIONS or type(storage_offset) is not int:
        raise ValueError("a tensor with too many dimensions")
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


def ordered_dict(*pairs: Tree) -> InertDict:
    """`collections.OrderedDict` and `dict`, empty or from a list of pairs."""
    made = InertDict()
    if pairs and isinstance(pairs[0], dict):
        made.update(pairs[0])
    elif pairs and isinstance(pairs[0], list | tuple):
        for pair in pairs[0]:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise TypeError("not a list of pairs")
            made[dict_key(pair[0])] = pair[1]
    return made


def default_dict(_factory: Tree = None, *pairs: Tree) -> InertDict:
    """`collections.defaultdict`, its factory left out."""
    return ordered_dict(*pairs)


def size(value: Tree = ()) -> tuple[Tree, ...]:
    """`torch.Size` and `tuple`."""
    if not isinstance(value, list | tuple):
        raise TypeError("not a sequence")
    return tuple(value)


def make_list(value: Tree = ()) -> list[Tree]:
    """`list`."""
    return list(size(value))


def make_set(value: Tree = ()) -> set[str | int | bool | Opaque | Global | None]:
    """`set` and `frozenset`."""
    return {dict_key(item) for item in size(value)}


def make_complex(real: Tree, imaginary: Tree = 0) -> complex:
    """`complex`."""
    if not isinstance(real, int | float) or not isinstance(imaginary, int | float):
        raise TypeError("not two numbers")
    return complex(real, imaginary)


def encode(text: Tree, encoding: Tree = "utf-8") -> bytes:
    """`_codecs.encode`, by which protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8"):
        raise TypeError("not text to encode")
    return text.encode(encoding)


def make_bytes(value: Tree = b"", *_encoding: Tree) -> bytes:
    """`bytearray` and `bytes`."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("latin-1")
    raise TypeError("not bytes")


def device(kind: Tree, index: Tree = None) -> str:
    """`torch.device`, as its name."""
    if not isinstance(kind, str) or not (index is None or type(index) is int):
        raise TypeError("a device without a name")
    return kind if index is None else f"{kind}:{index}"


def numpy_dtype(code: Tree, *_flags: Tree) -> InertDtype:
    """`numpy.dtype`; its byte order comes later, with BUILD."""
    if not isinstance(code, str):
        raise TypeError("not a dtype's code")
    return InertDtype(code.lstrip("<>=|"), code.startswith(">"))


def numpy_scalar(dtype: Tree, data: Tree = None) -> Tree:
    """`numpy.core.multiarray.scalar`: the number as Python's own."""
    if not isinstance(dtype, InertDtype):
        raise TypeError("a scalar without a dtype")
    if isinstance(data, str):
        data = data.encode("latin-1")
    if not isinstance(data, bytes):
        raise TypeError("a scalar without bytes")
    kind = STRUCT_CODES.get(dtype.code)
    if kind is None:
        return Opaque(f"numpy scalar of dtype {dtype.code}", (data,))
    values = struct.unpack((">" if dtype.big_endian else "<") + kind, data)
    return complex(*values) if len(values) == 2 else values[0]


STRUCT_CODES: Mapping[str, str] = {
    "f8": "d",
    "f4": "f",
    "f2": "e",
    "i8": "q",
    "i4": "i",
    "i2": "h",
    "i1": "b",
    "u8": "Q",
    "u4": "I",
    "u2": "H",
    "u1": "B",
    "b1": "?",
    "c16": "dd",
    "c8": "ff",
}
"""numpy's short dtype codes in the letters of the struct module."""


def numpy_array(*_arguments: Tree) -> InertArray:
    """`numpy.core.multiarray._reconstruct`: an empty array that BUILD fills."""
    return InertArray()


def build_dtype(dtype: InertDtype, state: Tree) -> None:
    """numpy.dtype's state is (version, byte order, ...)."""
    if isinstance(state, tuple) and len(state) > 1:
        dtype.big_endian = state[1] == ">"


def build_array(array: InertArray, state: Tree) -> None:
    """numpy.ndarray's state is (version, shape, dtype, Fortran order, bytes)."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise TypeError("an array without its state")
    _, shape, dtype, fortran, data = state
    if isinstance(data, str):
        data = data.encode("latin-1")
    if len(size(shape)) > MAX_DIMENSIONS:
        raise ValueError("an array with too many dimensions")
    lengths = [length for length in size(shape) if type(length) is int and 0 <= length < 1 << 62]
    if not isinstance(dtype, InertDtype) or len(lengths) != len(size(shape)):
        raise TypeError("an array without a shape")
    array.dtype, array.shape, array.fortran = dtype, tuple(lengths), bool(fortran)
    array.data = data if isinstance(data, bytes) else None


def array_values(array: InertArray, most: int) -> list[Tree] | None:
    """The numbers of an array of at most `most`, in the order of its bytes; None where they cannot
    be read, or are more."""
    if array.dtype is None or array.data is None or array.dtype.code not in STRUCT_CODES:
        return None
    kind = STRUCT_CODES[array.dtype.code]
    layout = struct.Struct((">" if array.dtype.big_endian else "<") + kind)
    if prod(array.shape) > most or len(array.data) != layout.size * prod(array.shape):
        return None
    return [
        complex(*found) if len(found) == 2 else found[0] for found in layout.iter_unpack(array.data)
    ]


def dict_key(value: Tree, depth: int = 2) -> str | int | bool | Opaque | Global | None:
    """A key that is cheap to make and to hash whoever chose it: other kinds, and huge numbers,
    become text, and tuples in tuples only to `depth`."""
    if isinstance(value, int):
        return value if -(1 << 60) < value < 1 << 60 else hex(value)
    if value is None or isinstance(value, str | Opaque | Global):
        return value
    if isinstance(value, float | complex):
        return repr(value)
    if isinstance(value, bytes):
        return repr(value[:200])
    if isinstance(value, tuple) and len(value) <= 16:
        if depth == 0:
            return "(…)"
        parts = (
            repr(item[:400]) if isinstance(item, str) else str(dict_key(item, depth - 1))
            for item in value
        )
        return f"({', '.join(parts)})"[:400]
    raise TypeError("not a key")


_REBUILDS: Mapping[str, Callable[..., Tree]] = {
    "_rebuild_tensor": rebuild_tensor,
    "_rebuild_tensor_v2": rebuild_tensor,
    "_rebuild_tensor_v3": rebuild_tensor_v3,
    "_rebuild_qtensor": rebuild_quantized,
    "_rebuild_meta_tensor_no_storage": rebuild_meta,
    "_rebuild_parameter": rebuild_parameter,
    "_rebuild_parameter_with_state": rebuild_parameter,
}

_BUILTINS: Mapping[str, Callable[..., Tree]] = {
    "dict": ordered_dict,
    "tuple": size,
    "list": make_list,
    "set": make_set,
    "frozenset": make_set,
    "complex": make_complex,
    "bytearray": make_bytes,
    "bytes": make_bytes,
}

CONSTRUCTORS: Mapping[str, Callable[..., Tree]] = {
    **{f"torch._utils.{name}": function for name, function in _REBUILDS.items()},
    **{
        f"{module}.{name}": function
        for module in ("builtins", "__builtin__")
        for name, function in _BUILTINS.items()
    },
    **{
        f"numpy.{core}.multiarray.{name}": function
        for core in ("core", "_core")
        for name, function in (("scalar", numpy_scalar), ("_reconstruct", numpy_array))
    },
    "torch._tensor._rebuild_from_type_v2": rebuild_from_type,
    "torch.Size": size,
    "torch.device": device,
    "collections.OrderedDict": ordered_dict,
    "collections.defaultdict": default_dict,
    "_codecs.encode": encode,
    "numpy.dtype": numpy_dtype,
}

MENTIONED = frozenset(
    {
        *STORAGE_DTYPES,
        *(f"torch.{name}" for name in ITEMSIZES),
        "torch.nn.parameter.Parameter",
        "torch._tensor.Tensor",
        "torch.Tensor",
        "torch.per_tensor_affine",
        "torch.per_channel_affine",
        "torch.strided",
        "numpy.ndarray",
        *(f"{module}.{name}" for module in ("builtins", "__builtin__")
          for name in ("int", "float", "str", "bool", "object")),
    }
)  # fmt: skip
"""Names that files mention as values and never need to be called."""
