"""Which architecture a state_dict fits, identified once and shared by all sessions."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from core.errors import LoupeError
from core.fit.identify import Candidate, Identification, hints_of, identify
from core.fit.index import Lookup
from core.wording import count
from pages.components.cached import cached
from pages.components.resources import index_keeper


def identification(checkpoint: Checkpoint, state_dict: StateDict) -> Identification | None:
    """The candidates for the state_dict's architecture, best first; None while the index is built.

    Raises LoupeError if the index cannot be built.
    """
    lookup = index_keeper().lookup()
    if lookup is None:
        return None
    return _identify(
        checkpoint.identity, state_dict.path, checkpoint.name, checkpoint, state_dict, lookup
    )


def sure_candidate(checkpoint: Checkpoint, state_dict: StateDict) -> Candidate | None:
    """The candidate that the file proves; None if it proves none, or while that is not known."""
    try:
        identified = identification(checkpoint, state_dict)
    except LoupeError:
        return None  # Fit says why the index cannot be built
    return identified.sure if identified is not None else None


@cached(128)
def _identify(
    identity: str,
    path: str,
    name: str,
    _checkpoint: Checkpoint,
    _state_dict: StateDict,
    _lookup: Lookup,
) -> Identification:
    return identify(_state_dict, _lookup, hints_of(_checkpoint, _state_dict))


@st.fragment(run_every=1.0)
def index_progress() -> None:
    """Draw the progress of the index's first build. The rest of the page can be used meanwhile."""
    try:
        ready = index_keeper().lookup() is not None
    except LoupeError:
        ready = True
    if ready:
        st.rerun()
    job = index_keeper().job
    if job is not None:
        progress = job.progress
        st.progress(
            progress.fraction,
            text=f"Indexing the keys of all architectures, once for this server: "
            f"{count(progress.done)} of {count(progress.total)}. Meanwhile, you can choose an "
            "architecture on Fit.",
        )
