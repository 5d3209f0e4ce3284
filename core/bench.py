"""What lies on somebody's bench, and the link that restores it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import FixError
from core.fixes import Recipe, recipe_from_json, recipe_to_json

MAX_RECIPE = 64 << 10
"""Bytes of a recipe that a link may unpack to."""


@dataclass(frozen=True, slots=True)
class SlotState:
    """One slot: which file, which state_dict in it, the architecture, the recipe, how to load.

    `file` is a reference (see core/files.py), `architecture` an Architecture's key, `state_dict`
    a path or None for the best one, `dtype` torch's name or None for the architecture's own.
    """

    file: str | None = None
    state_dict: str | None = None
    architecture: str | None = None
    recipe: Recipe = field(default_factory=Recipe)
    device: str = "cpu"
    dtype: str | None = None
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Bench:
    """Both slots."""

    a: SlotState = field(default_factory=SlotState)
    b: SlotState = field(default_factory=SlotState)


def bench_to_query(bench: Bench) -> dict[str, str]:
    """The parameters of a link; what is at its default is left out."""
    return {
        f"{slot}{name}": text
        for slot, state in (("a", bench.a), ("b", bench.b))
        for name, text in _to_texts(state).items()
    }


def bench_from_query(query: Mapping[str, str]) -> Bench:
    """The bench of a link; what cannot be read in it is left at its default."""
    return Bench(_from_query(query, "a"), _from_query(query, "b"))


def _to_texts(state: SlotState) -> dict[str, str]:
    if state.file is None:
        return {}
    texts = {"": state.file}
    if state.state_dict is not None:
        texts["_state_dict"] = state.state_dict
    if state.architecture is not None:
        texts["_arch"] = state.architecture
    if state.recipe.steps:
        texts["_recipe"] = _pack(state.recipe)
    if state.device != "cpu":
        texts["_device"] = state.device
    if state.dtype is not None:
        texts["_dtype"] = state.dtype
    if not state.strict:
        texts["_partial"] = "1"
    return texts


def _from_query(query: Mapping[str, str], slot: str) -> SlotState:
    file = query.get(slot)
    if not file:
        return SlotState()
    return SlotState(
        file=file,
        state_dict=query.get(f"{slot}_state_dict"),
        architecture=query.get(f"{slot}_arch"),
        recipe=_unpack(query.get(f"{slot}_recipe", "")),
        device=query.get(f"{slot}_device", "cpu"),
        dtype=query.get(f"{slot}_dtype"),
        strict=f"{slot}_partial" not in query,
    )


def _pack(recipe: Recipe) -> str:
    text = json.dumps(recipe_to_json(recipe), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.compress(text, 9)).decode().rstrip("=")


def _unpack(packed: str) -> Recipe:
    try:
        raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        text = zlib.decompressobj().decompress(raw, MAX_RECIPE)
        return recipe_from_json(json.loads(text))
    except (ValueError, zlib.error, FixError, RecursionError):
        return Recipe()
