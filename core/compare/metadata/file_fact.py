"""Two files' own facts, side by side."""

from __future__ import annotations

from dataclasses import dataclass

from core.checkpoint import Checkpoint, Verdict
from core.errors import printable
from core.wording import THIN, count, listed


@dataclass(frozen=True, slots=True)
class FileFact:
    """What a fact is called, and what it is of A and of B, in words."""

    name: str
    a: str
    b: str

    @property
    def same(self) -> bool:
        """Whether both say the same."""
        return self.a == self.b


def file_facts(a: Checkpoint, b: Checkpoint) -> tuple[FileFact, ...]:
    """Format, PyTorch's version, bytes, files, state_dicts, and the Python names in the pickles."""
    rows = (
        ("Format", *(found.format_title for found in (a, b))),
        ("PyTorch", *(printable((found.torch_version or "not noted")[:40]) for found in (a, b))),
        ("Size", *(f"{count(found.size)}{THIN}B" for found in (a, b))),
        ("Files", *(count(found.files) for found in (a, b))),
        ("state_dicts", *(_state_dicts(found) for found in (a, b))),
        ("Python names", *(_globals(found) for found in (a, b))),
    )
    return tuple(
        FileFact(name, of_a, of_b)
        for name, of_a, of_b in rows
        if name != "Files" or {of_a, of_b} != {"1"}
    )


def _state_dicts(found: Checkpoint) -> str:
    paths = [printable(path[:60]) or "the file itself" for path in found.state_dicts]
    return f"{count(len(paths))}: {listed(paths)}"


def _globals(found: Checkpoint) -> str:
    """How many names of each verdict; the dangerous ones by name."""
    of = {
        verdict: [use.name for use in found.globals if use.verdict is verdict]
        for verdict in Verdict
    }
    told = [
        f"{count(len(names))} {verdict}"
        for verdict, names in of.items()
        if names and verdict is not Verdict.DANGEROUS
    ]
    if names := of[Verdict.DANGEROUS]:
        told.append(f"{count(len(names))} {Verdict.DANGEROUS} ({printable(listed(names))})")
    return ", ".join(told) or "none"
