"""The model that a command runs on images: its options, and how it is loaded."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.checkpoint import Checkpoint
from core.cli.fit import repaired_fit
from core.cli.options import architecture_parent, checkpoint_parent, read_file, repair_parent
from core.cli.output import say
from core.errors import LabelsError
from core.wording import listed

if TYPE_CHECKING:
    from core.inputs import Preprocessing
    from core.load import LoadedModel


@dataclass(frozen=True, slots=True)
class ImageModel:
    """A loaded model with what its images are fed as.

    `others` are the names of further choices for `--preprocessing`, empty if one was given.
    """

    loaded: LoadedModel
    preprocessing: Preprocessing
    others: tuple[str, ...]

    def print_preprocessing(self) -> None:
        """Print what the images are fed as, what of it is not done, and the other choices."""
        from core.predict import fed_words

        fed = self.preprocessing
        say(f"preprocessing: {fed_words(fed)} ({fed.source})")
        for lacking in fed.not_understood:
            say(f"  stated, but not done: {lacking}")
        if self.others:
            say(f"  other choices for --preprocessing: {listed([*self.others], 8)}")


def image_model_parents() -> list[argparse.ArgumentParser]:
    """The checkpoint, its architecture and repair, how the model is loaded, what it is fed, and
    what its classes are called."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--device", default="cpu", help="cpu, cuda:0, ... (cpu)")
    parent.add_argument("--dtype", help="float16, bfloat16, float32, ... (the model's own)")
    names = parent.add_mutually_exclusive_group()
    names.add_argument(
        "--labels", type=Path, metavar="FILE", help="class names as txt, json, yaml or csv"
    )
    names.add_argument(
        "--labels-key",
        default="",
        metavar="PATH",
        help="which of the checkpoint's lists of names, such as hyper_parameters.classes",
    )
    parent.add_argument(
        "--labels-column",
        default="",
        metavar="NAME",
        help="which column of the label file, by its title or its number",
    )
    parent.add_argument(
        "--preprocessing",
        metavar="NAME",
        help="what the images are fed as: `checkpoint`, or the name of weights of the library",
    )
    parent.add_argument(
        "--partial",
        action="store_true",
        help="load what matches; the rest stays as the model initialises it",
    )
    return [checkpoint_parent(), architecture_parent(required=True), repair_parent(), parent]


def image_model(checkpoint: Checkpoint, options: argparse.Namespace) -> ImageModel | None:
    """The model that the options name; None, and printed why, if the checkpoint does not fit it.

    Raises LoupeError.
    """
    from core.fit import fit_verdict
    from core.inputs import chosen_preprocessing
    from core.load import load_model
    from core.predict import image_choices

    architecture, repaired, fit = repaired_fit(checkpoint, options)
    if not (fit.fits or options.partial):
        said = fit_verdict(fit, architecture=architecture)
        say(
            f"loupe: {checkpoint.name} {said[0].lower()}{said[1:]} "
            "`loupe fit` shows what to repair; --partial loads what matches.",
            to=sys.stderr,
        )
        return None
    loaded = load_model(
        repaired,
        architecture,
        device=options.device,
        dtype=options.dtype,
        strict=not options.partial,
    )
    choices = image_choices(architecture, checkpoint)
    asked = options.preprocessing
    chosen = chosen_preprocessing(choices, asked) if asked else choices[0]
    others = () if asked else tuple(each.name for each in choices[1:])
    return ImageModel(loaded, chosen.preprocessing, others)


def given_names(options: argparse.Namespace) -> tuple[tuple[str, ...] | None, str]:
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
