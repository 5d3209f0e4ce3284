"""The values that a pickle becomes here: plain data, descriptions of tensors, and Opaque.

None of them is an instance of a class that a file names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias, Union

from core.checkpoint.entries import Source


@dataclass(frozen=True, slots=True)
class Global:
    """A Python name in a pickle, such as `torch.float32` or `collections.OrderedDict`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(eq=False, repr=False, slots=True)
class Opaque:
    """The stand-in for an object of a class that is not ours to make.

    `name` is the class's (or function's) qualified name, `args` what it was called with, `state`
    what BUILD would have given it, `items` and `elements` what would have been put into it.
    """

    name: str
    args: tuple[Tree, ...] = ()
    state: Tree = None
    items: dict[Key, Tree] = field(default_factory=dict)
    elements: list[Tree] = field(default_factory=list)

    def __repr__(self) -> str:
        # Not what it holds, which a file may share and nest so that its text never ends.
        return f"<{self.name}>"


class InertDict(dict["Key", "Tree"]):
    """A dict that may carry attributes, as state_dict's OrderedDict carries `_metadata`."""

    __slots__ = ("attributes",)

    def __init__(self) -> None:
        super().__init__()
        self.attributes: Tree = None


@dataclass(slots=True)
class Storage:
    """A storage that a pickle points at; `numel` counts elements of `dtype`, `offset` the
    elements that come before a legacy file's view of a larger storage."""

    key: str
    dtype: str
    location: str
    numel: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class LongBytes:
    """Bytes in a pickle that were left in the file."""

    source: Source


@dataclass(slots=True)
class HeldStorage(Storage):
    """A storage whose bytes lie in the pickle itself."""

    data: bytes | LongBytes = b""
    big_endian: bool = False


@dataclass(slots=True)
class InertTensor:
    """A tensor as the pickle describes it; `storage` is None on the meta device.

    `dtype` is that of the stored elements; `form` is what the tensor is beside them.
    """

    storage: Storage | None
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    storage_offset: int
    requires_grad: bool = False
    form: InertForm | None = None


@dataclass(slots=True)
class InertQuantized:
    """The scales and zero points of a quantized tensor, as in `core.checkpoint.entries`."""

    scheme: str
    scale: float | InertTensor
    zero_point: int | InertTensor
    axis: int | None = None


@dataclass(slots=True)
class InertSparse:
    """The indices and values of a sparse tensor, each under torch's name for it."""

    layout: str
    parts: Mapping[str, InertTensor]
    is_coalesced: bool | None = None


@dataclass(slots=True)
class InertNested:
    """Where the rows of a nested tensor lie in its buffer."""

    sizes: InertTensor
    strides: InertTensor
    offsets: InertTensor


@dataclass(slots=True)
class Pending:
    """What torch does to the stored elements once they are read: it resolves a conjugate or a
    negative view, and converts to another dtype."""

    conjugate: bool = False
    negative: bool = False
    dtype: str | None = None


InertForm: TypeAlias = InertQuantized | InertSparse | InertNested | Pending


@dataclass(slots=True)
class InertSubclass:
    """A tensor of a class that has no elements of its own, such as DTensor: its data are the
    tensors in its state. `dtype`, `shape` and `stride` are what the class says that it is."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool = False
    state: Tree = None


@dataclass(slots=True)
class InertDtype:
    """A numpy dtype, in numpy's short code without its byte order: `f8`, `i4`, `U3`, `O`.

    `unit` is that of a date or a span of time, as in `D` and `25 s`.
    """

    code: str
    big_endian: bool = False
    unit: str = ""


@dataclass(slots=True)
class InertArray:
    """A numpy array: its bytes in C order unless `fortran`; `data` is None until BUILD, and for an
    array of objects, which has them in `objects`."""

    dtype: InertDtype | None = None
    shape: tuple[int, ...] = ()
    data: bytes | LongBytes | None = None
    fortran: bool = False
    objects: list[Tree] | None = None


Key: TypeAlias = Union[str, int, bool, "Opaque", "Global", None]
Tree: TypeAlias = Union[
    bool, int, float, complex, str, bytes, "list[Tree]", "tuple[Tree, ...]", "dict[Key, Tree]",
    "set[Key]", Global, Opaque, Storage, InertTensor, InertSubclass, InertDtype, InertArray,
    LongBytes, None,
]  # fmt: skip
"""Anything that a pickle can hold here."""


HOLDERS = frozenset({dict, InertDict, list, tuple, Opaque, InertSubclass, InertArray})
"""The types of values in which others lie that a path can name."""


def inside(value: Tree) -> Iterable[tuple[Key, Tree]]:
    """What lies inside a mapping, a list or an object, with the name that a path gives it."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    if isinstance(value, InertSubclass):
        return inside(value.state)
    if isinstance(value, InertArray):
        return inside(value.objects)
    if not isinstance(value, Opaque):
        return ()
    state: Iterable[tuple[Key, Tree]] = ()
    if isinstance(value.state, dict):
        state = value.state.items()
    elif value.state is not None:
        state = (("state", value.state),)
    args = (("args", value.args),) if value.args else ()
    return chain(state, value.items.items(), enumerate(value.elements), args)
