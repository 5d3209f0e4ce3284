"""An identification in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.architectures import Architecture
from core.checkpoint import StateDict
from core.fit.identify.candidate_repair import Repaired
from core.fit.identify.class_heads import own_head
from core.fit.identify.equivalents import Related, equivalents_words, other_arithmetic_words
from core.fit.identify.identification import Candidate, Identification
from core.fit.identify.solve_options import Solved
from core.fit.identify.under_other_names import Renamed
from core.fit.index.lookup import Profile
from core.fit.left_out import left_out_words
from core.fit.left_out_heads import left_out_heads, left_out_heads_words
from core.fit.proposals.proposal import listed_keys
from core.fixes import Drop, Recipe, ResamplePositions
from core.keys import HOLDER_WORDS, WRAPPED, Unwrapped, group_keys
from core.wording import Headline, are, capital, count, counted, have, listed, percent

OPTION_WORDS = {
    "num_classes": ("{} class", "{} classes"),
    "in_chans": ("{} input channel", "{} input channels"),
    "img_size": ("images of {}\u202fpx", "images of {}\u202fpx"),
    "image_size": ("images of {}\u202fpx", "images of {}\u202fpx"),
}
SWITCH_WORDS = {
    "aux_logits": ("without auxiliary heads", "with auxiliary heads"),
    "aux_loss": ("without an auxiliary head", "with an auxiliary head"),
}


MAX_LINES = 2
"""The most groups of keys that the sentence names; of more it gives their number."""

MAX_ALIKE = 2
"""The most architectures of the same layers that the sentence names besides the first."""

MAX_WORDS = 60
"""The most characters of a step that is written out."""

_THIS_IS = re.compile("^(This is|By its tensors this is) a ")

_FIRST_CLAUSE = re.compile(r"((?:`[^`]*`|[^`])+?)([.;:])\s+(.+)")
"""A first clause, the mark at its end, and what follows; keys in backticks may have all three."""


def architecture_words(architecture: Architecture) -> str:
    """An architecture in words: `timm resnet50d with 37 classes and 1 input channel`."""
    numbered, switched = [], []
    for name, value in architecture.options:
        if name == "num_classes" and value == 0:
            switched.append("without a head")
        elif name in SWITCH_WORDS:
            switched.append(SWITCH_WORDS[name][bool(value)])
        elif name in OPTION_WORDS and isinstance(value, int):
            one, more = OPTION_WORDS[name]
            numbered.append((one if value == 1 else more).format(count(value)))
        else:
            switched.append(f"{name}={value}")
    text = f"{architecture.library} {architecture.tagged_name}"
    if numbered:
        text += f" with {_and(numbered)}"
    return text + "".join(f", {words}" for words in switched)


def headline(identified: Identification) -> Headline:
    """An identification as a title and a line below it.

    A sure architecture's line says what it takes to load; otherwise the sentence is parted at the
    end of its first clause.
    """
    sure = identified.sure
    if sure is None:
        # "This is" would be more than is known where the file proves no architecture.
        words = _THIS_IS.sub("By its tensors a ", identified.sentence)
        first = _FIRST_CLAUSE.match(words)
        if not first:
            return Headline(words.removesuffix("."))
        rest = first[3] if first[2] == "." else capital(first[3])
        return Headline(first[1], rest)
    title = architecture_words(sure.architecture) + (f", saved {sure.saved}" if sure.saved else "")
    if not sure.recipe.steps:
        return Headline(title, "It loads as it is")
    repairs = [words[0].lower() + words[1:] for words in _step_words(sure.recipe)]
    number = "One repair makes" if len(repairs) == 1 else f"{count(len(repairs))} repairs make"
    return Headline(title, f"{number} it load: {listed(repairs)}")


def recipe_words(recipe: Recipe) -> str:
    """The steps in one line; a drop with a long pattern is written without the pattern."""
    return "; ".join(_step_words(recipe))


def _step_words(recipe: Recipe) -> list[str]:
    return [
        "Drop the other keys" if isinstance(step.fix, Drop) and len(words) > MAX_WORDS else words
        for step in recipe.steps
        for words in [step.fix.words()]
    ]


def sentence(
    candidates: Sequence[Candidate], known: bool, family: str, state_dict: StateDict
) -> str:
    """What the file seems to be, what saved it, what does not match and what is left out."""
    if not candidates:
        return f"No architecture that Loupe knows fits: by its layers this is {family}."
    best = candidates[0]
    title = architecture_words(best.architecture)
    if not known:
        return (
            f"No architecture fits. By its layers this is {family}; the nearest is {title}, with "
            f"{percent(best.coverage_keys)} of its keys. {best.relative}".rstrip()
        )
    if best.fits and best.renamed:
        # Names alone say which code it is: shapes do not show a stride or a kind of pooling.
        text = f"this has the tensors of a {title}{_or_others(candidates)}"
    else:
        text = f"{'this' if best.fits else 'the nearest'} is a {title}"
        if _other_arithmetic(candidates) and not best.stated:
            text = f"by its tensors {text}"
    text = f"Under other key names {text}" if best.renamed else capital(text)
    if best.saved:
        text += f", saved {best.saved}"
    text = f"{'; '.join([text, *_clauses(best, state_dict)])}."
    more = best.relative, best.unlike or _other_arithmetic(candidates)
    return " ".join(filter(None, [text, *more]))


def _clauses(best: Candidate, state_dict: StateDict) -> Iterator[str]:
    """What does not match and what is left out.

    A doubt is a clause of its own: it may end in a list, which another one would continue.
    """
    doubted = {key for doubt in best.doubts for key in doubt.keys}
    beside = [key for key in best.left_out if key not in doubted]
    rest = [*_remaining(best), *filter(None, [left_out_words(beside, state_dict)])]
    if best.fits and (changes := [*changed_numbers(best)]):
        rest.append(f"{_and(changes)}, which changes what it computes")
    for doubt in best.doubts:
        yield doubt.sentence[0].lower() + doubt.sentence[1:-1]
    if rest:
        yield _and(rest)


def changed_numbers(best: Candidate) -> Iterator[str]:
    """What the recipe changes in the network's numbers, so that it computes something else."""
    for before, after in best.input_channels:
        yield f"its input is adapted from {count(before)} to {counted(after, 'channel')}"
    if any(isinstance(step.fix, ResamplePositions) for step in best.recipe.steps):
        yield "its positions have another size and are resampled"


