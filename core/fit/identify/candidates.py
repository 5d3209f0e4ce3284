"""Which architecture a state_dict is for: candidates, the best first, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.architectures import LIBRARIES, Architecture
from core.checkpoint import StateDict
from core.fast_objects import paused_collector
from core.fit.copies import without_other_copies
from core.fit.identify.candidate_repair import Repaired, mended, most_promising, repair
from core.fit.identify.class_heads import own_head
from core.fit.identify.equivalents import Related, related_to
from core.fit.identify.families import family
from core.fit.identify.guessing import guesses, worth
from core.fit.identify.hints import Hinted, contradicting_name, hinted_at, twins_sentence
from core.fit.identify.identification import NO_HINTS, Candidate, Hints, Identification
from core.fit.identify.relatives import relative_sentence
from core.fit.identify.sentences import (
    evidence,
    evidence_of_shapes,
    moved_head_words,
    other_heads_words,
    saved_words,
    sentence,
    under_words,
)
from core.fit.identify.solve_options import AtPrefix, Solved, at_prefix, solve
from core.fit.identify.source_names import KeyStyle, computes, key_style, unlike_source
from core.fit.identify.under_other_names import Renamed, under_other_names
from core.fit.index.lookup import Lookup
from core.fit.lookalikes import Arithmetic
from core.fit.proposals.option_hints import lost_or_left_off
from core.fixes import unscaled_words
from core.keys import BATCH_COUNTER, MAX_KEYS, Unwrapped, momentum_blobs, unwrap
from core.wording import count

TRIED = 24
"""The most guesses that are solved."""

LEAST_TRIED = 8
"""Guesses that are solved even if they are far behind the best one."""

SCORE_GAP = 0.2
"""How far behind the best score a guess may be and still be solved."""

NEAR = 0.5
"""The least share of the best score that another candidate needs to be listed."""

MIN_AGREEMENT = 0.5
"""The least share of the keys of both sides that must agree for a model to count as known."""

WHOLE = 0.9
"""A file with this share of a model's keys contains the model, whatever else it contains."""

MIN_COVERAGE = 0.1
"""The least share of its keys that must match for the nearest model to be listed at all."""

MOVED = 0.001
"""What a head at another path costs: of two equal models, the one with its own names wins."""

MOST_GROUPS = 8
"""The most groups that become candidates."""

USES_MOST = 0.9
"""A candidate that fits stands above one that does not if it uses this share of the parameters that
any candidate uses: a backbone fits, but a network of which a layer is missing may explain more."""

MAX_ALSO = 200
"""The most other architectures that a candidate lists."""


@paused_collector()
def identify(
    state_dict: StateDict, lookup: Lookup, hints: Hints = NO_HINTS, most: int = 5
) -> Identification:
    """The architectures that a state_dict may be for, the best first, at most `most` candidates.

    It compares keys and shapes alone and reads no tensor. Architectures that the file fits equally
    well are one candidate, named by the hints, else by the plainest name. If no architecture has
    the file's keys, the candidates are those that have its shapes under other keys; if there are
    none either, they are the nearest ones, and `known` is False.
    """
    unwrapped = without_other_copies(_without_momentum(unwrap(state_dict)), state_dict)
    solved = _solved(state_dict, unwrapped, lookup)
    groups = _groups(solved)
    known = bool(groups) and _is_known(groups[0][0])
    named = _by_names(groups, state_dict, unwrapped, hints) if known else ()
    # Layers that a network lacks may be another network's under other names: SE beside a ResNet.
    in_doubt = not known or any(candidate.doubts for candidate in named[:1])
    others = _under_other_names(state_dict, unwrapped, lookup, hints) if in_doubt else []
    if others and (not known or others[0].fits):
        candidates, known = tuple(others[:most]), True
    else:
        candidates = (named or _by_names(groups, state_dict, unwrapped, hints))[:most]
        known = known or (bool(candidates) and candidates[0].fits)
    if candidates and not known and candidates[0].coverage_keys < MIN_COVERAGE:
        candidates = ()
    kind = family(state_dict)
    if candidates:
        candidates = (_with_hints(candidates[0], hints, lookup), *candidates[1:])
    summary = sentence(candidates, known, kind, state_dict)
    adapters = unscaled_words(state_dict) if candidates and not candidates[0].fits else ""
    if adapters:
        summary += f" {adapters}."
    if len(state_dict) > MAX_KEYS:
        summary += (
            f" Only the first {count(MAX_KEYS)} of its {count(len(state_dict))} keys were used."
        )
    return Identification(candidates, summary, kind, known)


