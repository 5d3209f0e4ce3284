"""`loupe evaluate FILE --arch NAME FOLDER`: how right the model is on images of known classes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.checkpoint import Checkpoint, open_checkpoint, surroundings
from core.checkpoint.containers import file_or_set
from core.cli.image_commands.image_model import (
    ImageModel,
    given_names,
    image_model,
    image_model_parents,
)
from core.cli.options import (
    above_zero,
    architecture_of,
    share,
)
from core.cli.output import DIFFERS, FITS, print_columns, print_json, say, warn_of, watched
from core.errors import LoupeError
from core.wording import are, count, counted, listed, probability_text, small

if TYPE_CHECKING:
    from core.cli.options import Commands
    from core.evaluate import Evaluation, ImageSet, MeantClasses, PairedAnswers, Portion
    from core.predict import Labels

MOST_ROWS = 5
"""Rows of each table; `--json` and `--csv` have all of them."""

KINDS = ("classes", "probabilities")


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """A checkpoint's model with what was found of it."""

    checkpoint: Checkpoint
    model: ImageModel
    labels: Labels
    meant: MeantClasses
    evaluation: Evaluation


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate",
        parents=image_model_parents(),
        help="how right a classifier is on images of known classes",
        description="How right a classifier is on images of known classes: accuracy, the classes, "
        "confusions, calibration. The status is 1 if an image cannot be read or its output is not "
        "finite, and if the accuracy is below --min-accuracy. Images whose label is no class of "
        "the model are left out and counted.",
    )
    parser.add_argument(
        "images",
        type=Path,
        metavar="FOLDER",
        help="a folder with a folder for each class, a zip of one, or a CSV of path,label",
    )
    parser.add_argument(
        "--batch", type=above_zero, default=32, help="images in one forward pass (32)"
    )
    parser.add_argument("--csv", action="store_true", help="print a row for each class, as CSV")
    parser.add_argument(
        "--min-accuracy",
        type=share,
        metavar="X",
        help="exit with status 1 if the accuracy is below X, 0 to 1",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FILE2",
        help="another checkpoint of the same architecture, on the same images",
    )
    parser.add_argument("--kind", choices=KINDS, help="read the output so (what the output is)")
    parser.add_argument(
        "--head", default="", metavar="NAME", help="which of several heads is the answer"
    )
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from core.evaluate import classes_csv, labelled_images, paired_answers
    from core.predict import require_image_model

    if options.csv and options.json:
        raise LoupeError("--csv has a row for each class alone.", "Leave out --json.")
    if options.csv and options.against:
        raise LoupeError("--csv has the classes of one model.", "Leave out --against.")
    require_image_model(architecture_of(options))
    with labelled_images(options.images) as found:
        done = [
            _evaluated(path, options, found)
            for path in (options.file, options.against)
            if path is not None
        ]
    fitting = [each for each in done if each is not None]
    if len(fitting) < len(done):
        return DIFFERS
    first = fitting[0]
    paired = None
    if len(fitting) > 1:
        names = [each.name for each in found.images]
        paired = paired_answers(first.evaluation, fitting[1].evaluation, names)
    if options.csv:
        sys.stdout.write(classes_csv(first.evaluation, first.labels.names).decode())
    elif options.json:
        print_json(_document(fitting, found, paired))
    else:
        _print(fitting, found, paired)
    least = options.min_accuracy
    enough = least is None or first.evaluation.top1.share >= least
    whole = all(each.evaluation.unread == each.evaluation.not_finite == 0 for each in fitting)
    return FITS if enough and whole else DIFFERS


def _evaluated(path: Path, options: argparse.Namespace, found: ImageSet) -> _Evaluated | None:
    """What is found of the model of a file; None, and printed why, if it does not fit."""
    from core.evaluate import class_count, evaluate, map_classes
    from core.predict import choose_labels
    from core.predict.answers import AnswerKind, told_outputs

    checkpoint = open_checkpoint(file_or_set(path), around=surroundings(path))
    warn_of(checkpoint, aside=options.json or options.csv)
    own, own_source = given_names(options)
    model = image_model(checkpoint, options)
    if model is None:
        return None
    loaded, fed = model.loaded, model.preprocessing
    told = told_outputs(loaded.architecture, loaded.model, checkpoint)
    kinds: Mapping[str, AnswerKind] = {options.head: options.kind} if options.kind else {}
    outputs = class_count(loaded, fed, told=told, kinds=kinds, head=options.head)
    labels = choose_labels(outputs, checkpoint, own, own_source, options.labels_key)
    meant = map_classes({each.label for each in found.images}, labels)
    with watched("images") as progress:
        evaluation = evaluate(
            loaded,
            found.images,
            meant,
            fed,
            progress,
            batch=options.batch,
            told=told,
            kinds=kinds,
            head=options.head,
        )
    return _Evaluated(checkpoint, model, labels, meant, evaluation)


