"""A colour for each class, the same in every image and for every model."""

from __future__ import annotations

from colorsys import hls_to_rgb

GOLDEN = 0.618033988749895
"""The golden ratio's part: steps of it round the colour circle put neighbours far apart."""

Colour = tuple[int, int, int]


def class_colour(index: int) -> Colour:
    """The RGB colour of a class by its number."""
    hue = (0.58 + index * GOLDEN) % 1.0
    lightness = (0.5, 0.62, 0.4)[index % 3]
    red, green, blue = hls_to_rgb(hue, lightness, 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)


def css_colour(colour: Colour) -> str:
    """The colour in CSS: `#2457c5`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
