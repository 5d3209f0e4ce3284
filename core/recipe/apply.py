"""Applies a recipe to a state_dict, one step after the other."""

from __future__ import annotations

from dataclasses import dataclass

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fixes import Context, Effect, Recipe
from core.keys import Patience


@dataclass(frozen=True, slots=True)
class Applied:
    """The state_dict after a recipe, with one Effect for each of its steps."""

    state_dict: StateDict
    effects: tuple[Effect, ...]


def apply_recipe(
    recipe: Recipe,
    state_dict: StateDict,
    signature: Signature | None = None,
    patience: Patience | None = None,
) -> Applied:
    """Apply the steps that are switched on; it reads no tensor, and the input stays as it is.

    Every entry keeps the file's key as its `origin`. Raises FixError if two keys would become one,
    a pattern cannot be used, a step needs a signature and there is none, a step cannot take the
    form of a tensor, or all patterns together take longer than `patience`.
    """
    context = Context(signature, patience or Patience())
    effects = []
    for step in recipe.steps:
        if step.enabled:
            state_dict, effect = step.fix.apply(state_dict, context)
        else:
            effect = Effect(0, 0, "Switched off.")
        effects.append(effect)
    return Applied(state_dict, tuple(effects))
