"""Which files a checkpoint's tensors lie in."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from core.checkpoint import FileSet, open_checkpoint
from core.inspect.storage import read_files


def test_one_file_is_one(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3), "v": torch.ones(2)}, tmp_path / "a.pth")
    found = read_files(open_checkpoint(tmp_path / "a.pth"))
    assert found == {"a.pth": (tmp_path / "a.pth").stat().st_size}


def test_the_shards_of_a_set_are_called_by_their_names_in_it(tmp_path: Path) -> None:
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for number in range(2):
        save_file({f"layer{number}": torch.ones(4)}, tmp_path / f"stored-{number}")
    files = {name: tmp_path / f"stored-{number}" for number, name in enumerate(names)}
    found = read_files(open_checkpoint(FileSet("model", files)))
    assert list(found) == names


def test_tensors_without_bytes_lie_in_no_file(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3, device="meta")}, tmp_path / "meta.pth")
    assert read_files(open_checkpoint(tmp_path / "meta.pth")) == {}
