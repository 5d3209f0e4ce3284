"""Where in a model some of its tensors are, in a few words."""

from __future__ import annotations

from collections.abc import Collection

from core.wording import count, listed

MAX_PARTS = 4
"""The most modules that are named."""


def place(keys: Collection[str], every: Collection[str], inside: str = ", all in") -> str:
    """The end of a clause that says where `keys` are among `every` key of the model.

    At most MAX_PARTS modules are named, each as deep as possible; else their number is given.
    `inside` are the words before the names of modules.
    """
    if len(keys) == len(every):
        return ""
    if len(keys) == 1:
        return f": {next(iter(keys))}"
    changed, total = dict.fromkeys(keys), list(every)
    parts = [""]
    while True:
        for index, part in enumerate(parts):
            below = _children(part, changed)
            if len(parts) - 1 + len(below) > MAX_PARTS or part in changed:
                continue
            if part and _is_changed_throughout(part, changed, total):
                continue
            parts[index : index + 1] = below
            break
        else:
            break
    if len(parts) == 1 and all(_lies_in(key, parts[0]) for key in total):
        steps, most = len(_children(parts[0], changed)), len(_children(parts[0], total))
        return (
            f", in all {count(most)} modules"
            if steps == most
            else f", in {count(steps)} of {count(most)} modules"
        )
    named = listed(parts, MAX_PARTS)
    return f": {named}" if all(part in changed for part in parts) else f"{inside} {named}"


def _is_changed_throughout(part: str, changed: Collection[str], total: Collection[str]) -> bool:
    """Whether `part` itself should be named: all below it changed, or each of its children did."""
    steps = _children(part, changed)
    inside = [key for key in total if _lies_in(key, part)]
    return 1 < len(steps) == len(_children(part, inside)) or all(key in changed for key in inside)


def _lies_in(key: str, part: str) -> bool:
    return not part or key.startswith(part + ".")


def _children(part: str, keys: Collection[str]) -> list[str]:
    """The paths one step below `part` that lead to some of the keys, in order."""
    prefix = part + "." if part else ""
    steps = {
        prefix + key[len(prefix) :].partition(".")[0]: None
        for key in keys
        if key.startswith(prefix)
    }
    return list(steps)
