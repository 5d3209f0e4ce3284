"""What people type into a form, as fixes take it."""

import pytest

from core.errors import FixError
from core.recipe import (
    classes_texts,
    labels_of,
    parts_of,
    parts_text,
    rows_for,
    table_from_json,
    table_of,
)


def test_parts_are_separated_by_commas_or_lines_and_come_back():
    assert parts_of(" q ,k\n v,") == ("q", "k", "v")
    assert parts_of(parts_text(("a.b", "c"))) == ("a.b", "c")


@pytest.mark.parametrize("text", ["", "q", " , ,"])
def test_fewer_than_two_parts_are_refused(text):
    with pytest.raises(FixError, match="two parts"):
        parts_of(text)


def test_labels_are_lines_and_an_empty_one_between_them_stays_a_class():
    assert labels_of("cat\n\n dog \n\n") == ("cat", "", "dog")
    with pytest.raises(FixError, match="empty"):
        labels_of(" \n ")


def test_rows_without_a_new_name_are_left_out_of_a_table():
    rows = [{"old": "a", "new": "b"}, {"old": "c", "new": None}, {"old": "d", "new": "d"}]
    assert table_of(rows) == (("a", "b"),)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "renames nothing"),
        ([{"old": "a", "new": ""}], "renames nothing"),
        ([{"old": "a", "new": "b"}, {"old": "a", "new": "c"}], "twice"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_sentence(rows, said):
    with pytest.raises(FixError, match=said):
        table_of(rows)


@pytest.mark.parametrize("value", [[], 3, {"a": 1}, {"a": ["b"]}, None])
def test_json_that_is_no_table_is_a_sentence(value):
    with pytest.raises(FixError, match="not a table"):
        table_from_json(value)


def test_a_table_as_json_is_an_object_of_names():
    assert table_from_json({"a": "b", "c": "d"}) == (("a", "b"), ("c", "d"))


@pytest.mark.parametrize(
    ("labels", "rows", "texts"),
    [
        (("cat", "dog", "cow"), (2, -1, 0), ("cat\ndog\ncow", "cow\nnew class 1\ncat")),
        ((), (2, -1, 0, -1), ("row 0\nrow 1\nrow 2", "row 2\nnew class 1\nrow 0\nnew class 2")),
        (("cat",), (0, 1), ("cat\nrow 1", "cat\nrow 1")),
        (("cat", "dog"), (), ("cat\ndog", "")),
    ],
)
def test_chosen_rows_are_two_lists_of_classes_that_give_the_rows_again(labels, rows, texts):
    assert classes_texts(labels, rows) == texts
    if rows:
        assert rows_for(*map(labels_of, texts)).rows == rows
