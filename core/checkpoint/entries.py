"""The types for a checkpoint's contents: records, entries, state_dicts. None contains data."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass, field
from math import prod
from typing import Protocol, TypeAlias, TypeVar, overload

from core.checkpoint.operations import Operation
from core.fast_objects import fast_constructor

_Default = TypeVar("_Default")

ITEMSIZES: Mapping[str, int] = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "complex128": 16,
    "complex64": 8,
    "complex32": 4,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint64": 8,
    "uint32": 4,
    "uint16": 2,
    "uint8": 1,
    "bool": 1,
    "quint8": 1,
    "qint8": 1,
    "qint32": 4,
    "quint4x2": 1,
    "quint2x4": 1,
    "float4_e2m1fn_x2": 1,
    "bcomplex32": 4,
    "bits16": 2,
    **dict.fromkeys(("bits8", "bits4x2", "bits2x4", "bits1x8"), 1),
    **{f"{sign}int{bits}": 1 for sign in ("", "u") for bits in range(1, 8)},
}
"""Bytes per element of each dtype, by torch's names without `torch.` (`torch.dtype.itemsize`)."""

PACKED: Mapping[str, int] = {"quint4x2": 2, "quint2x4": 4}
"""Elements per byte of a quantized tensor. A tensor of such a dtype without scales has one element
for each byte in torch."""

NUMBERLESS: frozenset[str] = frozenset(
    (
        *("bits16", "bits8", "bits4x2", "bits2x4", "bits1x8", "float4_e2m1fn_x2"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)),
    )
)
"""Dtypes whose elements torch stores, but cannot convert to numbers."""


_FLOATS = frozenset(name for name in ITEMSIZES if name.startswith(("float", "bfloat")))


def is_float_dtype(dtype: str) -> bool:
    """Whether a dtype is one of real floating-point numbers, such as `bfloat16`."""
    return dtype in _FLOATS


