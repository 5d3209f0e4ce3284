"""Reads what a model returns into the kind of answer that it is: `read_output`.

A model's output goes in, with the images that it was fed and what is told of it before; an
OutputReading comes out: each head with its kind, the evidence for that, and its tensors.
`answers_of` makes of a head what it says of each image. Needs torch.
"""

from core.predict.answers.answer_kinds import (
    EXCLUSIVE,
    KIND_WORDS,
    NAMED,
    SCORED,
    THRESHOLD,
    WITH_CLASSES,
    AnswerKind,
)
from core.predict.answers.found_objects import FoundObjects, ObjectMask
from core.predict.answers.head_answers import (
    NOT_A_NUMBER,
    AnswerValue,
    EmbeddingRow,
    HeadAnswer,
    PixelClasses,
    PixelValues,
    ScoredRow,
    TensorSummary,
    answers_of,
    scored_rows,
    settled,
)
from core.predict.answers.output_parts import logits_of
from core.predict.answers.output_reading import OutputHead, OutputReading, no_head, read_output
from core.predict.answers.told_outputs import (
    ToldOutputs,
    library_categories,
    told_outputs,
)

__all__ = [
    "EXCLUSIVE",
    "KIND_WORDS",
    "NAMED",
    "NOT_A_NUMBER",
    "SCORED",
    "THRESHOLD",
    "WITH_CLASSES",
    "AnswerKind",
    "AnswerValue",
    "EmbeddingRow",
    "FoundObjects",
    "HeadAnswer",
    "ObjectMask",
    "OutputHead",
    "OutputReading",
    "PixelClasses",
    "PixelValues",
    "ScoredRow",
    "TensorSummary",
    "ToldOutputs",
    "answers_of",
    "library_categories",
    "logits_of",
    "no_head",
    "read_output",
    "scored_rows",
    "settled",
    "told_outputs",
]
