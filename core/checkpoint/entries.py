"""The words of a checkpoint's contents: records, entries, state_dicts. None holds data."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass, field
from math import prod
from typing import Protocol, TypeAlias

from core.checkpoint.operations import Operation
from core.fast_objects import quick

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
"""Bytes per element by dtype, in torch's names without `torch.` (`torch.dtype.itemsize`)"""

PACKED: Mapping[str, int] = {"quint4x2": 2, "quint2x4": 4}
"""Elements in a byte of a quantized tensor; without its scales, torch counts each byte as one"""

NUMBERLESS: frozenset[str] = frozenset(
    (
        *("bits16", "bits8", "bits4x2", "bits2x4", "bits1x8", "float4_e2m1fn_x2"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)),
    )
)
"""Dtypes whose elements torch can hold, and cannot turn into numbers."""


class Source(Protocol):
    """Bytes with random access."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    @property
    def identity(self) -> str:
        """Equal for equal contents: a SHA-256 where it is known, else the file's own marks."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`. Raises SourceError where the bytes are gone."""

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`. Raises SourceError."""


@dataclass(frozen=True, slots=True)
class Record:
    """A named run of bytes in a container; `crc32` is None where the file keeps none.

    `big_endian` says that the elements' bytes come in the order of such a machine.
    """

    name: str
    offset: int
    nbytes: int
    crc32: int | None
    source: Source = field(repr=False)
    big_endian: bool = False


@dataclass(frozen=True, slots=True)
class Cast:
    """A lazy transform: the elements change dtype when they are read."""

    source_dtype: str
    dtype: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """A lazy transform: the elements are conjugated, or negated, when they are read.

    torch.save writes a tensor's storage as it is, and beside it that the tensor is a conjugate or
    a negative view (torch/_utils.py, set_tensor_metadata).
    """

    dtype: str
    conjugate: bool
    negative: bool

    @property
    def source_dtype(self) -> str:
        """The dtype before, which is the one after."""
        return self.dtype


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized tensor: its integers are the entry's own elements.

    A number is `(integer - zero_point) * scale`; both are one for the tensor, or, along `axis`,
    one for each slice. `scheme` is torch's `qscheme`, such as `per_channel_affine`.
    """

    scheme: str
    scale: float | TensorEntry
    zero_point: int | TensorEntry
    axis: int | None = None


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse tensor, of which the entry has the shape and dtype, and no record.

    `layout` is torch's, such as `sparse_csr`; `parts` come in the order in which torch's own
    function takes them: indices and values, or compressed indices, plain indices and values.
    `is_coalesced` is what a COO tensor says of its indices; None where the file does not.
    """

    layout: str
    parts: tuple[TensorEntry, ...]
    is_coalesced: bool | None = None


@dataclass(frozen=True, slots=True)
class Nested:
    """A nested tensor: rows of unequal shapes in one buffer, which is the entry's own record.

    The entry has the buffer's shape. `sizes` and `strides` have a row for each of the rows,
    `offsets` where each begins in elements.
    """

    sizes: TensorEntry
    strides: TensorEntry
    offsets: TensorEntry


@dataclass(frozen=True, slots=True)
class Piece:
    """A block of a tensor: `offsets` count elements along each dimension of the whole."""

    offsets: tuple[int, ...]
    entry: TensorEntry


@dataclass(frozen=True, slots=True)
class Pieces:
    """A tensor in blocks, each with a record of its own; together they cover it."""

    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """A dense tensor that no file holds: it is computed from others when it is read.

    The entry has the result's shape and dtype, row-major strides and no record; the parts are
    entries of any form, Derived ones too; `steps` counts the operations of all of them together.
    """

    operation: Operation
    parts: tuple[TensorEntry, ...]
    steps: int = 1


Form: TypeAlias = Quantized | Sparse | Nested | Pieces | Derived
"""What a tensor is beside one run of strided elements."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor's description.

    `dtype` and `shape` are what a reader gets, after `transforms`; `stride` and
    `storage_offset` count elements of the stored dtype inside the record. `record` is None for
    a tensor without bytes of its own: one on the meta device, or one whose `form` has them.
    `location` is the device tag in the file, such as `cuda:0`, and has no effect. `origin` is the
    key that the file gives, before any fix.
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
        """The entry under another key; its origin stays the key that the file gives.

        Made in one call, in a fifth of the time that dataclasses.replace takes.
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
        """Every run of bytes that it is read from; none on the meta device."""
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
        """Elements in all."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes when it stands alone, whatever its storage holds."""
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
        """Whether its strides say that the elements follow one another in C order; those of
        dimensions of 1 say nothing."""
        step = 1
        for length, stride in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if length != 1 and stride != step:
                return False
            step *= length
        return True

    @property
    def stored_dtype(self) -> str:
        """The dtype of the bytes in the record."""
        return self.transforms[0].source_dtype if self.transforms else self.dtype


def packed_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a quantized tensor of a dtype in PACKED: its elements follow each other without
    regard to its rows, the first in a byte's low bits (`Tensor.int_repr` gives these bytes)."""
    return -(-prod(shape) // PACKED[dtype])


quick_record = quick(Record)
quick_entry = quick(TensorEntry)
"""The constructors that the formats' readers use, for one record and one entry a tensor."""


class StateDict(Mapping[str, TensorEntry]):
    """An ordered mapping from key to TensorEntry.

    `path` says where in the checkpoint's object tree it was found (`""` for a bare one);
    `versions` is torch's `_metadata`: module path → its `version`, kept in step by the fixes.
    `classes` is a whole model's module path → its class's qualified name (`""` for the model), as
    the file gives it; it is empty for a state_dict that was saved as one, and after a fix.
    """

    __slots__ = ("_added", "_entries", "classes", "path", "versions")

    def __init__(
        self,
        entries: Iterable[TensorEntry],
        path: str = "",
        versions: Mapping[str, int] | None = None,
        classes: Mapping[str, str] | None = None,
    ) -> None:
        self._entries = {entry.key: entry for entry in entries}
        self.path = path
        self.versions = dict(versions or {})
        self.classes = dict(classes or {})
        self._added: tuple[int, int] | None = None

    def __getitem__(self, key: str) -> TensorEntry:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    # Mapping's own views would fetch each entry by its key.
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
        """Elements over all tensors; a storage shared by two keys counts twice."""
        return self._totals()[0]

    @property
    def nbytes(self) -> int:
        """Bytes over all tensors; a storage shared by two keys counts twice."""
        return self._totals()[1]

    def _totals(self) -> tuple[int, int]:
        """Elements and bytes, added up once: every page asks, and the entries never change."""
        if self._added is None:
            self._added = (
                sum(entry.numel for entry in self.values()),
                sum(entry.nbytes for entry in self.values()),
            )
        return self._added
