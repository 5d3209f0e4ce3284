"""References to files lead where they say, and nowhere else."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import save_torch_state_dict

from core.checkpoint import FileSet, open_checkpoint
from core.errors import SourceError
from core.files import locate
from core.settings import Settings
from core.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data", quota=1000, largest_file=1000)


def test_an_upload_is_found_by_its_content_under_its_name(tmp_path: Path, store: Store) -> None:
    upload = store.begin(3)
    upload.write(b"abc")
    kept = upload.finish()
    found = locate(f"sha256:{kept.sha256}/my.pth", Settings(tmp_path), store)
    assert (found.path, found.name) == (kept.path, "my.pth")
    assert found.identity == f"sha256:{kept.sha256}"


def test_a_file_of_a_root_and_of_the_command_line_is_found(tmp_path: Path, store: Store) -> None:
    (tmp_path / "m.pth").write_bytes(b"x")
    settings = Settings(tmp_path, roots=(tmp_path,), bench=(tmp_path / "m.pth",))
    assert locate("root:0/m.pth", settings, store).path == tmp_path / "m.pth"
    assert locate("bench:0", settings, store).name == "m.pth"


def test_the_samples_open(tmp_path: Path, store: Store) -> None:
    for name in ("early", "final"):
        found = locate(f"sample:{name}", Settings(tmp_path), store)
        assert open_checkpoint(found.path).metadata["arch"] == "shufflenet_v2_x0_5"


@pytest.mark.parametrize(
    "reference",
    ["", "/etc/passwd", "file:/etc/passwd", "sha256:" + "a" * 64 + "/m.pth", "sha256:../x",
     "root:0/../outside", "root:1/m.pth", "root:-1/m.pth", "root:²/m.pth", "bench:0",
     "sample:other"],
)  # fmt: skip
def test_any_other_reference_is_a_sentence(tmp_path: Path, store: Store, reference: str) -> None:
    with pytest.raises(SourceError):
        locate(reference, Settings(tmp_path, roots=(tmp_path / "data",)), store)


def sharded(folder: Path) -> dict[str, torch.Tensor]:
    tensors = {f"layer{index}.weight": torch.randn(64, 8) for index in range(6)}
    folder.mkdir(parents=True)
    save_torch_state_dict(tensors, folder, max_shard_size=5_000)
    return tensors


@pytest.mark.parametrize(
    "reference",
    ["root:0/runs/model", "root:0/runs/model/model.safetensors.index.json", "bench:0", "bench:1"],
)
def test_a_folder_of_shards_is_found_as_one_checkpoint(
    tmp_path: Path, store: Store, reference: str
) -> None:
    tensors = sharded(tmp_path / "runs" / "model")
    index = tmp_path / "runs" / "model" / "model.safetensors.index.json"
    settings = Settings(tmp_path, roots=(tmp_path,), bench=(index.parent, index))
    found = locate(reference, settings, store)
    assert isinstance(found.path, FileSet)
    assert found.name in {"model", index.name}
    checkpoint = open_checkpoint(found.path, name=found.name, identity=found.identity)
    assert set(checkpoint.state_dict()) == set(tensors)
    assert set(found.files) >= set(index.parent.glob("*.safetensors"))


def test_the_root_itself_may_be_the_checkpoint(tmp_path: Path, store: Store) -> None:
    sharded(tmp_path / "model")
    found = locate("root:0/", Settings(tmp_path, roots=(tmp_path / "model",)), store)
    assert found.name == "model"
    assert len(open_checkpoint(found.path).state_dict()) == 6
