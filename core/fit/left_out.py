"""What of a file a model does not get, by the modules that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from core.checkpoint import StateDict
from core.fit.copies import undotted, undotted_prefix
from core.fit.proposals.removals import modules_of
from core.keys import group_keys
from core.wording import are, counted, listed, tensors

MAX_MODULES = 3
"""The most modules that are named one by one; more of them are named in groups."""

MAX_GROUPS = 5
"""The most groups that are named."""

MAX_TITLE = 60
"""The most characters of a group's name, such as `{neck,head}.`; the modules of a longer one are
named one by one."""

COUNTER = 1
"""Elements of a counter, such as `n_averaged`: leaving it out is not worth a word."""


def left_out_words(left_out: Sequence[str], state_dict: StateDict) -> str:
    """Which modules are left out: `` `neck.*` and `aux.{0…7}.*` are left out ``; empty if none.

    Those beyond MAX_GROUPS are counted with their tensors.
    """
    keys_of = {
        name: keys
        for name, keys in _modules(left_out, state_dict).items()
        if sum(state_dict[key].numel for key in keys) > COUNTER
    }
    if not keys_of:
        return ""
    if len(keys_of) <= MAX_MODULES:
        return f"{listed([*map(_words, keys_of)], MAX_MODULES)} {are(len(keys_of))} left out"
    titles: dict[str, tuple[str, ...]] = {}
    for group in group_keys(keys_of):
        alone = len(group.title) > MAX_TITLE
        titles |= {key: (key,) for key in group.keys} if alone else {group.title: group.keys}
    names = [*map(_words, titles)][:MAX_GROUPS]
    rest = [*chain.from_iterable([*titles.values()][MAX_GROUPS:])]
    if rest:
        inside = tensors(sum(len(keys_of[name]) for name in rest))
        names.append(f"{counted(len(rest), 'more module')} with {inside}")
    return f"{listed(names, len(names))} are left out"


def _words(module: str) -> str:
    """A module's path, or a key, in backticks; a phrase as it is."""
    if " " in module:
        return module
    return f"`{module}*`" if module.endswith(".") else f"`{module}`"


def _modules(left_out: Sequence[str], state_dict: StateDict) -> dict[str, Sequence[str]]:
    """The outermost modules that are left out whole, as `path.`, each with its keys.

    A copy of the network whose names have no dots counts as one.
    """
    if not left_out:
        return {}
    keys_of: dict[str, Sequence[str]] = {}
    spelled = undotted(state_dict).keys() & set(left_out)
    if len(spelled) > 1:
        prefix = undotted_prefix(spelled, state_dict)
        keys_of[f"a copy whose names have no dots{f', `{prefix}*`' if prefix else ''}"] = [*spelled]
    rest = [key for key in left_out if key not in spelled]
    gone = frozenset(left_out)
    modules = modules_of(rest, (key for key in state_dict if key not in gone))
    return {**keys_of, **modules}
