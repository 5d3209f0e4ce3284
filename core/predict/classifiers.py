"""Which networks give the classes of a picture, and what the others give."""

from __future__ import annotations

from collections.abc import Mapping

from core.architectures import TIMM, TORCHVISION, Architecture
from core.errors import LoadError

OTHERS: Mapping[str, str] = {
    "detection": "finds things in a picture: it gives boxes with their classes",
    "optical_flow": "takes two pictures: it gives how each pixel moves from one to the other",
    "segmentation": "gives a class for every pixel (segmentation)",
    "video": "takes films, several frames at once: it gives the classes of a film",
}
"""torchvision's folders of models that do not classify a picture, and what those models do."""

HEADLESS = "gives features: it has no head, and so no classes"


def require_classifier(architecture: Architecture) -> None:
    """Raise LoadError, with what the network gives instead, where it is known to be none that
    takes a picture and gives a number for each class. What an owner's own networks give is not
    known before they run."""
    does = _does(architecture)
    if does:
        raise not_a_classifier(architecture, does)


def not_a_classifier(architecture: Architecture, does: str) -> LoadError:
    """The error for a network that `does` something else."""
    remedy = "Open a file that has the head too" if does == HEADLESS else "Take a classifier"
    return LoadError(
        f"{architecture.title} {does}.",
        f"Charts of the most probable classes are for classifiers of pictures. {remedy}, or use "
        "this network in a program of your own: Fit gives a script that loads it.",
    )


def _does(architecture: Architecture) -> str:
    if architecture.library == TORCHVISION:
        from torchvision.models import get_model_builder

        module = get_model_builder(architecture.name).__module__
        return OTHERS.get(module.removeprefix("torchvision.models.").partition(".")[0], "")
    if architecture.library == TIMM:
        from timm import get_pretrained_cfg

        known = get_pretrained_cfg(architecture.name)
        classes = dict(architecture.options).get("num_classes", known.num_classes if known else 1)
        return "" if classes else HEADLESS
    return ""
