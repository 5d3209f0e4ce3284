"""The best recipe that Loupe finds by itself for a file and a network."""

from __future__ import annotations

from core.checkpoint.entries import StateDict
from core.fixes import MergeLora, Recipe, unscaled_adapters
from core.match import match
from core.proposals.repairing import fixes_of, gaining_ideas, whole_repair
from core.proposals.tried import after
from core.signature import Signature


def best_repair(state_dict: StateDict, signature: Signature) -> Recipe:
    """The steps that bring the state_dict nearest to the signature; none where nothing helps.

    The best fix is taken again and again until all fits or nothing gains. Where most keys match
    then, what is unexpected or of another shape is dropped in steps of their own. Nothing is made
    up: defaults for what the file lacks are for a person to choose, and where LoRA adapters have no
    alpha, the recipe ends before they are merged. The same input gives the same recipe.
    """
    if match(state_dict, signature).fits:
        return Recipe()
    gaining = gaining_ideas(state_dict, signature)
    steps = whole_repair(state_dict, signature, gaining)
    return before_made_up(Recipe.of(fixes_of(steps)), state_dict, signature)


def before_made_up(recipe: Recipe, state_dict: StateDict, signature: Signature) -> Recipe:
    """The steps before the first that would merge LoRA adapters by a scale that nothing states."""
    for at, step in enumerate(recipe.steps):
        if isinstance(step.fix, MergeLora) and not step.fix.alpha:
            before = after([one.fix for one in recipe.steps[:at]], state_dict, signature)
            if before is not None and unscaled_adapters(before):
                return Recipe(recipe.steps[:at])
    return recipe
