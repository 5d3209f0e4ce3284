"""The state of a person's bench, and the link that restores it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from core.compare import NO_CHOICES, Choices
from core.compare.pairing import choices_from_json, choices_to_json
from core.errors import FixError
from core.fixes import Recipe
from core.recipe import recipe_from_json, recipe_to_json

MAX_NAME = 1_000
"""The most characters of a name in a link; browsers and proxies cut URLs off at about 8,000."""

MAX_UNPACKED = 1 << 20
"""The most bytes that a recipe, or the choices, in a link may unpack to: enough for thousands of
keys."""


@dataclass(frozen=True, slots=True)
class SlotState:
    """The state of one slot: the file, the state_dict in it, the architecture, recipe and options.

    `file` is a reference (see core/server/files/references.py), `architecture` the key of an
    Architecture, `state_dict` a path (None for the best one), `dtype` torch's name (None for the
    architecture's own). The other fields are options of loading.
    """

    file: str | None = None
    state_dict: str | None = None
    architecture: str | None = None
    recipe: Recipe = field(default_factory=Recipe)
    device: str = "cpu"
    dtype: str | None = None
    strict: bool = True
    channels_last: bool = False
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class Bench:
    """Both slots, and the person's choices on the pairing of their tensors."""

    a: SlotState = field(default_factory=SlotState)
    b: SlotState = field(default_factory=SlotState)
    pairing: Choices = NO_CHOICES


def bench_to_query(bench: Bench) -> dict[str, str]:
    """The query parameters of a link to the bench; defaults are left out."""
    query = {
        f"{slot}{name}": text
        for slot, state in (("a", bench.a), ("b", bench.b))
        for name, text in _to_texts(state).items()
    }
    if bench.pairing != NO_CHOICES and bench.a.file and bench.b.file:
        query["pairing"] = _pack(choices_to_json(bench.pairing))
    return query


def link_query(bench: Bench, view: Mapping[str, str]) -> str:
    """The query string of a link to the bench on a page that shows `view`: name → text.

    A text that no URL can contain is left out.
    """
    of_page = {name: text for name, text in view.items() if not text or _fits_a_link(text)}
    return urlencode(bench_to_query(bench) | of_page)


def bench_from_query(query: Mapping[str, str]) -> Bench:
    """The bench that a link's query describes; parameters that cannot be read get the default."""
    a, b = _from_query(query, "a"), _from_query(query, "b")
    return Bench(a, b, _choices(query.get("pairing", "")) if a.file and b.file else NO_CHOICES)


def _to_texts(state: SlotState) -> dict[str, str]:
    if state.file is None:
        return {}
    texts = {"": state.file}
    if state.state_dict is not None and _fits_a_link(state.state_dict):
        texts["_state_dict"] = state.state_dict
    if state.architecture is not None:
        texts["_arch"] = state.architecture
    if state.recipe.steps:
        texts["_recipe"] = _pack(recipe_to_json(state.recipe))
    if state.device != "cpu":
        texts["_device"] = state.device
    if state.dtype is not None:
        texts["_dtype"] = state.dtype
    if not state.strict:
        texts["_partial"] = "1"
    if state.channels_last:
        texts["_channels_last"] = "1"
    if state.compiled:
        texts["_compiled"] = "1"
    return texts


def _fits_a_link(text: str) -> bool:
    """Whether a URL can contain a name from a file, which may be too long or contain lone
    surrogates."""
    return len(text) <= MAX_NAME and text.isprintable()


def _from_query(query: Mapping[str, str], slot: str) -> SlotState:
    file = query.get(slot)
    if not file:
        return SlotState()
    return SlotState(
        file=file,
        state_dict=query.get(f"{slot}_state_dict"),
        architecture=query.get(f"{slot}_arch"),
        recipe=_recipe(query.get(f"{slot}_recipe", "")),
        device=query.get(f"{slot}_device", "cpu"),
        dtype=query.get(f"{slot}_dtype"),
        strict=f"{slot}_partial" not in query,
        channels_last=f"{slot}_channels_last" in query,
        compiled=f"{slot}_compiled" in query,
    )


def _recipe(packed: str) -> Recipe:
    try:
        return recipe_from_json(_unpack(packed))
    except (ValueError, zlib.error, FixError, RecursionError):
        return Recipe()


def _choices(packed: str) -> Choices:
    try:
        return choices_from_json(_unpack(packed))
    except (ValueError, zlib.error, RecursionError):
        return NO_CHOICES


def _pack(value: object) -> str:
    text = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.compress(text, 9)).decode().rstrip("=")


def _unpack(packed: str) -> object:
    raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    # A text that is cut off at the limit is no JSON, so that a link cannot fill the memory.
    return json.loads(zlib.decompressobj().decompress(raw, MAX_UNPACKED))
