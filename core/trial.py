"""A recipe tried step by step, so that a page can show what each one does, or why it cannot."""

from __future__ import annotations

from dataclasses import dataclass

from core.checkpoint.entries import StateDict
from core.errors import FixError
from core.fixes import Recipe, Step, apply_recipe
from core.patterns import Patience
from core.signature import Signature


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step did: how many keys it changed and dropped, and its first example.

    `example` is (before, after), `after` empty for a dropped key; None where nothing changed.
    A step that is switched off has no sentence. `error` is set where it cannot be applied;
    the steps after it then work on what the steps before it made.
    """

    changed: int = 0
    dropped: int = 0
    sentence: str = ""
    example: tuple[str, str] | None = None
    error: FixError | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a recipe makes of a state_dict, with an Outcome for each of its steps."""

    state_dict: StateDict
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[int, ...]:
        """The positions of the steps that cannot be applied."""
        return tuple(i for i, outcome in enumerate(self.outcomes) if outcome.error)


def try_recipe(recipe: Recipe, state_dict: StateDict, signature: Signature | None = None) -> Trial:
    """Apply a recipe as `apply_recipe` does, but pass over a step that raises FixError."""
    outcomes = []
    patience = Patience()
    for step in recipe.steps:
        state_dict, outcome = _try_step(step, state_dict, signature, patience)
        outcomes.append(outcome)
    return Trial(state_dict, tuple(outcomes))


def _try_step(
    step: Step, before: StateDict, signature: Signature | None, patience: Patience
) -> tuple[StateDict, Outcome]:
    if not step.enabled:
        return before, Outcome()
    try:
        applied = apply_recipe(Recipe((step,)), before, signature, patience)
    except FixError as error:
        return before, Outcome(error=error)
    effect = applied.effects[0]
    example = _example(before, applied.state_dict)
    return applied.state_dict, Outcome(effect.changed, effect.dropped, effect.sentence, example)


def _example(before: StateDict, after: StateDict) -> tuple[str, str] | None:
    """The first key that is another or has another dtype, else the first that is gone."""
    now = {entry.origin or entry.key: entry for entry in after.values()}
    gone = None
    for key, entry in before.items():
        new = now.get(entry.origin or key)
        if new is None:
            gone = gone or (key, "")
        elif new.key != key:
            return key, new.key
        elif new.dtype != entry.dtype:
            return f"{key}: {entry.dtype}", f"{key}: {new.dtype}"
    return gone
