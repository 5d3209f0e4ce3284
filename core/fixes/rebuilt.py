"""A state_dict made anew from entries under other keys, with its modules' versions in step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.checkpoint.entries import StateDict, TensorEntry


def rebuilt(
    state_dict: StateDict, entries: Sequence[TensorEntry], names: Iterable[tuple[str, str]]
) -> StateDict:
    """The entries with the versions of the modules that they now stand in.

    `names` are pairs of keys, old and new; one old key may have become several, or several one.

    A module without any tensor has no version that torch would look at, so it is left out
    once a key changes.
    """
    old = state_dict.versions
    names = list(names)
    if not old or (len(names) == len(state_dict) and all(a == b for a, b in names)):
        return StateDict(entries, state_dict.path, old)
    versions: dict[str, int] = {}
    for before, after in names:
        source, target = _parent(before), _parent(after)
        while True:
            if source in old:
                versions.setdefault(target, old[source])
            if not (source and target and _leaf(source) == _leaf(target)):
                break
            source, target = _parent(source), _parent(target)
    return StateDict(entries, state_dict.path, versions)


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]
