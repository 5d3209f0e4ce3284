"""`loupe predict FILE --arch NAME IMAGE...`: the model's top-k classes for images, or what else it
answers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from core.checkpoint import Checkpoint, open_checkpoint, surroundings
from core.checkpoint.containers import file_or_set
from core.cli.image_commands import given_names, image_model, image_model_parents
from core.cli.options import (
    above_zero,
    architecture_of,
    read_file,
)
from core.cli.output import DIFFERS, FITS, print_columns, print_json, say, warn_of
from core.errors import LoupeError
from core.wording import listed, pass_time, probability_text

if TYPE_CHECKING:
    from core.architectures import Architecture
    from core.cli.options import Commands
    from core.inputs import Preprocessing
    from core.load import LoadedModel
    from core.predict import Labels, Prediction
    from core.predict.answers import AnswerKind, ToldOutputs
    from core.predict.seen import TopClass, WhatIf


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        parents=image_model_parents(),
        help="the model's top-k classes for images, or what else it answers",
        description="The model's top-k classes for images, or what else it answers: labels, boxes, "
        "a map, an embedding. What it answers is read from its output, and the reason is told.",
    )
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="an image file, or a folder of them"
    )
    parser.add_argument("-k", type=above_zero, default=5, help="how many classes to print (5)")
    parser.add_argument(
        "--batch", type=above_zero, default=8, help="images in one forward pass (8)"
    )
    parser.add_argument(
        "--csv", action="store_true", help="print a row for each image and class, as CSV"
    )
    parser.add_argument(
        "--kind",
        metavar="NAME",
        help="read the answer as classes, probabilities, labels, score, embedding, boxes, pixels, "
        "map or tree (what the output is)",
    )
    parser.add_argument(
        "--head", default="", metavar="NAME", help="which of several heads is the answer"
    )
    parser.add_argument(
        "--what-if",
        action="store_true",
        help="also the top-1 under the usual mistakes: BGR, 0-255, no mean/std, squashed, ...",
    )
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from core.images import image_files, image_workers
    from core.predict import predict, predictions_csv, require_image_model
    from core.predict.answers import told_outputs

    if options.csv and (options.json or options.what_if):
        raise LoupeError("--csv has rows of answers alone.", "Leave out --json and --what-if.")
    kinds = _kinds(options)
    checkpoint = open_checkpoint(file_or_set(options.file), around=surroundings(options.file))
    warn_of(checkpoint, aside=options.json or options.csv)
    files = image_files(options.images)
    own, own_source = given_names(options)
    architecture = architecture_of(options)
    require_image_model(architecture)
    model = image_model(checkpoint, options)
    if model is None:
        return DIFFERS
    loaded, preprocessing = model.loaded, model.preprocessing
    remarks: list[str] = []
    images = image_workers().each(((name, read_file(path)) for name, path in files), remarks)
    told = told_outputs(architecture, loaded.model, checkpoint)
    answered = predict(
        loaded, images, preprocessing, options.k, batch=options.batch, told=told, kinds=kinds
    )
    predictions = [_of_head(prediction, options.head) for prediction in answered]
    found: Mapping[int, WhatIf] = {}
    if options.what_if:
        found = _what_ifs(loaded, files, preprocessing, predictions, told, kinds, options.head)
    labels = _labels(options, predictions, checkpoint, architecture, own, own_source)
    if options.csv:
        names = {"A": checkpoint.name}
        rows = predictions_csv({"A": predictions}, {"A": labels.names}, names, options.k)
        sys.stdout.write(rows.decode())
    elif options.json:
        document = _document(
            architecture, labels, preprocessing, predictions, remarks, found, options.k
        )
        print_json(document)
    else:
        _print_predictions(predictions, remarks, found, labels, options.k)
        print()
        _print_kind(predictions)
        say(f"labels: {labels.source}")
        model.print_preprocessing()
    # An image that no model was fed has no answer.
    return FITS if all(prediction.heads for prediction in predictions) else DIFFERS


def _kinds(options: argparse.Namespace) -> Mapping[str, AnswerKind]:
    """The kind of `--kind`, by the name of the head that it is for. Raises LoupeError."""
    from core.predict.answers import KIND_WORDS

    if options.kind is None:
        return {}
    if options.kind not in KIND_WORDS:
        raise LoupeError(
            f"There is no kind of answer called {options.kind[:80]!r}.",
            f"Choose one of {listed([*KIND_WORDS], len(KIND_WORDS))}.",
        )
    return {options.head: options.kind}


def _of_head(prediction: Prediction, head: str) -> Prediction:
    """The prediction as the head of that name has it. Raises LoupeError if there is none."""
    from core.predict.answers import no_head

    if head and prediction.heads and head not in [each.name for each in prediction.heads]:
        raise no_head(head, [each.name for each in prediction.heads])
    return prediction.of_head(head)


def _labels(
    options: argparse.Namespace,
    predictions: Sequence[Prediction],
    checkpoint: Checkpoint,
    architecture: Architecture,
    own: tuple[str, ...] | None,
    own_source: str,
) -> Labels:
    """The names of the classes that the answers tell apart. Raises LabelsError."""
    from core.predict import NAMELESS, answer_labels, choose_labels

    outputs = max(prediction.classes for prediction in predictions)
    kinds = {prediction.kind for prediction in predictions if prediction.heads}
    if kinds and not outputs:
        return NAMELESS
    labels = choose_labels(outputs, checkpoint, own, own_source, options.labels_key)
    return answer_labels(labels, architecture, kinds)


def _what_ifs(
    loaded: LoadedModel,
    files: Sequence[tuple[str, Path]],
    preprocessing: Preprocessing,
    predictions: Sequence[Prediction],
    told: ToldOutputs,
    kinds: Mapping[str, AnswerKind],
    head: str,
) -> Mapping[int, WhatIf]:
    """What the model says under the usual mistakes, by the number of the image, of those that it
    could be fed."""
    from core.images import image_workers
    from core.predict.seen import what_if

    found = {}
    for number, ((name, path), prediction) in enumerate(zip(files, predictions, strict=True)):
        if prediction.heads:
            with image_workers().decoded(read_file(path), name) as decoded:
                found[number] = what_if(
                    loaded, decoded.image, preprocessing, told=told, kinds=kinds, head=head
                )
    return found


class _Class(TypedDict):
    label: str
    index: int
    probability: float


def _document(
    architecture: Architecture,
    labels: Labels,
    preprocessing: Preprocessing,
    predictions: Sequence[Prediction],
    remarks: Sequence[str],
    found: Mapping[int, WhatIf],
    k: int,
) -> Mapping[str, object]:
    return {
        "architecture": architecture.key,
        "labels": labels.source,
        "preprocessing": preprocessing.source,
        "guessed": preprocessing.guessed,
        "not_understood": preprocessing.not_understood,
        "images": [
            {
                "name": prediction.name,
                "seconds": prediction.seconds,
                "trouble": prediction.trouble,
                "remark": remark,
            }
            | _answers_document(prediction, labels, k)
            | ({"what_if": _what_if_document(found[number], labels)} if number in found else {})
            for number, (prediction, remark) in enumerate(zip(predictions, remarks, strict=True))
        ],
    }


def _answers_document(prediction: Prediction, labels: Labels, k: int) -> dict[str, object]:
    """The answer of the chosen head, and below it those of the others."""
    from core.predict import answer_json

    answer = prediction.answer
    if answer is None:
        return {"top": []}
    said = dict(answer_json(answer, labels.names, k))
    if answer.value is None:
        said["top"] = []
    others = [answer_json(head, (), k) for head in prediction.heads if head is not answer]
    return said | ({"other_heads": others} if others else {})


def _what_if_document(found: WhatIf, labels: Labels) -> Mapping[str, object]:
    from core.predict.seen import what_if_verdict

    return {
        "verdict": what_if_verdict(found, labels.names),
        "answers": [
            {
                "mistake": answer.mistake.name,
                "code": answer.mistake.code,
                "top": None if answer.top is None else _class(answer.top, labels),
                "probability_of_the_answer": answer.of_right,
                "changes": answer.changes,
            }
            for answer in found.answers
        ],
        "skipped": [
            {"mistake": each.name, "same_as": each.same_as, "too_large": each.too_large}
            for each in found.skipped
        ],
    }


def _class(top: TopClass, labels: Labels) -> _Class:
    label = labels.names[top.index]
    return {"label": label, "index": top.index, "probability": top.probability}


def _print_predictions(
    predictions: Sequence[Prediction],
    remarks: Sequence[str],
    found: Mapping[int, WhatIf],
    labels: Labels,
    k: int,
) -> None:
    from core.predict import UNTRAINED, answer_lines

    for number, (prediction, remark) in enumerate(zip(predictions, remarks, strict=True)):
        if found and number:
            print()
        took = f"  ({pass_time(prediction.seconds)})" if prediction.heads else ""
        say(f"{prediction.name}{took}")
        if remark:
            say(f"  {remark}")
        if prediction.untrained:
            print(f"  {UNTRAINED}")
        if not prediction.heads:
            say(f"  {prediction.trouble}")
        for head in prediction.heads:
            names = labels.names if head is prediction.answer else ()
            if len(prediction.heads) > 1:
                say(f"  {head.name} ({head.kind})")
            for line in answer_lines(head, names, k):
                say(f"  {line}")
        if number in found:
            _print_what_if(found[number], labels)


def _print_kind(predictions: Sequence[Prediction]) -> None:
    """What the output was read as, and why."""
    answer = next((each.answer for each in predictions if each.answer is not None), None)
    if answer is not None:
        say(f"read as {answer.kind}: {answer.evidence}")


def _print_what_if(found: WhatIf, labels: Labels) -> None:
    from core.predict.seen import skipped_words, what_if_verdict

    print()
    rows = [_what_if_cells("this preprocessing", found.right, labels, None, "")]
    for each in found.answers:
        differs = "differs" if each.changes else ""
        rows.append(_what_if_cells(each.mistake.name, each.top, labels, each.of_right, differs))
    print_columns(("fed with", "top-1", "probability", "the answer's", ""), rows)
    skipped = skipped_words(found.skipped)
    if skipped:
        say(skipped)
    say(what_if_verdict(found, labels.names))


def _what_if_cells(
    name: str, top: TopClass | None, labels: Labels, of_right: float | None, differs: str
) -> Sequence[str]:
    label, share = "not a number", ""
    if top is not None:
        label, share = labels.names[top.index], probability_text(top.probability)
    return name, label, share, "" if of_right is None else probability_text(of_right), differs
