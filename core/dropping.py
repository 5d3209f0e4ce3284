"""One fix that drops given keys and no others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from glob import escape

from core.checkpoint.entries import StateDict
from core.fixes import MAX_TEXT, Drop

MAX_PARTS = 16
"""Parts at the beginning of a path that are looked at."""


def drop_of(keys: Sequence[str], state_dict: StateDict) -> Drop | None:
    """One Drop of exactly these keys, by whole modules or by the names at their ends."""
    gone = set(keys)
    staying = [key for key in state_dict if key not in gone]
    modules = _modules_of(keys, staying)
    ends = dict.fromkeys(key.rpartition(".")[2] for key in keys)
    if len(ends) < len(modules) and not any(key.rpartition(".")[2] in ends for key in staying):
        if len(ends) == 1 and not any("." not in key for key in keys):
            return Drop(f"*.{escape(next(iter(ends)))}")
        pattern = rf"(?:^|\.)(?:{'|'.join(map(re.escape, ends))})$"
    elif len(modules) == 1:
        (module,) = modules
        return Drop(escape(module) + ("*" if module.endswith(".") else ""))
    else:
        pattern = f"^(?:{'|'.join(_as_regex(module) for module in modules)})"
    return Drop(pattern, "regex") if len(pattern) <= MAX_TEXT else None


def _as_regex(module: str) -> str:
    return re.escape(module) + ("" if module.endswith(".") else "$")


def _modules_of(keys: Iterable[str], staying: Iterable[str]) -> list[str]:
    """The outermost modules, as `path.`, that hold none of what stays; else single keys."""
    kept = {key[:start] for key in staying for start in _starts(key)}
    modules: dict[str, None] = {}
    for key in keys:
        inner = [key[:start] for start in _starts(key)[1:] if key[:start] not in kept]
        modules[inner[0] if inner else key] = None
    return list(modules)


def _starts(key: str) -> list[int]:
    """Where a dotted path's parts begin, the first ones of a very long path."""
    starts = [0]
    while len(starts) < MAX_PARTS and (dot := key.find(".", starts[-1])) >= 0:
        starts.append(dot + 1)
    return starts
