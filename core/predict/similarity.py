"""How alike a model finds images: the cosines of their embeddings, and the nearest pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from core.predict.answers import EmbeddingRow
from core.predict.prediction import Prediction


@dataclass(frozen=True, slots=True)
class ImagePair:
    """Two images by their places, and the cosine of their embeddings."""

    first: int
    second: int
    cosine: float


@dataclass(frozen=True, slots=True)
class Similarity:
    """The cosines of all pairs of images, by their places; None where one has no embedding, or one
    of length 0. `pairs` are the pairs of different images, the most alike first."""

    cosines: tuple[tuple[float | None, ...], ...]
    pairs: tuple[ImagePair, ...]


def similarity(predictions: Sequence[Prediction]) -> Similarity:
    """How alike images are by one model's embeddings."""
    rows = [_direction(prediction) for prediction in predictions]
    cosines = tuple(tuple(_cosine(a, b) for b in rows) for a in rows)
    pairs = [
        ImagePair(first, second, cosine)
        for first, second in combinations(range(len(rows)), 2)
        if (cosine := cosines[first][second]) is not None
    ]
    return Similarity(cosines, tuple(sorted(pairs, key=lambda pair: -pair.cosine)))


def _direction(prediction: Prediction) -> torch.Tensor | None:
    answer = prediction.answer
    if answer is None or not isinstance(answer.value, EmbeddingRow):
        return None
    values = answer.value.values.double()
    length = values.norm()
    return values / length if length else None


def _cosine(a: torch.Tensor | None, b: torch.Tensor | None) -> float | None:
    if a is None or b is None:
        return None
    return 1.0 if a is b else max(-1.0, min(1.0, float(a @ b)))
