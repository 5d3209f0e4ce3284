"""Which architecture a file is for, found once and shared by all sessions."""

from __future__ import annotations

from core.checkpoint import Checkpoint, StateDict
from core.errors import LoupeError
from core.fit.identify import Identification, hints_of, identify
from core.fit.index import Lookup
from pages.components.cached import cached
from pages.components.resources import index_keeper


def identified_as(checkpoint: Checkpoint, state_dict: StateDict) -> str | None:
    """The sentence alone; None where no architecture is known to fit, or nothing is known yet."""
    try:
        found = identification(checkpoint, state_dict)
    except LoupeError:
        return None
    return found.sentence if found is not None and found.known else None


def identification(checkpoint: Checkpoint, state_dict: StateDict) -> Identification | None:
    """What the file is for; None while the index of architectures is being built."""
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
