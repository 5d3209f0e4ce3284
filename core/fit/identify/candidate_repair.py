"""The fixes that make a file fit a candidate, the match after them, and the keys left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.fitness import Fit, fit_of
from core.fit.identify.solve_options import Solved
from core.fit.key_match import Match, match
from core.fit.proposals.option_hints import other_positions
from core.fit.proposals.prefixes import glob_of
from core.fit.proposals.removals import drop_of
from core.fit.proposals.tried import after
from core.fit.proposals.whole_repairs import best_repair, mostly_matches
from core.fixes import (
    AdaptInput,
    Drop,
    Fix,
    Keep,
    Recipe,
    RenameTable,
    ResamplePositions,
    StripPrefix,
    adapter_keys,
)
from core.keys import Unwrapped

MAX_DROPPED = 400
"""The most unexpected keys that a recipe drops; more are left in, and reported."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A recipe, the fit after it, and the file's keys that it leaves out.

    `unsure` are the file's keys for which another pair would be as likely, and `why` are sentences
    on how the tensors were matched, if more than prefixes differ.
    """

    recipe: Recipe
    fit: Fit
    left_out: tuple[str, ...]
    unsure: tuple[str, ...] = ()
    why: tuple[str, ...] = ()

    @property
    def match(self) -> Match:
        """The keys that match after the recipe."""
        return self.fit.match

    @property
    def fits(self) -> bool:
        """Whether all keys match, and nothing is in doubt."""
        return self.fit.fits and not self.unsure


def repair(solved: Solved, state_dict: StateDict, unwrapped: Unwrapped) -> Repaired:
    """The recipe that makes most of the file fit `solved.wanted`.

    It drops the unexpected keys if most of the model matches.
    """
    wanted = solved.wanted
    fixes = [*_renaming(solved, state_dict, unwrapped)]
    fixes += [AdaptInput(escape(key)) for key in solved.adaptable]
    result = applied(fixes, state_dict, wanted)
    if result is None:
        fixes, result = [], (state_dict, ())
    matched = match(result[0], wanted)
    # Positions of another number may belong to another architecture; then they stay as they are.
    if other_positions(matched.mismatched) and (sized := applied([RESAMPLE], result[0], wanted)):
        after_it = match(sized[0], wanted)
        if len(after_it.mismatched) < len(matched.mismatched):
            fixes, result, matched = [*fixes, RESAMPLE], (sized[0], result[1]), after_it
    repaired, left_out = result
    extra = matched.unexpected_keys
    # Adapters change the weights, so that a model without them is not the file's.
    droppable = 0 < len(extra) <= MAX_DROPPED and adapter_keys(repaired).isdisjoint(extra)
    if droppable and mostly_matches(matched):
        drop = drop_of(extra, repaired)
        if drop is not None:
            fixes.append(drop)
            left_out += tuple(repaired[key].origin or key for key in extra)
            gone = frozenset(extra)
            repaired = StateDict(entry for key, entry in repaired.items() if key not in gone)
    return Repaired(Recipe.of(fixes), fit_of(state_dict, repaired, wanted), left_out)


def whole_repaired(state_dict: StateDict, wanted: Signature) -> Repaired | None:
    """The same by every repair that is known for a model, whatever the file's names.

    None if the repair cannot be applied, or changes nothing.
    """
    best = best_repair(state_dict, wanted)
    result = applied([step.fix for step in best.recipe.steps], state_dict, wanted)
    if result is None or not best.recipe.steps:
        return None
    repaired, left_out = result
    fit = fit_of(state_dict, repaired, wanted)
    return Repaired(best.recipe, fit, left_out, best.unsure, best.why)


RESAMPLE = ResamplePositions()


def applied(
    fixes: Sequence[Fix], state_dict: StateDict, wanted: Signature
) -> tuple[StateDict, tuple[str, ...]] | None:
    """The state_dict after the fixes, and the file's keys that a Keep or a Drop leaves out.

    None if one of the fixes cannot be applied.
    """
    left_out: list[str] = []
    for fix in fixes:
        changed = after((fix,), state_dict, wanted)
        if changed is None:
            return None
        if isinstance(fix, Keep | Drop):
            gone = (entry for key, entry in state_dict.items() if key not in changed)
            left_out += [entry.origin or entry.key for entry in gone]
        state_dict = changed
    return state_dict, tuple(left_out)


def _renaming(solved: Solved, state_dict: StateDict, unwrapped: Unwrapped) -> Iterator[Fix]:
    """The fixes that turn the file's keys into the model's.

    If all keys differ by one prefix, that is stripped. Else the wrappers' parts are taken out of
    every key first; then a prefix is stripped, or a table renames what is left.
    """
    wanted = {entry.key: key for key, entry in solved.sources.items()}
    front = _front(wanted)
    if front is not None:
        yield from prefix_fixes(front, state_dict)
        return
    parts = [f"{part}." for part in unwrapped.parts if any(f"{part}." in key for key in wanted)]
    now = {key: unwrapped.keys.get(key, key) if parts else key for key in state_dict}
    short = {now[key]: new for key, new in wanted.items()}
    for part in parts:
        yield StripPrefix(part, anywhere=True)
    front = _front(short)
    if front is not None:
        yield from prefix_fixes(front, now.values())
        return
    prefix = solved.prefix
    if all(key.startswith(prefix) for key in short):
        yield from prefix_fixes(prefix, now.values())
    elif prefix:
        yield StripPrefix(prefix)
    after = {key.removeprefix(prefix): new for key, new in short.items()}
    table = tuple((key, new) for key, new in after.items() if key != new)
    if table:
        yield RenameTable(table)


def _front(wanted: Mapping[str, str]) -> str | None:
    """The prefix that every key of the file has before its wanted name; None if they differ."""
    fronts = Counter(
        key[: len(key) - len(new)] if key.endswith(new) else None for key, new in wanted.items()
    )
    return next(iter(fronts)) if len(fronts) == 1 else None


def prefix_fixes(front: str, keys: Iterable[str]) -> Iterator[Fix]:
    """The fixes that keep the keys that begin with `front`, and strip it from them."""
    if not front:
        return
    if any(not key.startswith(front) for key in keys):
        yield Keep(glob_of(front))
    yield StripPrefix(front)
