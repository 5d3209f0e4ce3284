"""`loupe explain FILE --arch NAME IMAGE`: why the model gives a class its score, as a heat map."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.checkpoint import open_checkpoint, surroundings
from core.checkpoint.containers import file_or_set
from core.cli.image_commands.image_model import (
    ImageModel,
    given_names,
    image_model,
    image_model_parents,
)
from core.cli.options import (
    architecture_of,
    read_file,
    share,
)
from core.cli.output import DIFFERS, FITS, print_columns, print_json, say, warn_of, watched
from core.errors import ImageError, LabelsError, LoadError, LoupeError
from core.wording import count, percent, shape, small

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from core.cli.options import Commands
    from core.explain import HeatMap, LayerActivation, SpatialLayer
    from core.predict import Labels, Prediction


@dataclass(frozen=True, slots=True)
class _Found:
    """What was asked for; `hottest` is the hottest place of the map in the image's own pixels."""

    labels: Labels
    heat: HeatMap | None
    hottest: tuple[int, int] | None
    layers: Sequence[SpatialLayer]
    measured: Sequence[LayerActivation]


METHODS = ("gradcam", "rollout", "gradients", "occlusion")
"""The names of core.explain.METHODS, which imports torch."""

FORMATS: Mapping[str, str] = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "explain",
        parents=image_model_parents(),
        help="why the model gives a class its score, as a heat map",
        description="Why the model gives a class its score for an image, as a heat map.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="an image file")
    parser.add_argument(
        "--class",
        dest="target",
        metavar="NAME_OR_INDEX",
        help="the class that is explained (the most probable)",
    )
    parser.add_argument("--method", choices=METHODS, default="gradcam", help="the method (gradcam)")
    parser.add_argument(
        "--layer", default="", metavar="NAME", help="where Grad-CAM looks (the last that counts)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="heat.png, .jpg or .webp")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--opacity",
        type=share,
        default=0.6,
        metavar="X",
        help="of the hottest place, 0 to 1 (0.6)",
    )
    parser.add_argument("--layers", action="store_true", help="list where Grad-CAM can look")
    parser.add_argument(
        "--activations", action="store_true", help="print what each layer computes of the image"
    )
    parser.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> int:
    from core.explain import layer_activations, spatial_layers
    from core.images import image_workers
    from core.inputs import prepare
    from core.predict import NAMELESS, choose_labels, predict, require_image_model
    from core.predict.answers import KIND_WORDS, NAMED

    _check_output(options)
    if options.layer and options.method != "gradcam":
        raise LoupeError("--layer is where Grad-CAM looks.", "Leave it out, or the --method.")
    checkpoint = open_checkpoint(file_or_set(options.file), around=surroundings(options.file))
    warn_of(checkpoint, aside=options.json)
    own, own_source = given_names(options)
    require_image_model(architecture_of(options))
    data = read_file(options.image)
    model = image_model(checkpoint, options)
    if model is None:
        return DIFFERS
    with image_workers().decoded(data, options.image.name) as decoded:
        image = decoded.image
        given = [(options.image.name, image)]
        (prediction,) = predict(model.loaded, given, model.preprocessing, 1)
        if not prediction.heads:
            raise ImageError(prediction.trouble)
        wants_map = options.output or not (options.layers or options.activations)
        if wants_map and prediction.kind not in NAMED:
            raise LoadError(
                f"Heat maps show what speaks for a class, and {model.loaded.architecture.title} "
                f"does not give a score for each: its answer is {KIND_WORDS[prediction.kind]}.",
                "`loupe predict` shows that answer.",
            )
        labels = NAMELESS
        if prediction.kind in NAMED:
            outputs = prediction.classes
            labels = choose_labels(outputs, checkpoint, own, own_source, options.labels_key)
        tensor = prepare(image, model.preprocessing)
        layers = spatial_layers(model.loaded, tensor) if options.layers else ()
        measured: Sequence[LayerActivation] = ()
        if options.activations:
            measured = layer_activations(model.loaded, tensor[None])
        heat = None
        if wants_map:
            heat = _heat(options, model, tensor, prediction, labels)
        if options.output and heat is not None:
            _write(image, heat, model, options)
        hottest = None if heat is None else _hottest(heat, model, image.size)
    found = _Found(labels, heat, hottest, layers, measured)
    if options.json:
        print_json(_document(options, model, found))
    else:
        _print(options, model, found)
    return FITS


def _check_output(options: argparse.Namespace) -> None:
    """Raise LoupeError if the image cannot be written as asked, before anything is computed."""
    output = options.output
    if output is None:
        return
    if output.suffix.lower() not in FORMATS:
        raise LoupeError(
            f"{output} is no image file that can be written.", "Name it .png, .jpg or .webp."
        )
    if output.exists() and options.image.exists() and output.samefile(options.image):
        raise LoupeError(f"{output} is the image itself.", "Name another file.")
    if output.exists() and not options.force:
        raise LoupeError(f"{output} exists already.", "Name another file, or give --force.")


