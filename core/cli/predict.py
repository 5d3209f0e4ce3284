"""`loupe predict FILE --arch NAME IMAGE...`: the model's top-k classes for images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from core.checkpoint import open_checkpoint, surroundings
from core.checkpoint.containers import file_or_set
from core.cli.image_commands import given_names, image_model, image_model_parents
from core.cli.options import (
    above_zero,
    architecture_of,
    read_file,
)
from core.cli.output import DIFFERS, FITS, print_columns, print_json, say, warn_of
from core.errors import LoupeError
from core.wording import pass_time, probability_text

if TYPE_CHECKING:
    from core.architectures import Architecture
    from core.cli.options import Commands
    from core.inputs import Preprocessing
    from core.load import LoadedModel
    from core.predict import Labels, Prediction
    from core.predict.seen import TopClass, WhatIf


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        parents=image_model_parents(),
        help="the model's top-k classes for images",
        description="The model's top-k classes for images.",
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
        "--what-if",
        action="store_true",
        help="also the top-1 under the usual mistakes: BGR, 0-255, no mean/std, squashed, ...",
    )
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from core.images import image_files, image_workers
    from core.predict import choose_labels, predict, predictions_csv, require_classifier

    if options.csv and (options.json or options.what_if):
        raise LoupeError("--csv has rows of classes alone.", "Leave out --json and --what-if.")
    checkpoint = open_checkpoint(file_or_set(options.file), around=surroundings(options.file))
    warn_of(checkpoint, aside=options.json or options.csv)
    files = image_files(options.images)
    own, own_source = given_names(options)
    architecture = architecture_of(options)
    require_classifier(architecture)
    model = image_model(checkpoint, options)
    if model is None:
        return DIFFERS
    loaded, preprocessing = model.loaded, model.preprocessing
    images = image_workers().each((name, read_file(path)) for name, path in files)
    predictions = predict(loaded, images, preprocessing, k=options.k, batch=options.batch)
    found = _what_ifs(loaded, files, preprocessing, predictions) if options.what_if else {}
    outputs = max(prediction.classes for prediction in predictions)
    labels = choose_labels(outputs, checkpoint, own, own_source, options.labels_key)
    tops = [_top(prediction, labels) for prediction in predictions]
    if options.csv:
        names = {"A": checkpoint.name}
        rows = predictions_csv({"A": predictions}, {"A": labels.names}, names, options.k)
        sys.stdout.write(rows.decode())
    elif options.json:
        print_json(_document(architecture, labels, preprocessing, predictions, tops, found))
    else:
        _print_predictions(predictions, tops, found, labels)
        print()
        say(f"labels: {labels.source}")
        model.print_preprocessing()
    # An image that no model was fed has no classes.
    return FITS if all(prediction.classes for prediction in predictions) else DIFFERS


def _what_ifs(
    loaded: LoadedModel,
    files: Sequence[tuple[str, Path]],
    preprocessing: Preprocessing,
    predictions: Sequence[Prediction],
) -> Mapping[int, WhatIf]:
    """What the model says under the usual mistakes, by the number of the image, of those that it
    could be fed."""
    from core.images import image_workers
    from core.predict.seen import what_if

    found = {}
    for number, ((name, path), prediction) in enumerate(zip(files, predictions, strict=True)):
        if prediction.classes:
            with image_workers().decoded(read_file(path), name) as decoded:
                found[number] = what_if(loaded, decoded.image, preprocessing)
    return found


class _Class(TypedDict):
    label: str
    index: int
    probability: float


def _top(prediction: Prediction, labels: Labels) -> list[_Class]:
    pairs = zip(prediction.indices, prediction.probabilities, strict=True)
    return [
        {"label": labels.names[index], "index": index, "probability": probability}
        for index, probability in pairs
    ]


def _document(
    architecture: Architecture,
    labels: Labels,
    preprocessing: Preprocessing,
    predictions: Sequence[Prediction],
    tops: Sequence[list[_Class]],
    found: Mapping[int, WhatIf],
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
                "top": top,
            }
            | ({"what_if": _what_if_document(found[number], labels)} if number in found else {})
            for number, (prediction, top) in enumerate(zip(predictions, tops, strict=True))
        ],
    }


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
    tops: Sequence[list[_Class]],
    found: Mapping[int, WhatIf],
    labels: Labels,
) -> None:
    from core.predict import UNTRAINED

    for number, (prediction, top) in enumerate(zip(predictions, tops, strict=True)):
        if found and number:
            print()
        say(f"{prediction.name}  ({pass_time(prediction.seconds)})")
        if prediction.trouble:
            say(f"  {prediction.trouble}")
        if prediction.untrained:
            print(f"  {UNTRAINED}")
        for entry in top:
            say(f"  {probability_text(entry['probability']):>8}  {entry['label']}")
        if number in found:
            _print_what_if(found[number], labels)


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