def _without_momentum(unwrapped: Unwrapped) -> Unwrapped:
    """The keys without an optimizer's momentum, whose shapes say nothing on the network's."""
    momenta = momentum_blobs(unwrapped.keys)
    if not momenta:
        return unwrapped
    keys = {key: short for key, short in unwrapped.keys.items() if key not in momenta}
    return replace(unwrapped, keys=keys)


def _solved(state_dict: StateDict, unwrapped: Unwrapped, lookup: Lookup) -> list[Solved]:
    """The guesses solved, the best first, until the rest is far behind the best score."""
    solutions: list[Solved] = []
    places: dict[str, AtPrefix] = {}
    best = 0.0
    for guess in guesses(state_dict, unwrapped, lookup, TRIED):
        if len(solutions) >= LEAST_TRIED and guess.worth < best - SCORE_GAP:
            break
        if guess.prefix not in places:
            places[guess.prefix] = at_prefix(guess.prefix, state_dict, unwrapped)
        solved = solve(lookup.profile(guess.row), places[guess.prefix], unwrapped)
        solutions.append(solved)
        # A guess counts each shape that an option may change as right: its worth is an upper bound.
        best = max(best, min(guess.worth, solved.score))
    return solutions


def _is_known(solved: Solved) -> bool:
    """Whether the file is for this model.

    Either most keys of both sides agree, or the file contains all of the model besides much else.
    """
    whole = WHOLE * sum(not key.endswith(BATCH_COUNTER) for key in solved.wanted)
    return solved.score >= MIN_AGREEMENT or (solved.matched >= whole and not solved.misshapen)


def _groups(solved: Sequence[Solved]) -> list[list[Solved]]:
    """The solutions in groups, the best first.

    A group has one prefix, and the same tensors of the file fill its models equally well. Equal
    groups under several prefixes come with the shortest prefix first, which leaves the least to do.
    """
    most = max((solution.matched for solution in solved), default=1) or 1
    by_use: dict[object, dict[str, list[Solved]]] = {}
    for solution in solved:
        used = frozenset(entry.key for entry in solution.sources.values())
        misshapen = frozenset(solution.sources[key].key for key in solution.misshapen)
        filled = solution.matched, misshapen, solution.moved, len(solution.wanted)
        by_prefix = by_use.setdefault((used, filled), {})
        by_prefix.setdefault(solution.prefix, []).append(solution)

    def rank(alike: Mapping[str, Sequence[Solved]]) -> float:
        solutions = [solution for group in alike.values() for solution in group]
        values = [worth(solution.score, solution.matched / most) for solution in solutions]
        moved = all(solution.moved for solution in solutions)
        return -round(max(values) - (MOVED if moved else 0), 9)

    return [
        group
        for alike in sorted(by_use.values(), key=rank)
        for _, group in sorted(alike.items(), key=lambda item: len(item[0]))
    ]


def _by_names(
    groups: Sequence[Sequence[Solved]], state_dict: StateDict, unwrapped: Unwrapped, hints: Hints
) -> tuple[Candidate, ...]:
    """The groups as candidates: those that fit first, and of these the one that uses the most.

    A group whose options and prefix do not make it fit gets every repair that is known for its
    model, until one fits, or has all that the file has for it.
    """
    candidates: list[Candidate] = []
    source = key_style(state_dict)
    near = [group for group in groups[:MOST_GROUPS] if group[0].score >= NEAR * groups[0][0].score]
    promising = most_promising([group[0] for group in near], state_dict, unwrapped)
    for at, group in enumerate(near):
        mend = at in promising and not any(_fits_best(candidates, state_dict))
        candidates.append(_candidate(group, state_dict, unwrapped, hints, source, mend=mend))
    fit_best = _fits_best(candidates, state_dict)
    if candidates and not candidates[0].fits and not any(fit_best):
        relative = _relative(groups[0][0], state_dict, unwrapped)
        candidates[0] = replace(candidates[0], relative=relative)
    ranked = zip(fit_best, candidates, strict=True)
    return tuple(candidate for _, candidate in sorted(ranked, key=lambda pair: not pair[0]))