class Source(Protocol):
    """Bytes with random access."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    @property
    def identity(self) -> str:
        """Equal for equal contents: their SHA-256 where known, else a hash of path and stat."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`. Raises SourceError where the bytes are gone."""

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`. Raises SourceError."""


@dataclass(frozen=True, slots=True)
class Record:
    """A named run of bytes in a container; `crc32` is None where the file has no checksum.

    `big_endian` says that the elements' bytes are in that order.
    """

    name: str
    offset: int
    nbytes: int
    crc32: int | None
    source: Source = field(repr=False)
    big_endian: bool = False

    @property
    def place(self) -> tuple[int, int, str]:
        """Equal for two records only if they are the same bytes of one open file."""
        return id(self.source), self.offset, self.name


@dataclass(frozen=True, slots=True)
class Cast:
    """A lazy transform: the elements are cast to another dtype when they are read."""

    source_dtype: str
    dtype: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """A lazy transform: the elements are conjugated or negated when they are read.

    torch.save writes a tensor's storage unchanged, and states separately that the tensor is a
    conjugate or a negative view (torch/_utils.py, set_tensor_metadata).
    """

    dtype: str
    conjugate: bool
    negative: bool

    @property
    def source_dtype(self) -> str:
        """The dtype before the transform, which does not change it."""
        return self.dtype


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized tensor, whose integers are the entry's own elements.

    A value is `(integer - zero_point) * scale`. There is one scale and zero point for the tensor,
    or one for each slice along `axis`. `scheme` is torch's `qscheme`, such as `per_channel_affine`.
    """

    scheme: str
    scale: float | TensorEntry
    zero_point: int | TensorEntry
    axis: int | None = None


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse tensor; the entry has its shape and dtype, and no record.

    `layout` is torch's, such as `sparse_csr`. `parts` are in the order of the arguments of torch's
    own constructor: indices and values, or compressed indices, plain indices and values.
    `is_coalesced` is that of a COO tensor; None where the file does not state it.
    """

    layout: str
    parts: tuple[TensorEntry, ...]
    is_coalesced: bool | None = None


@dataclass(frozen=True, slots=True)
class Nested:
    """A nested tensor: rows of different shapes in one buffer, which is the entry's record.

    The entry has the buffer's shape. `sizes` and `strides` have one entry for each row;
    `offsets` has the position in the buffer, in elements, at which each row begins.
    """

    sizes: TensorEntry
    strides: TensorEntry
    offsets: TensorEntry


@dataclass(frozen=True, slots=True)
class Piece:
    """A block of a tensor; `offsets` is its position along each dimension, in elements."""

    offsets: tuple[int, ...]
    entry: TensorEntry


@dataclass(frozen=True, slots=True)
class Pieces:
    """A tensor in blocks that cover it, each with its own record."""

    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """A dense tensor that is in no file, but computed from others when it is read.

    The entry has the result's shape and dtype, row-major strides and no record. The parts are
    entries of any form, also Derived; `steps` is the number of operations, theirs included.
    """

    operation: Operation
    parts: tuple[TensorEntry, ...]
    steps: int = 1


Form: TypeAlias = Quantized | Sparse | Nested | Pieces | Derived
"""The form of a tensor that is not one run of strided elements."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor's description, without its data.

    `dtype` and `shape` are those after `transforms`; `stride` and `storage_offset` count elements
    of the stored dtype inside the record. `record` is None for a tensor without bytes of its own:
    one on the meta device, or one whose `form` has the bytes. `location` is the device tag in the
    file, such as `cuda:0`, and has no effect. `origin` is the key in the file, before any fix; it
    may be empty where `key` is that key.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    storage_offset: int
    record: Record | None
    requires_grad: bool = False
    location: str = "cpu"
    origin: str = ""
    transforms: tuple[Cast | Resolve, ...] = ()
    form: Form | None = None

    def under(self, key: str) -> TensorEntry:
        """The same entry under another key; its `origin` stays the key in the file.

        The constructor is called directly: dataclasses.replace takes five times as long.
        """
        if key == self.key:
            return self
        return TensorEntry(
            key,
            self.dtype,
            self.shape,
            self.stride,
            self.storage_offset,
            self.record,
            self.requires_grad,
            self.location,
            self.origin or self.key,
            self.transforms,
            self.form,
        )

    @property
    def records(self) -> tuple[Record, ...]:
        """Every run of bytes that the tensor is read from; none on the meta device."""
        own = () if self.record is None else (self.record,)
        if self.form is None:
            return own
        return own + tuple(record for part in self._parts for record in part.records)

    @property
    def _parts(self) -> tuple[TensorEntry, ...]:
        match self.form:
            case None:
                return ()
            case Quantized(_, scale, zero_point):
                return tuple(part for part in (scale, zero_point) if isinstance(part, TensorEntry))
            case Sparse(_, parts) | Derived(_, parts):
                return parts
            case Nested(sizes, strides, offsets):
                return sizes, strides, offsets
            case Pieces(pieces):
                return tuple(piece.entry for piece in pieces)

    @property
    def numel(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor itself, without the rest of its storage."""
        match self.form:
            case None | Pieces() | Derived():
                return self.numel * ITEMSIZES[self.dtype]
            case Sparse(_, parts):
                return sum(part.nbytes for part in parts)
            case Quantized() if self.dtype in PACKED:
                own = packed_bytes(self.dtype, self.shape)
            case _:
                own = self.numel * ITEMSIZES[self.dtype]
        return own + sum(part.nbytes for part in self._parts)

    @property
    def is_contiguous(self) -> bool:
        """Whether the strides say that the elements follow one another in C order.

        The strides of dimensions of length 1 do not matter.
        """
        step = 1
        for length, stride in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if length != 1 and stride != step:
                return False
            step *= length
        return True

    @property
    def stored_dtype(self) -> str:
        """The dtype of the elements in the record, before `transforms`."""
        return self.transforms[0].source_dtype if self.transforms else self.dtype


def packed_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a quantized tensor whose dtype is in PACKED.

    The elements follow one another across the ends of rows, the first in a byte's low bits
    (`Tensor.int_repr` gives these bytes).
    """
    return -(-prod(shape) // PACKED[dtype])


make_record = fast_constructor(Record)
make_entry = fast_constructor(TensorEntry)
"""The constructors for readers, which make a record and an entry for each tensor of a file."""


class StateDict(Mapping[str, TensorEntry]):
    """An ordered mapping from key to TensorEntry.

    `path` is its path in the checkpoint's object tree (`""` where the tree itself is one).
    `versions` is torch's `_metadata`: module path → its `version`; the fixes keep it up to date.
    `classes` maps the module paths of a pickled model to the qualified names of their classes (`""`
    is the model); it is empty for a file that contains only a state_dict, and after a fix.
    `kinds` says of each key that is not text in the file what it is there: `int`, or `in a list`;
    of one that its name does not say in full, with a digest of it.
    """

    __slots__ = ("_added", "_entries", "classes", "kinds", "path", "versions")

    def __init__(
        self,
        entries: Iterable[TensorEntry],
        path: str = "",
        versions: Mapping[str, int] | None = None,
        classes: Mapping[str, str] | None = None,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        self._entries = {entry.key: entry for entry in entries}
        self.path = path
        self.versions = dict(versions or {})
        self.classes = dict(classes or {})
        self.kinds = dict(kinds or {})
        self._added: tuple[int, int] | None = None

    def at(self, path: str) -> StateDict:
        """The same state_dict at another path."""
        return StateDict(self.values(), path, self.versions, self.classes, self.kinds)

    def __getitem__(self, key: str) -> TensorEntry:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    # These are dict's own: those of Mapping would look up each entry by its key, and raise and
    # catch a KeyError for each that is not there.
    def __contains__(self, key: object) -> bool:
        return key in self._entries

    @overload
    def get(self, key: str, default: None = None, /) -> TensorEntry | None: ...
    @overload
    def get(self, key: str, default: TensorEntry | _Default, /) -> TensorEntry | _Default: ...
    def get(self, key: str, default: object = None, /) -> object:
        """The entry of a key; the default if there is none."""
        return self._entries.get(key, default)

    def keys(self) -> KeysView[str]:
        """The keys, in order."""
        return self._entries.keys()

    def values(self) -> ValuesView[TensorEntry]:
        """The entries, in order."""
        return self._entries.values()

    def items(self) -> ItemsView[str, TensorEntry]:
        """The keys and entries, in order."""
        return self._entries.items()

    def __repr__(self) -> str:
        return f"StateDict({len(self)} tensors at {self.path!r})"

    @property
    def numel(self) -> int:
        """Elements of all tensors; a storage that two keys share counts twice."""
        return self._totals()[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors; a storage that two keys share counts twice."""
        return self._totals()[1]

    def _totals(self) -> tuple[int, int]:
        """Elements and bytes, summed once: every page reads them, and the entries never change."""
        if self._added is None:
            elements = nbytes = 0
            for entry in self.values():
                numel = prod(entry.shape)
                elements += numel
                # The bytes of most entries, without computing the number of elements again.
                nbytes += numel * ITEMSIZES[entry.dtype] if entry.form is None else entry.nbytes
            self._added = elements, nbytes
        return self._added
