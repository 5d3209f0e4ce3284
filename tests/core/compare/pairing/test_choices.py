"""Decisions about the pairing add up, can be taken back, and survive a link."""

import pytest

from core.compare.comparison import NO_CHOICES, Choices
from core.compare.pairing.choices import accept, choices_from_json, choices_to_json, reject, swapped

DECIDED = Choices(
    accepted=(("a.w", "b.w"), ("é", "\ud800")), rejected=(("x", "y"),), strip=("module.", "")
)


def test_what_was_accepted_and_then_rejected_is_rejected_alone():
    chosen = reject(accept(NO_CHOICES, "a", "b"), "a", "b")
    assert chosen == Choices(rejected=(("a", "b"),))
    assert accept(chosen, "a", "b") == Choices(accepted=(("a", "b"),))


def test_a_key_stands_beside_one_other_by_hand():
    chosen = accept(accept(NO_CHOICES, "a", "b"), "a", "c")
    assert chosen.accepted == (("a", "c"),)
    assert accept(chosen, "d", "c").accepted == (("d", "c"),)


def test_a_decision_taken_twice_stands_once():
    assert reject(reject(NO_CHOICES, "a", "b"), "a", "b").rejected == (("a", "b"),)


def test_swapping_the_files_twice_changes_nothing():
    assert swapped(DECIDED).accepted[0] == ("b.w", "a.w")
    assert swapped(DECIDED).strip == ("", "module.")
    assert swapped(swapped(DECIDED)) == DECIDED


def test_choices_come_back_from_json():
    assert choices_from_json(choices_to_json(DECIDED)) == DECIDED
    assert choices_to_json(NO_CHOICES) == {}
    assert choices_from_json({}) == NO_CHOICES


@pytest.mark.parametrize(
    "broken",
    [
        [],
        {"accepted": "ab"},
        {"accepted": ["ab"]},
        {"strip": ["a"]},
        {"other": 1},
        {"rejected": [[1, 2]]},
    ],
)
def test_what_is_no_choice_is_refused(broken):
    with pytest.raises(ValueError, match=r"pair|mapping"):
        choices_from_json(broken)
