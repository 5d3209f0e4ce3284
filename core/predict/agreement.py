"""What the predictions for several images say at a glance, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.predict.labels import Labels
from core.predict.prediction import Prediction
from core.wording import counted, listed, percent


def predictions_verdict(answers: Mapping[str, tuple[Sequence[Prediction], Labels]]) -> str:
    """The answers of one model or of two, by the model's name on screen, such as `A`.

    Of two, it counts the images whose most probable classes have the same name. The names are
    compared, not the indices, since the two models may order their classes differently.
    """
    tops = {
        name: [
            labels.names[prediction.indices[0]] if prediction.indices else None
            for prediction in predictions
        ]
        for name, (predictions, labels) in answers.items()
    }
    who = listed([*tops], len(tops))
    ((first, *others), total) = list(tops.values()), len(next(iter(tops.values())))
    if not others:
        told = [top for top in first if top is not None]
        if total == 1 and told:
            (predictions, _), *_ = answers.values()
            return f"{who} says {told[0]}, {percent(predictions[0].probabilities[0], decimal=True)}"
        return f"{who} predicted {_of(len(told), total)}"
    both = [tuple(top) for top in zip(first, *others, strict=True) if None not in top]
    same = sum(len(set(top)) == 1 for top in both)
    text = f"{who} agree on {_of(same, total)}"
    return text if len(both) == total else f"{text}; {_of(len(both), total)} could be compared"


def _of(number: int, total: int) -> str:
    return f"{number} of {counted(total, 'image')}"
