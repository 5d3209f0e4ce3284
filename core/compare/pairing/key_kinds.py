"""Keys that read alike in two files and are not the same key, such as `1` and `"1"`."""

from __future__ import annotations

from dataclasses import replace

from core.checkpoint import StateDict
from core.checkpoint.pickles import Names


def distinct_keys(a: StateDict, b: StateDict) -> tuple[StateDict, StateDict]:
    """The state_dicts to be paired: of each key that reads alike in both and has another type, the
    name says its type, unless it is text. A look-up in a dict, and so `load_state_dict`, tells the
    two apart."""
    if not (a.kinds or b.kinds):
        return a, b
    alike = {key for key in a if key in b and a.kinds.get(key) != b.kinds.get(key)}
    return (_with_kinds(a, alike), _with_kinds(b, alike)) if alike else (a, b)


def _with_kinds(state_dict: StateDict, keys: set[str]) -> StateDict:
    names = Names(state_dict)
    named = {
        key: names.name(f"{key} ({kind})") for key, kind in state_dict.kinds.items() if key in keys
    }
    entries = [
        replace(entry, key=named[key]) if key in named else entry
        for key, entry in state_dict.items()
    ]
    kinds = {named.get(key, key): kind for key, kind in state_dict.kinds.items()}
    return StateDict(entries, state_dict.path, state_dict.versions, state_dict.classes, kinds)
