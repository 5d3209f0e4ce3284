"""What was found drawn over the image that the model was fed, and how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import streamlit as st

from core.images import image_workers
from core.inputs import Preprocessing
from core.plain_text import visible
from core.predict import class_name, prepare_image
from core.predict.answers import (
    AnswerValue,
    FoundObjects,
    HeadAnswer,
    PixelClasses,
    PixelValues,
)
from core.predict.drawing import as_webp, drawn_answer, found_classes
from core.predict.seen import seen_image
from pages.components.cached import cached
from pages.components.predict.image_tray import TrayImage
from pages.components.predict.results import Answer, Results

STEP = 0.05
FIRST_THRESHOLD, FIRST_OPACITY = 0.5, 0.6

LABELS = {"threshold": "Objects from the score", "opacity": "Opacity"}


@dataclass(frozen=True, slots=True)
class Overlay:
    """How what was found is drawn: objects from the score `threshold` on, colours of pixels with
    that `opacity`, and only the classes of these names, or all if there are none."""

    threshold: float = FIRST_THRESHOLD
    opacity: float = FIRST_OPACITY
    names: tuple[str, ...] = ()

    def only(self, names: Sequence[str], value: AnswerValue | None) -> frozenset[int] | None:
        """The classes that are drawn of an answer by their numbers, for a model with these names;
        None for all."""
        if not self.names:
            return None
        found = found_classes([value])
        return frozenset(index for index in found if class_name(names, index) in self.names)


def is_drawn(answer: HeadAnswer | None) -> bool:
    """Whether an answer has places in the image."""
    value = None if answer is None else answer.value
    return isinstance(value, FoundObjects | PixelClasses | PixelValues)


def overlay_choice(results: Results) -> Overlay:
    """Draw the threshold, the opacity and the classes, each where there is something for it."""
    values = {
        name: [each.answer.value if each.answer is not None else None for each in row]
        for name, row in results.predictions.items()
    }
    flat = [value for row in values.values() for value in row]
    if not any(isinstance(value, FoundObjects | PixelClasses | PixelValues) for value in flat):
        return Overlay()
    threshold, opacity, names = FIRST_THRESHOLD, FIRST_OPACITY, tuple[str, ...]()
    with st.container(horizontal=True, gap="medium", key="overlay"):
        if any(isinstance(value, FoundObjects) for value in flat):
            threshold = _slider("threshold", FIRST_THRESHOLD)
        if any(isinstance(value, PixelClasses | PixelValues) for value in flat):
            opacity = _slider("opacity", FIRST_OPACITY)
        found = {
            class_name(results.labels[name].names, index)
            for name, row in values.items()
            for index in found_classes(row)
        }
        if len(found) > 1:
            digest = sha256(repr(sorted(found)).encode()).hexdigest()[:12]
            names = tuple(
                st.multiselect(
                    "Only these classes",
                    sorted(found),
                    format_func=visible,
                    placeholder="all",
                    key=f"overlay-classes-{digest}",
                    persist_state="session",
                    width=360,
                )
            )
    return Overlay(threshold, opacity, names)


def _slider(key: str, first: float) -> float:
    return st.slider(
        LABELS[key], 0.0, 1.0, first, STEP, key=f"overlay-{key}", persist_state="session", width=220
    )


def drawn_image(results: Results, name: str, place: int, overlay: Overlay) -> bytes:
    """What a model found in the image at this place, drawn over what it was fed, as WebP.

    Raises ImageError.
    """
    image, answer = results.images[place], results.answers[name]
    found = answer.predictions[place].answer
    assert found is not None
    assert found.value is not None
    names = answer.labels.names
    told = image.identity, answer.told, found.name, found.kind, overlay, names
    digest = sha256(repr(told).encode()).hexdigest()
    return _drawn(digest, image, answer.preprocessing, found.value, answer, overlay)


@cached(32)
def _drawn(
    digest: str,
    _image: TrayImage,
    _preprocessing: Preprocessing,
    _value: AnswerValue,
    _answer: Answer,
    _overlay: Overlay,
) -> bytes:
    with image_workers().decoded(_image.data, _image.name) as decoded:
        tensor = prepare_image(decoded.image, _preprocessing)
    fed = seen_image(tensor, _preprocessing).image.convert("RGB")
    names = _answer.labels.names
    return as_webp(
        drawn_answer(
            fed,
            _value,
            names,
            threshold=_overlay.threshold,
            opacity=_overlay.opacity,
            only=_overlay.only(names, _value),
        )
    )
