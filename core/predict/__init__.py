"""Runs a loaded model on images: the top-k classes, or what else it answers; labels, a table.

`predict` takes a LoadedModel, images and a Preprocessing, and returns Predictions; `choose_labels`
and `answer_labels` name their classes. `image_choices` says what a model may be fed.
`shared_classes` says which class of two models is the same, `agreement` on which images they agree.
Needs torch.
"""

from core.predict.agreement import (
    SharedClasses,
    agreement,
    differing_first,
    predictions_verdict,
    shared_classes,
)
from core.predict.answer_json import answer_json
from core.predict.answer_labels import NAMELESS, answer_labels
from core.predict.answer_words import (
    NO_ANSWER,
    SUMMARY_COLUMNS,
    answer_lines,
    answer_summary,
    answer_title,
    class_name,
    read_sentence,
    summary_cells,
)
from core.predict.fed import fed_sentence, fed_size, fed_words, not_understood_words
from core.predict.file_contents import FileContent, file_contents
from core.predict.image_models import require_image_model
from core.predict.labels import (
    LABEL_ENDINGS,
    LabelFile,
    Labels,
    StatedNames,
    choose_labels,
    label_choices,
    labels_in,
    names_preview,
    read_label_file,
)
from core.predict.prediction import (
    UNTRAINED,
    Prediction,
    TooLargeBatch,
    forward_pass,
    predict,
    same_size_batches,
    untrained_keys,
)
from core.predict.prediction_table import Bar, bars, predictions_csv
from core.predict.probability_changes import ProbabilityChange, probability_change
from core.predict.similarity import ImagePair, Similarity, similarity
from core.predict.whole_image import image_choices, prepare_image

__all__ = [
    "LABEL_ENDINGS",
    "NAMELESS",
    "NO_ANSWER",
    "SUMMARY_COLUMNS",
    "UNTRAINED",
    "Bar",
    "FileContent",
    "ImagePair",
    "LabelFile",
    "Labels",
    "Prediction",
    "ProbabilityChange",
    "SharedClasses",
    "Similarity",
    "StatedNames",
    "TooLargeBatch",
    "agreement",
    "answer_json",
    "answer_labels",
    "answer_lines",
    "answer_summary",
    "answer_title",
    "bars",
    "choose_labels",
    "class_name",
    "differing_first",
    "fed_sentence",
    "fed_size",
    "fed_words",
    "file_contents",
    "forward_pass",
    "image_choices",
    "label_choices",
    "labels_in",
    "names_preview",
    "not_understood_words",
    "predict",
    "predictions_csv",
    "predictions_verdict",
    "prepare_image",
    "probability_change",
    "read_label_file",
    "read_sentence",
    "require_image_model",
    "same_size_batches",
    "shared_classes",
    "similarity",
    "summary_cells",
    "untrained_keys",
]
