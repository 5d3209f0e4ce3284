"""Which architecture a state_dict is for: candidates in order, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.architectures import LIBRARIES, Architecture
from core.checkpoint import StateDict
from core.fast_objects import paused_collector
from core.fit.identify.candidate_repair import Repaired, repair
from core.fit.identify.families import family
from core.fit.identify.guessing import guesses, worth
from core.fit.identify.hints import other_name_told, told_of, twins_told
from core.fit.identify.identification import NO_HINTS, Candidate, Hints, Identification
from core.fit.identify.sentences import evidence, evidence_of_shapes, sentence, thin
from core.fit.identify.solve_options import Solved, solve
from core.fit.identify.under_other_names import Renamed, renamed
from core.fit.index.lookup import Lookup
from core.keys import BATCH_COUNTER, MAX_KEYS, Unwrapped, unwrap

TRIED = 24
"""Guesses that are worked out at most."""

LEAST_TRIED = 8
"""Guesses that are worked out in any case, so that there are some to choose from."""

FAR = 0.2
"""How far behind the best one a guess may be, to be worked out still."""

NEAR = 0.5
"""The share of the best one's score that another candidate has, to be told."""

ENOUGH = 0.5
"""The share of the keys of both sides that must agree, for a model to count as known."""

WHOLE = 0.9
"""The share of a model's keys that is the model, whatever else the file holds."""

LEAST = 0.1
"""The share of its keys that the nearest model must have, to be told at all."""

MOVED = 0.001
"""What a head of another path costs: of two models the one with its own names is likelier."""

MAX_ALSO = 200
"""Other names that a candidate tells."""


@paused_collector()
def identify(
    state_dict: StateDict, lookup: Lookup, hints: Hints = NO_HINTS, most: int = 5
) -> Identification:
    """The architectures that a state_dict may be for, the best one first, at most `most` groups.

    Goes by keys and shapes alone: no tensor is read. Architectures that the file fits equally well
    are one candidate, named by what the hints say, else by the plainest name. Where none has its
    names, the candidates are those whose tensors it has under other names, and where there are none
    either, the nearest ones.
    """
    unwrapped = unwrap(state_dict)
    solved = _solved(state_dict, unwrapped, lookup)
    groups = _groups(solved)
    known = bool(groups) and _is_known(groups[0][0])
    others = [] if known else _under_other_names(state_dict, unwrapped, lookup, hints)
    if others:
        candidates, known = tuple(others[:most]), True
    else:
        ranked = [one for one in groups if one[0].score >= NEAR * groups[0][0].score][:most]
        candidates = tuple(_candidate(group, state_dict, unwrapped, hints) for group in ranked)
    if candidates and not known and candidates[0].coverage_keys < LEAST:
        candidates = ()
    kind = family(state_dict)
    if candidates:
        candidates = (_with_words_beside(candidates[0], hints, lookup), *candidates[1:])
    said = sentence(candidates, known, kind, state_dict)
    if len(state_dict) > MAX_KEYS:
        said += f" Of its {thin(len(state_dict))} keys the first {thin(MAX_KEYS)} were looked at."
    return Identification(candidates, said, kind, known)


def _solved(state_dict: StateDict, unwrapped: Unwrapped, lookup: Lookup) -> list[Solved]:
    """The guesses worked out, until the rest is far behind the best one."""
    found: list[Solved] = []
    best = 0.0
    for guess in guesses(state_dict, unwrapped, lookup, TRIED):
        if len(found) >= LEAST_TRIED and guess.worth < best - FAR:
            break
        one = solve(guess, state_dict, unwrapped, lookup)
        found.append(one)
        # A guess counts a shape that an option may change as right, so it is at most too good.
        best = max(best, min(guess.worth, one.score))
    return found


def _is_known(one: Solved) -> bool:
    """Whether the file is for this model: most keys of both sides agree, or all of the model is
    there, beside much else."""
    whole = WHOLE * sum(not key.endswith(BATCH_COUNTER) for key in one.wanted)
    return one.score >= ENOUGH or (one.matched >= whole and not one.misshapen)


def _groups(solved: Sequence[Solved]) -> list[list[Solved]]:
    """Those that the same tensors of the file fill equally well, below one prefix, in a group each;
    the best first. Of equal ones below several prefixes the shortest, which needs the least."""
    most = max((one.matched for one in solved), default=1) or 1
    found: dict[object, dict[str, list[Solved]]] = {}
    for one in solved:
        used = frozenset(entry.key for entry in one.sources.values())
        misshapen = frozenset(one.sources[key].key for key in one.misshapen)
        filled = one.matched, misshapen, one.moved, len(one.wanted)
        found.setdefault((used, filled), {}).setdefault(one.prefix, []).append(one)

    def rank(alike: Mapping[str, Sequence[Solved]]) -> float:
        values = [worth(one.score, one.matched / most) for part in alike.values() for one in part]
        moved = all(one.moved for part in alike.values() for one in part)
        return -round(max(values) - (MOVED if moved else 0), 9)

    return [
        group
        for alike in sorted(found.values(), key=rank)
        for _, group in sorted(alike.items(), key=lambda item: len(item[0]))
    ]


