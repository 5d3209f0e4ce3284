"""Fixes that split a fused tensor, or fuse several: `qkv`, and `q`, `k`, `v`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.checkpoint import Derived, Filled, Joined, Rows, StateDict, TensorEntry
from core.errors import FixError
from core.fixes.base import MAX_CHARACTERS, MAX_KEY, Changed, Context, Effect, Fix
from core.fixes.computed import checked_dense, computed, is_strided, rebuilt
from core.fixes.effects import checked_text, effect_sentence
from core.fixes.form import Form, PartsField, TextField
from core.fixes.script_part import ScriptPart
from core.wording import count, counted
from core.wording import shape as shape_words

if TYPE_CHECKING:
    import torch

MAX_TENSORS = 200_000
"""The most tensors of a state_dict after a split."""

ZEROS = "(zeros)"
"""A part of Fuse that no tensor has: zeros, as many as each other part has. Text in parentheses is
never an attribute's name in Python, so no module's path contains it; `0` is one of Sequential's."""

FIELDS = (
    TextField("fused", "Name of the fused part", "qkv", default="qkv"),
    PartsField("parts", "Parts, in order", "q, k, v", default="q, k, v"),
)


@dataclass(frozen=True, slots=True)
class Split(Fix):
    """Split tensors into equal parts along their first dimension: `qkv` into `q`, `k` and `v`.

    `fused` is one or several whole parts of the path in the keys; each of `parts` replaces it in
    the key of one new tensor.
    """

    json_name = "split"
    form = Form(
        "Split a fused tensor",
        "Splits `qkv` into `q`, `k` and `v`, or the like, along the first dimension.",
        FIELDS,
    )

    fused: str
    parts: tuple[str, ...]

    def words(self) -> str:
        return f"Split `{self.fused}` into {_listed(self.parts)}"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Split the tensors whose keys contain `fused`; a scalar is copied into each part.

        A part keeps the fused tensor's origin. Raises FixError if a tensor cannot be split into
        equal parts, or a new key exists already.
        """
        fused = checked_text(self.fused, "name")
        names = _checked_names(self.parts)
        if ZEROS in names:
            raise FixError(f"`{ZEROS}` can be fused, but not split off.", "Name every part.")
        places = {key: place for key in state_dict if (place := place_of(fused, key))}
        cut = len(places)
        _check_room(state_dict, places.values(), names)
        entries: list[TensorEntry] = []
        for key, entry in state_dict.items():
            place = places.get(key)
            entries += [entry] if place is None else _cut(checked_dense(entry), names, place)
        pairs = [
            (key, place.of(name) if place else key)
            for key in state_dict
            for place in (places.get(key),)
            for name in (names if place else ("",))
        ]
        _check_apart(entries)
        if not cut:
            return state_dict, Effect(0, 0, effect_sentence(0, "split"))
        sentence = f"{counted(cut, 'tensor')} split into {counted(cut * len(names), 'tensor')}."
        return rebuilt(state_dict, entries, pairs), Effect(cut, 0, sentence)

    def script(self) -> ScriptPart:
        call = f"state_dict = split(state_dict, {self.fused!a}, {self.parts!a})"
        return ScriptPart((call,), (split,))


@dataclass(frozen=True, slots=True)
class Fuse(Fix):
    """Join tensors along their first dimension: `q`, `k` and `v` into `qkv`.

    Each of `parts` is one or several whole parts of the path in the keys, or ZEROS.
    """

    json_name = "fuse"
    form = Form(
        "Fuse tensors",
        "Joins `q`, `k` and `v` into `qkv`, or the like, along the first dimension. "
        f"The part `{ZEROS}` stands for a bias that the file lacks.",
        FIELDS,
    )

    parts: tuple[str, ...]
    fused: str

    def words(self) -> str:
        return f"Fuse {_listed(self.parts)} into `{self.fused}`"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Join the tensors in the order of `parts`; of scalars the first one is taken.

        The fused tensor is in the place of its first part, and has its origin. If a part is absent,
        the others are unchanged, and the effect says so. Raises FixError if the parts' shapes or
        dtypes do not allow it, if ZEROS would stand for anything but a bias, or if the new key
        exists already.
        """
        names = _checked_names(self.parts)
        named = [name for name in names if name != ZEROS]
        fused = checked_text(self.fused, "name")
        wholes: dict[str, tuple[Place, list[str]]] = {}
        incomplete: dict[str, Place] = {}
        for key in state_dict:
            for name in named:
                place = place_of(name, key)
                if place is None:
                    continue
                keys = [place.of(part) for part in named]
                if all(part in state_dict for part in keys):
                    wholes[key] = place, keys
                else:
                    incomplete[key] = place
        entries: list[TensorEntry] = []
        pairs: list[tuple[str, str]] = []
        done: set[Place] = set()
        for key, entry in state_dict.items():
            if key not in wholes:
                entries.append(entry)
                pairs.append((key, key))
                continue
            place, keys = wholes[key]
            if place not in done:
                done.add(place)
                present = {name: checked_dense(state_dict[place.of(name)]) for name in named}
                parts = [present.get(name) or _zeros(list(present.values())) for name in names]
                entries.append(_joined(place.of(fused), parts))
                pairs += [(part, place.of(fused)) for part in keys]
        _check_apart(entries)
        sentence = effect_sentence(0, "fused")
        if done:
            parts_words = counted(len(done) * len(named), "tensor")
            zeros = " and zeros" if len(named) < len(names) else ""
            sentence = f"{parts_words}{zeros} fused into {counted(len(done), 'tensor')}."
        partly = {place for key, place in incomplete.items() if key not in wholes}
        if partly:
            places = counted(len(partly), "other place" if done else "place")
            sentence += f" In {places}, some parts are missing, so the others are unchanged."
        if not done:
            return state_dict, Effect(0, 0, sentence)
        return rebuilt(state_dict, entries, pairs), Effect(len(done), 0, sentence)

    def script(self) -> ScriptPart:
        call = f"state_dict = fuse(state_dict, {self.parts!a}, {self.fused!a})"
        return ScriptPart((call,), (fuse,))


