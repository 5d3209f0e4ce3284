"""The best recipe that Loupe finds by itself for a file and a network."""

from __future__ import annotations

from core.checkpoint.entries import StateDict
from core.fixes import Recipe
from core.match import match
from core.proposals.repairing import fixes_of, gaining_ideas, whole_repair
from core.signature import Signature


def best_repair(state_dict: StateDict, signature: Signature) -> Recipe:
    """The steps that bring the state_dict nearest to the signature; none where nothing helps.

    The best fix is taken again and again until all fits or nothing gains. Where most keys match
    then, what is unexpected or of another shape is dropped in steps of their own. Nothing is made
    up: defaults for what the file lacks are for a person to choose. The same input gives the same
    recipe.
    """
    if match(state_dict, signature).fits:
        return Recipe()
    gaining = gaining_ideas(state_dict, signature)
    steps = whole_repair(state_dict, signature, gaining)
    return Recipe.of(fixes_of(steps))
