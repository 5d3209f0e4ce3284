"""Reads checkpoints of torch.distributed.checkpoint: a `.metadata` file and `.distcp` files.

Layout (torch/distributed/checkpoint/metadata.py and filesystem.py): `.metadata` is a pickle of a
`Metadata` with the sizes and chunks of the tensors and, for each chunk, the file, offset and length
at which torch.save wrote it. `planner_data` has the path of each flat key in the nested state_dict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from core.checkpoint.containers.budget import MoreThanLoupeReads, allow, check_dimensions, spend
from core.checkpoint.containers.file_set import File, opened
from core.checkpoint.containers.served_file import ServedFile
from core.checkpoint.containers.sources import Within
from core.checkpoint.containers.zip_container import zip_records
from core.checkpoint.entries import Piece, Record, Source, TensorEntry
from core.checkpoint.pickles.inert import InertDict, InertTensor, Opaque, Tree
from core.checkpoint.pickles.unpickler import Mentions, no_persistent_ids, unpickle
from core.checkpoint.readers.contents import Contents, entry_of
from core.checkpoint.readers.formats import CHUNKS, read_contents
from core.checkpoint.sets.joined_pieces import Chunk, Offsets, check_cover, joined_chunks
from core.checkpoint.sets.saved_tensor import SavedTensors
from core.checkpoint.sets.shards import NumberedPart
from core.checkpoint.tree.tensor_entries import EntryMaker, entry_maker
from core.errors import CheckpointError
from core.wording import count, part_of, size

METADATA = ".metadata"
"""The file that says which tensors there are, and where their chunks are."""

MAX_METADATA = 128 << 20
"""Bytes of `.metadata`; a chunk takes some 300."""

REMEDY = "Load it with torch.distributed.checkpoint, and save the weights alone with torch.save."
"""What to do about a checkpoint that goes beyond a limit."""

MAX_PATH = 32
"""Levels of a nested state_dict."""

CHUNK = 8
"""Opcodes that checking a chunk counts as."""

DATA = CHUNKS
"""The ending of the files that contain the chunks."""

ALLOWANCE = 1 << 30
"""Bytes of data for which reading `.metadata` gets the budget of one more file."""

MAX_ALLOWANCES = 16
"""The most further budgets: those of 16 GiB of data."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The file, offset and length in bytes at which torch.save wrote a chunk."""

    file: str
    offset: int
    length: int


def read_distributed(files: Mapping[str, File]) -> NumberedPart:
    """Read the checkpoint whose `.metadata` and data files are `files`, by their names.

    Raises CheckpointError (with the `whole` tensors where a file is missing), SourceError.
    """
    return _Reader(files).read()


