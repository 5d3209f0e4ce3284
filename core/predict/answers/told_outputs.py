"""What is known of a model's outputs before it runs: what its library and its file say of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from torch import nn

from core.architectures import TIMM, TORCHVISION, Architecture
from core.checkpoint import Checkpoint
from core.predict.image_models import vision_folder
from core.predict.labels import choose_labels, label_choices
from core.wording import count

IMAGE_TEXT = re.compile(
    "openai|laion|datacomp|dfn|metaclip|mclip|merged2b|cc12m|yfcc15m|siglip|webli"
)
"""What timm's tags of weights that were trained on images with their texts have in their names. The
head of such a model is the projection to the space that it shares with texts."""

FINE_TUNED = re.compile(r"in\d+k|inw21k|bamboo")
"""What the tags of weights have that were trained on classes, afterwards or alone."""

PERCEPTION_ENCODER = "vit_pe_core"
"""How the names of Meta's models of that kind begin; their tag says only `fb`."""

MULTI_LABEL = re.compile("multi[-_ ]?label", re.IGNORECASE)
"""transformers' `problem_type: multi_label_classification`, fastai's and mmpretrain's heads, and
PyTorch's MultiLabelSoftMarginLoss."""

SIGMOID_LOSS = re.compile(r"(?:[\w.]+\.)?BCE(?:WithLogits)?Loss", re.IGNORECASE)
"""PyTorch's losses of several labels at once, each a sigmoid of its own."""

OF_A_LOSS = re.compile("loss|criterion|objective", re.IGNORECASE)

MOST_ENTRIES, DEPTH = 20_000, 6
"""Entries of the metadata, and levels of it, that are searched."""


@dataclass(frozen=True, slots=True)
class ToldOutputs:
    """What is known before the model runs, each as a sentence; empty where nothing is known.

    `embedding` says why its numbers are no classes. `multi_label` says who states that an image may
    have several labels at once. `objects` is the number of classes that a detector tells apart, 0
    where it is not known. `pixels`: its library says that it gives a class for each pixel.
    """

    embedding: str = ""
    multi_label: str = ""
    objects: int = 0
    pixels: bool = False


def told_outputs(
    architecture: Architecture,
    model: nn.Module | None = None,
    checkpoint: Checkpoint | None = None,
) -> ToldOutputs:
    """What the library says of the architecture, the model of its head, the file of its labels."""
    embedding = _embedding(architecture, model)
    outputs = _outputs(architecture)
    if embedding and outputs and checkpoint is not None and _names(outputs, checkpoint):
        embedding = ""
    stated = {**checkpoint.metadata, **checkpoint.configs} if checkpoint is not None else {}
    pixels = vision_folder(architecture) == "segmentation"
    return ToldOutputs(embedding, _multi_label(stated), _object_classes(architecture), pixels)


def library_categories(architecture: Architecture) -> tuple[str, ...]:
    """The categories of torchvision's own weights of the model, such as COCO's; none for others."""
    if architecture.library != TORCHVISION:
        return ()
    from torchvision.models import get_model_weights

    return tuple(get_model_weights(architecture.name).DEFAULT.meta.get("categories", ()))


def _object_classes(architecture: Architecture) -> int:
    return architecture.size("num_classes") or len(library_categories(architecture))


def _embedding(architecture: Architecture, model: nn.Module | None) -> str:
    if architecture.library == TIMM:
        outputs = _outputs(architecture)
        if outputs == 0:
            return f"timm builds {architecture.tagged_name} without a head for classes."
        full = _trained_with_texts(architecture, outputs)
        if full:
            return (
                f"timm's weights {full} were trained on images with their texts: their head gives "
                f"an embedding of {count(outputs)} numbers."
            )
    if model is not None and getattr(model, "num_classes", None) == 0:
        return "The model says that it has no classes (its num_classes is 0)."
    return ""


def _names(outputs: int, checkpoint: Checkpoint) -> bool:
    """Whether the file names a class for each of so many numbers."""
    return (
        bool(label_choices(outputs, checkpoint)) or not choose_labels(outputs, checkpoint).guessed
    )


def _outputs(architecture: Architecture) -> int:
    """The numbers of a timm model's head; for other libraries those that an option sets, or 0."""
    asked = architecture.size("num_classes")
    if asked is not None or architecture.library != TIMM:
        return asked or 0
    from timm import get_pretrained_cfg

    known = get_pretrained_cfg(architecture.tagged_name)
    return int(known.num_classes) if known else 1


def _trained_with_texts(architecture: Architecture, outputs: int) -> str:
    """The name of the weights with as many numbers, if all those of the model were trained so."""
    from timm.models import get_arch_pretrained_cfgs

    tags = [
        full.partition(".")[2]
        for full, known in get_arch_pretrained_cfgs(architecture.name).items()
        if known.num_classes == outputs
    ]
    if architecture.tag in tags:
        tags = [architecture.tag]
    if not tags or not all(_is_of_texts(architecture.name, tag) for tag in tags):
        return ""
    return f"{architecture.name}.{tags[0]}"


def _is_of_texts(name: str, tag: str) -> bool:
    if FINE_TUNED.search(tag):
        return False
    return bool(IMAGE_TEXT.search(tag)) or "clip" in tag or name.startswith(PERCEPTION_ENCODER)


def _multi_label(stated: Mapping[str, object]) -> str:
    for key, value in islice(_entries(stated, DEPTH), MOST_ENTRIES):
        if isinstance(value, bool):
            states = value and MULTI_LABEL.search(key) is not None
        else:
            states = isinstance(value, str) and _is_of_labels(key, value)
        if states:
            return f"The file states {key}: {value}."
    return ""


def _is_of_labels(key: str, text: str) -> bool:
    """Whether a text names a task, a head or a loss of several labels at once."""
    if SIGMOID_LOSS.fullmatch(text.removesuffix("()")) and OF_A_LOSS.search(key):
        return True
    short = len(text) <= 80 and re.fullmatch(r"[\w.-]+(?: [\w.-]+)?(?:\(\))?", text) is not None
    return short and MULTI_LABEL.search(text) is not None and not _is_a_name(key)


def _is_a_name(key: str) -> bool:
    """Whether a text under that key names a class, a file or a run, and states no task."""
    return re.search(r"label|class|name|path|file|dir|\d$", key, re.IGNORECASE) is not None


def _entries(value: object, depth: int, key: str = "") -> Iterator[tuple[str, object]]:
    """The entries of the metadata, each with its key; of an object the name of its class."""
    if isinstance(value, Mapping) and [*value] == ["class"]:
        yield key, str(value["class"]).rpartition(".")[2]
    elif isinstance(value, Mapping) and depth:
        for name, part in value.items():
            yield from _entries(part, depth - 1, str(name))
    elif isinstance(value, list | tuple) and depth:
        for part in value[:100]:
            yield from _entries(part, depth - 1, key)
    else:
        yield key, value
