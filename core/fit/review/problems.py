"""What of a file and a model does not match: how many keys, why, and which proposals would help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.fit.fitness import Fit
from core.fit.key_match import Match
from core.fit.proposals import Proposal
from core.keys import group_keys
from core.wording import are, counted, have, listed

NAMED = 3
"""The most keys, or groups of keys, that a sentence names."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Keys that need a decision.

    `state` is `mismatched`, `missing`, `unexpected` or `doubt`, `sentence` says what is wrong, and
    `remedies` are the proposals after which fewer keys are in this state, the best first.
    """

    state: str
    keys: tuple[str, ...]
    sentence: str
    remedies: tuple[Proposal, ...] = ()


def problems_of(fit: Fit, proposals: Sequence[Proposal] = ()) -> tuple[Problem, ...]:
    """The problems of a fit, those of shapes first; empty if it fits."""
    return (*_of_keys(fit.match, proposals), *_of_doubts(fit))


def _of_keys(match: Match, proposals: Sequence[Proposal]) -> Iterator[Problem]:
    sentences = {
        "mismatched": (tuple(each.key for each in match.mismatched), _mismatched(match)),
        "missing": (match.missing_keys, _missing(match)),
        "unexpected": (match.unexpected_keys, _unexpected(match)),
    }
    for state, (keys, sentence) in sentences.items():
        if keys:
            helping = tuple(
                proposal for proposal in proposals if getattr(proposal.left, state) < len(keys)
            )
            yield Problem(state, keys, sentence, helping)


def _of_doubts(fit: Fit) -> Iterator[Problem]:
    for doubt in fit.doubts:
        yield Problem("doubt", doubt.keys, doubt.sentence)


def _mismatched(match: Match) -> str:
    number = len(match.mismatched)
    named = [f"`{each.key}` ({each.words})" for each in match.mismatched]
    refused = any(each.reason for each in match.mismatched)
    what = "cannot be loaded as stored" if refused else f"{have(number)} another shape in the model"
    return f"{counted(number, 'key')} {what}: {listed(named, NAMED)}."


def _missing(match: Match) -> str:
    number = len(match.missing_keys)
    return (
        f"{counted(number, 'key')} of the model {are(number)} not in the file: "
        f"{_groups(match.missing_keys)}."
    )


def _unexpected(match: Match) -> str:
    number = len(match.unexpected_keys)
    return (
        f"{counted(number, 'key')} of the file {have(number)} no place in the model: "
        f"{_groups(match.unexpected_keys)}."
    )


def _groups(keys: Sequence[str]) -> str:
    return listed([f"`{group}`" for group in group_keys(keys)], NAMED)
