"""Finds pickles in a file besides those that torch.load reads, and the globals that they name.

Such a pickle does nothing by itself, but something else may load it: a call in the first pickle, or
a careless script. Ordinary checkpoints have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from core.checkpoint.containers.budget import MoreThanLoupeReads
from core.checkpoint.containers.inner_places import (
    MAX_DEPTH,
    PLACE,
    Search,
    is_legacy,
    may_have_pickles,
)
from core.checkpoint.containers.sources import InMemory
from core.checkpoint.entries import Source
from core.checkpoint.pickles.constructors import CONSTRUCTORS
from core.checkpoint.pickles.inert import Opaque, Tree
from core.checkpoint.pickles.known_globals import LOAD_FROM_BYTES
from core.checkpoint.pickles.ledger import Ledger
from core.checkpoint.pickles.unpickler import (
    Mentions,
    begins_like_pickle,
    unpickle,
)
from core.errors import CheckpointError, LoupeError

MAX_HIDDEN = 1 << 20
"""Bytes that are read of all hidden pickles of a file together."""

MAX_PICKLES = 100
"""Pickles that are read in one run of bytes, one after another."""

MAX_NOTES = 8
"""The most notes on a file's hidden pickles."""

LISTED = ", and lists the globals that it names"
"""The end of a note on a pickle of which nothing was left out."""

READ_BY_OTHERS = frozenset(
    {
        *("constants.pkl", "attributes.pkl", "bytecode.pkl", "mobile_debug_handles.pkl"),
        "traced_inputs.pkl",
    }
)
"""Records of a TorchScript file that torch.jit.load reads, with an unpickler that calls nothing."""


class HiddenPickles:
    """Notes where the hidden pickles of one file are, and adds their names to its mentions.

    `unsearched` are sentences on the places that were not searched in full.
    """

    def __init__(self, mentions: Mentions) -> None:
        self._mentions = mentions
        self._room = MAX_HIDDEN
        self._search = Search()
        self._notes: list[str] = []
        self.unsearched: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on each place where hidden pickles or bytes are, the first few.

        What was not searched comes first: there the other sentences say too little.
        """
        return (*self.unsearched, *self._notes)[:MAX_NOTES]

    def look_inside(self, values: Iterable[bytes | Source], record: str) -> None:
        """Read byte strings inside the pickle `record` that begin like pickles themselves, or like
        files that may contain some."""
        place = f"{record}, inside its bytes"
        kinds: dict[str, None] = {}
        for value in values:
            if self._look_into(value, place, MAX_DEPTH):
                is_pickle = isinstance(value, bytes) and begins_like_pickle(value)
                kinds["is itself" if is_pickle else "contains"] = None
        lists = self._lists(f"the byte strings of {record}", LISTED)
        for kind in kinds:
            self._note(f"A byte string in {record} {kind} a pickle. Loupe did not run it{lists}.")

    def look_after(self, rest: bytes, record: str) -> None:
        """Read the bytes `rest` that follow the end of the pickle `record`."""
        if rest:
            self._read(rest, f"{record}, after its end", MAX_DEPTH)
            lists = self._lists(
                f"the bytes after the end of {record}",
                "; if they are pickles, Loupe lists the globals that they name",
            )
            self._note(
                f"More bytes follow the end of {record}. torch.load does not read them{lists}."
            )

    def look_at(self, data: bytes, record: str) -> None:
        """Read the first bytes of a record that torch.load does not read."""
        any_pickle = self._look_into(data, record, MAX_DEPTH)
        lists = self._lists(record, LISTED)
        if any_pickle and record not in READ_BY_OTHERS:
            self._note(
                f"The file contains another pickle, {record}, which torch.load does not read. "
                f"Loupe did not load it{lists}."
            )

    def _lists(self, place: str, words: str) -> str:
        """The words by which a note says that all names in a place are listed, if it is true.

        If something in the place was not searched, they are empty, and a sentence of its own says
        so.
        """
        if not self._search.unread:
            return words
        self._search.unread.clear()
        self.unsearched.append(
            f"Not everything in {place} was searched for pickles: it is too much, or too deep in "
            "itself; the file may be sound."
        )
        return ""

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)

    def _look_into(self, value: bytes | Source, record: str, depth: int) -> bool:
        """Read the pickles in a byte string, also in an archive or packed; whether it has any."""
        any_pickle = False
        source = InMemory(value) if isinstance(value, bytes) else value
        try:
            for place, data in self._search.places(source, record):
                if may_have_pickles(data):
                    any_pickle = self._read(data, place, depth) or any_pickle
        except LoupeError:
            pass  # an archive that breaks off has no more places
        return any_pickle

    def _read(self, data: bytes, record: str, depth: int) -> bool:
        """Add the names of the pickles in `data`; whether it contains at least one pickle.

        A pickle that ends early counts only if it names something dangerous; one whose first byte
        does not show it, only if it calls that. `depth` is how much deeper byte strings in byte
        strings are searched.
        """
        certain = begins_like_pickle(data)
        if len(data) > self._room:
            self._search.unread.append(record)
        data = data[: self._room]
        any_pickle = False
        at = 0
        for _ in range(MAX_PICKLES):
            if at >= len(data):
                break
            names = Mentions(record, Ledger())
            inner: tuple[bytes | Source, ...] = ()
            start = at
            try:
                read = unpickle(
                    data, names, _any_persistent_id, at, constructors=_with_streams(names)
                )
                at, inner, complete = read.end, read.inner, True
            except CheckpointError as error:
                if isinstance(error, MoreThanLoupeReads):
                    self._search.unread.append(record)
                at, complete = len(data), False
            # What only looks like a pickle breaks soon, and takes less work than its bytes.
            read_as_one = complete or begins_like_pickle(data[start : start + 2])
            self._room -= at - start if read_as_one else min(at - start, PLACE)
            any_names = self._mentions.add_hidden(names, complete=complete, certain=certain)
            any_pickle = any_pickle or any_names or (complete and certain)
            if inner and not depth:
                self._search.unread.append(record)
            for value in inner if depth else ():
                self._look_into(value, record, depth - 1)
        if at < len(data):
            self._search.unread.append(record)
        return any_pickle


def _any_persistent_id(_identifier: Tree) -> Tree:
    return Opaque("persistent id")


def _with_streams(names: Mentions) -> Mapping[str, Callable[..., Tree]]:
    """The constructors, and one for the tensors that pickle.dump wrote: each is a stream.

    The stream is one of the byte strings that are searched next.
    """

    def stream(data: Tree) -> Tree:
        if not isinstance(data, bytes) or not is_legacy(data[:64]):
            raise TypeError("no stream of torch.save")
        names.accept(LOAD_FROM_BYTES)
        return Opaque("stream")

    return {**CONSTRUCTORS, LOAD_FROM_BYTES: stream}
