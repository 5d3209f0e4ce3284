"""Which architectures classify an image, and what the others return."""

from __future__ import annotations

from collections.abc import Mapping

from core.architectures import TIMM, TORCHVISION, Architecture
from core.errors import LoadError

OTHER_TASKS: Mapping[str, str] = {
    "detection": "detects objects in an image: it returns boxes with their classes",
    "optical_flow": "takes two images: it returns how each pixel moves from one to the other",
    "segmentation": "returns a class for every pixel (segmentation)",
    "video": "takes videos, several frames at once: it returns the classes of a video",
}
"""torchvision's folders of models that do not classify one image, and what these models do."""

HEADLESS = "returns features: it has no head, and so no classes"


def require_classifier(architecture: Architecture) -> None:
    """Raise LoadError if the architecture is known not to classify images.

    The error says what it does instead. What an own model returns is unknown before it runs.
    """
    task = _other_task(architecture)
    if task:
        raise not_a_classifier(architecture, task)


def not_a_classifier(architecture: Architecture, task: str) -> LoadError:
    """The error for an architecture with another task, which completes the sentence "timm
    resnet50 …"."""
    remedy = "Open a file that has the head too" if task == HEADLESS else "Choose a classifier"
    return LoadError(
        f"{architecture.title} {task}.",
        f"Charts of the most probable classes are for image classifiers. {remedy}, or use this "
        "model in a program of your own: the Fit page gives a script that loads it.",
    )


def _other_task(architecture: Architecture) -> str:
    """What the architecture does other than to classify images; empty if it may classify."""
    if architecture.library == TORCHVISION:
        from torchvision.models import get_model_builder

        module = get_model_builder(architecture.name).__module__
        return OTHER_TASKS.get(module.removeprefix("torchvision.models.").partition(".")[0], "")
    if architecture.library == TIMM:
        from timm import get_pretrained_cfg

        known = get_pretrained_cfg(architecture.tagged_name)
        classes = dict(architecture.options).get("num_classes", known.num_classes if known else 1)
        return "" if classes else HEADLESS
    return ""
