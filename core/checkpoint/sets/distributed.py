"""Checkpoints of torch.distributed.checkpoint: a `.metadata` file and `.distcp` files beside it.

Layout (torch/distributed/checkpoint/metadata.py and filesystem.py): `.metadata` is a pickle of a
`Metadata` with the tensors' sizes and chunks, and, for each chunk, the file, offset and length
where torch.save wrote it. `planner_data` gives the path in the nested state_dict of each flat key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import prod
from pathlib import Path

from core.checkpoint.containers.budget import allow, spend
from core.checkpoint.containers.file_set import File, opened
from core.checkpoint.containers.served_file import ServedFile
from core.checkpoint.containers.sources import Within
from core.checkpoint.containers.zip_container import zip_records
from core.checkpoint.entries import Piece, Pieces, Record, Source, TensorEntry
from core.checkpoint.pickles.inert import InertDict, InertTensor, Opaque, Tree
from core.checkpoint.pickles.unpickler import Mentions, no_persistent_ids, unpickle
from core.checkpoint.readers.contents import Contents, entry_of
from core.checkpoint.readers.formats import read_contents
from core.checkpoint.sets.saved_tensor import SavedTensors
from core.checkpoint.sets.shards import NumberedPart
from core.checkpoint.tree.tensor_entries import EntryMaker, entry_maker
from core.errors import CheckpointError

METADATA = ".metadata"

MAX_METADATA = 128 << 20
"""Bytes of `.metadata`: some 300 a chunk."""

MAX_PATH = 32
"""Levels of a nested state_dict."""

MAX_DIMENSIONS = 64

MAX_SPLIT = 6
"""Dimensions along which one tensor may be cut: a device mesh has as many at most."""

CHUNK = 8
"""Opcodes that looking at a chunk counts for."""

DATA = ".distcp"
"""How the files end in which the chunks lie."""

ALLOWANCE = 1 << 30
"""Bytes of data for which `.metadata` may be as large as a whole file's pickles."""

MAX_ALLOWANCES = 16

Offsets = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where torch.save wrote a chunk."""

    file: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A piece, and the tensor of the object tree that it was."""

    piece: Piece
    tensor: InertTensor


def read_distributed(files: Mapping[str, File]) -> NumberedPart:
    """The checkpoint whose `.metadata` is among the files, which lie in its folder.

    Raises CheckpointError (its `whole` filled where a file is missing), SourceError.
    """
    return _Reader(files).read()


