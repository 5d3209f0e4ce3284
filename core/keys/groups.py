"""Keys that differ only in a few parts, as one line: `layers.{0…11}.norm.weight`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """Keys that one line stands for. The braces of `title` expand to these keys and no others."""

    title: str
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return self.title


MAX_DIGITS = 18
"""Digits of a number that may be part of a run. Python refuses to convert very long ones
(sys.set_int_max_str_digits)."""


MAX_DEPTH = 32
"""Parts of a dotted path that are split; what lies deeper counts as one part."""


def group_keys(keys: Iterable[str]) -> tuple[KeyGroup, ...]:
    """Summarize keys in few lines such as `layers.{0…11}.attn.{qkv,proj}.{weight,bias}`.

    Every key is in exactly one group. Groups and keys keep the given order. Parts of a path share
    braces where the same paths follow below each of them.
    """
    positions = {key: position for position, key in enumerate(dict.fromkeys(keys))}
    root = _Node()
    for key in positions:
        node = root
        for part in key.split(".", MAX_DEPTH - 1):
            node = node.children.setdefault(part, _Node())
        node.key = key
    _find_kinds(root, {}, count())
    groups = [
        KeyGroup(".".join(parts), tuple(sorted(covered, key=positions.__getitem__)))
        for parts, covered in _groups([root])
    ]
    return tuple(sorted(groups, key=lambda group: positions[group.keys[0]]))


@dataclass(slots=True)
class _Node:
    """A part of a path; nodes with the same paths below them have an equal `kind`."""

    children: dict[str, _Node] = field(default_factory=dict)
    key: str | None = None
    kind: int = -1


_Kind = tuple[bool, frozenset[tuple[str, int]]]


def _find_kinds(node: _Node, kinds: dict[_Kind, int], fresh: count[int]) -> None:
    for child in node.children.values():
        _find_kinds(child, kinds, fresh)
    below = frozenset((part, child.kind) for part, child in node.children.items())
    node.kind = kinds.setdefault((node.key is not None, below), next(fresh))


def _groups(nodes: Sequence[_Node]) -> list[tuple[list[str], list[str]]]:
    """For nodes of one kind: the rest of each title, with the keys that it covers in all nodes."""
    groups: list[tuple[list[str], list[str]]] = []
    ends = [node.key for node in nodes if node.key is not None]
    if ends:
        groups.append(([], ends))
    alike: dict[int, list[str]] = {}
    for part, child in nodes[0].children.items():
        alike.setdefault(child.kind, []).append(part)
    for parts in alike.values():
        children = [node.children[part] for node in nodes for part in parts]
        groups += [([_braced(parts), *rest], covered) for rest, covered in _groups(children)]
    return groups


def _braced(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    numbered = [_stem_and_number(part) for part in parts]
    stems = {stem for stem, _ in numbered}
    if len(stems) > 1 or not all(0 < len(number) <= MAX_DIGITS for _, number in numbered):
        return f"{{{','.join(parts)}}}"
    numbers = sorted(int(number) for _, number in numbered)
    return f"{stems.pop()}{{{','.join(_runs(numbers))}}}"


def _stem_and_number(part: str) -> tuple[str, str]:
    """`layer10` as `layer` and `10`; leading zeros belong to the stem."""
    digits = part[len(part.rstrip("0123456789")) :]
    number = digits.lstrip("0") or digits[-1:]
    return part.removesuffix(number), number


def _runs(numbers: Sequence[int]) -> list[str]:
    """Sorted numbers as text; three or more consecutive ones become `0…2`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] + 1 == number:
            runs[-1].append(number)
        else:
            runs.append([number])
    words: list[str] = []
    for run in runs:
        words += [f"{run[0]}…{run[-1]}"] if len(run) > 2 else [str(number) for number in run]
    return words
