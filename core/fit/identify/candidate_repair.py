"""The fixes that bring a file to a candidate, the match after them, and what they leave out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.identify.solve_options import Solved
from core.fit.key_match import Match, match
from core.fit.proposals.option_hints import other_positions
from core.fit.proposals.prefixes import glob_of
from core.fit.proposals.removals import drop_of
from core.fit.proposals.tried import after
from core.fit.proposals.whole_repairs import mostly_matches
from core.fixes import (
    AdaptInput,
    Drop,
    Fix,
    Keep,
    Recipe,
    RenameTable,
    ResamplePositions,
    StripPrefix,
)
from core.keys import Unwrapped

MAX_DROPPED = 400
"""Keys that a recipe drops one by one; beyond these what is unexpected is left to be seen."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a recipe comes to: the match after it, and the file's keys that it leaves out."""

    recipe: Recipe
    found: Match
    left_out: tuple[str, ...]


def repair(solved: Solved, state_dict: StateDict, unwrapped: Unwrapped) -> Repaired:
    """The recipe that makes the file fit `solved.wanted` as far as it can. Extra keys are dropped
    where most of the network is there."""
    wanted = solved.wanted
    fixes = [*_renaming(solved, state_dict, unwrapped)]
    fixes += [AdaptInput(escape(key)) for key in solved.adaptable]
    made = applied(fixes, state_dict, wanted)
    if made is None:
        fixes, made = [], (state_dict, ())
    found = match(made[0], wanted)
    # Positions of another number may be of another network, and then stay as they are.
    if other_positions(found.mismatched) and (sized := applied([RESAMPLE], made[0], wanted)):
        after_it = match(sized[0], wanted)
        if len(after_it.mismatched) < len(found.mismatched):
            fixes, made, found = [*fixes, RESAMPLE], (sized[0], made[1]), after_it
    repaired, left_out = made
    extra = found.unexpected_keys
    if extra and len(extra) <= MAX_DROPPED and mostly_matches(found):
        drop = drop_of(extra, repaired)
        if drop is not None:
            fixes.append(drop)
            left_out += tuple(repaired[key].origin or key for key in extra)
            gone = frozenset(extra)
            kept = StateDict(entry for key, entry in repaired.items() if key not in gone)
            found = match(kept, wanted)
    return Repaired(Recipe.of(fixes), found, left_out)


RESAMPLE = ResamplePositions()


def applied(
    fixes: Sequence[Fix], state_dict: StateDict, wanted: Signature
) -> tuple[StateDict, tuple[str, ...]] | None:
    """What the fixes make of it, and the file's keys that a Keep or a Drop among them leaves out;
    None where one of them cannot be applied."""
    left_out: list[str] = []
    for fix in fixes:
        made = after((fix,), state_dict, wanted)
        if made is None:
            return None
        if isinstance(fix, Keep | Drop):
            gone = (entry for key, entry in state_dict.items() if key not in made)
            left_out += [entry.origin or entry.key for entry in gone]
        state_dict = made
    return state_dict, tuple(left_out)


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
