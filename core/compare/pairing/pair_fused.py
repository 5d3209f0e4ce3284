"""A fused tensor of one file that is split into several in the other: q, k and v, or gate and
up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from core.checkpoint import TensorEntry
from core.compare.comparison import Pair, PairedBy
from core.compare.pairing.entry_views import rows, transposed
from core.compare.pairing.likeness import correlation
from core.compare.pairing.same_content import SAMPLED, content_mark, is_dull
from core.keys import FUSED_PARTS, FUSED_WORD, SYNONYMS, numbers_in

COUNTS = (3, 2)
"""Numbers of equal parts into which a fused tensor is split."""

NAMED_AND_ALIKE, NAMED = 0.95, 0.85
"""The confidence of parts by their names: where a part's values correlate or the tensors are
vectors, and else. By judgement."""


def fused_pairs(a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]) -> list[Pair]:
    """Pair unpaired tensors of one file with the parts of a fused tensor in the other.

    Parts with equal content are recognized under any name. Others, such as those that were trained
    further, are recognized by the names of their modules and their order. Raises SourceError.
    """
    return [*_one_way(a, b, whole_in_a=True), *_one_way(b, a, whole_in_a=False)]


def _one_way(
    whole: Mapping[str, TensorEntry], single: Mapping[str, TensorEntry], *, whole_in_a: bool
) -> list[Pair]:
    used: set[str] = set()
    pairs: list[Pair] = []
    marks = _Marks(single)
    families = _families(single)
    for key, entry in whole.items():
        if entry.form is not None or entry.transforms or not entry.shape or not entry.records:
            continue
        parts = _by_content(entry, marks, used)
        by = PairedBy.CONTENT if parts else PairedBy.LIKENESS
        parts = parts or _by_names(key, entry, single, families, used)
        for part, cut, confidence, why in parts:
            used.add(part)
            separate, view = single[part], cut.view
            pair = (
                Pair(f"{key} {view}", cut.entry, separate, by, confidence, why, view_a=view)
                if whole_in_a
                else Pair(part, separate, cut.entry, by, confidence, why, view_b=view)
            )
            pairs.append(replace(pair, transposed=cut.transposed))
    return pairs


class _Cut(NamedTuple):
    """A part of a fused tensor, its `view` in words as in Pair, and whether it is cut from the
    transpose."""

    entry: TensorEntry
    view: str
    transposed: bool


_Part = tuple[str, _Cut, float, str]
"""(key of the separate tensor, the fused tensor's part, confidence, why)."""


def _cuts(entry: TensorEntry, lengths: Sequence[int]) -> list[list[_Cut]]:
    """The tensor, and the transpose of a matrix, split along the first dimension into such
    lengths."""
    cuts = []
    sources = [(entry, False)]
    if len(entry.shape) == 2:
        sources.append((transposed(entry), True))
    for source, is_transposed in sources:
        if source.shape[0] != sum(lengths):
            continue
        starts = [sum(lengths[:index]) for index in range(len(lengths))]
        cuts.append(
            [
                _Cut(
                    rows(source, start, start + length),
                    f"{'transposed ' if is_transposed else ''}[{start}:{start + length}]",
                    is_transposed,
                )
                for start, length in zip(starts, lengths, strict=True)
            ]
        )
    return cuts


class _Marks:
    """Finds tensors by their content; each is read once, and only when it is needed."""

    def __init__(self, entries: Mapping[str, TensorEntry]) -> None:
        self._key_by_mark: dict[tuple[tuple[int, ...], str], dict[object, str]] = {}
        self._keys: dict[tuple[tuple[int, ...], str], list[str]] = {}
        self._entries = entries
        for key, entry in entries.items():
            self._keys.setdefault((entry.shape, entry.dtype), []).append(key)

    def may_hold(self, whole: TensorEntry, length: int, part: int) -> bool:
        """Whether some tensor has the shape of a part of `whole`, or of its transpose.

        `length` is the size of the dimension that is split, `part` that of a part.
        """
        shapes = {whole.shape, whole.shape[::-1]} if len(whole.shape) == 2 else {whole.shape}
        return any(
            shape[0] == length and ((part, *shape[1:]), whole.dtype) in self._keys
            for shape in shapes
        )

    def find(self, part: TensorEntry) -> str | None:
        """The key of a tensor with the content of `part`; None where there is none."""
        kind = part.shape, part.dtype
        if kind not in self._keys:
            return None
        if kind not in self._key_by_mark:
            self._key_by_mark[kind] = {_mark(self._entries[key]): key for key in self._keys[kind]}
        return self._key_by_mark[kind].get(_mark(part))


def _by_content(entry: TensorEntry, marks: _Marks, used: set[str]) -> list[_Part]:
    for count in COUNTS:
        for length in {entry.shape[0], entry.shape[-1]}:
            if length % count or not marks.may_hold(entry, length, length // count):
                continue
            for cut in _cuts(entry, [length // count] * count):
                names = [name for part in cut if (name := marks.find(part.entry)) is not None]
                if len(names) == count == len(set(names) - used):
                    return [
                        (name, part, SAMPLED, f"equal to {part.view} of {entry.key}")
                        for name, part in zip(names, cut, strict=True)
                    ]
    return []


def _mark(entry: TensorEntry) -> object:
    """The mark of the content. A tensor with too uniform content gets a mark that equals no
    other."""
    mark = content_mark(entry, checked=False)
    return mark if isinstance(mark, bytes) and not is_dull(entry) else object()


def _families(
    single: Mapping[str, TensorEntry],
) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """For each of FUSED_PARTS, the groups of siblings that have all its words, as word → key."""
    modules: dict[tuple[str, ...], dict[tuple[str, str], dict[str, str]]] = {
        names: {} for names in FUSED_PARTS
    }
    for key in single:
        module, _, last = key.rpartition(".")
        parent, _, step = module.rpartition(".")
        for names, siblings in modules.items():
            word = _word(step, names)
            if word:
                siblings.setdefault((parent, last), {})[word] = key
    return {
        names: [members for members in siblings.values() if len(members) == len(names)]
        for names, siblings in modules.items()
    }


def _word(step: str, names: tuple[str, ...]) -> str:
    named = SYNONYMS.get(step.lower(), step.lower())
    return named if named in names else ""


def _above(key: str) -> str:
    """The path of the module that contains the tensor's module."""
    return key.rpartition(".")[0].rpartition(".")[0]


def _by_names(
    key: str,
    entry: TensorEntry,
    single: Mapping[str, TensorEntry],
    families: Mapping[tuple[str, ...], list[dict[str, str]]],
    used: set[str],
) -> list[_Part]:
    """The siblings whose shapes fit the parts and whose paths have the same numbers."""
    if not FUSED_WORD.search(key.lower()):
        return []
    leaf = "bias" if key.endswith("bias") else "weight"
    for names, members in families.items():
        for siblings in members:
            keys = [siblings[name] for name in names]
            if any(sibling in used for sibling in keys) or not keys[0].endswith(leaf):
                continue
            if numbers_in(_above(keys[0])) != numbers_in(_above(key)):
                continue
            lengths = [single[sibling].shape[0] for sibling in keys if single[sibling].shape]
            for cut in _cuts(entry, lengths) if len(lengths) == len(keys) else []:
                if any(
                    part.entry.shape != single[sibling].shape
                    for part, sibling in zip(cut, keys, strict=True)
                ):
                    continue
                correlations = [
                    correlation(part.entry, single[sibling])
                    for part, sibling in zip(cut, keys, strict=True)
                ]
                is_certain = (
                    any(sibling is not None for sibling in correlations) or len(entry.shape) == 1
                )
                if not is_certain and len(_cuts(entry, lengths)) > 1:
                    continue
                return [
                    (
                        sibling,
                        part,
                        NAMED_AND_ALIKE if is_certain else NAMED,
                        f"{part.view} of {entry.key}, by its name",
                    )
                    for sibling, part in zip(keys, cut, strict=True)
                ]
    return []
