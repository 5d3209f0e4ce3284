"""The Workspace: the bench of one browser session, kept in step with the page's URL."""

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
"""The key of the session's state under which its Bench is."""


class Workspace:
    """Reads and changes the two slots of this session's bench."""

    @property
    def bench(self) -> Bench:
        """The session's Bench; at first the one that the link or the command line names."""
        if _KEY not in st.session_state:
            st.session_state[_KEY] = _first_bench()
        bench: Bench = st.session_state[_KEY]
        return bench

    def slot(self, slot: str) -> SlotState:
        """The state of slot A or B."""
        return self.bench.a if slot == "A" else self.bench.b

    def update(self, slot: str, **changes: Any) -> None:
        """Change fields of a slot's SlotState."""
        self._put(slot, replace(self.slot(slot), **changes))

    def open(self, slot: str, file: str) -> None:
        """Put a file into a slot. If it is a different file, the slot's architecture and recipe are
        cleared."""
        if file != self.slot(slot).file:
            self._put(slot, SlotState(file=file))

    def clear(self, slot: str) -> None:
        """Empty a slot."""
        self._put(slot, SlotState())

    def swap(self) -> None:
        """Exchange A and B, together with the decisions about their pairing."""
        bench = self.bench
        st.session_state[_KEY] = Bench(bench.b, bench.a, swapped(bench.pairing))

    def decide(self, choices: Choices) -> None:
        """Keep the user's decisions about the pairing of A's tensors with B's."""
        st.session_state[_KEY] = replace(self.bench, pairing=choices)

    def checkpoint(self, slot: str) -> Checkpoint | None:
        """The slot's open file; None if the slot is empty or its file cannot be read."""
        try:
            return self.opened(slot)
        except LoupeError:
            return None

    def opened(self, slot: str) -> Checkpoint | None:
        """The slot's open file, or None if the slot is empty.

        Raises SourceError or CheckpointError if the file cannot be read.
        """
        file = self.slot(slot).file
        return open_file(file) if file else None

    def state_dict(self, slot: str) -> StateDict | None:
        """The state_dict that is chosen in the slot, or the file's best one if none is chosen."""
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
            # The decisions name keys of the former state_dict.
            bench = replace(bench, pairing=NO_CHOICES)
        st.session_state[_KEY] = replace(bench, a=state) if slot == "A" else replace(bench, b=state)


def workspace() -> Workspace:
    """This session's Workspace."""
    return Workspace()


def open_sample() -> None:
    """Open the bundled pair: an early epoch in A, the final one in B."""
    workspace().open("A", "sample:early")
    workspace().open("B", "sample:final")


def write_link() -> None:
    """Write the bench into the page's URL, so that a reload or a shared link restores it."""
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