def _listed(parts: Sequence[str]) -> str:
    return ", ".join("zeros" if part == ZEROS else f"`{part}`" for part in parts)


@dataclass(frozen=True, slots=True)
class Place:
    """A key without a name of whole parts in it: the texts before and after the name."""

    before: str
    after: str

    def of(self, name: str) -> str:
        """The key with a name in that place."""
        return f"{self.before}{name}{self.after}"


def place_of(name: str, key: str) -> Place | None:
    """The last place in the dotted key where the name is one or several whole parts, or None."""
    at = f".{key}.".rfind(f".{name}.")
    return None if at < 0 else Place(key[:at], key[at + len(name) :])


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    named = [name for name in names if name != ZEROS]
    if len(names) < 2 or not named or len(set(named)) < len(named):
        raise FixError("A fused tensor has at least two parts of different names.", "Name them.")
    return tuple(checked_text(name, "name of a part") for name in names)


def _check_room(state_dict: StateDict, places: Iterable[Place], names: Sequence[str]) -> None:
    """Raise FixError if the parts would be too many, or their keys too long."""
    before = sum(map(len, state_dict))
    tensors, characters = len(state_dict), before
    for place in places:
        lengths = [len(place.before) + len(name) + len(place.after) for name in names]
        tensors, characters = tensors + len(names) - 1, characters + sum(lengths)
        if (
            max(lengths) > MAX_KEY
            or tensors > max(MAX_TENSORS, len(state_dict))
            or characters > max(MAX_CHARACTERS, before)
        ):
            raise FixError(
                "The split would give too many tensors, or too long keys.",
                f"{count(MAX_TENSORS)} tensors and {count(MAX_KEY)} characters of a key "
                "are the most.",
            )


