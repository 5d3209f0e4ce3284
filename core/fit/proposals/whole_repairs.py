"""The whole repair from a file to a model: the best idea again and again, then removals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from core.architectures import Signature, matrix_form
from core.checkpoint import StateDict
from core.fit.align import Alignment, align
from core.fit.copies import Copy, copies_of, copies_sentence, undotted, undotted_prefix
from core.fit.key_match import Match, match
from core.fit.one_module import filled_by_projection, origins, torn_layers
from core.fit.proposals.adapters import uses_untrained
from core.fit.proposals.prefixes import glob_of
from core.fit.proposals.proposal import Idea, listed_keys
from core.fit.proposals.removals import removal_ideas
from core.fit.proposals.renamings import best_renamings, moves_batch_norms
from core.fit.proposals.shapes import folded_ideas, shape_ideas
from core.fit.proposals.structure import merging_idea, structure_ideas
from core.fit.proposals.tried import Score, after, score
from core.fixes import (
    Drop,
    Fix,
    Fuse,
    Keep,
    MergeLora,
    Recipe,
    Split,
    adapter_keys,
    unscaled_adapters,
)
from core.keys import MAX_STARTS, MOMENTUM, momentum_blobs, starts
from core.wording import are, counted, percent

MAX_ROUNDS = 8
"""The most ideas that are applied one after the other."""

MAX_WORK = 24_000
"""The most keys over all rounds: a huge file gets fewer rounds."""

LEAST_GAIN = 1e-9
"""The least gain of coverage; a smaller one is floating-point noise."""

Reached = tuple[Idea, Score]
"""An idea, and how well the file matches after it."""


def gaining_ideas(state_dict: StateDict, signature: Signature) -> list[Reached]:
    """Ideas after which more of the model matches, the best first.

    An alignment, which takes long, is tried only if no idea makes all keys match, and is listed
    only if it does more than every other idea.
    """
    ideas = _quick_ideas(state_dict, signature)
    best = max((then.coverage for _, then in ideas), default=0.0)
    if not any(then.keys == 1 for _, then in ideas):
        aligned = _gaining(align_ideas(state_dict, signature), state_dict, signature)
        if not any(then.keys == 1 for _, then in aligned):
            aligned += _gaining(_fused_and_aligned(state_dict, signature), state_dict, signature)
        ideas += [(idea, then) for idea, then in aligned if then.coverage > best + LEAST_GAIN]
    return sorted(ideas, key=_rank)


def whole_repair(
    state_dict: StateDict, signature: Signature, first: Sequence[Reached]
) -> tuple[Idea, ...]:
    """The steps of the best repair, in order; empty if nothing helps.

    `first` are the gaining ideas, the best first. The repair begins with the best one. If that is
    an alignment, a repair that begins with the next idea is tried too; the one that gets further
    wins.
    """
    ways = [idea for idea, _ in first[:1]]
    if ways and ways[0].aligned:
        ways = [idea for idea, _ in first[:2]]
    reached = [_way(state_dict, signature, idea) for idea in ways]
    steps = min(reached, key=_way_rank)[0] if reached else ()
    repaired = after(fixes_of(steps), state_dict, signature)
    return steps if repaired is None else (*steps, *clearing(repaired, signature))


def fixes_of(ideas: Sequence[Idea]) -> tuple[Fix, ...]:
    """All fixes of the ideas, in order."""
    return tuple(fix for idea in ideas for fix in idea.fixes)


def clearing(state_dict: StateDict, signature: Signature) -> tuple[Idea, ...]:
    """The removals of what does not match, if most of the model does.

    Adapters are merged first: without them the weights are those before they were trained.
    """
    now = match(state_dict, signature)
    if not mostly_matches(now):
        return ()
    merging = merging_idea(state_dict)
    if merging is None:
        return tuple(removal_ideas(now, state_dict, signature))
    merged = after(merging.fixes, state_dict, signature)
    return () if merged is None else (merging, *clearing(merged, signature))


def mostly_matches(match: Match) -> bool:
    """Whether at least half of the model's keys match, so that the rest may be dropped."""
    return bool(match.matched) and 2 * len(match.matched) >= match.total


