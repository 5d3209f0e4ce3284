"""How a state_dict, with a recipe applied, fits an architecture; computed once for all sessions."""

from __future__ import annotations

import json
from dataclasses import dataclass

from core.architectures import Architecture, Signature, signature
from core.checkpoint import Checkpoint, StateDict
from core.fit import Fit, Match, fit_of, match
from core.fit.identify import remarks
from core.fit.proposals import Proposal, propose
from core.fixes import Recipe
from core.recipe import Trial, recipe_to_json, try_recipe
from pages.components.cached import cached


@dataclass(frozen=True, slots=True)
class Fitting:
    """A recipe's trial on a state_dict, its fit to the architecture's signature, and proposals of
    further fixes. `identity` distinguishes it from all others, and `before` is the match of the
    state_dict as it was saved."""

    identity: str
    state_dict: StateDict
    signature: Signature
    before: Match
    trial: Trial
    fit: Fit
    proposals: tuple[Proposal, ...]

    @property
    def match(self) -> Match:
        """The keys that match after the recipe."""
        return self.fit.match

    @property
    def is_repaired(self) -> bool:
        """Whether the recipe has a step that is switched on."""
        return any(outcome.sentence or outcome.error for outcome in self.trial.outcomes)


def fitting(
    identity: str, state_dict: StateDict, recipe: Recipe, architecture: Architecture
) -> Fitting:
    """Try the recipe on the state_dict and match the result with the architecture.

    `identity` is that of the file. Raises ArchitectureError.
    """
    # The recipe goes into the cache's key as JSON: fixes of two classes with equal fields would
    # hash alike.
    recipe_json = json.dumps(recipe_to_json(recipe))
    return _fitting(
        identity, state_dict.path, recipe_json, architecture.key, state_dict, recipe, architecture
    )


def remarks_on(
    checkpoint: Checkpoint, state_dict: StateDict, architecture: Architecture
) -> tuple[str, ...]:
    """What a fit does not show, in sentences; found once for all sessions."""
    return _remarks(
        checkpoint.identity, state_dict.path, architecture.key, checkpoint, state_dict, architecture
    )


@cached(64)
def _remarks(
    identity: str,
    path: str,
    key: str,
    _checkpoint: Checkpoint,
    _state_dict: StateDict,
    _architecture: Architecture,
) -> tuple[str, ...]:
    return remarks(_checkpoint, _state_dict, _architecture)


@cached(64)
def _fitting(
    identity: str,
    path: str,
    recipe_json: str,
    key: str,
    _state_dict: StateDict,
    _recipe: Recipe,
    _architecture: Architecture,
) -> Fitting:
    wanted = signature(_architecture)
    trial = try_recipe(_recipe, _state_dict, wanted)
    fit = fit_of(_state_dict, trial.state_dict, wanted)
    return Fitting(
        repr((identity, path, recipe_json, key)),
        _state_dict,
        wanted,
        match(_state_dict, wanted),
        trial,
        fit,
        propose(trial.state_dict, wanted),
    )
