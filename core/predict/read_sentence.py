"""As what the models' outputs are read, and why, in one line."""

from __future__ import annotations

from collections.abc import Mapping

from core.predict.answers import HeadAnswer
from core.wording import counted


def read_sentence(answers: Mapping[str, tuple[HeadAnswer, int]]) -> str:
    """The kind of each model's answer with its evidence, by the model's name on screen.

    Each is given with the number of the model's heads. What is the same for all is said once.
    """
    said = {name: _said(answer, heads) for name, (answer, heads) in answers.items()}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return " ".join(f"{name}: {sentence}" for name, sentence in said.items())


def _said(answer: HeadAnswer, heads: int) -> str:
    kind = f"Read as `{answer.kind}`"
    if heads > 1:
        kind = f"{kind} (`{answer.name.replace('`', chr(39))}` of {counted(heads, 'head')})"
    return f"{kind}. {answer.evidence.replace('`', chr(39))}"
