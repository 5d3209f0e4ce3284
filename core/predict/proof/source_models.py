"""Finds the model that a file was saved from, by the file's own key names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.architectures import Architecture, signature
from core.checkpoint import StateDict, TensorEntry
from core.errors import FixError
from core.fit import match
from core.fit.identify import Candidate, Hints, Identification, hinted_at
from core.fixes import CastDtype, Drop, Keep, Recipe, StripPrefix
from core.keys import BATCH_COUNTER, COMPUTED
from core.predict.proof.values import used_keys
from core.recipe import apply_recipe
from core.wording import counted, listed

MOST_TRIED = 3
"""The most architectures with the same keys and shapes that are built to find the source among
them."""

WRAPPERS = StripPrefix | Keep | Drop
"""The fixes after which a file still has its own key names: they take out what a wrapper added, and
what belongs to no model or to another one."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The models that a file may have been saved from, and the file's tensors under their keys.

    `architectures` are in the order in which to try them; `alike` are all that have the same keys
    and shapes, and of which the file does not say which one it is. `named_by` are
    sentences on where the file names them. If there is none to try, `reason` says why.
    """

    architectures: tuple[Architecture, ...]
    state_dict: StateDict
    alike: tuple[Architecture, ...] = ()
    named_by: tuple[str, ...] = ()
    reason: str = ""


def find_sources(
    original: StateDict,
    repaired: StateDict,
    architecture: Architecture,
    recipe: Recipe,
    identification: Identification | None,
    hints: Hints,
) -> Sources:
    """The models to compare with `architecture`, which `repaired` fits after the recipe.

    A model is a source if the file fits it under its own key names, with prefixes stripped and
    foreign tensors left out, and if it takes every tensor that `repaired` is made of.
    `identification` is that of `original`, None if there is no index.
    """
    used = _used(repaired)
    for candidate in identification.candidates if identification else ():
        if not (candidate.fits and _keeps_names(candidate.recipe)):
            continue
        own = apply_recipe(candidate.recipe, original, signature(candidate.architecture)).state_dict
        if used <= _used(own):
            own = _cast_alike(own, recipe)
            return _sources_of(candidate, own, original, repaired, architecture, hints)
    # A model that is in no library, such as one of the server's owner, may have these names too.
    own = _in_own_names(recipe, original)
    if match(own, signature(architecture)).fits:
        if _same_tensors(own, repaired):
            return Sources((), own, reason=_own_names(original, repaired, ()))
        return Sources((architecture,), _cast_alike(own, recipe))
    return Sources((), original, reason=_unknown(identification))


def _sources_of(
    candidate: Candidate,
    own: StateDict,
    original: StateDict,
    repaired: StateDict,
    architecture: Architecture,
    hints: Hints,
) -> Sources:
    alike = (candidate.architecture, *candidate.also)
    hinted = hinted_at(hints, candidate.architecture)
    # Without a hint all of them have the same rank.
    likeliest = tuple(other for other in alike if hinted_at(hints, other).rank == hinted.rank)
    is_alike = match(own, signature(architecture)).fits
    if not is_alike or (hinted.facts and not hinted_at(hints, architecture).facts):
        return Sources(likeliest[:MOST_TRIED], own, likeliest, hinted.facts)
    if _same_tensors(own, repaired):
        others = tuple(other for other in alike if other != architecture)
        return Sources((), own, alike, reason=_own_names(original, repaired, others))
    return Sources((architecture,), own)


def _keeps_names(recipe: Recipe) -> bool:
    return all(isinstance(step.fix, WRAPPERS) for step in recipe.steps if step.enabled)


def _in_own_names(recipe: Recipe, original: StateDict) -> StateDict:
    """The file after the recipe's steps that keep its names; the file itself if they fail alone."""
    steps = tuple(step for step in recipe.steps if isinstance(step.fix, WRAPPERS))
    try:
        return apply_recipe(Recipe(steps), original).state_dict
    except FixError:
        return original


def _cast_alike(own: StateDict, recipe: Recipe) -> StateDict:
    """The source's tensors, cast as the recipe casts the target's.

    A cast changes every output a little, which would hide what else differs.
    """
    steps = tuple(step for step in recipe.steps if isinstance(step.fix, CastDtype))
    return apply_recipe(Recipe(steps), own).state_dict


def _used(state_dict: StateDict) -> frozenset[str]:
    """The file's keys that a state_dict is made of, without buffers that a model may lack."""
    entries = (
        entry
        for key, entry in state_dict.items()
        if key.rpartition(".")[2] not in (BATCH_COUNTER, *COMPUTED)
    )
    return frozenset(key for entry in entries for key in used_keys(entry))


def _same_tensors(own: StateDict, repaired: StateDict) -> bool:
    """Whether each key has the same tensor of the file in both, in whatever dtype."""
    return all(
        key in own and _without_dtype(entry) == _without_dtype(own[key])
        for key, entry in repaired.items()
    )


def _without_dtype(entry: TensorEntry) -> TensorEntry:
    return replace(entry, key="", origin="", dtype="", transforms=())


def _own_names(original: StateDict, repaired: StateDict, others: tuple[Architecture, ...]) -> str:
    sentences = [
        "The file has the target's own key names, so there is no other source model to compare "
        "with."
    ]
    if others:
        titles = listed([other.title for other in others])
        sentences.append(
            f"{titles} {'has' if len(others) == 1 else 'have'} the same keys and shapes, and may "
            "give other outputs: the file does not say which of them was trained."
        )
    used = frozenset(key for entry in repaired.values() for key in used_keys(entry))
    left_out = len(original.keys() - used)
    if left_out:
        sentences.append(
            f"{counted(left_out, 'tensor')} of the file {'is' if left_out == 1 else 'are'} not in "
            "the repaired one: what a model with them would give is not known."
        )
    return " ".join(sentences)


def _unknown(identification: Identification | None) -> str:
    if identification is None:
        return (
            "The source model was not looked for, since Loupe's index of the libraries is not "
            "built yet."
        )
    return (
        "The source model could not be built: Loupe found no architecture that takes these tensors "
        "under the file's own key names."
    )
