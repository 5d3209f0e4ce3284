"""The bundled sample: two checkpoints of one training run, and pictures that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """A bundled checkpoint, and what a person should know of it."""

    path: Path
    title: str


SAMPLES: Mapping[str, Sample] = {
    "early": Sample(FOLDER / "digits_early.pth", "Handwritten digits, after 2 epochs"),
    "final": Sample(FOLDER / "digits_final.pth", "Handwritten digits, after all 40 epochs"),
}


def sample_images() -> tuple[Path, ...]:
    """The bundled pictures, PNG files named after the digit that they show."""
    return tuple(sorted((FOLDER / "images").glob("*.png")))
