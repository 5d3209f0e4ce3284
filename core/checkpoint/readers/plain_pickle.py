"""Reads a pickle of tensors or numpy arrays that pickle.dump wrote.

The storage of a tensor is a byte string in it that `torch.storage._load_from_bytes` would load
(torch/storage.py, TypedStorage.__reduce__): itself a stream of torch.save, as torch_legacy reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from core.checkpoint.containers.inner_places import HEAD, is_legacy, may_have_pickles
from core.checkpoint.containers.latin1_text import Latin1Text
from core.checkpoint.containers.sources import InMemory, Within
from core.checkpoint.entries import Record, Source
from core.checkpoint.pickles.constructors import CONSTRUCTORS
from core.checkpoint.pickles.hidden import MAX_HIDDEN, HiddenPickles
from core.checkpoint.pickles.inert import InertTensor, LongBytes, Opaque, Storage, Tree
from core.checkpoint.pickles.known_globals import LOAD_FROM_BYTES
from core.checkpoint.pickles.ledger import Ledger, current_ledger
from core.checkpoint.pickles.long_bytes import without_long_bytes
from core.checkpoint.pickles.unpickler import (
    MAX_INNER,
    Mentions,
    PickleEndsEarly,
    PickleError,
    PickleTooLarge,
    begins_like_pickle,
    no_persistent_ids,
    unpickle,
)
from core.checkpoint.readers import diagnose
from core.checkpoint.readers.contents import Contents, cut_off
from core.checkpoint.readers.torch_legacy import PICKLES_IN_STREAM, read_torch_legacy
from core.checkpoint.tree.discover import find_state_dicts
from core.checkpoint.tree.repeated_parts import repeats_endlessly
from core.checkpoint.tree.tensor_entries import entry_maker
from core.errors import CheckpointError
from core.wording import size

MAX_STREAMS = 4 << 20
"""Bytes of all streams in one pickle without their elements; each takes some 300."""

MAX_OLD = 16 << 20
"""The most bytes of a pickle of protocol 0 or 1, whose first byte many other files have too."""

OLD = b"(c]})ISVNLFXUTKMJG"
"""The first bytes of such pickles."""

EMPTY = re.compile(rb"(?:\x80[\0-\5])?(?:\x95.{8})?\.", re.DOTALL)
"""STOP, after nothing but PROTO and FRAME."""

MAX_EMPTY = 12
"""The most bytes of such a pickle."""

PADDLE_NAMES = "StructuredToParameterName@@"
"""A key in PaddlePaddle's .pdparams that is not an array (paddle/framework/io.py)."""

DISTRIBUTED = ".distributed.checkpoint.metadata.Metadata"
"""The end of the name of the class that `.metadata` contains one object of."""

NOTE = "pickle.dump wrote this file, not torch.save, and torch.load does not load it."

_RECORD = "the pickle"
"""Where the globals of such a file are, in words."""


def may_be_pickle(head: bytes, size: int) -> bool:
    """Whether a file may be a pickle, by its first bytes; from protocol 2 on, they are certain."""
    return (
        begins_like_pickle(head)
        or head == b"."
        or (head[:1] != b"" and head[0] in OLD and size <= MAX_OLD)
    )


def refuse_long_old(source: Source) -> None:
    """Raise PickleTooLarge for a pickle of protocol 0 or 1 that has more than MAX_OLD bytes.

    It is one if its start consists of opcodes that name classes, and if it ends like one.
    """
    if source.size <= MAX_OLD or source.read(0, 1) not in OLD:
        return
    mentions = Mentions(_RECORD, Ledger())
    try:
        unpickle(source.read(0, MAX_HIDDEN), mentions, no_persistent_ids)
    except PickleEndsEarly:
        names = [use.name for use in mentions.judged()]
        words = [word for name in names for word in name.split(".")]
        if words and all(map(str.isidentifier, words)) and source.read(source.size - 1, 1) == b".":
            raise PickleTooLarge(
                f"it is a pickle of protocol 0 or 1 with more than {size(MAX_OLD)}",
                "Load it with pickle, if you trust it, and save what you get with torch.save.",
            ) from None
    except CheckpointError:
        pass


def read_plain_pickle(source: Source) -> Contents | None:
    """The contents of a plain pickle of tensors or arrays; None where the file is not a pickle.

    Raises CheckpointError for a damaged pickle, or one without tensors or arrays, and SourceError.
    """
    start = source.read(0, MAX_EMPTY)
    if source.size <= MAX_EMPTY and EMPTY.fullmatch(start):
        raise diagnose.empty_pickle(source.size)
    certain = begins_like_pickle(start)
    # Text may look like a pickle for a while: its names count once the pickle is known to be one.
    names = Ledger()
    mentions = Mentions(_RECORD, current_ledger() if certain else names)
    storages = _Storages(mentions)
    try:
        short = without_long_bytes(source)
        if not certain and short.end < source.size:
            return None
        constructors = {**CONSTRUCTORS, LOAD_FROM_BYTES: storages.load}
        resolve = short.resolver(no_persistent_ids)
        read = unpickle(short.data, mentions, resolve, constructors=constructors)
    except PickleError as error:
        refusal = _refuse(source, error, mentions, certain=certain)
        if refusal is None:
            return None
        raise refusal from error
    current_ledger().add(names)
    hidden = HiddenPickles(mentions)
    hidden.look_inside(storages.other_pickles(read.inner, short.runs), _RECORD)
    if short.end < source.size:
        hidden.look_after(source.read(short.end, MAX_HIDDEN), _RECORD)
    tree = read.tree
    if isinstance(tree, dict):
        tree.pop(PADDLE_NAMES, None)
    uses = mentions.judged(tree)
    entry = entry_maker(storages.record_of)
    if isinstance(tree, Opaque) and tree.name.endswith(DISTRIBUTED):
        raise diagnose.lone_metadata()
    if diagnose.is_of_another_library(uses):
        raise diagnose.plain_pickle(uses)
    if not find_state_dicts(tree, entry):
        if repeats_endlessly(tree):
            raise diagnose.repeated_parts()
        raise diagnose.plain_pickle(uses)
    unsearched = tuple(hidden.unsearched)
    return Contents(
        "pickle", tree, uses, entry, (*unsearched, NOTE, *hidden.notes[len(unsearched) :]),
        unsearched=unsearched,
    )  # fmt: skip


