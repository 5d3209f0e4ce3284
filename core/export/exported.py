"""The words of writing a file: what is kept, what it weighs, what is expected of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Report: TypeAlias = Callable[[int, int, str], None]
"""Called with the bytes done, all bytes, and the key; what it raises ends the work."""

Format: TypeAlias = Literal["pth", "safetensors"]

Keep: TypeAlias = Literal["weights", "metadata", "all"]
"""The weights alone; with the plain data beside them; or all that the file holds."""

KEEPS: tuple[Keep, ...] = ("weights", "metadata", "all")

CHUNK = 4 << 20
"""Bytes that are in memory at once."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What of the source's tree is not in the export as it was: where it stood, what it is, and,
    where it is there in another form, as what."""

    path: str
    what: str
    became: str = ""

    @property
    def sentence(self) -> str:
        """`args: an argparse.Namespace, kept as a dictionary`."""
        return f"{self.path or '(the file itself)'}: {self.what}" + (
            f", kept as {self.became}" if self.became else ""
        )


@dataclass(frozen=True, slots=True)
class Export:
    """A file that was written, opened again, and found to hold what was meant.

    `kept` are the names of what is beside the weights, `left_out` what could not be written, or
    only in another form.
    """

    keep: Keep
    nbytes: int
    tensors: int
    kept: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """A tensor as it must be found again; `records` are the names of its runs of bytes."""

    dtype: str
    shape: tuple[int, ...]
    layout: str
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a written file must hold: at `path` of its tree these tensors in this order (that of a
    .safetensors is its own), and records with these CRC-32, computed while they were written."""

    path: str
    tensors: Mapping[str, ExpectedTensor]
    records: Mapping[str, int]
    ordered: bool
