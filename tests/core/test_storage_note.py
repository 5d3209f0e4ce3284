"""Small views that keep a huge storage (FIELD 20)."""

import torch

from core.checkpoint import open_checkpoint
from core.storage_note import storage_note, stored_bytes


def test_a_small_view_of_a_huge_storage_is_told_with_what_a_clone_saves(tmp_path):
    huge = torch.zeros(1_000_000)
    torch.save({"view": huge[:1000], "whole": torch.zeros(1_000_000)}, tmp_path / "a.pth")
    found = open_checkpoint(tmp_path / "a.pth").state_dict()
    assert stored_bytes(found["view"]) == 4_000_000
    assert storage_note(found["view"]) == (
        "A view of 4.0 kB into a storage of 4.0 MB: the file keeps the whole storage. Unless other "
        "tensors share it, saving `tensor.clone()` makes the file 4.0 MB smaller."
    )
    assert storage_note(found["whole"]) is None
