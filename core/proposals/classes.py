"""How many classes a file's head has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.architectures.tensor_spec import Signature
from core.checkpoint.entries import StateDict, TensorEntry
from core.proposals.options import last_weight
from core.proposals.renamings import best_renamings
from core.proposals.tried import after

if TYPE_CHECKING:
    from core.architectures.registry import Architecture


def propose_num_classes(
    state_dict: StateDict, architecture: Architecture | Signature
) -> int | None:
    """How many classes the file's head has, or None where it has none.

    The head is the architecture's last layer, found in the file as it is or under the best
    renaming; else the file's own last layer, where that is linear or a 1 × 1 convolution.
    Raises ArchitectureError.
    """
    wanted = _signature(architecture)
    head = last_weight(wanted)
    if head is not None:
        found = state_dict.get(head) or _found_under_renaming(head, state_dict, wanted)
        if found is not None and len(found.shape) == len(wanted[head].shape):
            return found.shape[0]
    return _rows_of_last_layer(state_dict)


def _signature(architecture: Architecture | Signature) -> Signature:
    if isinstance(architecture, Mapping):
        return architecture
    from core.architectures.construct import signature

    return signature(architecture)


def _found_under_renaming(
    key: str, state_dict: StateDict, signature: Signature
) -> TensorEntry | None:
    for idea in best_renamings(state_dict, signature):
        renamed = after(idea.fixes, state_dict, signature)
        if renamed is not None and key in renamed:
            return renamed[key]
    return None


def _rows_of_last_layer(state_dict: StateDict) -> int | None:
    """Rows of the last weight, unless it is a norm's or a convolution with a larger kernel."""
    weights = [entry for key, entry in state_dict.items() if key.endswith("weight")]
    if not weights:
        return None
    shape = weights[-1].shape
    return shape[0] if len(shape) >= 2 and set(shape[2:]) <= {1} else None
