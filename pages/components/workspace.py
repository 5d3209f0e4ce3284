"""The Workspace: what one browser session has on its bench, in step with the page's address."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from core.compare import NO_CHOICES, Choices
from core.compare.pairing import swapped
from core.errors import CheckpointError, LoupeError
from core.server import Bench, SlotState, bench_from_query, bench_to_query
from pages.components.resources import open_file, settings

SLOTS = ("A", "B")

_KEY = "loupe-bench"


class Workspace:
    """Both slots of this session."""

    @property
    def bench(self) -> Bench:
        """What lies on the bench; at first what the link or the command line names."""
        if _KEY not in st.session_state:
            st.session_state[_KEY] = _first_bench()
        found: Bench = st.session_state[_KEY]
        return found

    def slot(self, slot: str) -> SlotState:
        """The state of slot A or B."""
        return self.bench.a if slot == "A" else self.bench.b

    def update(self, slot: str, **changes: Any) -> None:
        """Change fields of a slot's SlotState."""
        self._put(slot, replace(self.slot(slot), **changes))

    def open(self, slot: str, file: str) -> None:
        """Put a file into a slot; where it is another, the architecture and recipe of the former
        one go."""
        if file != self.slot(slot).file:
            self._put(slot, SlotState(file=file))

    def clear(self, slot: str) -> None:
        """Take a file off the bench."""
        self._put(slot, SlotState())

    def swap(self) -> None:
        """A becomes B, and B becomes A."""
        bench = self.bench
        st.session_state[_KEY] = Bench(bench.b, bench.a, swapped(bench.pairing))

    def decide(self, choices: Choices) -> None:
        """Keep what a person decided about the pairing of A's tensors with B's."""
        st.session_state[_KEY] = replace(self.bench, pairing=choices)

    def checkpoint(self, slot: str) -> Checkpoint | None:
        """The slot's open file; None where it has none, or one that cannot be read."""
        try:
            return self.opened(slot)
        except LoupeError:
            return None

    def opened(self, slot: str) -> Checkpoint | None:
        """The slot's open file, or None; raises SourceError or CheckpointError with what is wrong
        with it."""
        file = self.slot(slot).file
        return open_file(file) if file else None

    def state_dict(self, slot: str) -> StateDict | None:
        """The state_dict that is chosen in the slot, the best one where none is."""
        checkpoint = self.checkpoint(slot)
        if checkpoint is None:
            return None
        try:
            return checkpoint.state_dict(self.slot(slot).state_dict)
        except CheckpointError:
            return checkpoint.state_dict()

    def _put(self, slot: str, state: SlotState) -> None:
        bench, before = self.bench, self.slot(slot)
        if (state.file, state.state_dict) != (before.file, before.state_dict):
            bench = replace(bench, pairing=NO_CHOICES)
        st.session_state[_KEY] = replace(bench, a=state) if slot == "A" else replace(bench, b=state)


def workspace() -> Workspace:
    """This session's Workspace."""
    return Workspace()


def keep_link() -> None:
    """Write the bench into the page's address, so that a reload or a colleague finds it again."""
    wanted = bench_to_query(workspace().bench)
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def _first_bench() -> Bench:
    linked = bench_from_query(st.query_params.to_dict())
    if linked != Bench():
        return linked
    named = [SlotState(file=f"bench:{number}") for number in range(len(settings().bench))]
    a, b = [*named, SlotState(), SlotState()][:2]
    return Bench(a, b)
