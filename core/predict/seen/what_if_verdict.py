"""What the usual mistakes of preprocessing change, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.predict.seen.what_if import SkippedMistake, TopClass, WhatIf
from core.wording import capital, count, counted, listed, percent

SURE, UNSURE = 0.9, 0.5
"""The least probability under a mistake, and the most under the preprocessing in use, at which the
verdict suggests that the mistake is what the model was trained with. A model is often unsure of one
image, and rarely surer of it when it is fed wrongly."""

NO_NUMBER = "not a number (NaN or infinite)"

NAMED = 3
"""The most mistakes that the verdict names."""


def what_if_verdict(found: WhatIf, names: Sequence[str]) -> str:
    """Which mistakes change the answer, and whether one of them may be what the model wants.

    `names` are those of the classes, in single backticks in the sentences.
    """
    if found.right is None:
        return f"The model's output is {NO_NUMBER} under this preprocessing."
    return " ".join([*_changes(found, found.right, names), *_suspicion(found, found.right, names)])


def _changes(found: WhatIf, right: TopClass, names: Sequence[str]) -> Iterator[str]:
    finite = [each for each in found.answers if each.top is not None]
    changing = [each.mistake.name for each in finite if each.changes]
    mistakes, answer = counted(len(finite), "usual mistake"), f"`{names[right.index]}`"
    if finite and not changing:
        yield f"None of the {mistakes} changes the answer, {answer}."
    elif finite and len(changing) == len(finite):
        yield f"Each of the {mistakes} changes the answer, {answer}."
    elif finite:
        verb = "changes" if len(changing) == 1 else "change"
        rest = len(finite) - len(changing)
        others = "the other one does not" if rest == 1 else f"the other {count(rest)} do not"
        yield capital(f"{listed(changing, NAMED)} {verb} the answer, {answer}; {others}.")
    endless = [each.mistake.name for each in found.answers if each.top is None]
    if endless:
        yield capital(f"{listed(endless, NAMED)}: the output is {NO_NUMBER}.")


def _suspicion(found: WhatIf, right: TopClass, names: Sequence[str]) -> Iterator[str]:
    sure = [
        (each.top, each.mistake)
        for each in found.answers
        if each.top and each.mistake.telling and each.top.probability >= SURE
    ]
    if not sure or right.probability > UNSURE or found.untrained:
        return
    top, mistake = max(sure, key=lambda pair: pair[0].probability)
    gives = f"{mistake.name} gives `{names[top.index]}` at {percent(top.probability)}"
    yield (
        f"{capital(gives)}, this preprocessing `{names[right.index]}` at "
        f"{percent(right.probability)}: the model may have been trained that way."
    )


def skipped_words(skipped: Sequence[SkippedMistake]) -> str:
    """Which mistakes were not run, and why; empty if all were."""
    sentences = []
    same = [each.name for each in skipped if not each.same_as and not each.too_large]
    if same:
        sentences.append(f"No difference for this image: {listed(same, len(same))}.")
    for each in skipped:
        if each.same_as:
            sentences.append(f"For this image, {each.name} is the same as {each.same_as}.")
        if each.too_large:
            sentences.append(f"The image is too long and thin for {each.name}.")
    return " ".join(sentences)
