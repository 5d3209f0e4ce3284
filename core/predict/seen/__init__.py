"""What a model sees of an image, and what it would say if it were fed wrongly.

`what_if` takes an RGB image, a LoadedModel and its Preprocessing, and returns a WhatIf: the tensor
as an image with its values, and the model's top-1 under each usual mistake of preprocessing, such
as BGR instead of RGB. `what_if_verdict` says in words what was found. Needs torch.
"""

from core.predict.seen.seen_image import SeenImage, ValueRange, seen_image
from core.predict.seen.usual_mistakes import UsualMistake
from core.predict.seen.what_if import MistakenAnswer, SkippedMistake, TopClass, WhatIf, what_if
from core.predict.seen.what_if_verdict import skipped_words, what_if_verdict

__all__ = [
    "MistakenAnswer",
    "SeenImage",
    "SkippedMistake",
    "TopClass",
    "UsualMistake",
    "ValueRange",
    "WhatIf",
    "seen_image",
    "skipped_words",
    "what_if",
    "what_if_verdict",
]
