"""What a person is asked about the pairing, and what each tick does."""

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.comparison import NO_CHOICES, PairedBy
from core.compare.pairing.choices import accept, reject
from core.compare.pairing.decision import decide, decisions
from core.compare.pairing.pair_entries import pair


@pytest.fixture
def files(tmp_path):
    torch.manual_seed(0)
    shared = torch.randn(5, 5)
    torch.save({"same": shared, "old": torch.randn(3, 4), "gone": torch.ones(2)}, tmp_path / "a")
    torch.save({"same": shared, "new": torch.randn(3, 4), "come": torch.ones(9)}, tmp_path / "b")
    return tuple(open_checkpoint(tmp_path / name).state_dict() for name in "ab")


def test_a_pair_by_name_is_no_question(files):
    found = decisions(pair(*files), NO_CHOICES)
    assert "same" not in {one.key_a for one in found}


def test_a_pair_by_hand_is_listed_and_can_be_taken_away_and_left_open(files):
    chosen = accept(NO_CHOICES, "gone", "come")
    paired = pair(*files, chosen)
    assert ("gone", "come", PairedBy.HAND) in {
        (one.a.key, one.b.key, one.by) for one in paired.pairs
    }
    (listed,) = (one for one in decisions(paired, chosen) if one.key_a == "gone")
    assert listed.paired
    away = decide(chosen, listed, paired=False)
    assert away.rejected == (("gone", "come"),)
    rest = decisions(pair(*files, away), away)
    (kept,) = (one for one in rest if one.key_a == "gone")
    assert not kept.paired
    assert decide(away, kept, paired=True) == NO_CHOICES


def test_what_was_rejected_stays_in_sight(files):
    chosen = reject(NO_CHOICES, "old", "new")
    paired = pair(*files, chosen)
    assert "old" in {entry.key for entry in paired.only_a}
    assert [(one.key_a, one.key_b, one.paired) for one in decisions(paired, chosen)] == [
        ("old", "new", False)
    ]
