"""What an export takes and returns: its options, its result, and what the file must contain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.wording import counted, place_in_file

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
    was kept, if it was. It stands for so many `values` of one part.
    """

    path: str
    what: str
    became: str = ""
    values: int = 1

    @property
    def sentence(self) -> str:
        """The value in words: `args: an argparse.Namespace, kept as a dictionary`."""
        more = f", and {counted(self.values - 1, 'more value')}" if self.values > 1 else ""
        became = f", kept as {self.became}" if self.became else ""
        return f"{place_in_file(self.path)}: {self.what}{became}{more}"


def by_part(left_out: Sequence[LeftOut]) -> list[LeftOut]:
    """The values, of which those in one part of the tree are one, with their number.

    Its sentence is `cfg: 30 values, such as cfg.k0: an object of the class Cfg`.
    """
    parts: dict[tuple[str, str], list[LeftOut]] = {}
    for left in left_out:
        parts.setdefault((left.path.partition(".")[0], left.became), []).append(left)
    return [
        values[0] if len(values) == 1 else _together(part, values)
        for (part, _), values in parts.items()
    ]


def _together(part: str, values: Sequence[LeftOut]) -> LeftOut:
    first, number = values[0], sum(left.values for left in values)
    what = f"{counted(number, 'value')}, such as {place_in_file(first.path)}: {first.what}"
    return LeftOut(part, what, first.became)


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