def _fits_best(candidates: Sequence[Candidate], state_dict: StateDict) -> list[bool]:
    """For each candidate whether it fits and uses about as much of the file as any other one."""
    used = [
        state_dict.numel - sum(state_dict[key].numel for key in candidate.left_out)
        for candidate in candidates
    ]
    least = USES_MOST * max(used, default=0)
    return [
        candidate.fits and own >= least for candidate, own in zip(candidates, used, strict=True)
    ]


def _candidate(
    group: Sequence[Solved],
    state_dict: StateDict,
    unwrapped: Unwrapped,
    hints: Hints,
    source: KeyStyle | None,
    *,
    mend: bool,
) -> Candidate:
    """The group as one candidate, named by the hints, else by what explains it most simply.

    `mend`: if it does not fit, every known repair is tried.
    """
    by_key = {
        architecture.key: (solved, architecture)
        for solved in group
        for architecture in solved.profile.architectures
    }
    hinted = {
        key: _spoken_for(hints, source, architecture) for key, (_, architecture) in by_key.items()
    }
    ranked = sorted(
        by_key.items(),
        key=lambda item: (
            hinted[item[0]].rank,
            len(item[1][0].adaptable),
            _length_changes(item[1][0]),
            len(item[1][0].options),
            *_plainness(item[1][1]),
        ),
    )
    key, (best, first) = ranked[0]
    repaired = repair(best, state_dict, unwrapped)
    options = best.options
    if mend and not repaired.fits:
        options, repaired = mended(best, state_dict, repaired)
    also: list[Architecture] = []
    adapted: list[Architecture] = []
    for _, (solved, architecture) in ranked[1:]:
        alike = also if solved.adaptable == best.adaptable else adapted
        alike.append(Architecture(architecture.library, architecture.name, solved.options))
    named = Architecture(first.library, first.name, options)
    spoken = hinted[key], [hinted[other.plain_key] for other in also]
    own = not repaired.why  # else the repair may take the tensors from elsewhere
    saved = saved_words(best, state_dict, unwrapped) if own else ""
    head = best.sources.get(own_head(best.profile).get("weight", ""))
    heads = other_heads_words(
        best.profile, None if head is None else head.key, repaired.left_out, state_dict
    )
    moved = moved_head_words(best) if own else ""
    hint = lost_or_left_off(repaired.match)
    more = [*filter(None, [moved, *heads, repaired.fit.copies, repaired.fit.by_values, *hint])]
    related = related_to(named, also[:MAX_ALSO])
    facts = evidence(repaired, saved, state_dict, hinted[key].facts, related, len(adapted), more)
    return _repaired_candidate(
        named,
        related,
        repaired,
        facts,
        adapted=tuple(adapted[:MAX_ALSO]),
        saved=saved,
        stated=_states(*spoken, related),
        unlike=unlike_source(source, named),
    )


def _relative(best: Solved, state_dict: StateDict, unwrapped: Unwrapped) -> str:
    below = {
        short.removeprefix(best.prefix): state_dict[key].shape
        for key, short in unwrapped.keys.items()
        if short.startswith(best.prefix)
    }
    return relative_sentence(below, best.wanted)


def _length_changes(solved: Solved) -> int:
    """How many different (length in the file, length wanted) the misshapen tensors have.

    One other window size changes all tables of relative positions alike, which counts once.
    """
    return len(
        {
            (own, wanted)
            for key in solved.misshapen
            for own, wanted in zip(
                solved.sources[key].shape, solved.wanted[key].shape, strict=False
            )
            if own != wanted
        }
    )


