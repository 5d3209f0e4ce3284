"""Sums over the probabilities of many images, from which their calibration is told at the end."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import torch

from core.evaluate.evaluation import Calibration, Mistake, ReliabilityBin

BINS = 15
"""Equal bins of the probability, as many as in Guo et al. (2017)."""

MOST_MISTAKES = 50
"""The wrong answers that are kept."""

SMALLEST = torch.finfo(torch.float32).tiny
"""Taken for the probability of a true class that the model states as 0, which has no logarithm."""


class CalibrationSums:
    """Counts images as they come; its size does not depend on their number."""

    def __init__(self) -> None:
        self._images = torch.zeros(BINS, dtype=torch.int64)
        self._right = torch.zeros(BINS, dtype=torch.int64)
        self._probability = torch.zeros(BINS, dtype=torch.float64)
        self._nll = 0.0
        self._mistakes: list[tuple[float, int, Mistake]] = []
        self._seen = 0

    def add(
        self,
        probabilities: torch.Tensor,
        logs: torch.Tensor | None,
        truths: torch.Tensor,
        answers: torch.Tensor,
        names: Sequence[str],
    ) -> None:
        """Add images: probabilities [N, classes], the truths and the answers [N], and their names.

        `logs` are the logarithms of the probabilities of the truths, where they are known better
        than by the probabilities, which may round to 0.
        """
        of_answers = probabilities.gather(1, answers[:, None])[:, 0].double()
        of_truths = probabilities.gather(1, truths[:, None])[:, 0].double()
        right = answers == truths
        # A bin has its upper end, not its lower one.
        bins = (of_answers * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
        self._images += torch.bincount(bins, minlength=BINS)
        self._right += torch.bincount(bins[right], minlength=BINS)
        self._probability += torch.bincount(bins, of_answers, BINS)
        logs = of_truths.clamp_min(SMALLEST).log() if logs is None else logs
        self._nll -= float(logs.double().sum())
        for place in (~right).nonzero()[:, 0].tolist():
            mistake = Mistake(
                names[place],
                int(truths[place]),
                int(answers[place]),
                float(of_answers[place]),
                float(of_truths[place]),
            )
            self._keep(mistake)

    def _keep(self, mistake: Mistake) -> None:
        self._seen += 1  # of equal ones, the earliest stays
        item = (mistake.probability, -self._seen, mistake)
        if len(self._mistakes) < MOST_MISTAKES:
            heapq.heappush(self._mistakes, item)
        else:
            heapq.heappushpop(self._mistakes, item)

    def calibration(self) -> Calibration:
        """The bins and the mean of what was added, which is one image at least."""
        numbers = zip(
            self._images.tolist(), self._right.tolist(), self._probability.tolist(), strict=True
        )
        bins = tuple(
            ReliabilityBin(
                place / BINS, (place + 1) / BINS, images, right, total / images if images else 0.0
            )
            for place, (images, right, total) in enumerate(numbers)
        )
        return Calibration(bins, self._nll / int(self._images.sum()))

    def mistakes(self) -> tuple[Mistake, ...]:
        """The wrong answers with the highest probabilities, the highest first."""
        return tuple(mistake for _, _, mistake in sorted(self._mistakes, reverse=True))
