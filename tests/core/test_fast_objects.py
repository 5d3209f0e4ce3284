"""Frozen dataclasses that are made quickly are what they would be otherwise."""

import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from core.checkpoint import Record, TensorEntry
from core.checkpoint.containers import InMemory
from core.fast_objects import fast_constructor

make_record, make_entry = fast_constructor(Record), fast_constructor(TensorEntry)

RECORD = Record("0", 64, 16, 7, InMemory(b""))
GIVEN = ("w", "float32", (4,), (1,), 0, RECORD, True, "cuda:0", "w")


def test_it_is_of_the_class_itself_and_equal_to_one_made_plainly():
    entry = make_entry(*GIVEN)
    assert type(entry) is TensorEntry
    assert entry == TensorEntry(*GIVEN)
    assert hash(entry) == hash(TensorEntry(*GIVEN))
    assert repr(entry) == repr(TensorEntry(*GIVEN))


def test_defaults_and_names_are_the_class_s():
    assert make_record("0", 64, nbytes=16, crc32=7, source=RECORD.source) == RECORD
    assert make_entry("w", "float32", (), (), 0, None).transforms == ()


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        make_entry(*GIVEN).key = "other"


def test_it_can_be_replaced_and_pickled():
    entry = make_entry(*GIVEN)
    assert replace(entry, key="v").key == "v"
    assert entry.key == "w"
    alone = replace(entry, record=None)
    assert pickle.loads(pickle.dumps(alone)) == alone


def test_wrong_arguments_are_refused_as_by_the_class():
    with pytest.raises(TypeError):
        make_record("0")


def test_a_class_that_does_more_than_fill_its_fields_is_refused():
    @dataclass(frozen=True, slots=True)
    class Checked:
        number: int

        def __post_init__(self) -> None:
            raise ValueError

    @dataclass(frozen=True, slots=True)
    class Filled:
        numbers: list[int] = field(default_factory=list)

    for frozen in (Checked, Filled):
        with pytest.raises(TypeError, match="more than fill"):
            fast_constructor(frozen)
