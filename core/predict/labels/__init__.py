"""The names of a model's classes: what a checkpoint states, what a file of names holds, known sets.

`choose_labels` takes the number of outputs, a checkpoint and a person's own list, and returns one
name for each output with who says so. `read_label_file` reads a file of names. What has no order is
refused with a sentence, and where lists differ, `label_choices` offers them to the person.
"""

from core.predict.labels.known_labels import imagenet_labels
from core.predict.labels.label_choice import choose_labels, label_choices, labels_in, names_preview
from core.predict.labels.label_file import LABEL_ENDINGS, LabelFile, read_label_file
from core.predict.labels.labels import Labels
from core.predict.labels.name_lists import NameList
from core.predict.labels.stated_names import StatedNames

__all__ = [
    "LABEL_ENDINGS",
    "LabelFile",
    "Labels",
    "NameList",
    "StatedNames",
    "choose_labels",
    "imagenet_labels",
    "label_choices",
    "labels_in",
    "names_preview",
    "read_label_file",
]