def _or_others(candidates: Sequence[Candidate]) -> str:
    """The other architectures whose layers a file has under other names: nothing tells which.

    One that computes something else than the code whose names these are is no other one, unless the
    best candidate is so too.
    """
    best, *others = candidates
    titles = [
        architecture_words(each.architecture)
        for each in others
        if each.fits and (best.unlike or not each.unlike)
    ]
    more = f" or {count(len(titles) - MAX_ALIKE)} others" if len(titles) > MAX_ALIKE else ""
    return "".join(f" or of a {title}" for title in titles[:MAX_ALIKE]) + more


def _other_arithmetic(candidates: Sequence[Candidate]) -> str:
    """What computes something else with the tensors of the best candidate.

    Under other key names, each candidate that fits is one that the sentence names.
    """
    best = candidates[0]
    told = [each for each in candidates if each.fits] if best.renamed else [best]
    words = (
        other_arithmetic_words([*zip(each.also, each.relations, strict=True)], each.stated)
        for each in told
    )
    return next(filter(None, words), "") if best.fits else ""


def _remaining(candidate: Candidate) -> Iterator[str]:
    if candidate.missing_keys:
        missing = candidate.missing_keys
        yield f"{_keys(missing)} {are(len(missing))} missing"
    if candidate.mismatched:
        keys = [mismatch.key for mismatch in candidate.mismatched]
        yield f"{_keys(keys)} {have(len(keys))} another shape"
    if candidate.unexpected_keys:
        unexpected = candidate.unexpected_keys
        yield f"{_keys(unexpected)} {are(len(unexpected))} unexpected"
    if candidate.unsure:
        yield (
            f"{counted(len(candidate.unsure), 'pair')} of tensors {are(len(candidate.unsure))} "
            f"ambiguous: check {listed_keys(candidate.unsure)}"
        )


def _keys(keys: Sequence[str]) -> str:
    groups = group_keys(keys)
    if len(groups) <= MAX_LINES:
        return _and([f"`{group}`" for group in groups])
    return counted(len(keys), "key")


def saved_words(solved: Solved, state_dict: StateDict, unwrapped: Unwrapped) -> str:
    """What saved the model, or where it is: `from DataParallel inside a teacher`; may be empty."""
    makers = [*_makers(solved, state_dict, unwrapped)]
    holders = [HOLDER_WORDS[part] for part in solved.prefix.split(".") if part in HOLDER_WORDS]
    if makers or holders:
        return " ".join([*([f"from {_and(makers)}"] if makers else []), *holders])
    return under_words(solved.prefix)


def under_words(prefix: str) -> str:
    """Where the model is, by the prefix of its keys: ``under `model.` ``; empty for no prefix."""
    return f"under `{prefix}`" if prefix else ""


