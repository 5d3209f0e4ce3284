"""A tensor of one file that is several of the other in a row: q, k and v, or gate and up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.checkpoint import TensorEntry
from core.compare.comparison import Pair, PairedBy
from core.compare.pairing.entry_views import rows, transposed
from core.compare.pairing.likeness import correlation
from core.compare.pairing.same_content import content_mark, is_dull
from core.keys import FUSED_PARTS, FUSED_WORD, SYNONYMS, numbers

COUNTS = (3, 2)
"""Equal parts that a tensor is tried to be cut into."""


SAMPLED = 0.97


def fused_pairs(a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]) -> list[Pair]:
    """Pair the tensors that are alone in one file with the parts of one in the other.

    Equal parts are told by their content, whatever they are called; others, and those that were
    trained further, by the names of the modules and their order. Raises SourceError.
    """
    return [*_one_way(a, b, whole_in_a=True), *_one_way(b, a, whole_in_a=False)]


def _one_way(
    whole: Mapping[str, TensorEntry], single: Mapping[str, TensorEntry], *, whole_in_a: bool
) -> list[Pair]:
    taken: set[str] = set()
    pairs: list[Pair] = []
    marks = _Marks(single)
    families = _families(single)
    for key, entry in whole.items():
        if entry.form is not None or entry.transforms or not entry.shape or not entry.records:
            continue
        found = _by_content(entry, marks, taken)
        by = PairedBy.CONTENT if found else PairedBy.LIKENESS
        found = found or _by_names(key, entry, single, families, taken)
        for part, seen, view, confidence, why in found:
            taken.add(part)
            held = single[part]
            pairs.append(
                Pair(f"{key} {view}", seen, held, by, confidence, why, view_a=view)
                if whole_in_a
                else Pair(part, held, seen, by, confidence, why, view_b=view)
            )
    return pairs


_Part = tuple[str, TensorEntry, str, float, str]


def _cuts(entry: TensorEntry, lengths: Sequence[int]) -> list[list[tuple[TensorEntry, str]]]:
    """The tensor, and where it is a matrix its transpose, cut along the first dimension."""
    cuts = []
    views = [(entry, "")]
    if len(entry.shape) == 2:
        views.append((transposed(entry), "transposed "))
    for seen, how in views:
        if seen.shape[0] != sum(lengths):
            continue
        starts = [sum(lengths[:index]) for index in range(len(lengths))]
        cuts.append(
            [
                (rows(seen, start, start + length), f"{how}[{start}:{start + length}]")
                for start, length in zip(starts, lengths, strict=True)
            ]
        )
    return cuts


class _Marks:
    """The contents of tensors by shape and dtype, each read once and only when asked for."""

    def __init__(self, entries: Mapping[str, TensorEntry]) -> None:
        self._found: dict[tuple[tuple[int, ...], str], dict[object, str]] = {}
        self._keys: dict[tuple[tuple[int, ...], str], list[str]] = {}
        self._entries = entries
        for key, entry in entries.items():
            self._keys.setdefault((entry.shape, entry.dtype), []).append(key)

    def may_hold(self, whole: TensorEntry, length: int, part: int) -> bool:
        """Whether some tensor has the shape of a part of the whole, or of its transpose."""
        shapes = {whole.shape, whole.shape[::-1]} if len(whole.shape) == 2 else {whole.shape}
        return any(
            shape[0] == length and ((part, *shape[1:]), whole.dtype) in self._keys
            for shape in shapes
        )

    def find(self, part: TensorEntry) -> str | None:
        """The key of the tensor that has the part's content."""
        kind = part.shape, part.dtype
        if kind not in self._keys:
            return None
        if kind not in self._found:
            self._found[kind] = {_telling(self._entries[key]): key for key in self._keys[kind]}
        return self._found[kind].get(_telling(part))


def _by_content(entry: TensorEntry, marks: _Marks, taken: set[str]) -> list[_Part]:
    for count in COUNTS:
        for length in {entry.shape[0], entry.shape[-1]}:
            if length % count or not marks.may_hold(entry, length, length // count):
                continue
            for cut in _cuts(entry, [length // count] * count):
                names = [name for part, _ in cut if (name := marks.find(part)) is not None]
                if len(names) == count == len(set(names) - taken):
                    return [
                        (name, part, view, SAMPLED, f"equal to {view} of {entry.key}")
                        for name, (part, view) in zip(names, cut, strict=True)
                    ]
    return []


def _telling(entry: TensorEntry) -> object:
    """The content's mark, and nothing that another has for elements that are all the same."""
    mark = content_mark(entry, checked=False)
    return mark if isinstance(mark, bytes) and not is_dull(entry) else object()


def _families(
    single: Mapping[str, TensorEntry],
) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """For each of FUSED_PARTS the modules that have them all as siblings, in order: word → key."""
    found: dict[tuple[str, ...], dict[tuple[str, str], dict[str, str]]] = {
        names: {} for names in FUSED_PARTS
    }
    for key in single:
        module, _, last = key.rpartition(".")
        parent, _, step = module.rpartition(".")
        for names, siblings in found.items():
            word = _word(step, names)
            if word:
                siblings.setdefault((parent, last), {})[word] = key
    return {
        names: [members for members in siblings.values() if len(members) == len(names)]
        for names, siblings in found.items()
    }


def _word(step: str, names: tuple[str, ...]) -> str:
    named = SYNONYMS.get(step.lower(), step.lower())
    return named if named in names else ""


def _above(key: str) -> str:
    """The path of what the tensor's module is in."""
    return key.rpartition(".")[0].rpartition(".")[0]


def _by_names(
    key: str,
    entry: TensorEntry,
    single: Mapping[str, TensorEntry],
    families: Mapping[tuple[str, ...], list[dict[str, str]]],
    taken: set[str],
) -> list[_Part]:
    """The siblings that fit in shape and have the same numbers in their path."""
    if not FUSED_WORD.search(key.lower()):
        return []
    leaf = "bias" if key.endswith("bias") else "weight"
    for names, members in families.items():
        for siblings in members:
            keys = [siblings[name] for name in names]
            if any(one in taken for one in keys) or not keys[0].endswith(leaf):
                continue
            if numbers(_above(keys[0])) != numbers(_above(key)):
                continue
            lengths = [single[one].shape[0] for one in keys if single[one].shape]
            for cut in _cuts(entry, lengths) if len(lengths) == len(keys) else []:
                if any(
                    part.shape != single[one].shape
                    for (part, _), one in zip(cut, keys, strict=True)
                ):
                    continue
                alike = [
                    correlation(part, single[one]) for (part, _), one in zip(cut, keys, strict=True)
                ]
                sure = any(one is not None for one in alike) or len(entry.shape) == 1
                if not sure and len(_cuts(entry, lengths)) > 1:
                    continue
                return [
                    (one, part, view, 0.95 if sure else 0.85, f"{view} of {entry.key}, by its name")
                    for one, (part, view) in zip(keys, cut, strict=True)
                ]
    return []
