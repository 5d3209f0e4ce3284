"""The whole way from a file to a network: the best idea again and again, then removals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.checkpoint.entries import StateDict
from core.fixes import Fix
from core.match import Match, match
from core.proposals.aligned import align_ideas
from core.proposals.removals import removal_ideas
from core.proposals.renamings import best_renamings
from core.proposals.shapes import shape_ideas
from core.proposals.structure import structure_ideas
from core.proposals.tried import Score, after, score
from core.proposals.words import Idea
from core.signature import Signature

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
    where no other does it all."""
    ideas = _quick_ideas(state_dict, signature)
    if not any(_is_whole(then) for _, then in ideas):
        ideas += _gaining(align_ideas(state_dict, signature), state_dict, signature)
    return sorted(ideas, key=_rank)


def whole_repair(
    state_dict: StateDict, signature: Signature, first: Sequence[Reached]
) -> tuple[Fix, ...]:
    """The fixes of the best way there is, none where nothing helps.

    `first` are the gaining ideas. The way begins with the best one that looks at the file as it
    stands, or with the aligned names, whichever gets further.
    """
    ways = [first[0][0]] if first else []
    ways += [idea for idea, _ in first[1:] if idea.aligned][:1]
    reached = [_way(state_dict, signature, idea) for idea in ways]
    fixes, found = max(reached, key=lambda way: (way[1].coverage, -len(way[0])), default=((), None))
    made = state_dict if found is None else after(fixes, state_dict, signature)
    assert made is not None  # each of its steps has been applied
    return (*fixes, *clearing(made, signature))


def clearing(state_dict: StateDict, signature: Signature) -> tuple[Fix, ...]:
    """What takes away the rest of the file, where most of the network matches."""
    now = match(state_dict, signature)
    if not mostly_matches(now):
        return ()
    return tuple(fix for idea in removal_ideas(now, state_dict, signature) for fix in idea.fixes)


def mostly_matches(found: Match) -> bool:
    """Whether half of the keys match, so that the rest may be taken away."""
    return bool(found.matched) and 2 * len(found.matched) >= found.total


def _way(
    state_dict: StateDict, signature: Signature, idea: Idea | None
) -> tuple[tuple[Fix, ...], Score]:
    """The best idea at every step, from a first one on, until it fits or nothing gains."""
    fixes: tuple[Fix, ...] = ()
    for _ in range(max(1, min(MAX_ROUNDS, MAX_WORK // (len(state_dict) + 1)))):
        made = None if idea is None else after(idea.fixes, state_dict, signature)
        if idea is None or made is None:
            break
        fixes, state_dict = (*fixes, *idea.fixes), made
        if match(state_dict, signature).fits:
            break
        aligned = idea.aligned
        further = _quick_ideas(state_dict, signature)
        if not further and not aligned:
            further = _gaining(align_ideas(state_dict, signature), state_dict, signature)
        idea = min(further, key=_rank)[0] if further else None
    return fixes, score(state_dict, signature)


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


def _is_whole(reached: Score) -> bool:
    return reached.keys == 1


def _rank(reached: Reached) -> tuple[float, int, int]:
    idea, then = reached
    return -round(then.coverage, 9), then.unexpected, len(idea.fixes)
