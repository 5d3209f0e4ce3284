"""Keys that are one tensor in the file, each with a storage of its own."""

from pathlib import Path

import torch

from core.export import export_state_dict
from core.fixes import AddPrefix, Untie
from core.ties import ties
from tests.core.fixes.files import applied, assert_tensors, saved


def test_field_33_shared_storages_come_apart_in_the_export(tmp_path: Path) -> None:
    tied, whole = torch.randn(4, 3), torch.randn(6)
    tensors = {
        "embed.weight": tied,
        "head.weight": tied,
        "again.weight": tied,
        "view": whole[:3],
        "whole": whole,
        "empty.a": torch.empty(0),
        "empty.b": torch.empty(0),
    }
    after = applied(saved(tmp_path, tensors), AddPrefix("m."), Untie(), Untie())
    assert_tensors(after.state_dict, {f"m.{key}": value for key, value in tensors.items()})
    assert [effect.sentence for effect in after.effects[1:]] == ["2 keys untied.", "No key untied."]
    assert ties(after.state_dict) == ()
    export_state_dict(after.state_dict, tmp_path / "out.pth", "pth")
    read = torch.load(tmp_path / "out.pth", weights_only=True)
    held = [value for value in read.values() if value.numel()]
    assert len({value.untyped_storage().data_ptr() for value in held}) == len(held)
    assert torch.equal(read["m.head.weight"], tied)


def test_without_the_fix_the_export_keeps_them_tied(tmp_path: Path) -> None:
    tied = torch.randn(4, 3)
    given = saved(tmp_path, {"a": tied, "b": tied})
    export_state_dict(given, tmp_path / "out.pth", "pth")
    read = torch.load(tmp_path / "out.pth", weights_only=True)
    assert read["a"].data_ptr() == read["b"].data_ptr()
