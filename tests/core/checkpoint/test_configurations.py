"""The configurations beside a checkpoint are read as data, and nothing else beside it is."""

import json
import os
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.checkpoint import CONFIGURATIONS, open_checkpoint, surroundings
from core.checkpoint.configurations import MAX_BYTES

CONFIG = {"architecture": "resnet50", "pretrained_cfg": {"tag": "a1_in1k"}}


def folder(tmp_path: Path, name: str = "resnet50.a1_in1k", config: str | None = None) -> Path:
    made = tmp_path / name
    made.mkdir()
    save_file({"w": torch.ones(2)}, made / "model.safetensors")
    (made / "config.json").write_text(json.dumps(CONFIG) if config is None else config)
    (made / "README.json").write_text("{}")
    return made


def test_those_of_a_folder_are_read(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(folder(tmp_path))
    assert checkpoint.configs == {"config.json": CONFIG}
    assert checkpoint.folder == "resnet50.a1_in1k"
    assert "config.json" not in checkpoint.metadata


def test_those_beside_a_file_are_read_where_its_owner_says_what_is_around_it(
    tmp_path: Path,
) -> None:
    path = folder(tmp_path) / "model.safetensors"
    assert open_checkpoint(path).configs == {}
    checkpoint = open_checkpoint(path, around=surroundings(path))
    assert checkpoint.configs == {"config.json": CONFIG}
    assert checkpoint.folder.endswith("/resnet50.a1_in1k")


def test_those_beside_a_link_are_read_as_in_the_cache_of_the_hub(tmp_path: Path) -> None:
    blobs = folder(tmp_path, "blobs")
    snapshot = tmp_path / "models--timm--resnet50.a1_in1k" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    for name in ("model.safetensors", "config.json"):
        os.symlink(blobs / name, snapshot / name)
    path = snapshot / "model.safetensors"
    checkpoint = open_checkpoint(path, around=surroundings(path))
    assert checkpoint.configs == {"config.json": CONFIG}
    assert "models--timm--resnet50.a1_in1k/" in checkpoint.folder


def test_those_in_an_archive_are_read(tmp_path: Path) -> None:
    made = folder(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name in ("model.safetensors", "config.json"):
            archive.write(made / name, f"export/{name}")
    assert open_checkpoint(tmp_path / "model.zip").configs == {"config.json": CONFIG}


@pytest.mark.parametrize(
    "config",
    ["{", "[1]", "[" * 100_000, " " * (MAX_BYTES + 1)],
    ids=["cut short", "a list", "nested", "large"],
)
def test_one_that_cannot_be_read_is_none(tmp_path: Path, config: str) -> None:
    assert open_checkpoint(folder(tmp_path, config=config)).configs == {"config.json": None}


def test_a_pipe_in_its_place_does_not_block(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made / "config.json").unlink()
    os.mkfifo(made / "config.json")
    path = made / "model.safetensors"
    assert open_checkpoint(path, around=surroundings(path)).configs == {}


def test_only_two_names_are_configurations() -> None:
    assert CONFIGURATIONS == ("config.json", "preprocessor_config.json")
