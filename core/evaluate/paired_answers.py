"""Two models on the same images: which of them is right where the other is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from core.evaluate.evaluation import Evaluation

MOST_CHANGES = 100
"""Images on which one model alone is right that are named."""


@dataclass(frozen=True, slots=True)
class ChangedAnswer:
    """An image on which one of two models is right: the first one, or the second."""

    name: str
    by_first: bool


@dataclass(frozen=True, slots=True)
class PairedAnswers:
    """How two models differ on the `images` that both have answered.

    `first_only` and `second_only` count those on which one alone is right, and `changes` names the
    first of them.
    """

    images: int
    first_only: int
    second_only: int
    changes: tuple[ChangedAnswer, ...]

    @property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided: how likely the numbers are at least as unequal if both
        models are equally often right (McNemar, 1947; the binomial distribution of the pairs that
        differ instead of its approximation by χ²)."""
        differing = self.first_only + self.second_only
        return float(binomtest(self.first_only, differing).pvalue) if differing else 1.0


def paired_answers(first: Evaluation, second: Evaluation, names: Sequence[str]) -> PairedAnswers:
    """Two evaluations of the same images, whose names are given in their order."""
    both = first.answered & second.answered
    first_only = both & first.right & ~second.right
    second_only = both & second.right & ~first.right
    changed = np.flatnonzero(first_only | second_only)[:MOST_CHANGES].tolist()
    return PairedAnswers(
        int(both.sum()),
        int(first_only.sum()),
        int(second_only.sum()),
        tuple(ChangedAnswer(names[place], bool(first_only[place])) for place in changed),
    )
