"""Two lists of classes: which rows of a head are kept, for a head of other classes."""

from hypothesis import given
from hypothesis import strategies as some

from core.recipe import rows_for


def test_names_are_paired_exactly_first_and_then_but_for_their_spelling() -> None:
    found = rows_for(
        ["Tabby_Cat", "dog", "Dog", "golden  retriever"], ["dog", "tabby cat", "DOG", "owl"]
    )
    assert found.rows == (1, 0, 2, -1)
    assert (found.dropped, found.new) == (("golden  retriever",), ("owl",))
    assert found.sentence == (
        "3 of 4 classes keep their rows; dropped: golden  retriever; new: owl."
    )


@given(some.lists(some.text(max_size=3)), some.lists(some.text(max_size=3)))
def test_every_old_row_goes_to_one_class_at_most(old: list[str], new: list[str]) -> None:
    found = rows_for(old, new)
    rows = [row for row in found.rows if row >= 0]
    assert len(found.rows) == len(new)
    assert len(set(rows)) == len(rows) == len(found.kept)
    assert len(found.dropped) == len(old) - len(rows)
    assert rows_for(old, old).rows == tuple(range(len(old)))
