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
    architecture_of,
    architecture_parent,
    checkpoint_parent,
    read_file,
    repair_parent,
)
from core.cli.output import DIFFERS, FITS, print_json, say, warn_of
from core.wording import listed, pass_time, probability_text

if TYPE_CHECKING:
    from core.architectures import Architecture
    from core.cli.options import Commands
    from core.fit import Fit
    from core.inputs import Preprocessing
    from core.predict import Labels, Prediction


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        parents=[checkpoint_parent(), architecture_parent(required=True), repair_parent()],
        help="the model's top-k classes for images",
        description="The model's top-k classes for images.",
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="an image file")
    parser.add_argument("-k", type=int, default=5, help="how many classes to print (5)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda:0, ... (cpu)")
    parser.add_argument(
        "--preprocessing",
        metavar="NAME",
        help="what the images are fed as: `checkpoint`, or the name of weights of the library",
    )
    parser.add_argument("--labels", type=Path, help="class names as txt, json or csv")
    parser.add_argument(
        "--partial",
        action="store_true",
        help="load what matches; the rest stays as the model initialises it",
    )
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from core.inputs import chosen_preprocessing, decode_image, preprocessing_choices
    from core.load import load_model
    from core.predict import choose_labels, parse_labels, predict, require_classifier

    checkpoint = open_checkpoint(file_or_set(options.file), around=surroundings(options.file))
    warn_of(checkpoint, aside=options.json)
    images = [(image.name, decode_image(read_file(image), image.name)) for image in options.images]
    own_labels = None
    if options.labels:
        own_labels = parse_labels(read_file(options.labels), options.labels.name)
    require_classifier(architecture_of(options))
    architecture, repaired, fit = repaired_fit(checkpoint, options)
    if not (fit.fits or options.partial):
        _print_refusal(checkpoint, architecture, fit)
        return DIFFERS
    loaded = load_model(repaired, architecture, device=options.device, strict=not options.partial)
    choices = preprocessing_choices(architecture, checkpoint)
    asked = options.preprocessing
    preprocessing = (chosen_preprocessing(choices, asked) if asked else choices[0]).preprocessing
    predictions = predict(loaded, images, preprocessing, k=options.k)
    outputs = max(prediction.classes for prediction in predictions)
    labels = choose_labels(outputs, checkpoint, own_labels, str(options.labels))
    tops = [_top(prediction, labels) for prediction in predictions]
    if options.json:
        print_json(_document(architecture, labels, preprocessing, predictions, tops))
    else:
        _print_predictions(predictions, tops)
        print()
        say(f"labels: {labels.source}")
        _print_preprocessing(preprocessing, [] if asked else [each.name for each in choices[1:]])
    return FITS


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
    tops: Sequence[list[_Class]],
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
            for prediction, top in zip(predictions, tops, strict=True)
        ],
    }


def _print_predictions(predictions: Sequence[Prediction], tops: Sequence[list[_Class]]) -> None:
    from core.predict import UNTRAINED

    for prediction, top in zip(predictions, tops, strict=True):
        say(f"{prediction.name}  ({pass_time(prediction.seconds)})")
        if prediction.trouble:
            say(f"  {prediction.trouble}")
        if prediction.untrained:
            print(f"  {UNTRAINED}")
        for entry in top:
            say(f"  {probability_text(entry['probability']):>8}  {entry['label']}")
