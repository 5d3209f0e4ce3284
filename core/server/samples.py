"""The bundled sample: two checkpoints of one training run, and images that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
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