def _heat(
    options: argparse.Namespace,
    model: ImageModel,
    tensor: torch.Tensor,
    prediction: Prediction,
    labels: Labels,
) -> HeatMap:
    from core.explain import explain

    if options.target is not None:
        target = _index(options.target, labels)
    elif prediction.indices:
        target = prediction.indices[0]
    else:
        raise LoupeError(prediction.trouble, "Name the class with --class.")
    with watched("passes") as progress:
        return explain(model.loaded, tensor, target, options.method, options.layer, progress)


def _index(named: str, labels: Labels) -> int:
    """The class of a name, or of an index. Raises LabelsError."""
    found = [index for index, name in enumerate(labels.names) if name == named]
    found = found or [
        index for index, name in enumerate(labels.names) if name.casefold() == named.casefold()
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise LabelsError(
            f"{count(len(found))} classes are called {named}.",
            f"Give one by its index: {', '.join(map(str, found))}.",
        )
    if named.isdecimal():
        return int(named)
    raise LabelsError(
        f"No class is called {named}.", "Give its index, or a name that `loupe predict` prints."
    )


def _write(
    image: Image.Image, heat: HeatMap, model: ImageModel, options: argparse.Namespace
) -> None:
    from core.explain import heat_image, seen_part
    from core.writing import whole_file

    part = seen_part(image.size, model.preprocessing)
    drawn = heat_image(image, heat, options.opacity, part=part)
    with whole_file(options.output) as (file, _):
        drawn.save(file, FORMATS[options.output.suffix.lower()])


def _hottest(heat: HeatMap, model: ImageModel, size: tuple[int, int]) -> tuple[int, int] | None:
    """The hottest place, in the image's own pixels; None if the map is 0 everywhere."""
    from core.inputs import seen_box

    if not heat.values.any():
        return None
    height, width = heat.values.shape
    row, column = divmod(int(heat.values.argmax()), width)
    left, top, right, bottom = seen_box(size, model.preprocessing)
    return (
        int(left + (column + 0.5) / width * (right - left)),
        int(top + (row + 0.5) / height * (bottom - top)),
    )


def _document(
    options: argparse.Namespace,
    model: ImageModel,
    found: _Found,
) -> Mapping[str, object]:
    document: dict[str, object] = {
        "architecture": model.loaded.architecture.key,
        "image": options.image.name,
        "labels": found.labels.source,
        "preprocessing": model.preprocessing.source,
    }
    heat = found.heat
    if heat is not None:
        document["heat"] = {
            "method": heat.method,
            "layer": heat.layer,
            "index": heat.target,
            "label": found.labels.names[heat.target],
            "score": heat.score,
            "evidence": heat.evidence,
            "hottest": found.hottest,
            "written": str(options.output) if options.output else None,
        }
    if options.layers:
        document["layers"] = [
            {"name": each.name, "grid": each.grid, "layout": each.layout} for each in found.layers
        ]
    if options.activations:
        document["activations"] = [
            {
                "name": each.name,
                "kind": each.kind,
                "shape": each.shape,
                # JSON has no NaN.
                "mean": each.mean if each.mean == each.mean else None,
                "std": each.std if each.std == each.std else None,
                "units": each.units,
                "dead": each.dead,
                "not_finite": each.not_finite,
            }
            for each in found.measured
        ]
    return document


def _print(
    options: argparse.Namespace,
    model: ImageModel,
    found: _Found,
) -> None:
    from core.explain import METHODS as NAMES
    from core.explain import activations_verdict

    heat = found.heat
    if heat is not None:
        say(f"{NAMES[heat.method]} of {options.image.name} for {found.labels.names[heat.target]}:")
        say(f"  {heat.evidence}")
        if found.hottest:
            across, down = found.hottest
            say(f"  The hottest place is {across} px from the left and {down} px from the top.")
        if options.output:
            say(f"  written: {options.output}")
    if options.layers:
        rows = [(each.name, shape(each.grid), each.layout) for each in found.layers]
        print_columns(("layer", "grid", "layout"), rows)
    if options.activations:
        print_columns(
            ("layer", "kind", "output", "mean", "std", "dead", "not finite"),
            [_cells(each) for each in found.measured],
        )
        say(activations_verdict(found.measured))
    print()
    say(f"labels: {found.labels.source}")
    model.print_preprocessing()


def _cells(each: LayerActivation) -> Sequence[str]:
    dead = percent(each.dead_share) if each.dead else ""
    lacking = count(each.not_finite) if each.not_finite else ""
    return each.name, each.kind, shape(each.shape), small(each.mean), small(each.std), dead, lacking
