"""What the globals in a checkpoint's pickles mean for a person who loads it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.checkpoint import GlobalUse, Verdict
from core.wording import count, listed


@dataclass(frozen=True, slots=True)
class SafetySummary:
    """`worst` is the most serious verdict on a global; None where the file contains no pickle."""

    worst: Verdict | None
    sentence: str
    detail: str


def safety_summary(globals_named: Sequence[GlobalUse], file_format: str) -> SafetySummary:
    """A sentence on whether the file can run code, and a detail on what Loupe did about it."""
    if file_format.startswith("safetensors"):
        return SafetySummary(
            None,
            "Nothing in this file can run.",
            "A safetensors file contains no pickle, only a table of contents and bytes.",
        )
    dangerous = [
        use.name for use in globals_named if use.verdict is Verdict.DANGEROUS and not use.hidden
    ]
    hidden = [use.name for use in globals_named if use.verdict is Verdict.DANGEROUS and use.hidden]
    inert = [use.name for use in globals_named if use.verdict is Verdict.INERT]
    if dangerous:
        return SafetySummary(
            Verdict.DANGEROUS,
            f"This file would have run {listed(dangerous)} when loaded with "
            "torch.load(weights_only=False): Loupe did not run it.",
            "Loupe read the call as data and did not make it. You can still use the tensors here; "
            "do not load this file with plain torch, and ask where it comes from.",
        )
    if hidden:
        return SafetySummary(
            Verdict.DANGEROUS,
            f"This file hides {listed(hidden)} where torch.load does not look: Loupe did "
            "not run it.",
            "It is in an additional pickle, which torch.load does not read and which does nothing "
            "until something else loads it. Checkpoints have no such pickle: ask where this file "
            "comes from.",
        )
    if inert:
        kept = "an unknown class" if len(inert) == 1 else f"{count(len(inert))} unknown classes"
        return SafetySummary(
            Verdict.INERT,
            f"Nothing in this file ran: it names {kept} ({listed(inert)}), kept as inert data.",
            "torch.load(weights_only=False) would import them, and run any code in their modules. "
            "Loupe imports nothing that a file names: it keeps each object's name and state, and "
            "takes the tensors out of it.",
        )
    return SafetySummary(
        Verdict.PLAIN,
        "Nothing in this file can run.",
        "Its pickle names only constructors of tensors and of plain data, and Loupe replaces even "
        "those with its own.",
    )