def _spoken_for(hints: Hints, source: KeyStyle | None, architecture: Architecture) -> Hinted:
    """What the hints, and then the names of the file's keys, say for an architecture."""
    hinted = hinted_at(hints, architecture)
    if source is None:
        return hinted
    facts = (*hinted.facts, source.sentence)
    return Hinted((*hinted.rank, int(not computes(source, architecture))), facts)


def _states(best: Hinted, others: Sequence[Hinted], related: Sequence[Related]) -> bool:
    """Whether the file speaks for the best architecture, and less for each of other arithmetic."""
    return all(
        best.rank < other.rank
        for other, (_, compared) in zip(others, related, strict=False)
        if compared.arithmetic is not Arithmetic.SAME
    )


def _repaired_candidate(
    architecture: Architecture,
    also: Sequence[Related],
    repaired: Repaired,
    facts: tuple[str, ...],
    *,
    adapted: tuple[Architecture, ...] = (),
    renamed: bool = False,
    saved: str,
    stated: bool,
    unlike: str,
) -> Candidate:
    """The architecture as a candidate, with the match after the recipe."""
    match = repaired.match
    return Candidate(
        architecture,
        tuple(other for other, _ in also),
        repaired.recipe,
        match.coverage_keys,
        match.coverage_parameters,
        match.missing_keys,
        match.unexpected_keys,
        match.mismatched,
        facts,
        adapted,
        repaired.left_out,
        renamed,
        saved,
        repaired.fit.doubts,
        repaired.unsure,
        relations=tuple(compared for _, compared in also),
        stated=stated,
        unlike=unlike,
        input_channels=repaired.input_channels,
    )


def _under_other_names(
    state_dict: StateDict, unwrapped: Unwrapped, lookup: Lookup, hints: Hints
) -> list[Candidate]:
    """The architectures whose shapes the file has under other keys, the best first.

    Architectures that one recipe fills equally well are one candidate, named by the hints, else by
    the plainest name.
    """

    source = key_style(state_dict)

    def rank(pair: tuple[Renamed, Architecture]) -> tuple[object, ...]:
        profile, architecture = pair
        misfit, partial, *others = profile.rank
        spoken = _spoken_for(hints, source, architecture)
        meant = computes(source, architecture)
        other_names = profile.repaired.renames
        place = misfit, not meant, partial, other_names, *others
        return *place, spoken.rank, _plainness(architecture)

    profiles = under_other_names(state_dict, unwrapped, lookup, source)
    pairs = [
        (profile, architecture)
        for profile in profiles
        for architecture in profile.profile.architectures
    ]
    groups: dict[object, list[tuple[Renamed, Architecture]]] = {}
    for pair in sorted(pairs, key=rank):
        groups.setdefault(pair[0].repaired, []).append(pair)
    candidates = []
    for group in groups.values():
        best, _ = group[0]
        spoken, *others = [_spoken_for(hints, source, each) for _, each in group]
        named = [
            Architecture(architecture.library, architecture.name, profile.options)
            for profile, architecture in group
        ]
        related = related_to(named[0], named[1 : MAX_ALSO + 1])
        facts = evidence_of_shapes(best, state_dict, spoken.facts, related)
        candidates.append(
            _repaired_candidate(
                named[0],
                related,
                best.repaired,
                facts,
                renamed=best.repaired.renames,
                saved=under_words(best.prefix),
                stated=_states(spoken, others, related),
                unlike=unlike_source(source, named[0]),
            )
        )
    return candidates


def _with_hints(best: Candidate, hints: Hints, lookup: Lookup) -> Candidate:
    """The best candidate, with evidence that the hints give besides its own name.

    That is a name in the metadata of another architecture, and other sets of the same weights.
    """
    named = (best.architecture, *best.also, *best.adapted)
    known = lookup.index.architectures
    more = (*contradicting_name(hints, named, known), *twins_sentence(hints))
    return replace(best, evidence=(*best.evidence, *more))


def _plainness(architecture: Architecture) -> tuple[int, int, int, str]:
    """A sort key: not quantized before quantized, torchvision before timm, short names first."""
    return (
        int(architecture.name.startswith("quantized_")),
        LIBRARIES.index(architecture.library),
        len(architecture.name),
        architecture.name,
    )