def _refuse(
    source: Source, error: PickleError, mentions: Mentions, *, certain: bool
) -> CheckpointError | None:
    """The error for a pickle that cannot be read to its end; None where it is likely not one."""
    with suppress(CheckpointError):
        # joblib writes raw arrays between the opcodes; the globals before the first one show it.
        data, streams = source.read(0, MAX_HIDDEN), names_in_streams(mentions)
        unpickle(data, mentions, no_persistent_ids, constructors=streams)
    uses = mentions.judged()
    if diagnose.is_of_another_library(uses):
        return diagnose.plain_pickle(uses)
    if not certain:
        return None
    return cut_off(source, None) if isinstance(error, PickleEndsEarly) else error


def names_in_streams(mentions: Mentions) -> Mapping[str, Callable[..., Tree]]:
    """Constructors for a pickle that may break: of each storage's stream, only its names are read.

    `mentions` gets the names.
    """

    def look(data: Tree) -> Tree:
        if not isinstance(data, bytes) or not is_legacy(data[:64]):
            raise TypeError("no stream of torch.save")
        mentions.accept(LOAD_FROM_BYTES)
        at = 0
        with suppress(CheckpointError):
            for _ in range(PICKLES_IN_STREAM):
                at = unpickle(data, mentions, no_persistent_ids, at).end
        return Opaque("stream")

    return {**CONSTRUCTORS, LOAD_FROM_BYTES: look}


class _Storages:
    """The storages in a plain pickle, each a stream of torch.save."""

    def __init__(self, mentions: Mentions) -> None:
        self._mentions = mentions
        self._records: dict[str, Record] = {}
        self._streams: dict[int, tuple[Tree | Source, Storage | None]] = {}
        self._room = MAX_STREAMS

    def load(self, data: Tree) -> Storage:
        """Loupe's counterpart of `torch.storage._load_from_bytes`.

        Raises CheckpointError where the stream is damaged, and TypeError where it contains no
        storage.
        """
        source = data.source if isinstance(data, LongBytes) else data
        if is_legacy(_source(source).read(0, 64)):
            # Whatever is in it is read here, and its names are among the mentions.
            self._mentions.accept(LOAD_FROM_BYTES)
        if id(source) not in self._streams:
            # The object is kept too, so that no later object gets the same id.
            self._streams[id(source)] = source, self._read(_source(source))
        storage = self._streams[id(source)][1]
        if storage is None:
            raise TypeError("a stream without a storage")
        return storage

    def _read(self, source: Source) -> Storage | None:
        if not is_legacy(source.read(0, 64)):
            return None
        contents = read_torch_legacy(source)
        for use in contents.globals:
            self._mentions.add(use.name, use.uses)
        storage = contents.tree
        if not isinstance(storage, Storage):
            self._spend(source.size)
            return None
        tensor = InertTensor(storage, storage.dtype, (storage.numel,), (1,), 0)
        record = contents.entry("storage", tensor).record
        assert record is not None
        self._spend(source.size - record.nbytes)
        key = str(len(self._records))
        self._records[key] = replace(record, name=key)
        return replace(storage, key=key)

    def _spend(self, nbytes: int) -> None:
        """Take bytes off MAX_STREAMS. Raises PickleTooLarge where it is used up."""
        self._room -= nbytes
        if self._room < 0:
            raise PickleTooLarge(
                f"streams of torch.save with more than {size(MAX_STREAMS)} besides their elements",
                "Load it with pickle, if you trust it, and save what you get with torch.save.",
            )

    def record_of(self, storage: Storage) -> Record:
        """The record of a storage's elements."""
        return self._records[storage.key]

    def other_pickles(
        self, strings: Iterable[bytes | Source], runs: Iterable[Within]
    ) -> Iterator[bytes | Source]:
        """The byte strings that may contain pickles and are not storages, the first few."""
        storages = {number for number, (_, storage) in self._streams.items() if storage}
        yield from (data for data in strings if id(data) not in storages)
        others = (run for run in runs if id(run) not in storages)
        pickles = (run for run in others if may_have_pickles(run.read(0, HEAD)))
        yield from islice(pickles, MAX_INNER)


def _source(data: Tree | Source) -> Source:
    if isinstance(data, bytes):
        return InMemory(data)
    if isinstance(data, Within | Latin1Text):
        return data
    raise TypeError("an argument that is not bytes")