def _check_apart(entries: Sequence[TensorEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.key in seen:
            raise FixError(
                f"Two tensors would get the key `{entry.key}`.",
                "Drop one of them in a step before this one, or choose another name.",
            )
        seen.add(entry.key)


def _cut(entry: TensorEntry, names: Sequence[str], place: Place) -> list[TensorEntry]:
    keys = [place.of(name) for name in names]
    if not entry.shape:
        return [entry.under(key) for key in keys]
    length, rest = divmod(entry.shape[0], len(names))
    if rest:
        raise FixError(
            f"The {count(entry.shape[0])} rows of `{entry.key}` cannot be split into {len(names)} "
            "equal parts.",
            "Name the fused part of the path more exactly, or another number of parts.",
        )
    return [
        _rows(entry, index * length, (index + 1) * length).under(key)
        for index, key in enumerate(keys)
    ]


def _rows(entry: TensorEntry, start: int, stop: int) -> TensorEntry:
    shape = (stop - start, *entry.shape[1:])
    if is_strided(entry):
        offset = entry.storage_offset + start * entry.stride[0]
        return replace(entry, shape=shape, storage_offset=offset)
    form = entry.form
    if isinstance(form, Derived) and form.operation == Joined():
        at = 0
        for part in form.parts:
            if (at, part.shape) == (start, shape):
                transforms = (*part.transforms, *entry.transforms)
                return replace(
                    part,
                    key=entry.key,
                    origin=entry.origin,
                    dtype=entry.dtype,
                    transforms=transforms,
                )
            at += part.shape[0] if part.shape else 1
    return computed(entry, Rows(start, stop), (entry,), shape)


def _joined(key: str, parts: Sequence[TensorEntry]) -> TensorEntry:
    first = parts[0]
    for part in parts[1:]:
        if (part.shape[1:], part.dtype) != (first.shape[1:], first.dtype) or len(part.shape) != len(
            first.shape
        ):
            raise FixError(
                f"`{first.key}` and `{part.key}` cannot be joined: they are "
                f"{_form_words(first)} and {_form_words(part)}.",
                "Name the parts more exactly, or cast them to one dtype in a step before.",
            )
    if not first.shape:
        return first.under(key)
    shape = (sum(part.shape[0] for part in parts), *first.shape[1:])
    return computed(first, Joined(), tuple(parts), shape).under(key)


def _zeros(others: Sequence[TensorEntry]) -> TensorEntry:
    """A bias of zeros beside the other parts. Raises FixError if these are not biases alike.

    A matrix of zeros would be a layer that computes nothing, which no model leaves out.
    """
    first = others[0]
    for part in others:
        if len(part.shape) != 1 or part.shape != first.shape:
            raise FixError(
                f"Zeros can stand for a bias alone, one as long as the other parts: "
                f"`{part.key}` is {_form_words(part)}.",
                "Name the parts more exactly, such as `q.bias`.",
            )
    return computed(first, Filled(0.0), (), first.shape)


def _form_words(entry: TensorEntry) -> str:
    return f"{shape_words(entry.shape)} of {entry.dtype}"


def split(
    state_dict: dict[str, torch.Tensor], fused: str, parts: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    """The tensors with `fused` in the key, each split into equal parts along the first
    dimension."""
    result = {}
    for key, value in state_dict.items():
        at = f".{key}.".rfind(f".{fused}.")
        if at < 0:
            result[key] = value
            continue
        pieces = value.chunk(len(parts)) if value.dim() else [value] * len(parts)
        for part, piece in zip(parts, pieces, strict=True):
            result[key[:at] + part + key[at + len(fused) :]] = piece
    return result


def fuse(
    state_dict: dict[str, torch.Tensor], parts: tuple[str, ...], fused: str
) -> dict[str, torch.Tensor]:
    """Tensors joined along the first dimension; unchanged if one of the parts is absent.

    The part `(zeros)` is no tensor's: it stands for zeros, as many as each other part has.
    """
    named = [part for part in parts if part != "(zeros)"]
    wholes = {}
    for key in state_dict:
        for part in named:
            at = f".{key}.".rfind(f".{part}.")
            after = key[at + len(part) :]
            keys = [key[:at] + name + after if name in named else "" for name in parts]
            if at >= 0 and all(part_key in state_dict for part_key in keys if part_key):
                wholes[key] = key[:at] + fused + after, keys
    result = {}
    for key, value in state_dict.items():
        whole, keys = wholes.get(key, (key, []))
        values = [state_dict[name] if name else torch.zeros_like(value) for name in keys]
        if whole not in result:
            result[whole] = torch.cat(values) if values and value.dim() else value
    return result
