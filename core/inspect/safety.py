"""What the globals that a checkpoint names mean for whoever loads it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.checkpoint import GlobalUse, Verdict

MAX_NAMES = 3
"""Globals named in a sentence at most."""


@dataclass(frozen=True, slots=True)
class SafetySummary:
    """`worst` is the gravest verdict among the globals; None where there is no pickle at all."""

    worst: Verdict | None
    sentence: str
    detail: str


def safety_summary(globals_named: Sequence[GlobalUse], file_format: str) -> SafetySummary:
    """One sentence on whether the file can run code, and one on what Loupe did about it."""
    if file_format.startswith("safetensors"):
        return SafetySummary(
            None,
            "Nothing in this file can run.",
            "A safetensors file holds no pickle: it is a table of contents and bytes.",
        )
    dangerous = [
        use.name for use in globals_named if use.verdict is Verdict.DANGEROUS and not use.hidden
    ]
    hidden = [use.name for use in globals_named if use.verdict is Verdict.DANGEROUS and use.hidden]
    inert = [use.name for use in globals_named if use.verdict is Verdict.INERT]
    if dangerous:
        return SafetySummary(
            Verdict.DANGEROUS,
            f"This file would have run {_names(dangerous)} when loaded with "
            "torch.load(weights_only=False): Loupe did not run it.",
            "The call was read as data and left alone. The tensors can be used here all the same; "
            "do not load this file with plain torch, and ask where it comes from.",
        )
    if hidden:
        return SafetySummary(
            Verdict.DANGEROUS,
            f"This file hides {_names(hidden)} where torch.load does not look: Loupe did not run "
            "it.",
            "It stands in a pickle beside those that torch.load reads, which does nothing until "
            "something else loads it. Checkpoints have no such pickle: ask where this file comes "
            "from.",
        )
    if inert:
        kept = "an unknown class" if len(inert) == 1 else f"{len(inert)} unknown classes"
        return SafetySummary(
            Verdict.INERT,
            f"Nothing in this file ran: it names {kept} ({_names(inert)}), kept as inert data.",
            "torch.load(weights_only=False) would import them, and with them any code in their "
            "modules. Loupe imports nothing that a file names: it keeps each object's name and "
            "state, and takes the tensors out of it.",
        )
    return SafetySummary(
        Verdict.PLAIN,
        "Nothing in this file can run.",
        "Its pickle names only the constructors of tensors and of plain data, and Loupe replaces "
        "even those by its own.",
    )


def _names(names: Sequence[str]) -> str:
    """Name the first few, and say how many more there are."""
    more = len(names) - MAX_NAMES
    if more > 0:
        return f"{', '.join(names[:MAX_NAMES])} and {more} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