def _candidate(
    group: Sequence[Solved], state_dict: StateDict, unwrapped: Unwrapped, hints: Hints
) -> Candidate:
    named = {
        architecture.key: (one, architecture)
        for one in group
        for architecture in one.profile.architectures
    }
    told = {key: told_of(hints, architecture) for key, (_, architecture) in named.items()}
    ranked = sorted(
        named.items(),
        key=lambda item: (
            told[item[0]].rank,
            len(item[1][0].adaptable),
            _unlike(item[1][0]),
            len(item[1][0].options),
            *_plainness(item[1][1]),
        ),
    )
    key, (best, _) = ranked[0]
    repaired = repair(best, state_dict, unwrapped)
    also: list[Architecture] = []
    adapted: list[Architecture] = []
    for _, (solved, one) in ranked[1:]:
        alike = also if solved.adaptable == best.adaptable else adapted
        alike.append(Architecture(one.library, one.name, solved.options))
    facts = evidence(
        best, repaired, state_dict, unwrapped, told[key].facts, (len(also), len(adapted))
    )
    first = Architecture(ranked[0][1][1].library, ranked[0][1][1].name, best.options)
    return _made(first, also, repaired, facts, adapted=tuple(adapted[:MAX_ALSO]))


def _unlike(one: Solved) -> int:
    """How many different changes of a length would explain the tensors of another shape: tables of
    one other window all change alike."""
    return len(
        {
            (own, wanted)
            for key in one.misshapen
            for own, wanted in zip(one.sources[key].shape, one.wanted[key].shape, strict=False)
            if own != wanted
        }
    )


def _made(
    architecture: Architecture,
    also: Sequence[Architecture],
    repaired: Repaired,
    facts: tuple[str, ...],
    *,
    adapted: tuple[Architecture, ...] = (),
    renamed: bool = False,
) -> Candidate:
    """An architecture, with the match after the recipe."""
    found = repaired.found
    return Candidate(
        architecture,
        tuple(also[:MAX_ALSO]),
        repaired.recipe,
        found.coverage_keys,
        found.coverage_parameters,
        found.missing_keys,
        found.unexpected_keys,
        found.mismatched,
        facts,
        adapted,
        repaired.left_out,
        renamed,
    )


def _under_other_names(
    state_dict: StateDict, unwrapped: Unwrapped, lookup: Lookup, hints: Hints
) -> list[Candidate]:
    """Those that one recipe fills equally well in a candidate each; of equal ones first what the
    hints tell, then the plainest."""

    def rank(pair: tuple[Renamed, Architecture]) -> tuple[object, ...]:
        one, architecture = pair
        return *one.place, told_of(hints, architecture).rank, _plainness(architecture)

    found = renamed(state_dict, unwrapped, lookup)
    named = [(one, each) for one in found for each in one.profile.architectures]
    groups: dict[object, list[tuple[Renamed, Architecture]]] = {}
    for one, each in sorted(named, key=rank):
        groups.setdefault(one.repaired, []).append((one, each))
    candidates = []
    for group in groups.values():
        best, first = group[0]
        facts = evidence_of_shapes(best, state_dict, told_of(hints, first).facts, len(group) - 1)
        named_so = [Architecture(one.library, one.name, own.options) for own, one in group]
        candidates.append(_made(named_so[0], named_so[1:], best.repaired, facts, renamed=True))
    return candidates


def _with_words_beside(best: Candidate, hints: Hints, lookup: Lookup) -> Candidate:
    """The best candidate with what the file says beside its tensors: a name that is another
    model's, other sets of the same weights."""
    named = (best.architecture, *best.also, *best.adapted)
    more = (*other_name_told(hints, named, lookup.index.architectures), *twins_told(hints))
    return replace(best, evidence=(*best.evidence, *more))


def _plainness(architecture: Architecture) -> tuple[int, int, int, str]:
    """torchvision before timm; what is not quantized, and shorter, before what is not."""
    return (
        int(architecture.name.startswith("quantized_")),
        LIBRARIES.index(architecture.library),
        len(architecture.name),
        architecture.name,
    )
