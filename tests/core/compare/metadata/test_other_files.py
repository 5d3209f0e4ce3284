"""Files beside two checkpoints are compared too, in folders and in archives."""

import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.checkpoint import open_checkpoint
from core.compare.metadata.other_files import FileChanges, file_changes
from tests.core.cli.process import loupe


def folder(path: Path, beside: Mapping[str, bytes]) -> Path:
    path.mkdir()
    save_file({"w": torch.ones(2)}, path / "model.safetensors")
    for name, data in beside.items():
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("in_a", "in_b"),
    [
        ({"config.json": b"1"}, {"config.json": b"2"}),
        ({"config.json": b"1"}, {"config.json": b"11"}),
        ({}, {"config.json": b"1"}),
        ({"config.json": b"1"}, {}),
    ],
)
def test_files_beside_folders_are_named_where_they_differ(
    tmp_path: Path, in_a: Mapping[str, bytes], in_b: Mapping[str, bytes]
) -> None:
    told = loupe("compare", folder(tmp_path / "a", in_a), folder(tmp_path / "b", in_b))

    first, *_ = told.stdout.splitlines()
    assert first == "The one tensor has the same bytes; besides them, config.json differs."
    assert told.returncode == 0


def test_equal_files_are_identical(tmp_path: Path) -> None:
    both = [folder(tmp_path / name, {"config.json": b"1"}) for name in "ab"]

    assert loupe("compare", *both).stdout.startswith("Identical")


def test_what_is_too_large_is_not_compared(tmp_path: Path) -> None:
    both = [folder(tmp_path / name, {"config.json": b"12"}) for name in "ab"]
    opened = [open_checkpoint(path) for path in both]

    assert file_changes(*opened, 1) == FileChanges(unread=("config.json",))
    assert file_changes(*opened, 2) == FileChanges()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_beside_an_archives_checkpoint_are_compared(tmp_path: Path, kind: str) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "policy.pth")
    for name, data in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / "data").write_bytes(data)
        path = tmp_path / f"{name}.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.write(tmp_path / "policy.pth", "policy.pth")
                archive.write(tmp_path / "data", "data")
        else:
            with tarfile.open(path, "w") as tar:
                tar.add(tmp_path / "policy.pth", "policy.pth")
                tar.add(tmp_path / "data", "data")
    a, b, c = (open_checkpoint(tmp_path / f"{name}.{kind}") for name in "abc")

    assert file_changes(a, b, 100) == FileChanges(changed=("data",))
    assert file_changes(a, c, 100) == FileChanges()
