"""Classifies images with a loaded model: the top-k classes, their labels, a table.

`predict` takes a LoadedModel, images and a Preprocessing, and returns Predictions; `choose_labels`
names their classes. `shared_classes` says which class of two models is the same, `agreement` on
which images they agree. Needs torch.
"""

from core.predict.agreement import (
    SharedClasses,
    agreement,
    differing_first,
    predictions_verdict,
    shared_classes,
)
from core.predict.classifiers import require_classifier
from core.predict.fed import fed_sentence, fed_size, fed_words, not_understood_words
from core.predict.file_contents import FileContent, file_contents
from core.predict.labels import (
    ENDINGS,
    LabelFile,
    Labels,
    NameList,
    StatedNames,
    choose_labels,
    label_choices,
    labels_in,
    names_preview,
    parse_labels,
    read_label_file,
)
from core.predict.prediction import (
    UNTRAINED,
    Prediction,
    logits_of,
    predict,
    untrained_keys,
)
from core.predict.prediction_table import Bar, bars, predictions_csv

__all__ = [
    "ENDINGS",
    "UNTRAINED",
    "Bar",
    "FileContent",
    "LabelFile",
    "Labels",
    "NameList",
    "Prediction",
    "SharedClasses",
    "StatedNames",
    "agreement",
    "bars",
    "choose_labels",
    "differing_first",
    "fed_sentence",
    "fed_size",
    "fed_words",
    "file_contents",
    "label_choices",
    "labels_in",
    "logits_of",
    "names_preview",
    "not_understood_words",
    "parse_labels",
    "predict",
    "predictions_csv",
    "predictions_verdict",
    "read_label_file",
    "require_classifier",
    "shared_classes",
    "untrained_keys",
]
