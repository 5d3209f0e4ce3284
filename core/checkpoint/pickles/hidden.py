"""Finds pickles in a file besides those that torch.load reads, and the globals that they name.

Such a pickle does nothing by itself, but something else may load it: a call in the first pickle, or
a careless script. Ordinary checkpoints have none.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.checkpoint.pickles.inert import Opaque, Tree
from core.checkpoint.pickles.ledger import Ledger
from core.checkpoint.pickles.unpickler import Mentions, begins_like_pickle, unpickle
from core.errors import CheckpointError

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
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on each place where hidden pickles or bytes are, the first few."""
        return tuple(self._notes[:MAX_NOTES])

    def look_inside(self, values: Iterable[bytes], record: str) -> None:
        """Read byte strings inside the pickle `record` that begin like pickles themselves."""
        for value in values:
            if self._read(value, f"{record}, inside its bytes"):
                self._note(
                    f"A byte string in {record} is itself a pickle. Loupe did not load it, and "
                    "lists the globals that it names."
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
        if self._read(data, record) and record not in READ_BY_OTHERS:
            self._note(
                f"The file contains another pickle, {record}, which torch.load does not read. "
                "Loupe did not load it, and lists the globals that it names."
            )

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)

    def _read(self, data: bytes, record: str, depth: int = 3) -> bool:
        """Add the names of the pickles in `data`; whether it contains at least one pickle.

        A pickle that ends early counts only if it names something dangerous.
        """
        data = data[: self._room]
        any_pickle = False
        at = 0
        for _ in range(MAX_PICKLES):
            if at >= len(data):
                break
            names = Mentions(record, Ledger())
            inner: tuple[bytes, ...] = ()
            try:
                read = unpickle(data, names, _any_persistent_id, at)
                self._room -= read.end - at
                at, inner, complete = read.end, read.inner, True
            except CheckpointError:
                self._room -= len(data) - at
                at, complete = len(data), False
            any_names = self._mentions.add_hidden(names, complete=complete)
            any_pickle = any_pickle or any_names or (complete and begins_like_pickle(data))
            for value in inner if depth else ():
                self._read(value, record, depth - 1)
        return any_pickle


def _any_persistent_id(_identifier: Tree) -> Tree:
    return Opaque("persistent id")
