"""What an export takes and returns: its options, its result, and what the file must contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.wording import place_in_file

Format: TypeAlias = Literal["pth", "safetensors"]

Keep: TypeAlias = Literal["weights", "metadata", "all"]
"""The weights alone; the weights and the plain data; or all that the file contains."""

KEEPS: tuple[Keep, ...] = ("weights", "metadata", "all")
"""Every choice, from the smallest file to the largest."""

CHUNK = 4 << 20
"""The most bytes of elements that are in memory at once."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A value of the source that the export does not contain as it was.

    `path` is its place in the source, `what` says what it is, and `became` in which other form it
    was kept, if it was.
    """

    path: str
    what: str
    became: str = ""

    @property
    def sentence(self) -> str:
        """The value in words: `args: an argparse.Namespace, kept as a dictionary`."""
        return f"{place_in_file(self.path)}: {self.what}" + (
            f", kept as {self.became}" if self.became else ""
        )


@dataclass(frozen=True, slots=True)
class Export:
    """A file that was written, opened again and verified.

    `path` is the state_dict's place in the file. `kept` are the names of what it contains besides
    the weights; `left_out` are the values that could not be written, or only in another form.
    """

    keep: Keep
    path: str
    nbytes: int
    tensors: int
    kept: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class ExpectedTensor:
    """A tensor as the written file must contain it; `records` are the names of its byte runs."""

    dtype: str
    shape: tuple[int, ...]
    layout: str
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a written file must contain.

    `path` is the state_dict's place in its tree. `ordered`: the tensors must be in this order; a
    .safetensors has an order of its own. `records` are the CRC-32 of each record by its name,
    computed while it was written.
    """

    path: str
    tensors: Mapping[str, ExpectedTensor]
    records: Mapping[str, int]
    ordered: bool
