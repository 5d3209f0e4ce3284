"""The fixes that bring a file to a candidate, and the match after them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from glob import escape

from core.checkpoint.entries import StateDict
from core.fixes import (
    AdaptInput,
    Fix,
    Keep,
    Recipe,
    RenameTable,
    ResamplePositions,
    StripPrefix,
)
from core.identify.solve import Solved
from core.identify.unwrapping import Unwrapped
from core.match import Match, match
from core.proposals.prefixes import glob_of
from core.proposals.removals import drop_of
from core.proposals.repairing import mostly_matches
from core.proposals.tried import after

SIZES = ("img_size", "image_size")

MAX_DROPPED = 400
"""Keys that a recipe drops one by one; beyond these what is unexpected is left to be seen."""


def repair(solved: Solved, state_dict: StateDict, unwrapped: Unwrapped) -> tuple[Recipe, Match]:
    """The recipe that makes the file fit as far as it can, and the match with `solved.wanted` after
    it. Extra keys are dropped where most of the network is there."""
    fixes = [*_renaming(solved, state_dict, unwrapped), *_reshaping(solved)]
    repaired = after(fixes, state_dict, solved.wanted)
    if repaired is None:
        fixes, repaired = [], state_dict
    found = match(repaired, solved.wanted)
    extra = found.unexpected_keys
    if extra and len(extra) <= MAX_DROPPED and mostly_matches(found):
        drop = drop_of(extra, repaired)
        if drop is not None:
            fixes.append(drop)
            gone = frozenset(extra)
            kept = StateDict(entry for key, entry in repaired.items() if key not in gone)
            found = match(kept, solved.wanted)
    return Recipe.of(fixes), found


def _renaming(solved: Solved, state_dict: StateDict, unwrapped: Unwrapped) -> Iterator[Fix]:
    """What brings the file's keys to the model's: one prefix where that is all, else the wrappers
    out of every key first."""
    wanted = {entry.key: key for key, entry in solved.sources.items()}
    front = _front(wanted)
    if front is not None:
        yield from stripped(front, state_dict)
        return
    parts = [f"{part}." for part in unwrapped.parts if any(f"{part}." in key for key in wanted)]
    now = {key: unwrapped.keys.get(key, key) if parts else key for key in state_dict}
    short = {now[key]: new for key, new in wanted.items()}
    for part in parts:
        yield StripPrefix(part, anywhere=True)
    front = _front(short)
    if front is not None:
        yield from stripped(front, now.values())
        return
    prefix = solved.prefix
    if prefix:
        yield StripPrefix(prefix)
    after = {key.removeprefix(prefix): new for key, new in short.items()}
    table = tuple((key, new) for key, new in after.items() if key != new)
    if table:
        yield RenameTable(table)


def _front(wanted: Mapping[str, str]) -> str | None:
    """The one prefix that all keys have more than they should; None where it is not one."""
    fronts = Counter(
        key[: len(key) - len(new)] if key.endswith(new) else None for key, new in wanted.items()
    )
    return next(iter(fronts)) if len(fronts) == 1 else None


def stripped(front: str, keys: Iterable[str]) -> Iterator[Fix]:
    """The fixes that leave what begins with `front`, without it."""
    if not front:
        return
    if any(not key.startswith(front) for key in keys):
        yield Keep(glob_of(front))
    yield StripPrefix(front)


def _reshaping(solved: Solved) -> Iterator[Fix]:
    """Fixes of shapes that no option explains: input channels, the size of images."""
    for key in solved.adaptable:
        yield AdaptInput(escape(key))
    sized = {
        key for each in solved.profile.variations if each.option in SIZES for key in each.shapes
    }
    if sized.intersection(solved.misshapen):
        yield ResamplePositions()
