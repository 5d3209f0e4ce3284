"""What is found about a file and an architecture: a title, and the evidence in a line below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.architectures import Architecture
from core.fit.fit_summary import best_gain, fit_notes
from core.fit.fitness import Doubt, Fit
from core.fit.identify import (
    Candidate,
    Identification,
    architecture_words,
    changed_numbers,
    recipe_words,
)
from core.fit.key_match import Match
from core.fit.lookalikes import Arithmetic
from core.fit.proposals import Proposal
from core.fixes import Recipe
from core.wording import Headline, capital, count, counted, percent

UNTOUCHED = "Nothing is changed until you choose."
"""The end of the evidence while a person has chosen nothing."""


def keys_to_decide(
    match: Match | Candidate, doubts: Sequence[Doubt] = (), unsure: Sequence[str] = ()
) -> int:
    """The number of keys that do not match, that are in doubt, or that are paired by a guess."""
    differ = len(match.missing_keys) + len(match.unexpected_keys) + len(match.mismatched)
    return differ + len({key for doubt in doubts for key in doubt.keys}) + len(unsure)


def proposed_headline(identified: Identification, fit: Fit | None) -> Headline:
    """What the identification found, while nothing is chosen.

    `fit` is that of the first candidate after its recipe; None if there is no candidate.
    """
    if not identified.candidates or fit is None:
        return Headline(
            "No architecture that Loupe knows fits", f"By its layers this is {identified.family}."
        )
    best = identified.candidates[0]
    name = architecture_words(best.architecture)
    if identified.sure is not None:
        return _sure(name, best.recipe, fit)
    if not identified.known:
        evidence = f"By its layers this is {identified.family}. {best.relative}".rstrip()
        return Headline(
            f"No architecture fits; the nearest is {name}, with "
            f"{percent(best.coverage_keys)} of its keys",
            evidence,
        )
    if not best.fits:
        more = [*(doubt.sentence for doubt in best.doubts), best.relative, best.unlike, UNTOUCHED]
        return Headline(_in_part(name, best, fit.match), _line(more))
    return _several([each for each in identified.candidates if each.fits], fit.match)


def chosen_headline(
    architecture: Architecture, fit: Fit, proposals: Sequence[Proposal] = ()
) -> Headline:
    """Whether a file fits the architecture that is chosen, with the recipe as it is now."""
    name, match = architecture_words(architecture), fit.match
    matched, total = count(len(match.matched)), count(match.total)
    if not match.fits:
        decide = _need_a_decision(keys_to_decide(match))
        return Headline(f"{matched} of {total} keys fit {name}; {decide}", best_gain(proposals))
    notes = _line(fit_notes(fit))
    if fit.doubts:
        why = _line(doubt.sentence for doubt in fit.doubts)
        return Headline(_though_all_match(name, match), _line([why, notes]))
    return Headline(f"Fits {name}: {matched} of {total} keys", notes)


def taken_headline(architecture: Architecture, recipe: Recipe, fit: Fit) -> Headline:
    """What a file is by the architecture that is chosen for it, and what its recipe achieves."""
    name, match = architecture_words(architecture), fit.match
    if fit.fits:
        how = _after(recipe) or " as they are"
        return Headline(name, f"All {counted(match.total, 'key')} match{how}.")
    return chosen_headline(architecture, fit)


def _sure(name: str, recipe: Recipe, fit: Fit) -> Headline:
    notes = _line(fit_notes(fit))
    if not recipe.steps:
        matched = f"{count(len(fit.match.matched))} of {count(fit.match.total)} keys match"
        return Headline(f"Fits {name} as it is", _line([f"{matched} in name and shape.", notes]))
    words = recipe_words(recipe)
    proposed = f"Proposed: {words[0].lower()}{words[1:]}."
    return Headline(
        f"Fits {name}{_after(recipe)}",
        _line([proposed, notes, "Nothing is changed until you apply it."]),
    )


def _in_part(name: str, best: Candidate, match: Match) -> str:
    if best.doubts:
        return _though_all_match(name, match)
    matched, total = count(len(match.matched)), count(match.total)
    decide = _need_a_decision(keys_to_decide(best, best.doubts, best.unsure))
    return f"{matched} of {total} keys fit {name}{_after(best.recipe)}; {decide}"


def _several(fitting: Sequence[Candidate], match: Match) -> Headline:
    best = fitting[0]
    number = sum(1 + len(candidate.also) for candidate in fitting)
    every, after = f"all {counted(match.total, 'key')}", _after(best.recipe)
    if number == 1:
        title = f"{capital(every)} fit {architecture_words(best.architecture)}{after}"
    elif len(fitting) == 1:
        title = f"{count(number)} architectures fit {every}{after}"
    else:
        title = f"{count(number)} architectures fit this file"
    return Headline(title, _line([*_why_not_sure(best), UNTOUCHED]))


def _why_not_sure(best: Candidate) -> Iterator[str]:
    """What leaves the choice open, of the first of the candidates that fit."""
    if not best.stated:
        name = f"{best.architecture.library} {best.architecture.tagged_name}"
        kinds = [relation.arithmetic for relation in best.relations]
        other, unknown = kinds.count(Arithmetic.OTHER), kinds.count(Arithmetic.UNKNOWN)
        if other:
            compute = "computes" if other == 1 else "compute"
            yield (
                f"{count(other)} of them {compute} something else than {name}, and nothing in the "
                "file says which it is."
            )
        elif unknown:
            which = "it computes" if unknown == 1 else "they compute"
            yield f"Of {count(unknown)} of them it is not known whether {which} the same as {name}."
    if best.renamed:
        yield "The file has other key names, so its tensors are matched by their shapes."
    yield best.unlike
    changes = [*changed_numbers(best)]
    if changes:
        words = " and ".join(changes)
        yield f"{capital(words)}, which changes what it computes."


def _though_all_match(name: str, match: Match) -> str:
    matched = f"{count(len(match.matched))} of {count(match.total)} keys match"
    return f"Does not fit {name}, though {matched}"


def _after(recipe: Recipe) -> str:
    steps = len(recipe.steps)
    if not steps:
        return ""
    return " after one repair" if steps == 1 else f" after {counted(steps, 'repair')}"


def _need_a_decision(keys: int) -> str:
    return f"{counted(keys, 'key')} {'needs' if keys == 1 else 'need'} a decision"


def _line(sentences: Sequence[str] | Iterator[str]) -> str:
    return " ".join(filter(None, sentences))
