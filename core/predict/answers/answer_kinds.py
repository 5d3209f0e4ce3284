"""The kinds of answers that a model may give of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

AnswerKind = Literal[
    "classes",
    "probabilities",
    "labels",
    "score",
    "embedding",
    "boxes",
    "pixels",
    "map",
    "tree",
]

KIND_WORDS: Mapping[AnswerKind, str] = {
    "classes": "one class of several: softmax of the numbers",
    "probabilities": "one class of several: the numbers are probabilities",
    "labels": "several labels at once: each number by itself",
    "score": "one score: sigmoid of the number",
    "embedding": "an embedding: the numbers together say what the image is like",
    "boxes": "objects in the image: boxes with scores",
    "pixels": "a class for each pixel",
    "map": "a value for each pixel",
    "tree": "tensors, described by their shapes and values",
}
"""What each kind is, for a person who chooses one."""

SCORED: frozenset[AnswerKind] = frozenset(("classes", "probabilities", "labels", "score"))
"""The kinds whose answer is one row of numbers from 0 to 1, each with a name."""

NAMED: frozenset[AnswerKind] = SCORED - {"score"}
"""Those of them with several numbers, of which the highest has a name."""

EXCLUSIVE: frozenset[AnswerKind] = frozenset(("classes", "probabilities"))
"""Those of them where the most probable class is the answer."""

WITH_CLASSES: frozenset[AnswerKind] = SCORED | {"boxes", "pixels"}
"""The kinds that tell classes apart, so that there may be names for them."""

THRESHOLD = 0.5
"""From where on a label, a score or an object counts as found."""
