"""Small views that keep a huge storage (FIELD 20)."""

import torch

from core.checkpoint import open_checkpoint
from core.inspect.storage import sections, storage_note, storages_note, stored_bytes
from tests.core.odd_tensors import ODD


def test_a_small_view_of_a_huge_storage_is_told_with_what_a_clone_saves(tmp_path):
    huge = torch.zeros(1_000_000)
    torch.save({"view": huge[:1000], "whole": torch.zeros(1_000_000)}, tmp_path / "a.pth")
    found = open_checkpoint(tmp_path / "a.pth").state_dict()
    assert stored_bytes(found["view"]) == 4_000_000
    assert storage_note(found["view"]) == (
        "A view of 4.00\u202fkB into a storage of 4.00\u202fMB: the file keeps the whole storage. "
        "Unless other tensors share it, saving `tensor.clone()` makes the file "
        "4.00\u202fMB smaller."
    )
    assert storage_note(found["whole"]) is None


def test_indices_and_scales_are_no_waste(tmp_path):
    torch.save(dict(ODD), tmp_path / "odd.pth")
    for entry in open_checkpoint(tmp_path / "odd.pth").state_dict().values():
        assert stored_bytes(entry) >= entry.nbytes > 0
        assert storage_note(entry) is None


def test_a_small_sparse_view_of_huge_values_is_told(tmp_path):
    values = torch.zeros(1_000_000)[:3]
    sparse = torch.sparse_coo_tensor([[0, 1, 2]], values, (9,), check_invariants=True)
    torch.save({"w": sparse}, tmp_path / "a.pth")
    entry = open_checkpoint(tmp_path / "a.pth").state_dict()["w"]
    assert "into a storage of 4.00\u202fMB" in storage_note(entry)


def test_a_file_that_keeps_much_more_than_it_shows_is_told(tmp_path):
    torch.save({"view": torch.zeros(1_000_000)[:1000]}, tmp_path / "a.pth")
    torch.save({"whole": torch.zeros(1_000_000)}, tmp_path / "b.pth")
    note = storages_note(sections(open_checkpoint(tmp_path / "a.pth")))
    assert note.startswith("The tensors use 4.00\u202fkB of the 4.00\u202fMB that the file keeps")
    assert storages_note(sections(open_checkpoint(tmp_path / "b.pth"))) is None
