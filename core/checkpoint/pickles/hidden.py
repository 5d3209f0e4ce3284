"""Finds pickles in a file besides those that torch.load reads, and the globals that they name.

Such a pickle does nothing by itself, but something else may load it: a call in the first pickle, or
a careless script. Ordinary checkpoints have none.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.checkpoint.containers.inner_places import Search, may_have_pickles
from core.checkpoint.containers.sources import InMemory
from core.checkpoint.entries import Source
from core.checkpoint.pickles.inert import Opaque, Tree
from core.checkpoint.pickles.ledger import Ledger
from core.checkpoint.pickles.unpickler import (
    MAX_INNER,
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

READ_BY_OTHERS = frozenset(
    {
        *("constants.pkl", "attributes.pkl", "bytecode.pkl", "mobile_debug_handles.pkl"),
        "traced_inputs.pkl",
    }
)
"""Records of a TorchScript file that torch.jit.load reads, with an unpickler that calls nothing."""


class HiddenPickles:
    """Notes where the hidden pickles of one file are, and adds their names to its mentions."""

    def __init__(self, mentions: Mentions) -> None:
        self._mentions = mentions
        self._room = MAX_HIDDEN
        self._search = Search()
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on each place where hidden pickles or bytes are, the first few."""
        return tuple(self._notes[:MAX_NOTES])

    def look_inside(self, values: Iterable[bytes | Source], record: str) -> None:
        """Read byte strings inside the pickle `record` that begin like pickles themselves, or like
        files that may contain some."""
        place = f"{record}, inside its bytes"
        number = 0
        for value in values:
            number += 1
            if self._look_into(value, place, 3):
                is_pickle = isinstance(value, bytes) and begins_like_pickle(value)
                self._note(
                    f"A byte string in {record} {'is itself' if is_pickle else 'contains'} a "
                    "pickle. Loupe did not run it, and lists the globals that it names."
                )
        if number >= MAX_INNER or place in self._search.unread:
            self._note(
                f"Not all byte strings in {record} were searched for pickles: they are too many, "
                "or too large."
            )

    def look_after(self, rest: bytes, record: str) -> None:
        """Read the bytes `rest` that follow the end of the pickle `record`."""
        if rest:
            self._read(rest, f"{record}, after its end")
            self._note(
                f"More bytes follow the end of {record}. torch.load does not read them; if they "
                "are pickles, Loupe lists the globals that they name."
            )

    def look_at(self, data: bytes, record: str) -> None:
        """Read the first bytes of a record that torch.load does not read."""
        if self._look_into(data, record, 3) and record not in READ_BY_OTHERS:
            self._note(
                f"The file contains another pickle, {record}, which torch.load does not read. "
                "Loupe did not load it, and lists the globals that it names."
            )

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

    def _read(self, data: bytes, record: str, depth: int = 3) -> bool:
        """Add the names of the pickles in `data`; whether it contains at least one pickle.

        A pickle that ends early counts only if it names something dangerous; one whose first byte
        does not show it, only if it calls that.
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
            try:
                read = unpickle(data, names, _any_persistent_id, at)
                self._room -= read.end - at
                at, inner, complete = read.end, read.inner, True
            except CheckpointError:
                self._room -= len(data) - at
                at, complete = len(data), False
            any_names = self._mentions.add_hidden(names, complete=complete, certain=certain)
            any_pickle = any_pickle or any_names or (complete and certain)
            for value in inner if depth else ():
                self._look_into(value, record, depth - 1)
        return any_pickle


def _any_persistent_id(_identifier: Tree) -> Tree:
    return Opaque("persistent id")