def _way(
    state_dict: StateDict, signature: Signature, first: Idea
) -> tuple[tuple[Idea, ...], Score]:
    """The first idea, then the best one at every step, until all fits or nothing gains."""
    ideas: tuple[Idea, ...] = ()
    following: list[Idea] = [first]
    rounds = max(1, min(MAX_ROUNDS, MAX_WORK // (len(state_dict) + 1)))
    while following and len(ideas) < rounds:
        repaired = after(following[0].fixes, state_dict, signature)
        if repaired is None:
            break
        ideas, state_dict = (*ideas, following[0]), repaired
        if len(ideas) == rounds or match(state_dict, signature).fits:
            break
        reached = _quick_ideas(state_dict, signature)
        if not reached and not any(idea.aligned for idea in ideas):
            reached = _gaining(align_ideas(state_dict, signature), state_dict, signature)
        following = [idea for idea, _ in sorted(reached, key=_rank)]
    return ideas, score(state_dict, signature)


def _quick_ideas(state_dict: StateDict, signature: Signature) -> list[Reached]:
    """The ideas that gain something, without an alignment."""
    now = match(state_dict, signature)
    reached = _gaining(best_renamings(state_dict, signature), state_dict, signature)
    reached += _gaining(shape_ideas(now, state_dict, signature), state_dict, signature)
    reached += _gaining(folded_ideas(now, state_dict), state_dict, signature)
    for idea in structure_ideas(state_dict, signature):
        gained = _gaining([idea], state_dict, signature)
        reached += gained or _gaining(
            _with_renaming(idea, state_dict, signature), state_dict, signature
        )
    return reached


def _with_renaming(idea: Idea, state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """The idea followed by the best renaming of its result, without which it gains nothing."""
    changed = after(idea.fixes, state_dict, signature)
    for renaming in [] if changed is None else best_renamings(changed, signature)[:1]:
        yield Idea((*idea.fixes, *renaming.fixes), f"{idea.why} {renaming.why}")


def _gaining(
    ideas: Sequence[Idea] | Iterator[Idea], state_dict: StateDict, signature: Signature
) -> list[Reached]:
    before = score(state_dict, signature).coverage
    reached = []
    for idea in ideas:
        changed = after(idea.fixes, state_dict, signature)
        if changed is None:
            continue
        then = score(changed, signature)
        if then.coverage > before + LEAST_GAIN and _is_sound(changed, signature):
            reached.append((idea, then))
    return reached


def _is_sound(state_dict: StateDict, signature: Signature) -> bool:
    """Whether each layer has its tensors from one layer of the file, and no head a projection's."""
    return not torn_layers(state_dict, signature) and not filled_by_projection(
        origins(state_dict, signature)
    )


def _way_rank(way: tuple[tuple[Idea, ...], Score]) -> tuple[float, int, bool, int]:
    """A sort key: the best coverage first; of equal ones, a repair without an alignment."""
    ideas, then = way
    aligned = any(idea.aligned for idea in ideas)
    return -round(then.coverage, 9), then.unexpected, aligned, len(fixes_of(ideas))


def _rank(reached: Reached) -> tuple[float, int, int]:
    idea, then = reached
    return -round(then.coverage, 9), then.unexpected, len(idea.fixes)


@dataclass(frozen=True, slots=True)
class BestRepair:
    """A recipe, and for each idea in it a sentence that says what in the file suggests it.

    `unsure` are the file's keys that it pairs although another pair would be as likely.
    """

    recipe: Recipe
    why: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()


def best_repair(state_dict: StateDict, signature: Signature) -> BestRepair:
    """The recipe that brings the state_dict nearest to the signature; empty if nothing helps.

    The best fix is applied again and again, until all fits or nothing gains. If most keys match
    then, unexpected and mismatched keys are dropped in steps of their own. Nothing is made up: a
    person chooses defaults for what the file lacks, and if LoRA adapters have no alpha, they and
    the layers that they adapt stay as they are. The same input gives the same recipe.
    """
    if match(state_dict, signature).fits:
        return BestRepair(Recipe())
    if unscaled_adapters(state_dict):
        return _beside_adapters(state_dict, signature)
    ideas = whole_repair(state_dict, signature, gaining_ideas(state_dict, signature))
    recipe = before_made_up(Recipe.of(fixes_of(ideas)), state_dict, signature)
    why = tuple(idea.why for idea in ideas)
    return BestRepair(recipe, why, tuple(key for idea in ideas for key in idea.unsure))


def _beside_adapters(state_dict: StateDict, signature: Signature) -> BestRepair:
    """The repair of the layers that no adapter changes, as far as it leaves all adapters whole."""
    adapted = adapter_keys(state_dict)
    entries = [entry for key, entry in state_dict.items() if key not in adapted]
    others = StateDict(entries, state_dict.path, state_dict.versions)
    fixes: list[Fix] = []
    best = best_repair(others, signature)
    for step in best.recipe.steps:
        changed = after((*fixes, step.fix), state_dict, signature)
        if changed is None or unscaled_adapters(changed) < unscaled_adapters(state_dict):
            break
        fixes.append(step.fix)
    return replace(best, recipe=Recipe.of(fixes))


def before_made_up(recipe: Recipe, state_dict: StateDict, signature: Signature) -> Recipe:
    """The steps before the first one that would merge LoRA adapters without a known alpha."""
    for at, step in enumerate(recipe.steps):
        if isinstance(step.fix, MergeLora) and not step.fix.alpha:
            before = after([done.fix for done in recipe.steps[:at]], state_dict, signature)
            if before is not None and unscaled_adapters(before):
                return Recipe(recipe.steps[:at])
    return recipe


LEAST_CONFIDENCE = 0.5
"""The least confidence of an alignment that is proposed."""

MOST_COPIES = 4
"""The most copies of a network that are aligned with a model, the preferred ones."""

LEAST_SHARE = 0.5
"""The least share of the model's keys for which a proposed alignment has a tensor."""


def align_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """The alignments of the file with the model that find a tensor for most of the keys.

    If the file has the model in several places, there is one for each, the preferred first: the
    tensors of one copy are never mixed with those of another. An optimizer's momentum has the
    shapes of weights, and takes the place of none.
    """
    now = match(state_dict, signature)
    if not (now.missing_keys and (now.unexpected_keys or now.mismatched)):
        return
    copies = copies_of(state_dict, signature)
    spelled = undotted(state_dict)
    for copy in copies[:MOST_COPIES] or (None,):
        others: tuple[Fix, ...] = () if copy is None else _only(copy, copies)
        without_dots = undotted_prefix(spelled, state_dict)
        others = (*others, *([Drop(glob_of(without_dots))] if without_dots else []))
        others = (*others, *([Drop(f"*{MOMENTUM}")] if momentum_blobs(state_dict) else []))
        left = after(others, state_dict, signature)
        if left is not None:
            why = "" if copy is None else copies_sentence(copies, [copy.prefix])
            yield from _align_idea(left, signature, now.total, others, why)


def _fused_and_aligned(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Alignments after layers are fused or split, which matches nothing under the file's names."""
    for idea in structure_ideas(state_dict, signature):
        changed = None
        if all(isinstance(fix, Fuse | Split) for fix in idea.fixes):
            changed = after(idea.fixes, state_dict, signature)
        for aligned in () if changed is None else align_ideas(changed, signature):
            fixes = (*idea.fixes, *aligned.fixes)
            yield replace(aligned, fixes=fixes, why=f"{idea.why} {aligned.why}")


def _only(copy: Copy, copies: Sequence[Copy]) -> tuple[Fix, ...]:
    """The fixes that leave out the other copies; what is beside all of them stays."""
    others = [other.prefix for other in copies if other is not copy]
    if any(copy.prefix.startswith(prefix) for prefix in others):
        return (Keep(glob_of(copy.prefix)),)
    if len(others) == 1:
        return (Drop(glob_of(others[0])),)
    return (Drop(f"^(?:{'|'.join(map(re.escape, others))})", "regex"),)


def _within_one_prefix(
    alignment: Alignment, state_dict: StateDict, signature: Signature
) -> tuple[Keep, Alignment] | None:
    """An alignment with what is below the network's prefix alone, if that fills as much as all.

    A layer beside a network may have the name of one inside it: an old head and the one after it.
    None if the alignment takes nothing from beside the prefix, or needs it.
    """
    keys = [pair.key for pair in alignment.pairs]
    shapes = Counter(matrix_form(state_dict[key].shape)[0] for key in keys)
    below = Counter(key[:start] for key in keys for start in starts(key, MAX_STARTS)[1:])
    for prefix, number in sorted(below.items(), key=lambda item: -len(item[0])):
        if number == len(keys):
            break
        if number < LEAST_SHARE * len(keys):
            continue
        own = Counter(
            matrix_form(entry.shape)[0]
            for key, entry in state_dict.items()
            if key.startswith(prefix)
        )
        if shapes <= own:
            keep = Keep(glob_of(prefix))
            kept = after((keep,), state_dict, signature)
            inside = None if kept is None else align(kept, signature)
            if inside is not None and len(inside.pairs) == len(keys):
                return keep, inside
    return None


def _align_idea(
    state_dict: StateDict, signature: Signature, total: int, before: tuple[Fix, ...], first: str
) -> Iterator[Idea]:
    alignment = align(state_dict, signature)
    within = _within_one_prefix(alignment, state_dict, signature)
    if within is not None:
        keep, alignment = within
        before = (*before, keep)
    fixes = tuple(step.fix for step in alignment.recipe.steps if step.enabled)
    placed = len({pair.wanted for pair in alignment.pairs})
    if not fixes or alignment.confidence < LEAST_CONFIDENCE or placed < LEAST_SHARE * total:
        return
    names = {pair.key: pair.wanted for pair in alignment.pairs}
    if moves_batch_norms(names, signature) or uses_untrained(names, state_dict):
        return
    why = (
        f"{counted(placed, 'key')} of the model {are(placed)} found under other "
        "names, by the order of the layers, their shapes and their names "
        f"({percent(alignment.confidence)} sure)."
    )
    unsure = tuple(dict.fromkeys(pair.key for pair in alignment.ambiguous))
    if unsure:
        why += f" Check {listed_keys(unsure)}: another pair would be as likely."
    yield Idea(
        (*before, *fixes),
        f"{first} {why}".strip(),
        aligned=True,
        sure=alignment.confidence,
        unsure=unsure,
    )
