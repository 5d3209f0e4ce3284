"""Finds the fixes that would help, tries each, and says what it gains and why."""

from __future__ import annotations

from collections.abc import Iterator

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.key_match import Match, match
from core.fit.proposals.proposal import Idea, Left, Proposal, title_of
from core.fit.proposals.removals import removal_ideas
from core.fit.proposals.shapes import statistics_idea
from core.fit.proposals.tried import Score, after, score
from core.fit.proposals.twins import twin_ideas
from core.fit.proposals.whole_repairs import fixes_of, gaining_ideas, mostly_matches, whole_repair
from core.fixes import KeyFix
from core.wording import count, counted

TWIN_SHARE = 0.5
"""Another set of weights in the file is proposed if it covers this share of what matches now."""


def propose(state_dict: StateDict, signature: Signature) -> tuple[Proposal, ...]:
    """The fixes that bring the state_dict nearer to the signature, the best first.

    The whole repair is first, if it takes more than one idea. Then come the ideas after which more
    of the model matches, by the keys and parameters gained. If most keys match, fixes that drop the
    rest follow, and other sets of weights in the file. Empty if the state_dict fits.
    """
    now = match(state_dict, signature)
    if now.fits:
        return ()
    before = score(state_dict, signature)
    gaining = gaining_ideas(state_dict, signature)
    steps = whole_repair(state_dict, signature, gaining)
    by_name = bool(steps) and not any(idea.aligned for idea in steps)
    ideas = [
        idea
        for idea, then in gaining
        if not (idea.aligned and by_name) and not _is_lesser(idea, then, gaining[0][1], before)
    ]
    if gaining and len(steps) > 1:
        ideas.insert(0, Idea(fixes_of(steps), " ".join(step.why for step in steps)))
    ideas += _further(now, before, state_dict, signature)
    proposals = (_proposal(idea, now, state_dict, signature) for idea in ideas)
    return tuple(proposal for proposal in proposals if proposal is not None)


def _is_lesser(idea: Idea, then: Score, best: Score, before: Score) -> bool:
    """Whether a renaming gains less than half of what the best idea gains."""
    names_only = all(isinstance(fix, KeyFix) for fix in idea.fixes)
    return names_only and 2 * (then.keys - before.keys) < best.keys - before.keys


def _further(
    now: Match, before: Score, state_dict: StateDict, signature: Signature
) -> Iterator[Idea]:
    """Ideas that gain no keys, or no trained ones: removals, defaults, other sets of weights."""
    if mostly_matches(now):
        yield from removal_ideas(now, state_dict, signature)
        statistics = statistics_idea(now, state_dict)
        if statistics is not None:
            yield statistics
        for idea in twin_ideas(state_dict, signature):
            repaired = after(idea.fixes, state_dict, signature)
            if len(idea.fixes) == 1 or repaired is None:
                continue
            then = score(repaired, signature)
            if TWIN_SHARE * before.coverage < then.coverage <= before.coverage:
                yield idea


def _proposal(
    idea: Idea, now: Match, state_dict: StateDict, signature: Signature
) -> Proposal | None:
    repaired = after(idea.fixes, state_dict, signature)
    if repaired is None:
        return None
    then = match(repaired, signature)
    before, reached = len(now.matched), len(then.matched)
    words = title_of(idea.fixes)
    sentence = f"{words[0].lower()}{words[1:]}: "
    if reached > before:
        sentence += f"{count(before)} → {count(reached)} of {count(then.total)} keys"
    else:
        dropped = counted(max(0, len(state_dict) - len(repaired)), "key")
        sentence += f"{dropped} dropped, {count(reached)} of {count(then.total)} keys match"
    return Proposal(
        fixes=idea.fixes,
        before=before,
        after=reached,
        total=then.total,
        sentence=sentence,
        why=idea.why,
        left=Left(len(then.mismatched), len(then.missing_keys), len(then.unexpected_keys)),
    )
