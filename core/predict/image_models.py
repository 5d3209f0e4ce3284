"""Which architectures take one image, and what the others take."""

from __future__ import annotations

from collections.abc import Mapping

from core.architectures import TORCHVISION, Architecture
from core.errors import LoadError

OTHER_INPUTS: Mapping[str, str] = {
    "optical_flow": "takes two images: it returns how each pixel moves from one to the other",
    "video": "takes videos, several frames at once: it returns the classes of a video",
}
"""torchvision's folders of models that do not take one image, and what these models do."""


def require_image_model(architecture: Architecture) -> None:
    """Raise LoadError if the architecture is known not to take one image.

    The error says what it does instead. What an own model takes is unknown before it runs.
    """
    other = OTHER_INPUTS.get(vision_folder(architecture))
    if other:
        raise LoadError(
            f"{architecture.title} {other}.",
            "Predict is for models that take one image. Choose such a model, or use this one in a "
            "program of your own: the Fit page gives a script that loads it.",
        )


def vision_folder(architecture: Architecture) -> str:
    """Which of torchvision's folders the model is from, such as `detection`; its classifiers have a
    folder or file each. Empty for another library."""
    if architecture.library != TORCHVISION:
        return ""
    from torchvision.models import get_model_builder

    module: str = get_model_builder(architecture.name).__module__
    return module.removeprefix("torchvision.models.").partition(".")[0]
