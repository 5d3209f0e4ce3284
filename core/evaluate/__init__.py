"""How right a classifier is on images whose classes are known.

`labelled_images` lists the images of a folder, a zip or a CSV without reading them. `map_classes`
says which of the model's classes each label is. Needs torch.
"""

from core.evaluate.image_sets import ImageSet, LabelledImage, labelled_images
from core.evaluate.meant_classes import MeantClasses, map_classes

__all__ = [
    "ImageSet",
    "LabelledImage",
    "MeantClasses",
    "labelled_images",
    "map_classes",
]
