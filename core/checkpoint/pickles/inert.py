"""The values that a pickle is read as: plain data, descriptions of tensors, and Opaque objects.

None of them is an instance of a class that the file names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias, Union

from core.checkpoint.entries import Source

MAX_GLOBAL = 512
"""Characters of the qualified name of a global, and of a member that is fetched from one."""


@dataclass(frozen=True, slots=True)
class Global:
    """A Python global in a pickle, such as `torch.float32` or `collections.OrderedDict`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(eq=False, repr=False, slots=True)
class Opaque:
    """Stands for an object that Loupe does not make, because its class is not in CONSTRUCTORS.

    `name` is the qualified name of the class (or function), `args` the arguments of its call,
    `state` the state that BUILD would set, `items` and `elements` what SETITEMS and APPENDS would
    put into it.
    """

    name: str
    args: tuple[Tree, ...] = ()
    state: Tree = None
    items: dict[Key, Tree] = field(default_factory=dict)
    elements: list[Tree] = field(default_factory=list)

    def __repr__(self) -> str:
        # Without its contents: a file may nest shared objects so that their text has no end.
        return f"<{self.name}>"


class InertDict(dict["Key", "Tree"]):
    """A dict that may have attributes, as a state_dict's OrderedDict has `_metadata`."""

    # No __init__ sets it: a pickled model has a dozen of these for each module.
    attributes: Tree = None


@dataclass(slots=True)
class Storage:
    """A storage that a pickle refers to.

    `key` is its name in the file, `location` its device tag, `numel` the number of its elements of
    `dtype`. `offset` is the position of a legacy file's view in a larger storage, in elements.
    """

    key: str
    dtype: str
    location: str
    numel: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class LongBytes:
    """A long byte string of a pickle, which is not read but stays in the file."""

    source: Source


@dataclass(slots=True)
class InlineStorage(Storage):
    """A storage whose bytes are in the pickle itself."""

    data: bytes | LongBytes = b""
    big_endian: bool = False


@dataclass(slots=True)
class InertTensor:
    """A tensor as a pickle describes it; `storage` is None on the meta device.

    `dtype` is that of the stored elements; `form` describes a tensor that is not only these.
    `stride` and `storage_offset` count elements.
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
    """The parts of a sparse tensor by torch's names for them, such as `crow_indices`."""

    layout: str
    parts: Mapping[str, InertTensor]
    is_coalesced: bool | None = None


@dataclass(slots=True)
class InertNested:
    """The sizes, strides and offsets of a nested tensor's rows in its buffer."""

    sizes: InertTensor
    strides: InertTensor
    offsets: InertTensor


@dataclass(slots=True)
class Pending:
    """What torch does to the stored elements after reading them.

    It resolves a conjugate or a negative view, or casts them to `dtype`.
    """

    conjugate: bool = False
    negative: bool = False
    dtype: str | None = None


InertForm: TypeAlias = InertQuantized | InertSparse | InertNested | Pending


@dataclass(slots=True)
class InertSubclass:
    """A tensor of a subclass without elements of its own, such as DTensor.

    Its data are the tensors in its `state`; `dtype`, `shape` and `stride` are what it presents
    itself as.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool = False
    state: Tree = None


@dataclass(slots=True)
class InertDtype:
    """A numpy dtype, as numpy's short code without the byte order: `f8`, `i4`, `U3`, `O`.

    `unit` is that of a datetime64 or timedelta64, such as `D` or `25 s`. `fields` are the names and
    the dtypes of a record's fields, as the pickle has them.
    """

    code: str
    big_endian: bool = False
    unit: str = ""
    fields: Tree = None


@dataclass(slots=True)
class InertArray:
    """A numpy array, whose bytes are in C order unless `fortran`.

    `data` is None before BUILD, and for an array of Python objects, which are in `objects`; `dtype`
    is None before BUILD, and where it is another library's, such as ml_dtypes' bfloat16.
    """

    dtype: InertDtype | None = None
    shape: tuple[int, ...] = ()
    data: bytes | LongBytes | None = None
    fortran: bool = False
    objects: list[Tree] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class LongNumber:
    """A whole number with more digits than Python reads; `shown` has the first and the last ones,
    `digest` is the SHA-256 of all.

    Python's own limit (sys.set_int_max_str_digits) is there because the time grows with the square.
    """

    shown: str
    digest: bytes

    def __str__(self) -> str:
        return self.shown


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class UnusualKey:
    """A dict key, or a member of a set, that Python hashes by what it contains: a tuple, a tensor.

    It is hashed by its identity instead. The `value` may be nested without end, or chosen so that
    all keys have one hash.
    """

    value: Tree


Key: TypeAlias = Union[str, int, float, bool, "Opaque", "Global", "UnusualKey", None]
Tree: TypeAlias = Union[
    bool, int, float, complex, str, bytes, "list[Tree]", "tuple[Tree, ...]", "dict[Key, Tree]",
    "set[Key]", Global, Opaque, Storage, InertTensor, InertSubclass, InertDtype, InertArray,
    UnusualKey, LongBytes, LongNumber, None,
]  # fmt: skip
"""Any value that a pickle is read as."""


CONTAINER_TYPES = frozenset({dict, InertDict, list, tuple, set, Opaque, InertSubclass, InertArray})
"""The types of values that have children, each with a key that a path can name."""


def inside(value: Tree) -> Iterable[tuple[Key, Tree]]:
    """The children of a mapping, a list, a set or an object, each with its key in a path."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    if isinstance(value, set):
        return enumerate(key.value if isinstance(key, UnusualKey) else key for key in value)
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


def values_inside(value: Tree) -> Iterable[Tree]:
    """The children of a value without their keys."""
    return (item for _, item in inside(value))


def each_once(
    tree: Tree, below: Callable[[Tree], Iterable[Tree]] = values_inside
) -> Iterator[Tree]:
    """Every value in a tree, each object once.

    `below` returns the values in one that are searched too; it is called after that was yielded.
    """
    visited: set[int] = set()
    rest = [tree]
    while rest:
        value = rest.pop()
        if id(value) not in visited:
            visited.add(id(value))
            yield value
            rest.extend(below(value))
