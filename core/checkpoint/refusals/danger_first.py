"""Puts what a refused file would have run before whatever else is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from core.checkpoint.entries import Source
from core.checkpoint.pickles.constructors import CONSTRUCTORS, MENTIONED
from core.checkpoint.pickles.global_verdicts import GlobalUse, Verdict, judge
from core.checkpoint.pickles.ledger import Ledger
from core.checkpoint.readers.diagnose import quoted
from core.checkpoint.refusals.unread_pickles import BEHIND_TENSORS, Found, look_for_pickles
from core.errors import CheckpointError, LoupeError, SourceError
from core.wording import listed

REMEDY = "Do not load it: ask whoever gave it to you for the weights as safetensors."

MAX_NAME = 120
"""Characters of a name in the sentence."""


def danger_first(
    error: LoupeError, ledger: Ledger, sources: Callable[[], Mapping[str, Source]]
) -> LoupeError:
    """The error for a refused file, with the dangerous names in it first; else `error` itself.

    They are those that the reader came to (in `ledger`) or, without any, those in the parts of the
    file that it did not come to. `sources` returns the files by their names in a folder, or the one
    file under the name "".
    """
    sentence = _sentence(ledger) or _of_unread(sources)
    if not sentence:
        return error
    whole = error.whole if isinstance(error, CheckpointError) else ()
    return CheckpointError(f"{sentence} Loupe ran none of it. {error.problem}", REMEDY, whole)


def dangers_in_part(
    name: str, ledger: Ledger, sources: Callable[[], Mapping[str, Source]]
) -> tuple[str, tuple[GlobalUse, ...]]:
    """What a part of a checkpoint that cannot be read would have run, as `danger_first` looks.

    Returns the sentence, empty if it would have run nothing, and the uses of the dangerous names.
    """
    found: Found | None
    if run := _dangerous(ledger, ledger.read):
        found = Found(run, name)
    elif hidden := _dangerous(ledger, ledger.hidden):
        found = Found(hidden, name, runs=False)
    else:
        found = next(filter(None, map(look_for_pickles, sources().values())), None)
    if found is None:
        return "", ()
    uses = (judge(use, 1, known=False) for use in found.names)
    return (
        f"{_sentence_of(replace(found, place=name))} Loupe ran none of it.",
        tuple(replace(use, where=name, hidden=not found.runs) for use in uses),
    )


def _sentence(ledger: Ledger) -> str:
    if run := _dangerous(ledger, ledger.read):
        return f"The file would have run {_names(run)} when loaded."
    if hidden := _dangerous(ledger, ledger.hidden):
        return f"The file hides {_names(hidden)} where torch.load does not look."
    return ""


def _of_unread(sources: Callable[[], Mapping[str, Source]]) -> str:
    try:
        for name, source in sources().items():
            found = look_for_pickles(source)
            if found is not None:
                place = ", ".join(filter(None, (name, found.place)))
                return _sentence_of(replace(found, place=place))
    except SourceError:  # the file itself cannot be read, which `error` says
        pass
    return ""


def _sentence_of(found: Found) -> str:
    names = _names(found.names)
    place = quoted(found.place[:MAX_NAME], "a file in it") if found.place else ""
    if not found.runs:
        if found.place.endswith(BEHIND_TENSORS):
            return f"Inside, {place} name {names}: code that runs when it is called."
        where = f"Inside, {place}" if place else "The file"
        return f"{where} names {names}: code that runs when it is called."
    if place:
        return f"Inside, {place} would have run {names} when loaded."
    return f"The file would have run {names} when loaded."


def _dangerous(ledger: Ledger, names: dict[str, None]) -> tuple[str, ...]:
    return tuple(
        name
        for name in names
        if judge(
            name,
            1,
            known=name in CONSTRUCTORS or name in MENTIONED,
            loose=ledger.loose[name] > 0,
        ).verdict
        is Verdict.DANGEROUS
    )


def _names(names: tuple[str, ...]) -> str:
    return quoted(listed([name[:MAX_NAME] for name in names]), "its own code")
