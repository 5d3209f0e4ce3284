"""The values of a statement on preprocessing as files spell them: numbers, sizes and names."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from core.inputs.preprocessing import INTERPOLATIONS, MAX_EDGE

MAX_VALUE = 60
"""Characters of a value that is not understood which are told."""


LARGEST, LEAST = 1e6, 1e-6
"""Bounds of a number that an image can be computed with in float32."""


def numbers(value: object) -> tuple[float, ...]:
    """A number, or a list of numbers, as a tuple; empty if it is neither."""
    values = value if isinstance(value, list | tuple) else (value,)
    found = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    # In a comparison an integer may be too large for a float.
    if len(found) != len(values) or not all(-LARGEST <= v <= LARGEST for v in found):
        return ()
    return tuple(map(float, found))


def positive(value: object) -> float | None:
    """A number above 0, or None."""
    found = numbers(value)
    return found[0] if len(found) == 1 and found[0] >= LEAST else None


def edges_of(value: object) -> tuple[int, int] | None:
    """A size as (height, width); None if it is not one, or too large.

    It may be 64, [64], [64, 48], [3, 64, 48], [64, 48, 3], {"height": 64, "width": 48} or
    {"shortest_edge": 64}.
    """
    if isinstance(value, Mapping):
        edge = value.get("shortest_edge")
        value = [edge] if edge else [value.get("height"), value.get("width")]
    parts = numbers(value)
    if len(parts) == 3:
        channels = channels_of(value)
        parts = () if channels is None else parts[1:] if parts[0] == channels else parts[:2]
    if not 1 <= len(parts) <= 2 or any(part != int(part) for part in parts):
        return None
    height, width = int(parts[0]), int(parts[-1])
    return (height, width) if 1 <= min(height, width) <= max(height, width) <= MAX_EDGE else None


def channels_of(value: object) -> int | None:
    """The channels in a size of three numbers, which stand first or last and are the fewest; None
    if there are none."""
    parts = numbers(value)
    if len(parts) != 3:
        return None
    first_is = parts[0] in (1, 3) or parts[0] < min(parts[1:])
    channels = parts[0] if first_is else parts[2]
    return int(channels) if first_is or channels < min(parts[:2]) else None


def whole_of(size: tuple[int, int], share: float) -> tuple[int, int] | None:
    """The size of the whole image of which `size` is that share; None if it is too large."""
    height, width = (math.floor(edge / share) for edge in size)
    return (height, width) if 1 <= min(height, width) <= max(height, width) <= MAX_EDGE else None


PILLOW_RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""The order of PIL.Image.Resampling, which transformers writes as a number."""

SPELLINGS: Mapping[str, str] = {
    "linear": "bilinear",
    "cubic": "bicubic",
    "antialias": "lanczos",
    "nearest-exact": "nearest",
    "nearest_exact": "nearest",
}
"""Other words for the same on PIL images: Pillow's older ones, and torchvision's exact nearest."""


def interpolation(value: object) -> str | None:
    """One of INTERPOLATIONS for its name, in any case and behind any prefix, or for Pillow's
    number; None if it is none.

    `InterpolationMode.BICUBIC`, `Image.BICUBIC`, `3` and a pickled member of either enumeration are
    all "bicubic".
    """
    if isinstance(value, Mapping):
        members = value.get("args")
        value = members[0] if isinstance(members, list) and members else None
    if isinstance(value, str):
        name = value.strip().lower().rpartition(".")[2]
        if not name.isdecimal():
            name = SPELLINGS.get(name, name)
            return name if name in INTERPOLATIONS else None
        value = int(name[:9])
    number = numbers(value)
    if len(number) == 1 and number[0] in range(len(PILLOW_RESAMPLING)):
        return PILLOW_RESAMPLING[int(number[0])]
    return None


FLAGS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def flag(value: object) -> bool | None:
    """Yes or no, as a truth value, a number or a text; None if it is neither."""
    if isinstance(value, str):
        return FLAGS.get(value.strip().lower())
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def first(entry: Mapping[str, object], names: Sequence[str]) -> object:
    """The value of the first of these fields that states something; None if none does."""
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def mapping(value: object) -> Mapping[str, object] | None:
    """A mapping, or the JSON text of one, as the metadata of safetensors has it."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, Mapping) else None


def told(name: str, value: object) -> str:
    """A field that is not understood, in words: `crop_mode zoom`."""
    if isinstance(value, Mapping) and "class" in value:
        value = str(value["class"]).rpartition(".")[2]
    try:
        text = str(value)
    except RecursionError:
        text = "…"
    text = text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"
    return f"{name} {text}"
