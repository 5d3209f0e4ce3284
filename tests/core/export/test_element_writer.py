"""A damaged file is not made a sound one: what is read for an export is held against its CRC-32."""

from pathlib import Path

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError
from core.export import export_state_dict
from core.export.exported import CHUNK, Format
from core.fixes import AddPrefix, CastDtype, Fix, MergeLora, Recipe, Transpose
from core.recipe import apply_recipe

TENSORS = {
    "large.weight": torch.randn(CHUNK // 8, 3),
    "q.weight": torch.randn(5, 4),
    "q.lora_A": torch.randn(2, 4),
    "q.lora_B": torch.randn(5, 2),
    "half": torch.randn(7).half(),
}
RECIPES: dict[str, list[Fix]] = {
    "as it is": [],
    "renamed": [AddPrefix("m.")],
    "cast": [CastDtype("bfloat16")],
    "transposed": [Transpose("*weight")],
    "computed": [MergeLora(2)],
}


def damaged(path: Path, key: str) -> Path:
    """The saved tensors with one bit of one of them turned."""
    torch.save(TENSORS, path)
    record = open_checkpoint(path).state_dict()[key].record
    assert record is not None
    data = bytearray(path.read_bytes())
    data[record.offset + record.nbytes - 1] ^= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("form", ["pth", "safetensors"])
@pytest.mark.parametrize("fixes", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("key", ["q.weight", "q.lora_A", "half"])
def test_a_turned_bit_of_the_source_is_found_and_its_tensor_named(
    key: str, fixes: list[Fix], form: Format, tmp_path: Path
) -> None:
    given = open_checkpoint(damaged(tmp_path / "in.pth", key)).state_dict()
    state_dict = apply_recipe(Recipe.of(fixes), given).state_dict
    with pytest.raises(CheckpointError, match=f"The tensor {key} is damaged"):
        export_state_dict(state_dict, tmp_path / "out", form)
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


def test_one_in_the_last_piece_of_a_large_tensor_is_found(tmp_path: Path) -> None:
    given = open_checkpoint(damaged(tmp_path / "in.pth", "large.weight")).state_dict()
    with pytest.raises(CheckpointError, match=r"The tensor large\.weight is damaged"):
        export_state_dict(given, tmp_path / "out.pth", "pth")


def test_a_file_that_was_saved_without_checksums_is_taken_as_it_is(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = damaged(tmp_path / "in.pth", "half")
    finally:
        torch.serialization.set_crc32_options(True)
    export_state_dict(open_checkpoint(path).state_dict(), tmp_path / "out.pth", "pth")
    assert set(torch.load(tmp_path / "out.pth")) == set(TENSORS)
