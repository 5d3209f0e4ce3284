"""`loupe predict FILE --arch NAME IMAGE...`: the model's top-k classes for images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from core.checkpoint import Checkpoint, open_checkpoint, surroundings
from core.checkpoint.containers import file_or_set
from core.cli.fit import repaired_fit
from core.cli.options import (
    above_zero,
    architecture_of,
    architecture_parent,
    checkpoint_parent,
    read_file,
    repair_parent,
)
from core.cli.output import DIFFERS, FITS, print_columns, print_json, say, warn_of
from core.errors import LabelsError, LoupeError
from core.wording import listed, pass_time, probability_text

if TYPE_CHECKING:
    from core.architectures import Architecture
    from core.cli.options import Commands
    from core.fit import Fit
    from core.inputs import Preprocessing
    from core.load import LoadedModel
    from core.predict import Labels, Prediction
    from core.predict.seen import TopClass, WhatIf


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        parents=[checkpoint_parent(), architecture_parent(required=True), repair_parent()],
        help="the model's top-k classes for images",
        description="The model's top-k classes for images.",
    )
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="an image file, or a folder of them"
    )
    parser.add_argument("-k", type=above_zero, default=5, help="how many classes to print (5)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda:0, ... (cpu)")
    parser.add_argument("--dtype", help="float16, bfloat16, float32, ... (the model's own)")
    parser.add_argument(
        "--batch", type=above_zero, default=8, help="images in one forward pass (8)"
    )
    parser.add_argument(
        "--csv", action="store_true", help="print a row for each image and class, as CSV"
    )
    names = parser.add_mutually_exclusive_group()
    names.add_argument(
        "--labels", type=Path, metavar="FILE", help="class names as txt, json, yaml or csv"
    )
    names.add_argument(
        "--labels-key",
        default="",
        metavar="PATH",
        help="which of the checkpoint's lists of names, such as hyper_parameters.classes",
    )
    parser.add_argument(
        "--labels-column",
        default="",
        metavar="NAME",
        help="which column of the label file, by its title or its number",
    )
    parser.add_argument(
        "--preprocessing",
        metavar="NAME",
        help="what the images are fed as: `checkpoint`, or the name of weights of the library",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="load what matches; the rest stays as the model initialises it",
    )
    parser.add_argument(
        "--what-if",
        action="store_true",
        help="also the top-1 under the usual mistakes: BGR, 0-255, no mean/std, squashed, ...",
    )
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from core.images import image_files, image_workers
    from core.inputs import chosen_preprocessing, preprocessing_choices
    from core.load import load_model
    from core.predict import choose_labels, predict, predictions_csv, require_classifier

    if options.csv and (options.json or options.what_if):
        raise LoupeError("--csv has rows of classes alone.", "Leave out --json and --what-if.")
    checkpoint = open_checkpoint(file_or_set(options.file), around=surroundings(options.file))
    warn_of(checkpoint, aside=options.json or options.csv)
    files = image_files(options.images)
    own, own_source = _own_names(options)
    require_classifier(architecture_of(options))
    architecture, repaired, fit = repaired_fit(checkpoint, options)
    if not (fit.fits or options.partial):
        _print_refusal(checkpoint, architecture, fit)
        return DIFFERS
    loaded = load_model(
        repaired,
        architecture,
        device=options.device,
        dtype=options.dtype,
        strict=not options.partial,
    )
    choices = preprocessing_choices(architecture, checkpoint)
    asked = options.preprocessing
    preprocessing = (chosen_preprocessing(choices, asked) if asked else choices[0]).preprocessing
    remarks: list[str] = []
    images = image_workers().each(((name, read_file(path)) for name, path in files), remarks)
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
        print_json(
            _document(architecture, labels, preprocessing, predictions, remarks, tops, found)
        )
    else:
        _print_predictions(predictions, remarks, tops, found, labels)
        print()
        say(f"labels: {labels.source}")
        _print_preprocessing(preprocessing, [] if asked else [each.name for each in choices[1:]])
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


def _own_names(options: argparse.Namespace) -> tuple[tuple[str, ...] | None, str]:
    """The names of `--labels`, if they are given, and where they come from. Raises LabelsError."""
    from core.predict import read_label_file

    if options.labels is None:
        if options.labels_column:
            raise LabelsError(
                "--labels-column is given without a label file.", "Add --labels FILE."
            )
        return None, ""
    file = read_label_file(read_file(options.labels), str(options.labels))
    chosen = file.column(options.labels_column)
    return chosen.names, file.source(chosen)


def _print_refusal(checkpoint: Checkpoint, architecture: Architecture, fit: Fit) -> None:
    from core.fit import fit_verdict

    said = fit_verdict(fit, architecture=architecture)
    say(
        f"loupe: {checkpoint.name} {said[0].lower()}{said[1:]} "
        "`loupe fit` shows what to repair; --partial loads what matches.",
        to=sys.stderr,
    )


def _print_preprocessing(preprocessing: Preprocessing, others: list[str]) -> None:
    from core.predict import fed_words

    say(f"preprocessing: {fed_words(preprocessing)} ({preprocessing.source})")
    for lacking in preprocessing.not_understood:
        say(f"  stated, but not done: {lacking}")
    if others:
        say(f"  other choices for --preprocessing: {listed(others, 8)}")


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
    remarks: Sequence[str],
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
                "remark": remark,
                "top": top,
            }
            | ({"what_if": _what_if_document(found[number], labels)} if number in found else {})
            for number, (prediction, remark, top) in enumerate(
                zip(predictions, remarks, tops, strict=True)
            )
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
    remarks: Sequence[str],
    tops: Sequence[list[_Class]],
    found: Mapping[int, WhatIf],
    labels: Labels,
) -> None:
    from core.predict import UNTRAINED

    for number, (prediction, remark, top) in enumerate(
        zip(predictions, remarks, tops, strict=True)
    ):
        if found and number:
            print()
        took = f"  ({pass_time(prediction.seconds)})" if prediction.classes else ""
        say(f"{prediction.name}{took}")
        for sentence in filter(None, (prediction.trouble, remark)):
            say(f"  {sentence}")
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
