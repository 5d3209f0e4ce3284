"""What plain fields state on the channels of an image: their order, their number, or grey."""

from __future__ import annotations

from collections.abc import Mapping

from core.inputs.statements.fields import flag, numbers
from core.inputs.statements.understood import Reading

BGR = ("bgr", "to_bgr")
RGB = ("to_rgb", "rgb")
ORDERS = ("channel_order", "color_order", "channels", "color_mode", "color_space", "mode")
COUNTS = ("channels", "num_channels", "in_chans", "in_channels", "n_channels", "input_channels")
GREY = ("grayscale", "greyscale", "gray", "grey", "to_gray", "to_grayscale", "is_gray")

OF_ORDER = frozenset({*BGR, *RGB, *ORDERS, *COUNTS, *GREY})
"""The fields that are read here."""

GREY_MODES = ("l", "gray", "grey", "grayscale", "greyscale")
"""How a mode of colours is called that has one channel."""


def with_channel_order(reading: Reading, entry: Mapping[str, object]) -> Reading:
    """The reading with the order of the channels, where the entry says something on it.

    Fields that contradict each other are all named. A number of channels is the model's, so it is
    named if that has another, and so is grey for a model of colours.
    """
    channels = reading.preprocessing.channels
    orders: dict[str, bool] = {}
    for name in (*BGR, *RGB, *ORDERS, *COUNTS, *GREY):
        value = entry.get(name)
        order = _order(name, value)
        if value is None or _is_done(name, value, channels):
            continue
        if order is None:
            lacking = reading.lacking(name, value)
            reading = reading if lacking.not_understood[-1] in reading.not_understood else lacking
        else:
            orders[name] = order
    if len({*orders.values()}) > 1:
        for name in orders:
            reading = reading.lacking(name, entry[name])
        return reading
    return reading.in_bgr(next(iter(orders.values()))) if orders else reading


def _order(name: str, value: object) -> bool | None:
    """Whether a field says that blue comes first; None if it says neither."""
    if name in (*BGR, *RGB):
        said = flag(value)
        return said if said is None or name in BGR else not said
    if name in ORDERS and isinstance(value, str):
        return {"rgb": False, "bgr": True}.get(value.lower())
    return None


def _is_done(name: str, value: object, channels: int) -> bool:
    """Whether a field says what is done anyway."""
    if name in GREY:
        return flag(value) is False or (flag(value) is True and channels == 1)
    if name in COUNTS and numbers(value) == (channels,):
        return True
    return channels == 1 and name in ORDERS and str(value).lower() in GREY_MODES
