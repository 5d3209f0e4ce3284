"""Facts about two files, side by side."""

from __future__ import annotations

from dataclasses import dataclass

from core.checkpoint import Checkpoint, Verdict
from core.errors import printable
from core.wording import THIN, count, listed, place_in_file


@dataclass(frozen=True, slots=True)
class FileFact:
    """The name of a fact, and its value for A and for B, in words."""

    name: str
    a: str
    b: str

    @property
    def same(self) -> bool:
        """Whether the fact is the same for both."""
        return self.a == self.b


def file_facts(a: Checkpoint, b: Checkpoint) -> tuple[FileFact, ...]:
    """Format, PyTorch's version, size, files, state_dicts, and the Python names in the pickles."""
    rows = (
        ("Format", *(checkpoint.format_title for checkpoint in (a, b))),
        (
            "PyTorch",
            *(printable((checkpoint.torch_version or "unknown")[:40]) for checkpoint in (a, b)),
        ),
        ("Size", *(f"{count(checkpoint.size)}{THIN}B" for checkpoint in (a, b))),
        ("Files", *(count(checkpoint.files) for checkpoint in (a, b))),
        ("state_dicts", *(_state_dicts(checkpoint) for checkpoint in (a, b))),
        ("Python names", *(_globals(checkpoint) for checkpoint in (a, b))),
    )
    return tuple(
        FileFact(name, of_a, of_b)
        for name, of_a, of_b in rows
        if name != "Files" or {of_a, of_b} != {"1"}
    )


def _state_dicts(checkpoint: Checkpoint) -> str:
    paths = [place_in_file(printable(path[:60])) for path in checkpoint.state_dicts]
    return f"{count(len(paths))}: {listed(paths)}"


def _globals(checkpoint: Checkpoint) -> str:
    """How many Python names have each verdict; the dangerous ones are named."""
    names_by_verdict = {
        verdict: [use.name for use in checkpoint.globals if use.verdict is verdict]
        for verdict in Verdict
    }
    amounts = [
        f"{verdict}: {count(len(names))}"
        for verdict, names in names_by_verdict.items()
        if names and verdict is not Verdict.DANGEROUS
    ]
    if names := names_by_verdict[Verdict.DANGEROUS]:
        amounts.append(f"{Verdict.DANGEROUS}: {count(len(names))} ({printable(listed(names))})")
    return "; ".join(amounts) or "none"
