"""What Loupe comes with: two checkpoints of one training run, images that it never saw, and
photographs for other classifiers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "samples"
"""The folder `samples` of the repository."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A bundled checkpoint, and its title on screen."""

    path: Path
    title: str


SAMPLES: Mapping[str, Sample] = {
    "early": Sample(FOLDER / "digits_early.pth", "Handwritten digits, after 2 epochs"),
    "final": Sample(FOLDER / "digits_final.pth", "Handwritten digits, after all 40 epochs"),
}


def sample_images() -> tuple[Path, ...]:
    """The bundled images: PNG files, each named after the digit that it shows."""
    return tuple(sorted((FOLDER / "images").glob("*.png")))


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""The classes of the sample."""

PHOTOGRAPH_CHANNELS = 3
"""The input channels of a model that a photograph is for."""


def photographs() -> tuple[Path, ...]:
    """The bundled photographs: JPEG files of things that ImageNet has classes for."""
    return tuple(sorted((FOLDER / "photographs").glob("*.jpg")))


def bundled_images(
    classes: Collection[tuple[str, ...] | None], channels: Collection[int]
) -> tuple[Path, ...]:
    """The bundled images for classifiers with these lists of class names, None for one that is not
    known, and these numbers of input channels.

    They are the digits if a model's classes are the sample's, else the photographs if all models
    take colours, else none.
    """
    if DIGITS in classes:
        return sample_images()
    return photographs() if set(channels) == {PHOTOGRAPH_CHANNELS} else ()
