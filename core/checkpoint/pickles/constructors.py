"""The globals that a pickle may call, each with Loupe's own function that is called instead.

A call of any other global becomes an Opaque. The arguments come from a file that may be hostile: a
function here raises ValueError or TypeError for arguments that it does not accept, and never calls
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.checkpoint.containers.latin1_text import Latin1Text
from core.checkpoint.entries import ITEMSIZES
from core.checkpoint.pickles.inert import (
    Global,
    InertArray,
    InertDict,
    Key,
    LongBytes,
    Opaque,
    Tree,
    UnusualKey,
)
from core.checkpoint.pickles.numpy_values import (
    array_from_buffer,
    numpy_array,
    numpy_dtype,
    numpy_scalar,
)
from core.checkpoint.pickles.tensor_rebuilds import (
    LAYOUTS,
    QUANTIZATION_SCHEMES,
    STORAGE_DTYPES,
    TENSOR_REBUILDS,
)


def ordered_dict(*pairs: Tree) -> InertDict:
    """`collections.OrderedDict`, `Counter` and `dict`, empty or from a list of pairs."""
    mapping = InertDict()
    if pairs and isinstance(pairs[0], dict):
        mapping.update(pairs[0])
    elif pairs and isinstance(pairs[0], list | tuple):
        for pair in pairs[0]:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise TypeError("not a list of pairs")
            mapping[dict_key(pair[0])] = pair[1]
    return mapping


def default_dict(_factory: Tree = None, *pairs: Tree) -> InertDict:
    """`collections.defaultdict`, without its factory."""
    return ordered_dict(*pairs)


def torch_size(value: Tree = ()) -> tuple[Tree, ...]:
    """`torch.Size` and `tuple`."""
    if not isinstance(value, list | tuple):
        raise TypeError("not a sequence")
    return tuple(value)


def make_list(value: Tree = ()) -> list[Tree]:
    """`list`."""
    return list(torch_size(value))


def make_set(value: Tree = ()) -> set[Key]:
    """`set` and `frozenset`."""
    return {dict_key(item) for item in torch_size(value)}


def make_complex(real: Tree, imaginary: Tree = 0) -> complex:
    """`complex`."""
    if not isinstance(real, int | float) or not isinstance(imaginary, int | float):
        raise TypeError("not two numbers")
    return complex(real, imaginary)


def encode(text: Tree, encoding: Tree = "utf-8") -> bytes | LongBytes:
    """`_codecs.encode`, with which pickles of protocol 2 write bytes."""
    if isinstance(text, LongBytes) and encoding in ("latin1", "latin-1"):
        return LongBytes(Latin1Text(text.source))
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
    """`torch.device`, as its name: `cuda:0`."""
    if not isinstance(kind, str) or not (index is None or type(index) is int):
        raise TypeError("a device without a name")
    return kind if index is None else f"{kind}:{index}"


def dict_key(value: Tree) -> Key:
    """The value as a dict key that is cheap to make and to hash, even if a hostile file chose it.

    Raises TypeError for what Python cannot hash either.
    """
    if value is None or isinstance(value, str | float | Opaque | Global):
        return value
    if isinstance(value, int) and -(1 << 60) < value < 1 << 60:
        return value
    if isinstance(value, list | dict | InertArray):
        raise TypeError("a key in it has a type that keys never have")
    return UnusualKey(value)


_BUILTINS: Mapping[str, Callable[..., Tree]] = {
    "dict": ordered_dict,
    "tuple": torch_size,
    "list": make_list,
    "set": make_set,
    "frozenset": make_set,
    "complex": make_complex,
    "bytearray": make_bytes,
    "bytes": make_bytes,
}

CONSTRUCTORS: Mapping[str, Callable[..., Tree]] = {
    **TENSOR_REBUILDS,
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
    **{f"numpy.{core}.numeric._frombuffer": array_from_buffer for core in ("core", "_core")},
    "torch.Size": torch_size,
    "torch.device": device,
    "collections.OrderedDict": ordered_dict,
    "collections.Counter": ordered_dict,
    "collections.defaultdict": default_dict,
    "_codecs.encode": encode,
    "numpy.dtype": numpy_dtype,
}

MENTIONED = frozenset(
    {
        *STORAGE_DTYPES,
        *(f"torch.{name}" for name in ITEMSIZES),
        *LAYOUTS,
        *QUANTIZATION_SCHEMES,
        "torch._tensor.Tensor",
        "torch.Tensor",
        "torch.distributed.tensor.DTensor",
        "torch.nested._internal.nested_tensor.NestedTensor",
        "numpy.ndarray",
        *(f"{module}.{name}" for module in ("builtins", "__builtin__")
          for name in ("int", "float", "str", "bool", "object")),
    }
)  # fmt: skip
"""Globals that files name as values, and that never need to be called."""