class _Reader:
    def __init__(self, files: Mapping[str, File]) -> None:
        self.files = files
        self.sources: dict[str, Source] = {METADATA: opened(files[METADATA], METADATA)}
        self.mentions = Mentions(METADATA)
        self.saved = SavedTensors()
        self.places: list[_Place] = []
        self.contents: list[Contents] = []
        self.parts: list[tuple[Tree, EntryMaker]] = []
        self.entries: dict[int, tuple[InertTensor, TensorEntry]] = {}

    def read(self) -> NumberedPart:
        source = self.sources[METADATA]
        if source.size > MAX_METADATA:
            raise _unsound(f"it has {source.size:,} bytes")
        allow(min(sum(_sizes(self.files)) // ALLOWANCE, MAX_ALLOWANCES))
        found = unpickle(source.read(0, MAX_METADATA), self.mentions, no_persistent_ids).tree
        state = _fields(found, "Metadata")
        described, planned = state.get("state_dict_metadata"), state.get("planner_data")
        if not isinstance(described, dict) or not described:
            raise _unsound("it describes no tensor")
        places = _places(state.get("storage_data"))
        self.refuse_missing({str(key) for key in described}, places)
        _refuse_overlaps(places.values())
        tree = InertDict()
        for key, facts in described.items():
            name = str(key)
            path = planned.get(key) if isinstance(planned, dict) else None
            _put(tree, path, name, self.item(name, facts, places))
        whole = Contents(
            "distributed",
            _numbered(tree),
            (
                *self.mentions.judged(found),
                *self.saved.globals(),
                *chain.from_iterable(one.globals for one in self.contents),
            ),
            self.entry_of(),
            records=self.records,
        )
        return NumberedPart(whole.tree, (whole,), tuple(self.sources.values()))

    def records(self) -> Iterator[Record]:
        """Every record of every archive in the files."""
        for place in self.places:
            yield from zip_records(self.part(place))
        for one in self.contents:
            yield from one.records() if one.records else ()

    def refuse_missing(
        self, keys: set[str], places: Mapping[tuple[str, Offsets | None], _Place]
    ) -> None:
        """Open the files that are named; an error where one is not there, or cut off."""
        named = sorted({place.file for place in places.values()})
        missing = [name for name in named if name not in self.files]
        for name in named:
            if name in self.files and name not in self.sources:
                self.sources[name] = opened(self.files[name], name)
        sizes = {name: source.size for name, source in self.sources.items()}
        beyond = {
            key: place
            for (key, _), place in places.items()
            if place.offset + place.length > sizes.get(place.file, 0)
        }
        if not missing and not beyond:
            return
        whole = tuple(sorted(keys - set(beyond)))
        told = f"{len(whole):,} of its {len(keys):,} entries are whole in the files that are there."
        if missing:
            raise CheckpointError(
                f"The checkpoint lacks {len(missing):,} of its files, such as {missing[0][:200]}. "
                f"{told}",
                "Get the missing files, and put them beside the others.",
                whole,
            )
        name = next(iter(beyond.values())).file
        raise CheckpointError(
            f"{name[:200]} is cut off: it ends after {sizes[name]:,} bytes. {told}",
            "The copy broke off: get the file again, and compare its size.",
            whole,
        )

    def item(
        self, key: str, facts: Tree, places: Mapping[tuple[str, Offsets | None], _Place]
    ) -> Tree:
        """A tensor, or whatever else was saved under a key."""
        if isinstance(facts, Opaque) and facts.name.endswith(".BytesStorageMetadata"):
            place = places.get((key, None))
            if place is None:
                raise _unsound(f"it does not say where {key[:200]} lies")
            saved = self.open(key, place)
            self.parts.append((saved.tree, saved.entry))
            return saved.tree
        state = _fields(facts, "TensorStorageMetadata")
        size, chunks = _offsets(state.get("size")), state.get("chunks")
        if not isinstance(chunks, list) or not chunks:
            raise _unsound(f"{key[:200]} has no chunks")
        spend(CHUNK * len(chunks))
        found = []
        read: dict[_Place, tuple[InertTensor, TensorEntry]] = {}
        for chunk in chunks:
            described = _fields(chunk, "ChunkStorageMetadata")
            offsets, sizes = _offsets(described.get("offsets")), _offsets(described.get("sizes"))
            place = places.get((key, offsets)) or (
                places.get((key, None)) if len(chunks) == 1 else None
            )
            if place is None:
                raise _unsound(f"it does not say where {key[:200]} lies")
            if place not in read:  # the empty pieces of several ranks may be one
                read[place] = self.tensor(key, place)
            tensor, entry = read[place]
            if tensor.shape != sizes:
                raise _unsound(f"{key[:200]} has another shape in {place.file[:200]}")
            found.append(_Chunk(Piece(offsets, entry), tensor))
        if len({chunk.tensor.dtype for chunk in found}) != 1:
            raise _unsound(f"{key[:200]} has pieces of several dtypes")
        _check_cover(key, size, [chunk.piece for chunk in found])
        return self.whole(key, size, found)

    def tensor(self, key: str, place: _Place) -> tuple[InertTensor, TensorEntry]:
        """The tensor that lies at a place."""
        saved = self.saved.read(self.part(place))
        if saved is not None:
            tensor, record = saved
            self.places.append(place)
            return tensor, entry_maker(lambda _: record)(key, tensor)
        contents = self.open(key, place)
        if not isinstance(contents.tree, InertTensor):
            raise _unsound(f"what lies in {place.file[:200]} for {key[:200]} is no tensor")
        return contents.tree, contents.entry(key, contents.tree)

    def whole(self, key: str, size: Offsets, found: Sequence[_Chunk]) -> InertTensor:
        """A tensor that one piece covers as that piece; another as a stand-in for its pieces."""
        filled = [chunk for chunk in found if chunk.piece.entry.numel] or found[:1]
        if len(filled) == 1 and filled[0].tensor.shape == size:
            tensor, entry = filled[0].tensor, filled[0].piece.entry
        else:
            stride = tuple(prod(size[position + 1 :]) for position in range(len(size)))
            tensor = InertTensor(None, filled[0].tensor.dtype, size, stride, 0)
            pieces = Pieces(tuple(chunk.piece for chunk in filled))
            entry = TensorEntry(
                key, tensor.dtype, size, stride, 0, None, origin=key, form=pieces
            )  # fmt: skip
        self.entries[id(tensor)] = tensor, entry
        return tensor

    def part(self, place: _Place) -> Within:
        return Within(self.sources[place.file], place.offset, place.length)

    def open(self, key: str, place: _Place) -> Contents:
        try:
            contents = read_contents(self.part(place))
        except CheckpointError as error:
            raise CheckpointError(
                f"In {place.file[:200]}, where {key[:200]} should lie: {error.problem}",
                error.remedy,
            ) from error
        self.contents.append(contents)
        return contents

    def entry_of(self) -> EntryMaker:
        simple = entry_of(self.parts)

        def entry(key: str, tensor: InertTensor) -> TensorEntry:
            known = self.entries.get(id(tensor))
            return replace(known[1], key=key, origin=key) if known else simple(key, tensor)

        return entry


def _sizes(files: Mapping[str, File]) -> Iterator[int]:
    """The bytes of each file that may hold chunks."""
    for name, file in files.items():
        if name.endswith(DATA):
            try:
                yield file.stat().st_size if isinstance(file, Path | ServedFile) else file.size
            except OSError:
                continue  # it is opened later, or not needed


def _places(stored: Tree) -> dict[tuple[str, Offsets | None], _Place]:
    """Where each chunk lies, by its key and its offsets; None for what is no tensor's."""
    if not isinstance(stored, dict):
        raise _unsound("it does not say where anything lies")
    places: dict[tuple[str, Offsets | None], _Place] = {}
    for index, info in stored.items():
        asked = _fields(index, "MetadataIndex")
        told = _fields(info, "_StorageInfo")
        key, offsets = asked.get("fqn"), asked.get("offset")
        file, offset, length = told.get("relative_path"), told.get("offset"), told.get("length")
        if not isinstance(key, str) or not isinstance(file, str):
            raise _unsound("it names a chunk in an unknown way")
        if type(offset) is not int or type(length) is not int or offset < 0 or length < 0:
            raise _unsound(f"{key[:200]} lies at an impossible place")
        if told.get("transform_descriptors"):
            raise CheckpointError(
                f"The checkpoint was written with an extension, such as compression: "
                f"{str(told['transform_descriptors'])[:100]}.",
                "Load it with the program that wrote it, and save it without the extension.",
            )
        places[key, None if offsets is None else _offsets(offsets)] = _Place(file, offset, length)
    return places


def _fields(value: Tree, name: str) -> Mapping[Tree, Tree]:
    """The fields of one of the format's own dataclasses."""
    if (
        not isinstance(value, Opaque)
        or value.name.rpartition(".")[2] != name
        or not isinstance(value.state, dict)
    ):
        raise _unsound(f"where a {name} belongs is something else")
    return value.state  # type: ignore[return-value]  # a dict's keys are trees


def _offsets(value: Tree) -> Offsets:
    if not isinstance(value, tuple | list) or len(value) > MAX_DIMENSIONS:
        raise _unsound("a size in it is none")
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in value):
        raise _unsound("a size in it is impossible")
    return tuple(value)  # type: ignore[arg-type]  # each was just seen to be an int


def _refuse_overlaps(places: Iterable[_Place]) -> None:
    """Each chunk has bytes of its own: so a file's size bounds how many may lie in it."""
    before = _Place("", 0, 0)
    for place in sorted(places, key=lambda place: (place.file, place.offset)):
        if place.file == before.file and place.offset < before.offset + before.length:
            raise _unsound(f"two chunks in {place.file[:200]} lie over one another")
        before = place


def _check_cover(key: str, size: Offsets, pieces: Sequence[Piece]) -> None:
    """Whether the pieces are the whole: inside it, none over another, no hole."""
    for piece in pieces:
        shape = piece.entry.shape
        if len(piece.offsets) != len(size) or len(shape) != len(size):
            raise _unsound(f"{key[:200]} has a piece of another rank")
        reach = zip(piece.offsets, shape, size, strict=True)
        if any(offset + length > whole for offset, length, whole in reach):
            raise _unsound(f"a piece of {key[:200]} reaches beyond it")
    filled = [piece for piece in pieces if piece.entry.numel]
    if sum(piece.entry.numel for piece in filled) != prod(size):
        raise _unsound(f"the pieces of {key[:200]} have more or fewer elements than it has")
    split = [
        axis
        for axis, length in enumerate(size)
        if any(piece.entry.shape[axis] != length for piece in filled)
    ]
    if len(split) > MAX_SPLIT:
        raise _unsound(f"{key[:200]} is cut along {len(split)} dimensions")
    spend(len(filled) << len(split))
    # With alternating signs, the corners of boxes that tile a box cancel out but for its own.
    left = _corners([0] * len(split), [size[axis] for axis in split])
    for piece in filled:
        start = [piece.offsets[axis] for axis in split]
        stop = [piece.offsets[axis] + piece.entry.shape[axis] for axis in split]
        for corner, sign in _corners(start, stop).items():
            left[corner] = left.get(corner, 0) - sign
    if filled and any(left.values()):
        raise _unsound(f"two pieces of {key[:200]} lie over one another")


def _corners(start: Sequence[int], stop: Sequence[int]) -> dict[Offsets, int]:
    """The corners of a box that is not empty, each with 1 or -1."""
    corners: dict[Offsets, int] = {(): 1}
    for first, last in zip(start, stop, strict=True):
        corners = {
            (*corner, at): sign * side
            for corner, sign in corners.items()
            for at, side in ((first, 1), (last, -1))
        }
    return corners


def _put(tree: InertDict, path: Tree, key: str, item: Tree) -> None:
    """Put an item where `planner_data` says that it was, or under its flat key."""
    steps: list[str | int] = [
        step for step in path if isinstance(step, str) or type(step) is int
    ] if isinstance(path, tuple) else []  # fmt: skip
    if not steps or len(steps) > MAX_PATH or len(steps) != len(path):  # type: ignore[arg-type]
        steps = [key]
    into = tree
    for step in steps[:-1]:
        inner = into.get(step)
        if not isinstance(inner, InertDict):
            if inner is not None:
                raise _unsound(f"{key[:200]} lies inside of something that holds nothing")
            inner = into[step] = InertDict()
        into = inner
    if steps[-1] in into:
        raise _unsound(f"{key[:200]} lies where another entry does")
    into[steps[-1]] = item


def _numbered(value: Tree, depth: int = 0) -> Tree:
    """Mappings from 0, 1, 2, ... as the lists that they were, and an optimizer's numbers, which
    are written as text, as numbers."""
    if not isinstance(value, InertDict) or depth > MAX_PATH:
        return value
    inner = {key: _numbered(item, depth + 1) for key, item in value.items()}
    if inner and all(type(key) is int for key in inner):
        if set(inner) == set(range(len(inner))):
            return [inner[index] for index in range(len(inner))]
    elif (
        inner
        and all(isinstance(item, dict) for item in inner.values())
        and all(isinstance(key, str) and key.isdecimal() and len(key) < 9 for key in inner)
    ):
        inner = {int(str(key)): item for key, item in inner.items()}
    made = InertDict()
    made.update(inner)
    return made


def _unsound(why: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint's {METADATA} is unsound: {why}.",
        "It is damaged: get the folder again from where it came from.",
    )
