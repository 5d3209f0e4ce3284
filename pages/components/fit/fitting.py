"""What a page shows of a state_dict under a recipe against an architecture, computed once."""

from __future__ import annotations

import json
from dataclasses import dataclass

from core.architectures import Architecture, Signature, signature
from core.checkpoint import StateDict
from core.fit import Match, SummarySection, match, sections
from core.fit.proposals import Proposal, propose
from core.fixes import Recipe
from core.recipe import Trial, recipe_to_json, try_recipe
from pages.components.cached import cached


@dataclass(frozen=True, slots=True)
class Fitting:
    """A recipe's trial, its match with the signature, and what would help further."""

    signature: Signature
    trial: Trial
    match: Match
    sections: tuple[SummarySection, ...]
    proposals: tuple[Proposal, ...]


def fitting(
    identity: str, state_dict: StateDict, recipe: Recipe, architecture: Architecture
) -> Fitting:
    """Try the recipe and match what comes of it. Raises ArchitectureError.

    The cache goes by the file's identity and by texts, since fixes of two classes with equal
    fields would hash alike.
    """
    words = json.dumps(recipe_to_json(recipe))
    return _fitting(
        identity, state_dict.path, words, architecture.key, state_dict, recipe, architecture
    )


@cached(64)
def _fitting(
    identity: str,
    path: str,
    words: str,
    key: str,
    _state_dict: StateDict,
    _recipe: Recipe,
    _architecture: Architecture,
) -> Fitting:
    wanted = signature(_architecture)
    trial = try_recipe(_recipe, _state_dict, wanted)
    found = match(trial.state_dict, wanted)
    return Fitting(
        wanted,
        trial,
        found,
        sections(found, trial.state_dict, wanted),
        propose(trial.state_dict, wanted),
    )
