"""What the globals in a checkpoint's pickles mean for a person who loads it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.checkpoint import Checkpoint, GlobalUse, Verdict
from core.wording import count, listed


@dataclass(frozen=True, slots=True)
class SafetySummary:
    """`worst` is the most serious verdict on a global; None where the file contains no pickle."""

    worst: Verdict | None
    sentence: str
    detail: str


def safety_summary(checkpoint: Checkpoint) -> SafetySummary:
    """A sentence on whether the file can run code, and a detail on what Loupe did about it."""
    globals_named, file_format = checkpoint.globals, checkpoint.format
    dangerous = [use for use in globals_named if use.verdict is Verdict.DANGEROUS]
    if dangerous:
        danger = _danger(globals_named, file_format)
        return SafetySummary(Verdict.DANGEROUS, f"This file {danger}", _advice(dangerous))
    if file_format.startswith("safetensors"):
        return SafetySummary(
            None,
            "Nothing in this file can run.",
            "A safetensors file contains no pickle, only a table of contents and bytes.",
        )
    inert = [use for use in globals_named if use.verdict is Verdict.INERT]
    unknown = [use.name for use in inert if not use.is_known]
    if checkpoint.unsearched and not unknown:
        return SafetySummary(
            Verdict.INERT,
            "Nothing that Loupe searched in this file can run, and not all of it was searched.",
            " ".join(checkpoint.unsearched),
        )
    if unknown:
        kept = "an unknown class" if len(unknown) == 1 else f"{count(len(unknown))} unknown classes"
        return SafetySummary(
            Verdict.INERT,
            f"This file names {kept} ({listed(unknown)}): what loading would run is not known. "
            "Here nothing ran.",
            "torch.load(weights_only=False) would import them, and run any code in their modules. "
            "Loupe imports nothing that a file names: it keeps each object's name and state, and "
            "takes the tensors out of it.",
        )
    if inert:
        return SafetySummary(
            Verdict.INERT,
            f"This file names {listed([use.name for use in inert])} beside its tensors: known "
            "data, kept as names and values. Nothing ran.",
            "Programs that judge by the module of a name may report it, because that module also "
            "has functions that run something. Loupe imports nothing that a file names.",
        )
    return SafetySummary(
        Verdict.PLAIN,
        "Nothing in this file can run.",
        "Its pickle names only constructors of tensors and of plain data, and Loupe replaces even "
        "those with its own.",
    )


@dataclass(frozen=True, slots=True)
class CodeCount:
    """How many names in a file could run code, the words for the number, and what it rests on.

    `worst` is the verdict that the number counts: DANGEROUS, INERT for classes of which nothing is
    known, and else PLAIN, where there is none of either.
    """

    number: int
    words: str
    worst: Verdict
    detail: str


def code_count(checkpoint: Checkpoint) -> CodeCount:
    """The names that would run code; where there is none, the unknown classes; else 0 calls.

    A 0 is what the reading of all pickles of the file proved. Of an unknown class it is not known.
    """
    summary = safety_summary(checkpoint)
    detail = f"{summary.sentence} {summary.detail}"
    dangerous = [use for use in checkpoint.globals if use.verdict is Verdict.DANGEROUS]
    if dangerous:
        names = "name that would run code" if len(dangerous) == 1 else "names that would run code"
        return CodeCount(len(dangerous), names, Verdict.DANGEROUS, detail)
    unknown = [
        use for use in checkpoint.globals if use.verdict is Verdict.INERT and not use.is_known
    ]
    if unknown:
        names = "unknown class" if len(unknown) == 1 else "unknown classes"
        return CodeCount(len(unknown), f"{names}, kept inert", Verdict.INERT, detail)
    if checkpoint.unsearched:
        return CodeCount(0, "calls found, not all was searched", Verdict.INERT, detail)
    return CodeCount(0, "calls that could run code", Verdict.PLAIN, detail)


def danger_sentence(checkpoint: Checkpoint) -> str:
    """A sentence on what an opened file would have run elsewhere; empty if that is nothing."""
    danger = _danger(checkpoint.globals, checkpoint.format)
    return f"{checkpoint.name} {danger}" if danger else ""


_LOADERS = {"package": "torch.package", "pickle": "pickle.load"}
"""By format, what loads a file and runs its pickles, where that is not torch.load."""


def _danger(globals_named: Sequence[GlobalUse], file_format: str) -> str:
    """What a file would have run, as the end of a sentence; empty if that is nothing."""
    dangerous = [use for use in globals_named if use.verdict is Verdict.DANGEROUS]
    run = [use.name for use in dangerous if not use.hidden]
    hidden = [use.name for use in dangerous if use.hidden and not use.file]
    beside = [use for use in dangerous if use.file]
    parts = []
    if run:
        loader = _LOADERS.get(file_format, "torch.load(weights_only=False)")
        parts.append(f"would have run {listed(run)} when loaded with {loader}")
    elif hidden:
        parts.append(f"hides {listed(hidden)} where torch.load does not look")
    if beside:
        files = listed(list(dict.fromkeys(use.file for use in beside)))
        names = listed([use.name for use in beside])
        parts.append(f"contains {files}, which would have run {names} when loaded")
    return f"{', and '.join(parts)}: Loupe did not run it." if parts else ""


def _advice(dangerous: Sequence[GlobalUse]) -> str:
    """What to do with a file that would have run something."""
    if not all(use.hidden for use in dangerous):
        return (
            "Loupe read the call as data and did not make it. You can still use the tensors here; "
            "do not load this file with plain torch, and ask where it comes from."
        )
    if all(use.file for use in dangerous):
        return (
            "It is in another file than the weights. You can use the tensors here; do not load "
            "that file, and ask where it comes from."
        )
    return (
        "It is in an additional pickle, which torch.load does not read and which does nothing "
        "until something else loads it. Checkpoints have no such pickle: ask where this file "
        "comes from."
    )
