"""Classifies images with a loaded model: the top-k classes, their labels, a table.

`predict` takes a LoadedModel, images and a Preprocessing, and returns Predictions; `choose_labels`
names their classes. Needs torch.
"""

from core.predict.agreement import predictions_verdict
from core.predict.classifiers import require_classifier
from core.predict.file_contents import FileContent, file_contents
from core.predict.labels import Labels, choose_labels, labels_in, parse_labels
from core.predict.prediction import UNTRAINED, Prediction, predict, untrained_keys
from core.predict.prediction_table import Bar, bars, predictions_csv

__all__ = [
    "UNTRAINED",
    "Bar",
    "FileContent",
    "Labels",
    "Prediction",
    "bars",
    "choose_labels",
    "file_contents",
    "labels_in",
    "parse_labels",
    "predict",
    "predictions_csv",
    "predictions_verdict",
    "require_classifier",
    "untrained_keys",
]