def _document(
    done: Sequence[_Evaluated], found: ImageSet, paired: PairedAnswers | None
) -> Mapping[str, object]:
    from core.evaluate import evaluation_document, paired_document

    documents = [
        {
            "file": each.checkpoint.name,
            "architecture": each.model.loaded.architecture.key,
            "labels": each.labels.source,
            "preprocessing": each.model.preprocessing.source,
            "unmapped": each.meant.unmapped,
            "note": " ".join(filter(None, (found.note, each.meant.note))),
        }
        | evaluation_document(each.evaluation, each.labels.names)
        for each in done
    ]
    if paired is None:
        return documents[0]
    return documents[0] | {"against": documents[1], "paired": paired_document(paired)}


def _print(done: Sequence[_Evaluated], found: ImageSet, paired: PairedAnswers | None) -> None:
    for each in done:
        if len(done) > 1:
            say(f"{each.checkpoint.name}:")
        _print_figures(each.evaluation)
        _print_tables(each.evaluation, each.labels.names)
        for line in _left_out(each, found):
            say(line)
        say(f"read as {each.evaluation.kind}: {each.evaluation.evidence}")
        say(f"labels: {each.labels.source}")
        each.model.print_preprocessing()
        if len(done) > 1:
            print()
    if paired is not None:
        _print_paired(paired, [each.checkpoint.name for each in done])


def _print_figures(evaluation: Evaluation) -> None:
    from core.predict import UNTRAINED

    if evaluation.untrained:
        say(UNTRAINED)
    say(f"accuracy: {_portion(evaluation.top1)}")
    if evaluation.classes > 5:
        say(f"top-5: {_portion(evaluation.top5)}")
    calibration = evaluation.calibration
    say(
        f"calibration error (ECE, {len(calibration.bins)} bins): "
        f"{probability_text(calibration.ece)}; mean NLL: {small(calibration.nll, 4)}"
    )
    pace = small(evaluation.images_per_second, 3)
    say(f"pace: {pace} images/s, in batches of {count(evaluation.batch)}")


def _portion(portion: Portion) -> str:
    low, high = map(probability_text, portion.interval)
    of = f"{count(portion.number)} of {counted(portion.total, 'image')}"
    return f"{probability_text(portion.share)} ({of}; 95 % interval: {low} to {high})"


def _print_tables(evaluation: Evaluation, names: Sequence[str]) -> None:
    worst = sorted(
        (each for each in evaluation.class_scores if each.support and each.f1 < 1),
        key=lambda each: (each.f1, -each.support),
    )
    if not worst:
        return
    print()
    rows = [
        (
            names[each.index],
            count(each.support),
            _ratio(each.precision),
            _ratio(each.recall),
            _ratio(each.f1),
        )
        for each in worst[:MOST_ROWS]
    ]
    print_columns(("worst classes", "images", "precision", "recall", "F1"), rows)
    if not evaluation.confusions:
        return
    print()
    usual = [
        (names[each.truth], names[each.answer], count(each.images))
        for each in evaluation.confusions[:MOST_ROWS]
    ]
    print_columns(("most usual confusions", "taken for", "images"), usual)
    print()
    sure = [
        (each.name, names[each.truth], names[each.answer], probability_text(each.probability))
        for each in evaluation.mistakes[:MOST_ROWS]
    ]
    print_columns(("surest mistakes", "is", "taken for", "probability"), sure)
    print()


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else probability_text(ratio)


def _left_out(each: _Evaluated, found: ImageSet) -> Iterator[str]:
    """What the figures do not count, and why."""
    evaluation, unmapped = each.evaluation, each.meant.unmapped
    if found.note:
        yield found.note
    if each.meant.note:
        yield each.meant.note
    if unmapped:
        labels = counted(len(unmapped), "label")
        yield (
            f"left out: {counted(evaluation.unmapped, 'image')} of {labels} that "
            f"{are(len(unmapped))} no class of the model: {listed([*unmapped], 12)}"
        )
    for number, said in (
        (evaluation.unread, "that cannot be read"),
        (evaluation.not_finite, "without a finite output"),
    ):
        if number:
            yield f"left out: {counted(number, 'image')} {said}"
    for lacking in evaluation.unanswered:
        yield f"  {lacking.name}: {lacking.trouble}"


def _print_paired(paired: PairedAnswers, files: Sequence[str]) -> None:
    first, second = files
    say(
        f"On {counted(paired.images, 'image')}, {first} alone is right on "
        f"{count(paired.first_only)}, {second} alone on {count(paired.second_only)}: "
        f"McNemar's exact test gives p = {small(paired.p_value, 3)}."
    )
    for each in paired.changes[:MOST_ROWS]:
        say(f"  {each.name}: {first if each.by_first else second} is right")
    more = len(paired.changes) - MOST_ROWS
    if more > 0:
        say("  --json names more of them.")
