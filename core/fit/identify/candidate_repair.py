"""The fixes that make a file fit a candidate, the match after them, and the keys left out.

And which candidates are worth the search for such a repair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from math import prod

from core.architectures import Options, Shape, Signature, matrix_form
from core.checkpoint import AdaptedChannels, Derived, StateDict
from core.fit.architecture_options import propose_num_classes
from core.fit.fitness import Fit, fit_of
from core.fit.identify.class_heads import CLASSES
from core.fit.identify.solve_options import Solved, with_options
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
from core.keys import STATISTICS, Unwrapped, block_of, leaf

MOST_MENDED = 4
"""The most solutions that get a search for their repair, which may take a second each."""

MAX_DROPPED = 400
"""The most unexpected keys that a recipe drops; more are left in, and reported."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A recipe, the fit after it, and the file's keys that it leaves out.

    `unsure` are the file's keys for which another pair would be as likely, and `why` are sentences
    on how the tensors were matched, if more than prefixes differ. `input_channels` are those of the
    file's input convolutions and of the model's, where the recipe adapts them.
    """

    recipe: Recipe
    fit: Fit
    left_out: tuple[str, ...]
    unsure: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    input_channels: tuple[tuple[int, int], ...] = ()

    @property
    def match(self) -> Match:
        """The keys that match after the recipe."""
        return self.fit.match

    @property
    def fits(self) -> bool:
        """Whether all keys match, and nothing is in doubt."""
        return self.fit.fits and not self.unsure

    @property
    def renames(self) -> bool:
        """Whether the file has other names than the model: the recipe renames or joins tensors."""
        return not all(step.fix.keeps_names for step in self.recipe.steps)


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
    fit = fit_of(state_dict, repaired, wanted)
    return Repaired(
        Recipe.of(fixes), fit, left_out, input_channels=adapted_input_channels(repaired)
    )


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
    channels = adapted_input_channels(repaired)
    return Repaired(best.recipe, fit, left_out, best.unsure, best.why, channels)


def adapted_input_channels(repaired: StateDict) -> tuple[tuple[int, int], ...]:
    """The channels before and after each adaptation of an input convolution, each pair once."""
    pairs = (
        (entry.form.parts[0].shape[1], entry.shape[1])
        for entry in repaired.values()
        if isinstance(entry.form, Derived) and isinstance(entry.form.operation, AdaptedChannels)
    )
    return tuple(dict.fromkeys(pairs))


def mended(best: Solved, state_dict: StateDict, repaired: Repaired) -> tuple[Options, Repaired]:
    """The options and the repair after every known repair, if that fits better than before."""
    options = dict(best.options)
    wanted = best.wanted
    default = best.profile.of_option(CLASSES)
    classes = propose_num_classes(state_dict, best.profile.signature) if default else None
    if classes and default[0].default and classes != options.get(CLASSES, default[0].default):
        options[CLASSES] = classes
        wanted = with_options(best.profile, options)
    whole = whole_repaired(state_dict, wanted)
    if whole is None or _unlike(whole) >= _unlike(repaired) or whole.fit.doubts:
        return best.options, repaired
    return tuple(sorted(options.items())), whole


def _unlike(repaired: Repaired) -> tuple[bool, int]:
    """A sort key: what fits first, then the fewest keys of either side that do not match; of an
    ambiguous pair both do not."""
    match = repaired.match
    differ = len(match.missing_keys) + len(match.mismatched) + len(match.unexpected_keys)
    return not repaired.fits, differ + 2 * len(repaired.unsure)


def most_promising(
    solutions: Sequence[Solved], state_dict: StateDict, unwrapped: Unwrapped
) -> frozenset[int]:
    """The places of the solutions that a repair is likeliest to mend, MOST_MENDED at most.

    `solutions` come the best first. One that promises no more than a better one whose missing keys
    are nowhere in the file is none of them.
    """
    promises: dict[int, float] = {}
    found = 0.0
    for at, solved in enumerate(solutions):
        placed = {entry.key for entry in solved.sources.values()}
        extra = {key: short for key, short in unwrapped.keys.items() if key not in placed}
        if _has_all_in_place(solved, extra, state_dict):
            found = max(found, solved.matched / (len(solved.wanted) + len(extra)))
        elif (promise := _promise(solved, extra.values())) > found:
            promises[at] = promise
    return frozenset(sorted(promises, key=lambda at: -promises[at])[:MOST_MENDED])


def _promise(solved: Solved, extra: Iterable[str]) -> float:
    """The share of the keys of both sides that may match after a repair; `extra` have no place yet.

    A repair mostly takes tensors from beside where they are missing: `blocks.0.attn.qkv.bias` is in
    `blocks.0.attn.q_bias` and `blocks.0.attn.v_bias`. So a key that is missing or extra may match
    if its block has keys of both kinds.
    """
    prefix = solved.prefix
    missing = [block_of(key) for key in solved.wanted if key not in solved.sources]
    others = [block_of(key[len(prefix) :]) for key in extra if key.startswith(prefix)]
    both = {*missing} & {*others}
    hopeful = sum(block in both for block in missing)
    lonely = sum(block not in both for block in others)
    return (solved.matched + hopeful) / (len(solved.wanted) + lonely)


def _has_all_in_place(solved: Solved, extra: Iterable[str], state_dict: StateDict) -> bool:
    """Whether none of the `extra` keys could fill a missing key: then it is not in the file.

    Statistics can be made up of what is there, so they are no sign.
    """
    missing = [
        spec.shape
        for key, spec in solved.wanted.items()
        if key not in solved.sources and leaf(key) not in STATISTICS
    ]
    own = {state_dict[key].shape for key in extra}
    wanted = {*missing}
    return bool(wanted) and not any(_could_fill(one, other) for one in own for other in wanted)


def _could_fill(own: Shape, wanted: Shape) -> bool:
    """Whether a tensor of one shape could become one of another, whole, as a part or of parts."""
    form, other = matrix_form(own)[0], matrix_form(wanted)[0]
    if form or other:
        return form == other
    small, large = sorted((prod(own), prod(wanted)))
    return small > 1 and large % small == 0


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
