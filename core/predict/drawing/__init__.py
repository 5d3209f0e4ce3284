"""Draws what a model found over the image that it was fed.

`drawn_answer` takes an RGB image and the value of an answer, and returns an RGB image: boxes, masks
and keypoints, or colours of the pixels. `class_colour` is the colour of a class. Needs torch.
"""

from core.predict.drawing.class_colours import class_colour, css_colour
from core.predict.drawing.drawn_answer import as_webp, drawn_answer
from core.predict.drawing.found_bars import found_bars, found_classes

__all__ = [
    "as_webp",
    "class_colour",
    "css_colour",
    "drawn_answer",
    "found_bars",
    "found_classes",
]
