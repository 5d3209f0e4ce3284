"""What of a file a model does not get, by the modules that are left out."""

from __future__ import annotations

from collections.abc import Sequence

from core.checkpoint import StateDict
from core.fit.copies import undotted, undotted_prefix
from core.fit.proposals.removals import modules_of
from core.wording import are, count, listed

MAX_MODULES = 3
"""The most modules that are named."""

COUNTER = 1
"""Elements of a counter, such as `n_averaged`: leaving it out is not worth a word."""


def left_out_words(left_out: Sequence[str], state_dict: StateDict) -> str:
    """Which modules are left out: `` `neck.*` and 2 others are left out ``; empty if none is."""
    names = [name for name, numel in _modules(left_out, state_dict).items() if numel > COUNTER]
    if len(names) > MAX_MODULES:
        more = len(names) - MAX_MODULES + 1
        names = [*names[: MAX_MODULES - 1], f"{count(more)} others"]
    return f"{listed(names, len(names))} {are(len(names))} left out" if names else ""


def _modules(left_out: Sequence[str], state_dict: StateDict) -> dict[str, int]:
    """The outermost modules that are left out whole, in backticks, each with its elements.

    A copy of the network whose names have no dots counts as one.
    """
    if not left_out:
        return {}
    sizes: dict[str, int] = {}
    spelled = undotted(state_dict).keys() & set(left_out)
    if len(spelled) > 1:
        prefix = undotted_prefix(spelled, state_dict)
        numel = sum(state_dict[key].numel for key in spelled)
        sizes[f"a copy whose names have no dots{f', `{prefix}*`' if prefix else ''}"] = numel
    rest = [key for key in left_out if key not in spelled]
    gone = frozenset(left_out)
    for module, keys in modules_of(rest, (key for key in state_dict if key not in gone)).items():
        name = f"`{module}*`" if module.endswith(".") else f"`{module}`"
        sizes[name] = sum(state_dict[key].numel for key in keys)
    return sizes
