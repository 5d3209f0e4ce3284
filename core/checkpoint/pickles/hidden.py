"""Pickles in a file beside those that torch.load reads: their names, and a note of where they lie.

Such a pickle does nothing by itself, but something else may load it: a call in the first pickle, or
a careless script. Checkpoints have none.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.checkpoint.pickles.inert import Opaque, Tree
from core.checkpoint.pickles.unpickler import Mentions, PickleError, begins_like_pickle, unpickle

MAX_HIDDEN = 1 << 20
"""Bytes of all the hidden pickles of a file that are read."""

MAX_PICKLES = 100
"""Pickles that are read where one follows another."""

MAX_NOTES = 8

READ_BY_OTHERS = frozenset(
    {
        *("constants.pkl", "attributes.pkl", "bytecode.pkl", "mobile_debug_handles.pkl"),
        "traced_inputs.pkl",
    }
)
"""Records of a scripted module that torch.jit.load reads, with a reader that calls nothing."""


class HiddenPickles:
    """What was found in one file; the names go to its mentions."""

    def __init__(self, mentions: Mentions) -> None:
        self._mentions = mentions
        self._room = MAX_HIDDEN
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on each place where there is something, the first few."""
        return tuple(self._notes[:MAX_NOTES])

    def look_inside(self, values: Iterable[bytes], record: str) -> None:
        """Look at bytes in the pickle `record` that begin like pickles themselves."""
        for value in values:
            if self._read(value, f"{record}, in bytes of it"):
                self._note(
                    f"Bytes in {record} are a pickle of their own. Loupe did not load it, and "
                    "lists what it names."
                )

    def look_behind(self, rest: bytes, record: str) -> None:
        """Look at the bytes behind the end of the pickle `record`, as far as they are there."""
        if rest:
            self._read(rest, f"{record}, behind its end")
            self._note(
                f"More bytes follow the end of {record}. torch.load does not read them; if they "
                "are pickles, Loupe lists what they name."
            )

    def look_at(self, data: bytes, record: str) -> None:
        """Look at the first bytes of a record that torch.load does not read."""
        if self._read(data, record) and record not in READ_BY_OTHERS:
            self._note(
                f"The file holds another pickle, {record}, which torch.load does not read. Loupe "
                "did not load it, and lists what it names."
            )

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)

    def _read(self, data: bytes, record: str, depth: int = 3) -> bool:
        """Whether there is at least one pickle, whole or with names in it; count its names."""
        data = data[: self._room]
        found = False
        at = 0
        for _ in range(MAX_PICKLES):
            if at >= len(data):
                break
            names = Mentions(record)
            inner: tuple[bytes, ...] = ()
            try:
                read = unpickle(data, names, _any_persistent_id, at)
                self._room -= read.end - at
                at, inner, whole = read.end, read.inner, True
            except PickleError:
                self._room -= len(data) - at
                at, whole = len(data), False
            named = self._mentions.take_hidden(names, whole=whole)
            found = found or named or (whole and begins_like_pickle(data))
            for value in inner if depth else ():
                self._read(value, record, depth - 1)
        return found


def _any_persistent_id(_identifier: Tree) -> Tree:
    return Opaque("persistent id")
