"""Which architecture a state_dict fits, identified once and shared by all sessions."""

from __future__ import annotations

from core.checkpoint import Checkpoint, StateDict
from core.errors import LoupeError
from core.fit.identify import Identification, hints_of, identify
from core.fit.index import Lookup
from pages.components.cached import cached
from pages.components.resources import index_keeper


def identified_as(checkpoint: Checkpoint, state_dict: StateDict) -> str | None:
    """The sentence alone; None if no architecture is known to fit, or while the index is built."""
    try:
        identified = identification(checkpoint, state_dict)
    except LoupeError:
        return None
    return identified.sentence if identified is not None and identified.known else None


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
