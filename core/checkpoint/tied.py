"""Keys of a state_dict that are one tensor: tied weights."""

from __future__ import annotations

from collections.abc import Mapping

from core.checkpoint.entries import TensorEntry


def ties(state_dict: Mapping[str, TensorEntry]) -> tuple[tuple[str, ...], ...]:
    """The groups of keys that view the same elements of the same storage, in file order.

    A tensor without elements, or without bytes of its own, is in no group.
    """
    groups: dict[object, list[str]] = {}
    for key, entry in state_dict.items():
        if entry.form is None and entry.record is not None and entry.numel:
            place = (
                id(entry.record.source),
                entry.record.offset,
                entry.record.name,
                entry.storage_offset,
                entry.shape,
                entry.stride,
                entry.dtype,
                entry.transforms,
            )
            groups.setdefault(place, []).append(key)
    return tuple(tuple(keys) for keys in groups.values() if len(keys) > 1)
