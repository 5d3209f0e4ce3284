"""The whole way from a file to a network: the best idea again and again, then removals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.align import align
from core.fit.key_match import Match, match
from core.fit.proposals.proposal import Idea, counted, listed
from core.fit.proposals.removals import removal_ideas
from core.fit.proposals.renamings import best_renamings
from core.fit.proposals.shapes import shape_ideas
from core.fit.proposals.structure import structure_ideas
from core.fit.proposals.tried import Score, after, score
from core.fixes import Fix, MergeLora, Recipe, unscaled_adapters

MAX_ROUNDS = 8
"""Ideas that are taken one after the other."""

MAX_WORK = 24_000
"""Keys over all rounds, so that a huge file gets fewer of them."""

LEAST_GAIN = 1e-9
"""Of coverage: less is the noise of floating point."""

Reached = tuple[Idea, Score]
"""An idea, and how well the file goes in after it."""


def gaining_ideas(state_dict: StateDict, signature: Signature) -> list[Reached]:
    """Ideas that make more of the network match, the best one first; the aligned names among them
    where they do more than every other."""
    ideas = _quick_ideas(state_dict, signature)
    best = max((then.coverage for _, then in ideas), default=0.0)
    if not any(then.keys == 1 for _, then in ideas):
        aligned = _gaining(align_ideas(state_dict, signature), state_dict, signature)
        ideas += [one for one in aligned if one[1].coverage > best + LEAST_GAIN]
    return sorted(ideas, key=_rank)


def whole_repair(
    state_dict: StateDict, signature: Signature, first: Sequence[Reached]
) -> tuple[Idea, ...]:
    """The steps of the best way there is, none where nothing helps.

    `first` are the gaining ideas. The way begins with the best one, or with the best one that
    looks at the names as they stand, whichever gets further.
    """
    ways = [idea for idea, _ in first[:1]]
    if ways and ways[0].aligned:
        ways = [*(idea for idea, _ in first[1:2]), *ways]
    reached = [_way(state_dict, signature, idea) for idea in ways]
    found = min(reached, key=_way_rank)[0] if reached else ()
    made = after(fixes_of(found), state_dict, signature)
    return found if made is None else (*found, *clearing(made, signature))


def fixes_of(ideas: Sequence[Idea]) -> tuple[Fix, ...]:
    """All their fixes, in order."""
    return tuple(fix for idea in ideas for fix in idea.fixes)


def clearing(state_dict: StateDict, signature: Signature) -> tuple[Idea, ...]:
    """What takes away the rest of the file, where most of the network matches."""
    now = match(state_dict, signature)
    return tuple(removal_ideas(now, state_dict, signature)) if mostly_matches(now) else ()


def mostly_matches(found: Match) -> bool:
    """Whether half of the keys match, so that the rest may be taken away."""
    return bool(found.matched) and 2 * len(found.matched) >= found.total


def _way(
    state_dict: StateDict, signature: Signature, first: Idea
) -> tuple[tuple[Idea, ...], Score]:
    """The best idea at every step, from a first one on, until it fits or nothing gains."""
    ideas: tuple[Idea, ...] = ()
    following: list[Idea] = [first]
    rounds = max(1, min(MAX_ROUNDS, MAX_WORK // (len(state_dict) + 1)))
    while following and len(ideas) < rounds:
        made = after(following[0].fixes, state_dict, signature)
        if made is None:
            break
        ideas, state_dict = (*ideas, following[0]), made
        if len(ideas) == rounds or match(state_dict, signature).fits:
            break
        reached = _quick_ideas(state_dict, signature)
        if not reached and not any(idea.aligned for idea in ideas):
            reached = _gaining(align_ideas(state_dict, signature), state_dict, signature)
        following = [idea for idea, _ in sorted(reached, key=_rank)]
    return ideas, score(state_dict, signature)


def _quick_ideas(state_dict: StateDict, signature: Signature) -> list[Reached]:
    now = match(state_dict, signature)
    reached = _gaining(best_renamings(state_dict, signature), state_dict, signature)
    reached += _gaining(shape_ideas(now, state_dict, signature), state_dict, signature)
    for idea in structure_ideas(state_dict, signature):
        gained = _gaining([idea], state_dict, signature)
        reached += gained or _gaining(
            _with_renaming(idea, state_dict, signature), state_dict, signature
        )
    return reached


def _with_renaming(idea: Idea, state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """An idea with the best renaming of what it makes, where it needs one to be of use."""
    made = after(idea.fixes, state_dict, signature)
    for renaming in [] if made is None else best_renamings(made, signature)[:1]:
        yield Idea((*idea.fixes, *renaming.fixes), f"{idea.why} {renaming.why}")


def _gaining(
    ideas: Sequence[Idea] | Iterator[Idea], state_dict: StateDict, signature: Signature
) -> list[Reached]:
    before = score(state_dict, signature).coverage
    reached = []
    for idea in ideas:
        made = after(idea.fixes, state_dict, signature)
        then = None if made is None else score(made, signature)
        if then is not None and then.coverage > before + LEAST_GAIN:
            reached.append((idea, then))
    return reached


def _way_rank(way: tuple[tuple[Idea, ...], Score]) -> tuple[float, int, bool, int]:
    """By what is reached; of two alike the one whose every step has a name of its own."""
    ideas, then = way
    aligned = any(idea.aligned for idea in ideas)
    return -round(then.coverage, 9), then.unexpected, aligned, len(fixes_of(ideas))


def _rank(reached: Reached) -> tuple[float, int, int]:
    idea, then = reached
    return -round(then.coverage, 9), then.unexpected, len(idea.fixes)


def best_repair(state_dict: StateDict, signature: Signature) -> Recipe:
    """The steps that bring the state_dict nearest to the signature; none where nothing helps.

    The best fix is taken again and again until all fits or nothing gains. Where most keys match
    then, what is unexpected or of another shape is dropped in steps of their own. Nothing is made
    up: defaults for what the file lacks are for a person to choose, and where LoRA adapters have no
    alpha, the recipe ends before they are merged. The same input gives the same recipe.
    """
    if match(state_dict, signature).fits:
        return Recipe()
    gaining = gaining_ideas(state_dict, signature)
    steps = whole_repair(state_dict, signature, gaining)
    return before_made_up(Recipe.of(fixes_of(steps)), state_dict, signature)


def before_made_up(recipe: Recipe, state_dict: StateDict, signature: Signature) -> Recipe:
    """The steps before the first that would merge LoRA adapters by a scale that nothing states."""
    for at, step in enumerate(recipe.steps):
        if isinstance(step.fix, MergeLora) and not step.fix.alpha:
            before = after([one.fix for one in recipe.steps[:at]], state_dict, signature)
            if before is not None and unscaled_adapters(before):
                return Recipe(recipe.steps[:at])
    return recipe


LEAST_CONFIDENCE = 0.5
"""Of an alignment that is proposed."""

LEAST_SHARE = 0.5
"""Of the network's keys that an alignment must find."""


def align_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """The alignment of the file with the network, where most of it has a place."""
    now = match(state_dict, signature)
    if not (now.missing_keys and (now.unexpected_keys or now.mismatched)):
        return
    found = align(state_dict, signature)
    fixes = tuple(step.fix for step in found.recipe.steps if step.enabled)
    placed = len({pair.wanted for pair in found.pairs})
    if not fixes or found.confidence < LEAST_CONFIDENCE or placed < LEAST_SHARE * now.total:
        return
    why = (
        f"{counted(placed, 'key')} of the network are found under other names, by the order of the "
        f"layers, their shapes and their names ({found.confidence:.0%} sure)."
    )
    if found.ambiguous:
        why += (
            f" Look at {listed([pair.key for pair in found.ambiguous])}: "
            "another place would be as likely."
        )
    yield Idea(fixes, why, aligned=True, sure=found.confidence)
