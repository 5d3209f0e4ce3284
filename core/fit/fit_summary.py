"""A match in words: the verdict, what is left to do, and what a partial load leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.architectures import Architecture, Signature
from core.fit.fitness import Fit
from core.fit.key_match import Match
from core.fit.proposals import Proposal
from core.fit.proposals.option_hints import options_sentence
from core.keys import group_keys
from core.wording import are, count, counted
from core.wording import shape as shape_words

MOST_NAMED = 2
"""Fixes of a proposal that a verdict names; if there are more, it gives their number."""


@dataclass(frozen=True, slots=True)
class Line:
    """Keys shown in one line: `title` stands for all of them, `notes` has one text for each."""

    title: str
    keys: tuple[str, ...]
    notes: tuple[str, ...]


def fit_verdict(
    fit: Fit,
    proposals: Sequence[Proposal] = (),
    *,
    architecture: Architecture | None = None,
    unsure: Sequence[str] = (),
) -> str:
    """A few sentences: whether it fits, how many keys match, what of the file is left out, which of
    several copies is taken, or which repair gains most.

    `unsure` are the file's keys that a recipe pairs although another pair would be as likely. The
    architecture is named where it is given: `Fits torchvision resnet18: 122 of 122 keys.`
    """
    match = fit.match
    to = f" {architecture.title}" if architecture else ""
    matched, wanted = count(len(match.matched)), count(match.total)
    if match.fits:
        text = f"Fits{to}: {matched} of {wanted} keys."
        if fit.doubts or unsure:
            every = f"{matched} of {wanted} keys match"
            why = " ".join([*(doubt.sentence for doubt in fit.doubts), *_unsure(unsure)])
            text = f"Does not fit{to}, though {every}: {why[:1].lower()}{why[1:]}"
        return " ".join((text, *fit_notes(fit)))
    parts = [f"{matched} of {wanted} keys match"]
    refused = sum(bool(mismatch.reason) for mismatch in match.mismatched)
    if len(match.mismatched) > refused:
        differ = len(match.mismatched) - refused
        parts.append(f"{count(differ)} {'differs' if differ == 1 else 'differ'} in shape")
    if refused:
        parts.append(f"{count(refused)} {are(refused)} quantized, sparse or nested")
    if match.missing_keys and match.matched:
        parts.append(f"{count(len(match.missing_keys))} missing")
    if match.unexpected_keys and match.matched:
        parts.append(f"{count(len(match.unexpected_keys))} unexpected")
    return f"Does not fit{to}: {', '.join(parts)}. {best_gain(proposals)}".rstrip()


def fit_notes(fit: Fit) -> tuple[str, ...]:
    """Where every key matches: what is absent and harmless, what of the file is left out, which of
    several copies is taken."""
    absent = _benign(fit.match) if fit.match.benign else ""
    left_out = f"{fit.left_out[:1].upper()}{fit.left_out[1:]}." if fit.left_out else ""
    return tuple(filter(None, (absent, left_out, *fit.heads, fit.copies, fit.by_values)))


def best_gain(proposals: Sequence[Proposal]) -> str:
    """What the first proposal does and reaches, in a sentence; empty if it gains no key."""
    best = proposals[0] if proposals else None
    if best is None or best.after <= best.before:
        return ""
    steps = len(best.fixes)
    words = best.title if steps <= MOST_NAMED else f"Repair it in {steps} steps"
    return f"{words}, and {count(best.after)} of {count(best.total)} keys match."


def option_hint(match: Match, signature: Signature) -> str:
    """Which options of the architecture to set instead of a fix, in sentences.

    Empty if the state_dict fits, or if no option would help.
    """
    return "" if match.fits else options_sentence(match, signature)


def _unsure(keys: Sequence[str]) -> Iterator[str]:
    if keys:
        yield f"{counted(len(keys), 'pair')} of tensors {are(len(keys))} ambiguous."


def _benign(match: Match) -> str:
    computed = len(match.computed)
    counters = len(match.benign) - computed
    parts = [
        f"{counted(number, noun)}{which}"
        for number, noun, which in (
            (counters, "batch counter", ""),
            (computed, "buffer", " that the model computes itself"),
        )
        if number
    ]
    return f"{' and '.join(parts)} {are(len(match.benign))} absent, which is harmless."


def initialised(match: Match, signature: Signature) -> tuple[Line, ...]:
    """The keys that a partial load leaves as the model initialises them, in the model's order."""
    left = {*match.missing_keys, *(mismatch.key for mismatch in match.mismatched)}
    shapes = {key: shape_words(spec.shape) for key, spec in signature.items()}
    groups = group_keys(key for key in signature if key in left)
    return tuple(
        Line(group.title, group.keys, tuple(shapes[key] for key in group.keys)) for group in groups
    )


def obstacle(match: Match, failed: Sequence[int], strict: bool) -> str | None:
    """Why the state_dict cannot be loaded, and what to do; None if it can.

    `failed` are the positions, from 0, of the recipe's steps that cannot be applied.
    """
    if failed:
        return f"Step {failed[0] + 1} of the recipe cannot be applied: change it or switch it off."
    if strict and not match.fits:
        return "A strict load needs every key to match: repair the keys, or load partially."
    if not match.matched:
        return "No key matches, so nothing would be loaded: choose another architecture, or a fix."
    return None
