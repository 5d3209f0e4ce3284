"""What a person does to a recipe."""

from core.fixes import AddPrefix, Recipe, Step, StripPrefix
from core.recipe import moved, switched, with_fix, with_fix_at, with_fixes, without_step

A, B, C = StripPrefix("a."), StripPrefix("b."), AddPrefix("c.")
RECIPE = Recipe((Step(A), Step(B), Step(C)))


def fixes(recipe: Recipe) -> list[object]:
    return [step.fix for step in recipe.steps]


def test_a_fix_is_added_at_the_end():
    assert fixes(with_fix(Recipe((Step(A),)), B)) == [A, B]


def test_several_fixes_are_added_in_their_order():
    assert fixes(with_fixes(Recipe((Step(A),)), (C, B))) == [A, C, B]


def test_a_step_is_removed_and_the_others_keep_their_order():
    assert fixes(without_step(RECIPE, 1)) == [A, C]


def test_a_step_that_is_switched_off_stays_in_its_place():
    assert switched(RECIPE, 1, False) == Recipe((Step(A), Step(B, enabled=False), Step(C)))


def test_a_step_moves_up_and_down_but_not_beyond_an_end():
    assert fixes(moved(RECIPE, 2, -1)) == [A, C, B]
    assert fixes(moved(RECIPE, 0, 1)) == [B, A, C]
    assert fixes(moved(RECIPE, 0, -1)) == [A, B, C]
    assert fixes(moved(RECIPE, 2, 1)) == [A, B, C]


def test_a_step_that_is_changed_is_switched_on_again():
    off = switched(RECIPE, 0, False)
    assert with_fix_at(off, 0, C) == Recipe((Step(C), Step(B), Step(C)))