class _Reader:
    """Reads one checkpoint.

    `places` are the chunks that `saved` read as single tensors, `contents` the other archives.
    `parts` are the trees of objects that are no tensors. `entries` has the tensors of `.metadata`
    and their entries by the tensors' ids.
    """

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
            raise MoreThanLoupeReads(f"{METADATA} has more than {size(MAX_METADATA)}", REMEDY)
        allow(min(sum(_sizes(self.files)) // ALLOWANCE, MAX_ALLOWANCES))
        metadata = unpickle(source.read(0, MAX_METADATA), self.mentions, no_persistent_ids).tree
        state = _fields(metadata, "Metadata")
        described, planned = state.get("state_dict_metadata"), state.get("planner_data")
        if not isinstance(described, dict):
            raise _unsound("it describes no tensor")
        places = _places(state.get("storage_data"))
        self.refuse_missing({str(key) for key in described}, places)
        _refuse_overlaps(places.values())
        tree = InertDict()
        for key, facts in described.items():
            name = str(key)
            path = planned.get(key) if isinstance(planned, dict) else None
            _put(tree, path, name, self.item(name, facts, places))
        contents = Contents(
            "distributed",
            _numbered(tree),
            (
                *self.mentions.judged(metadata),
                *self.saved.globals(),
                *chain.from_iterable(inner.globals for inner in self.contents),
            ),
            self.entry_of(),
            records=self.records,
            unsearched=tuple(chain.from_iterable(inner.unsearched for inner in self.contents)),
        )
        return NumberedPart(contents.tree, (contents,), tuple(self.sources.values()))

    def records(self) -> Iterator[Record]:
        """Every record of every archive in the files."""
        for place in self.places:
            yield from zip_records(self.part(place))
        for contents in self.contents:
            yield from contents.records() if contents.records else ()

    def refuse_missing(
        self, keys: set[str], places: Mapping[tuple[str, Offsets | None], _Place]
    ) -> None:
        """Open the files with chunks. Raises CheckpointError where one is missing or cut off."""
        names = sorted({place.file for place in places.values()})
        missing = [name for name in names if name not in self.files]
        for name in names:
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
        summary = f"{part_of(len(whole), len(keys), 'entry', 'its')} whole."
        if missing:
            raise CheckpointError(
                f"The checkpoint lacks {count(len(missing))} of its files, such as "
                f"{missing[0][:200]}. {summary}",
                "Get the missing files, and put them next to the others.",
                whole,
            )
        name = next(iter(beyond.values())).file
        raise CheckpointError(
            f"{name[:200]} is cut off: it ends after {count(sizes[name])} bytes. {summary}",
            "The copy broke off: get the file again, and compare its size.",
            whole,
        )

    def item(
        self, key: str, facts: Tree, places: Mapping[tuple[str, Offsets | None], _Place]
    ) -> Tree:
        """The tensor, or another object, that was saved under a key."""
        if isinstance(facts, Opaque) and facts.name.endswith(".BytesStorageMetadata"):
            place = places.get((key, None))
            if place is None:
                raise _unsound(f"it does not say where {key[:200]} is")
            saved = self.open(key, place)
            self.parts.append((saved.tree, saved.entry))
            return saved.tree
        state = _fields(facts, "TensorStorageMetadata")
        size, chunks = _offsets(state.get("size")), state.get("chunks")
        if not isinstance(chunks, list) or not chunks:
            raise _unsound(f"{key[:200]} has no chunks")
        spend(CHUNK * len(chunks))
        read_chunks = []
        read: dict[_Place, tuple[InertTensor, TensorEntry]] = {}
        for chunk in chunks:
            described = _fields(chunk, "ChunkStorageMetadata")
            offsets, sizes = _offsets(described.get("offsets")), _offsets(described.get("sizes"))
            place = places.get((key, offsets)) or (
                places.get((key, None)) if len(chunks) == 1 else None
            )
            if place is None:
                raise _unsound(f"it does not say where {key[:200]} is")
            if place not in read:  # the empty chunks of several ranks may be at the same place
                read[place] = self.tensor(key, place)
            tensor, entry = read[place]
            if tensor.shape != sizes:
                raise _unsound(
                    f"the shape of {key[:200]} differs from the one in {place.file[:200]}"
                )
            read_chunks.append(Chunk(Piece(offsets, entry), tensor))
        if len({chunk.tensor.dtype for chunk in read_chunks}) != 1:
            raise _unsound(f"the pieces of {key[:200]} have different dtypes")
        check_cover(key, size, [chunk.piece for chunk in read_chunks], _unsound)
        tensor, entry = joined_chunks(key, size, read_chunks)
        self.entries[id(tensor)] = tensor, entry
        return tensor

    def tensor(self, key: str, place: _Place) -> tuple[InertTensor, TensorEntry]:
        """The tensor at a place, and its entry."""
        saved = self.saved.read(self.part(place))
        if saved is not None:
            tensor, record = saved
            self.places.append(place)
            return tensor, entry_maker(lambda _: record)(key, tensor)
        contents = self.open(key, place)
        if not isinstance(contents.tree, InertTensor):
            raise _unsound(f"{place.file[:200]} contains no tensor for {key[:200]}")
        return contents.tree, contents.entry(key, contents.tree)

    def part(self, place: _Place) -> Within:
        return Within(self.sources[place.file], place.offset, place.length)

    def open(self, key: str, place: _Place) -> Contents:
        try:
            contents = read_contents(self.part(place))
        except CheckpointError as error:
            raise CheckpointError(
                f"In {place.file[:200]}, which should contain {key[:200]}: {error.problem}",
                error.remedy,
            ) from error
        self.contents.append(contents)
        return contents

    def entry_of(self) -> EntryMaker:
        entry_of_object = entry_of(self.parts)

        def entry(key: str, tensor: InertTensor) -> TensorEntry:
            pair = self.entries.get(id(tensor))
            return replace(pair[1], key=key, origin=key) if pair else entry_of_object(key, tensor)

        return entry


def _sizes(files: Mapping[str, File]) -> Iterator[int]:
    """The size in bytes of each file that may contain chunks."""
    for name, file in files.items():
        if name.endswith(DATA):
            try:
                yield file.stat().st_size if isinstance(file, Path | ServedFile) else file.size
            except OSError:
                continue  # if the file is needed, opening it later reports the error


def _places(stored: Tree) -> dict[tuple[str, Offsets | None], _Place]:
    """The place of each chunk, by its key and its offsets (None where it is not a tensor's)."""
    if not isinstance(stored, dict):
        raise _unsound("it does not say where the tensors are")
    places: dict[tuple[str, Offsets | None], _Place] = {}
    for index, info in stored.items():
        index_fields = _fields(index, "MetadataIndex")
        info_fields = _fields(info, "_StorageInfo")
        key, offsets = index_fields.get("fqn"), index_fields.get("offset")
        file, offset, length = (
            info_fields.get("relative_path"),
            info_fields.get("offset"),
            info_fields.get("length"),
        )
        if not isinstance(key, str) or not isinstance(file, str):
            raise _unsound("a chunk in it has no key or no file")
        if type(offset) is not int or type(length) is not int or offset < 0 or length < 0:
            raise _unsound(f"{key[:200]} has an impossible offset or length")
        if info_fields.get("transform_descriptors"):
            raise CheckpointError(
                f"The checkpoint was written with an extension, such as compression: "
                f"{str(info_fields['transform_descriptors'])[:100]}.",
                "Load it with the program that wrote it, and save it without the extension.",
            )
        places[key, None if offsets is None else _offsets(offsets)] = _Place(file, offset, length)
    return places


def _fields(value: Tree, name: str) -> Mapping[Tree, Tree]:
    """The fields of an object, checked to be of the format's dataclass `name`."""
    if (
        not isinstance(value, Opaque)
        or value.name.rpartition(".")[2] != name
        or not isinstance(value.state, dict)
    ):
        raise _unsound(f"an object in it should be a {name}, and is not")
    return value.state  # type: ignore[return-value]  # a dict's keys are trees


def _offsets(value: Tree) -> Offsets:
    if not isinstance(value, tuple | list):
        raise _unsound("a size in it is not a list of lengths")
    check_dimensions(len(value))
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in value):
        raise _unsound("a size in it is impossible")
    return tuple(value)  # type: ignore[arg-type]  # each was just seen to be an int


def _refuse_overlaps(places: Iterable[_Place]) -> None:
    """Raise CheckpointError where two chunks share bytes.

    Since each chunk has its own bytes, the size of a file bounds the number of chunks in it.
    """
    before = _Place("", 0, 0)
    for place in sorted(places, key=lambda place: (place.file, place.offset)):
        if place.file == before.file and place.offset < before.offset + before.length:
            raise _unsound(f"two chunks in {place.file[:200]} overlap")
        before = place


def _put(tree: InertDict, path: Tree, key: str, item: Tree) -> None:
    """Put an item at its path of `planner_data` in the tree, or under its flat key."""
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
                raise _unsound(f"the path of {key[:200]} leads through a value, not a dict")
            inner = into[step] = InertDict()
        into = inner
    if steps[-1] in into:
        raise _unsound(f"{key[:200]} has the same path as another entry")
    into[steps[-1]] = item


def _numbered(value: Tree, depth: int = 0) -> Tree:
    """The tree with its lists, and with numbers as an optimizer's keys.

    torch.distributed.checkpoint flattens lists to keys 0, 1, 2, …, and writes the numbers of an
    optimizer's parameters as text.
    """
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
    mapping = InertDict()
    mapping.update(inner)
    return mapping


def _unsound(why: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint's {METADATA} is unsound: {why}.",
        "It is damaged: get the folder again from where it came from.",
    )
