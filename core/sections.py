"""What a checkpoint's bytes are spent on: the model, its EMA, the optimizer."""

from __future__ import annotations

from dataclasses import dataclass

from core.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Section:
    """The state_dicts of one role.

    `tensors` and `nbytes` count what they show, a shared storage with each tensor; `stored` are
    the bytes that the file keeps for them, each storage once and with the first role that uses it.
    """

    role: str
    tensors: int
    nbytes: int
    stored: int


def sections(checkpoint: Checkpoint) -> tuple[Section, ...]:
    """The roles in the file, the largest in the file first."""
    tensors: dict[str, int] = {}
    nbytes: dict[str, int] = {}
    stored: dict[str, int] = {}
    seen: set[tuple[int, int, str]] = set()
    for path, state_dict in checkpoint.state_dicts.items():
        role = checkpoint.roles[path]
        tensors[role] = tensors.get(role, 0) + len(state_dict)
        nbytes[role] = nbytes.get(role, 0) + state_dict.nbytes
        fresh = 0
        for entry in state_dict.values():
            for record in entry.records:
                place = (id(record.source), record.offset, record.name)
                if place not in seen:
                    seen.add(place)
                    fresh += record.nbytes
        stored[role] = stored.get(role, 0) + fresh
    found = (Section(role, tensors[role], nbytes[role], stored[role]) for role in tensors)
    return tuple(sorted(found, key=lambda section: -section.stored))
