"""The edits that a person makes to a recipe; each returns a new recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.fixes import Fix, Recipe, Step


def with_fix(recipe: Recipe, fix: Fix) -> Recipe:
    """The recipe with one more step at its end."""
    return with_fixes(recipe, (fix,))


def with_fixes(recipe: Recipe, fixes: Sequence[Fix]) -> Recipe:
    """The recipe with a step for each fix at its end."""
    return Recipe((*recipe.steps, *map(Step, fixes)))


def with_fix_at(recipe: Recipe, index: int, fix: Fix) -> Recipe:
    """The recipe with the fix of step `index` replaced, switched on."""
    return _with_step(recipe, index, Step(fix))


def without_step(recipe: Recipe, index: int) -> Recipe:
    """The recipe without step `index`."""
    return Recipe(recipe.steps[:index] + recipe.steps[index + 1 :])


def switched(recipe: Recipe, index: int, enabled: bool) -> Recipe:
    """The recipe with step `index` switched on or off."""
    return _with_step(recipe, index, replace(recipe.steps[index], enabled=enabled))


def moved(recipe: Recipe, index: int, by: int) -> Recipe:
    """The recipe with step `index` moved by `by` places, at most to an end."""
    steps = list(recipe.steps)
    step = steps.pop(index)
    steps.insert(max(0, index + by), step)
    return Recipe(tuple(steps))


def _with_step(recipe: Recipe, index: int, step: Step) -> Recipe:
    return Recipe((*recipe.steps[:index], step, *recipe.steps[index + 1 :]))
