"""Undo and redo of what is done to a recipe."""

from hypothesis import given
from hypothesis import strategies as some

from core.fixes import AddPrefix, Recipe, Step, StripPrefix
from core.recipe import History
from core.recipe.history import MAX_UNDO

A = Recipe((Step(StripPrefix("a.")),))
B = Recipe((*A.steps, Step(AddPrefix("b."))))
C = Recipe((*B.steps, Step(AddPrefix("c."))))


def test_what_was_done_is_undone_and_redone_step_by_step() -> None:
    history = History().done(A).done(B)
    assert history.undo().present == A
    assert history.undo().undo().present == Recipe()
    assert history.undo().undo().redo().present == A
    assert history.undo().undo().redo().redo() == history


def test_a_new_change_after_an_undo_ends_what_could_be_redone() -> None:
    history = History().done(A).done(B).undo().done(C)
    assert history.redo() == history
    assert history.undo().present == A


def test_where_there_is_nothing_to_undo_or_redo_nothing_happens() -> None:
    assert History().undo() == History()
    assert History().done(A).redo() == History().done(A)


def test_a_change_that_changes_nothing_is_no_step_and_loses_no_redo() -> None:
    history = History().done(A).done(B).undo()
    assert history.done(A) == history
    assert history.redo().present == B


def test_a_long_history_forgets_its_beginning() -> None:
    recipes = [Recipe((Step(AddPrefix(f"{i}.")),)) for i in range(3 * MAX_UNDO)]
    history = History()
    for recipe in recipes:
        history = history.done(recipe)
    assert history.present == recipes[-1]
    for _ in range(3 * MAX_UNDO):
        history = history.undo()
    assert history.present == recipes[-1 - MAX_UNDO]
    assert history.redo().present == recipes[-MAX_UNDO]


@given(some.lists(some.sampled_from(["undo", "redo", A, B, C]), max_size=30))
def test_an_undo_after_anything_and_a_redo_lead_back(moves: list[str | Recipe]) -> None:
    history = History()
    for move in moves:
        if isinstance(move, Recipe):
            history = history.done(move)
        else:
            history = history.undo() if move == "undo" else history.redo()
    if history.past:
        assert history.undo().redo() == history
    if history.future:
        assert history.redo().undo() == history