def evidence(
    repaired: Repaired,
    saved: str,
    state_dict: StateDict,
    hints: Sequence[str],
    also: Sequence[Related],
    adapted: int,
    heads: Sequence[str],
) -> tuple[str, ...]:
    """Why it is this architecture, in sentences.

    They name the keys that match, what saved it, what is left out, and the hints. `heads` are
    sentences on heads that are left out. `also` are the architectures that fit as well with the
    same recipe, and `adapted` is the number of those that do with their input adapted.
    """
    match = repaired.match
    keys = f"{count(len(match.matched))} of {count(match.total)} keys"
    mended = repaired.why or repaired.input_channels
    facts = [f"{keys} match {'after the repair' if mended else 'in name and shape'}."]
    facts.extend(repaired.why)
    if saved:
        facts.append(f"Saved {saved}.")
    facts.extend(_share_left_out(repaired, state_dict))
    facts.extend(heads)
    facts.extend(hints)
    if match.fits:
        has = "has the same keys and shapes", "have the same keys and shapes"
    else:
        has = "matches as many keys", "match as many keys"
    facts.extend(equivalents_words(also, has))
    if adapted:
        once = "once the input convolution is adapted"
        facts.append(_others(adapted, f"fits {once}", f"fit {once}"))
    return tuple(facts)


def other_heads_words(
    profile: Profile, own: str | None, left_out: Sequence[str], state_dict: StateDict
) -> Iterator[str]:
    """Which heads are left out; `own` is the key of the head's weight that is not.

    `own` is the key of the head's weight that is not left out; None where the model has no head.
    """
    weight = own_head(profile).get("weight")
    if weight is not None and left_out:
        features = profile.spec(weight).shape[1]
        heads = left_out_heads(state_dict, left_out, features)
        yield from left_out_heads_words(heads, None if own is None else own.removesuffix(".weight"))


def moved_head_words(solved: Solved) -> str:
    """Which of the file's layers is taken as the head; empty if it has the head's own path."""
    weight = own_head(solved.profile).get("weight", "")
    if not solved.moved or weight not in solved.sources:
        return ""
    layer = solved.sources[weight].key.rpartition(".")[0]
    return f"`{layer}.*` is taken as the head, `{weight.rpartition('.')[0]}`."


def _share_left_out(repaired: Repaired, state_dict: StateDict) -> Iterator[str]:
    if repaired.left_out:
        keys = len(repaired.left_out)
        numel = sum(state_dict[key].numel for key in repaired.left_out)
        share = f"{percent(numel / max(1, state_dict.numel))} of its parameters"
        yield f"{counted(keys, 'key')} of the file {are(keys)} left out, {share}."


def evidence_of_shapes(
    renamed: Renamed, state_dict: StateDict, hints: Sequence[str], also: Sequence[Related]
) -> tuple[str, ...]:
    """Why it is this architecture, for a file whose tensors were matched by shape, in sentences."""
    match = renamed.repaired.match
    renames = renamed.repaired.renames
    alike = "shape" if renames else "name and shape"
    facts = [
        f"{count(len(match.matched))} of {count(match.total)} keys match in {alike}.",
        *renamed.repaired.why,
    ]
    if renamed.prefix:
        facts.append(f"Saved {under_words(renamed.prefix)}.")
    facts.extend(_share_left_out(renamed.repaired, state_dict))
    own = own_head(renamed.profile).get("weight")
    has_head = own in renamed.repaired.match.matched
    facts.extend(
        other_heads_words(
            renamed.profile, own if has_head else None, renamed.repaired.left_out, state_dict
        )
    )
    facts.extend(hints)
    same = "the same tensors" if renames else "the same keys and shapes"
    facts.extend(equivalents_words(also, (f"has {same}", f"have {same}")))
    if renames:
        facts.append(
            "Models of the same shapes can still differ: check it with an image that you know."
        )
    return tuple(facts)


def _others(others: int, one: str, more: str) -> str:
    if others == 1:
        return f"Another architecture {one}."
    return f"{counted(others, 'other architecture')} {more}."


def _makers(solved: Solved, state_dict: StateDict, unwrapped: Unwrapped) -> Iterator[str]:
    """The wrappers whose parts are in the model's keys: `DataParallel`, `torch.compile`."""
    used = [f".{entry.key}" for entry in solved.sources.values()]
    for part in unwrapped.parts:
        wrapped = next((key for key in used if f".{part}." in key), None)
        if wrapped is not None:
            # AveragedModel keeps the model as `module`, next to its buffer `n_averaged`
            # (torch/optim/swa_utils.py); DataParallel has no such buffer.
            counter = wrapped[1:].split(f"{part}.")[0] + "n_averaged"
            averaged = part == "module" and counter in state_dict
            yield "AveragedModel" if averaged else WRAPPED[part]


def _and(words: Sequence[str]) -> str:
    return listed([*words], len(words))
