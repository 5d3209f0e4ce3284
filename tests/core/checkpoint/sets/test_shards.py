"""Shards with an index, as huggingface_hub writes them, open as one checkpoint."""

import json
import re
import tracemalloc
from pathlib import Path

import pytest
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file

from core.checkpoint import Checkpoint, open_checkpoint
from core.checkpoint.containers.file_set import FileSet, file_or_set, folder_files
from core.checkpoint.containers.sources import LocalFile
from core.errors import CheckpointError, SourceError
from core.tensors import read_tensor

KINDS = {True: "model.safetensors.index.json", False: "pytorch_model.bin.index.json"}

kinds = pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {f"layer{index}.weight": torch.randn(64, 8 + index) for index in range(9)}


def sharded(folder: Path, safe: bool) -> dict[str, torch.Tensor]:
    tensors = weights()
    folder.mkdir(exist_ok=True)
    save_torch_state_dict(
        tensors, folder, max_shard_size=9_000, safe_serialization=safe,
        metadata={"format": "pt"} if safe else None,
    )  # fmt: skip
    return tensors


def index_of(folder: Path, safe: bool) -> dict[str, object]:
    index: dict[str, object] = json.loads((folder / KINDS[safe]).read_text())
    return index


def assert_holds(checkpoint: Checkpoint, tensors: dict[str, torch.Tensor]) -> None:
    found = checkpoint.state_dict()
    assert set(found) == set(tensors)
    for key, tensor in tensors.items():
        assert torch.equal(read_tensor(found[key]), tensor), key


@kinds
def test_a_folder_of_shards_is_one_checkpoint_in_the_indexs_order(
    tmp_path: Path, safe: bool
) -> None:
    tensors = sharded(tmp_path / "model", safe)
    checkpoint = open_checkpoint(tmp_path / "model")
    index = index_of(tmp_path / "model", safe)
    assert_holds(checkpoint, tensors)
    assert list(checkpoint.state_dict()) == list(index["weight_map"])  # type: ignore[call-overload]
    assert checkpoint.name == "model"
    files = [path for path in (tmp_path / "model").iterdir() if "-of-" in path.name]
    assert len(files) > 2
    assert checkpoint.files == len(files) + 1
    assert checkpoint.size >= sum(path.stat().st_size for path in files)
    assert checkpoint.metadata["__metadata__"]["total_size"] == index["metadata"]["total_size"]  # type: ignore[index,call-overload]


@kinds
def test_the_index_opens_its_shards(tmp_path: Path, safe: bool) -> None:
    tensors = sharded(tmp_path, safe)
    (tmp_path / "another.pth").write_bytes(b"nothing")
    assert_holds(open_checkpoint(file_or_set(tmp_path / KINDS[safe])), tensors)


@kinds
def test_shards_without_their_index_are_put_together_by_their_numbers(
    tmp_path: Path, safe: bool
) -> None:
    tensors = sharded(tmp_path, safe)
    (tmp_path / KINDS[safe]).unlink()
    checkpoint = open_checkpoint(tmp_path)
    assert_holds(checkpoint, tensors)
    assert any("no index" in note for note in checkpoint.notes)


@kinds
def test_one_shard_alone_says_that_it_is_one(tmp_path: Path, safe: bool) -> None:
    sharded(tmp_path, safe)
    shard = sorted(path for path in tmp_path.iterdir() if "-00002-of-" in path.name)[0]
    checkpoint = open_checkpoint(shard)
    assert 0 < len(checkpoint.state_dict()) < 9
    assert any(note.startswith("This is shard 2 of") for note in checkpoint.notes)


@kinds
def test_a_missing_shard_is_named_with_what_is_whole(tmp_path: Path, safe: bool) -> None:
    sharded(tmp_path, safe)
    shard = sorted(path for path in tmp_path.iterdir() if "-00002-of-" in path.name)[0]
    inside = set(open_checkpoint(shard).state_dict())
    shard.unlink()
    with pytest.raises(CheckpointError, match=re.escape(shard.name)) as raised:
        open_checkpoint(tmp_path)
    assert set(raised.value.whole) == set(weights()) - inside
    assert f"{9 - len(inside)} of the 9" in raised.value.problem


@kinds
def test_a_truncated_shard_is_named(tmp_path: Path, safe: bool) -> None:
    sharded(tmp_path, safe)
    shard = sorted(path for path in tmp_path.iterdir() if "-00002-of-" in path.name)[0]
    shard.write_bytes(shard.read_bytes()[:-900])
    with pytest.raises(CheckpointError, match=re.escape(shard.name)) as raised:
        open_checkpoint(tmp_path)
    assert "cut off" in raised.value.problem
    assert len(raised.value.whole) >= 4


@pytest.mark.parametrize("index", ["model.safetensors.index.json", "weights.bin.index.v2.json"])
def test_an_index_may_give_its_shards_any_names(tmp_path: Path, index: str) -> None:
    torch.save({"b": torch.ones(2), "c": torch.ones(3)}, tmp_path / "back.bin")
    save_file({"a": torch.ones(1)}, tmp_path / "front.safetensors")
    weight_map = {"c": "back.bin", "a": "front.safetensors", "b": "back.bin"}
    (tmp_path / index).write_text(json.dumps({"weight_map": weight_map}))
    for checkpoint in (open_checkpoint(tmp_path), open_checkpoint(file_or_set(tmp_path / index))):
        assert_holds(checkpoint, {"c": torch.ones(3), "a": torch.ones(1), "b": torch.ones(2)})
        assert list(checkpoint.state_dict()) == ["c", "a", "b"]


def test_a_variants_index_opens_its_own_shards(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "model-00001-of-00001.safetensors")
    save_file({"a": torch.ones(1).half()}, tmp_path / "model.fp16-00001-of-00001.safetensors")
    for variant, shard in ((".fp16", "model.fp16-"), ("", "model-")):
        weight_map = {"a": f"{shard}00001-of-00001.safetensors"}
        index = tmp_path / f"model.safetensors.index{variant}.json"
        index.write_text(json.dumps({"weight_map": weight_map}))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.state_dict()["a"].dtype == "float32"
    assert any("left out: model.fp16-00001-of-00001" in note for note in checkpoint.notes)
    one = open_checkpoint(file_or_set(tmp_path / "model.safetensors.index.fp16.json"))
    assert list(one.state_dicts) == [""]
    assert one.state_dict()["a"].dtype == "float16"


def test_each_of_two_indexes_is_a_part(tmp_path: Path) -> None:
    for name, size in (("unet", 2), ("vae", 3)):
        save_file({"w": torch.ones(size)}, tmp_path / f"{name}-00001-of-00001.safetensors")
        weight_map = {"w": f"{name}-00001-of-00001.safetensors"}
        (tmp_path / f"{name}.safetensors.index.json").write_text(
            json.dumps({"weight_map": weight_map})
        )
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.state_dict("unet")["w"].shape == (2,)
    assert checkpoint.state_dict("vae")["w"].shape == (3,)


def test_numbered_shards_that_hold_a_key_twice_are_told(tmp_path: Path) -> None:
    """Ranks of tensor parallelism save parts of one tensor under one key."""
    for number in (1, 2):
        tensors = {"w": torch.full((2,), float(number)), f"only{number}": torch.ones(1)}
        torch.save(tensors, tmp_path / f"model-0000{number}-of-00002.bin")
    checkpoint = open_checkpoint(tmp_path)
    assert torch.equal(read_tensor(checkpoint.state_dict()["w"]), torch.ones(2))
    assert any("more than one shard, such as w:" in note for note in checkpoint.notes)


@kinds
def test_a_key_that_is_not_where_the_index_says_is_an_error(tmp_path: Path, safe: bool) -> None:
    sharded(tmp_path, safe)
    index = index_of(tmp_path, safe)
    index["weight_map"]["head.bias"] = next(iter(index["weight_map"].values()))  # type: ignore[index]
    (tmp_path / KINDS[safe]).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"lacks head\.bias.* 9 of the 10") as raised:
        open_checkpoint(tmp_path)
    assert set(raised.value.whole) == set(weights())


@kinds
def test_a_tensor_that_the_index_forgets_is_shown_and_told(tmp_path: Path, safe: bool) -> None:
    tensors = sharded(tmp_path, safe)
    index = index_of(tmp_path, safe)
    del index["weight_map"]["layer0.weight"]  # type: ignore[attr-defined]
    (tmp_path / KINDS[safe]).write_text(json.dumps(index))
    checkpoint = open_checkpoint(tmp_path)
    assert_holds(checkpoint, tensors)
    assert any("layer0.weight" in note for note in checkpoint.notes)


def test_an_index_reaches_no_file_outside_of_its_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret.safetensors"
    inside = tmp_path / "model"
    sharded(inside, True)
    secret.write_bytes(next(inside.glob("*-00001-*")).read_bytes())
    for name in ("../secret.safetensors", str(secret), "./../secret.safetensors"):
        index = {"weight_map": {"w": name}}
        (inside / KINDS[True]).write_text(json.dumps(index))
        with pytest.raises(CheckpointError, match="missing"):
            open_checkpoint(inside)


@pytest.mark.parametrize(
    "document",
    [
        "[1]", "{}", "not json", '{"weight_map": []}', '{"weight_map": {"a": 1}}',
        '{"weight_map": {"a": {"b": "c"}}}', "[" * 100_000, '{"weight_map": {}}',
        json.dumps({"weight_map": {"k": KINDS[True]}}),
        '{"weight_map": {"' + "k" * 5000 + '": "a.safetensors"}}',
        json.dumps({"weight_map": {"k": f"{'x' * 5000}.safetensors"}}),
        json.dumps({"weight_map": {f"k{i}": f"f{i}.safetensors" for i in range(5000)}}),
    ],
)  # fmt: skip
def test_a_broken_index_is_one_sentence(tmp_path: Path, document: str) -> None:
    (tmp_path / KINDS[True]).write_text(document)
    with pytest.raises(CheckpointError) as raised:
        open_checkpoint(tmp_path)
    assert len(str(raised.value)) < 600


@kinds
def test_a_shard_that_changes_after_opening_is_noticed(tmp_path: Path, safe: bool) -> None:
    sharded(tmp_path, safe)
    checkpoint = open_checkpoint(tmp_path)
    entry = checkpoint.state_dict()["layer8.weight"]
    shard = next(path for path in tmp_path.iterdir() if path.name.endswith(("bin", "tensors"))
                 and "layer8.weight" in open_checkpoint(path).state_dict())  # fmt: skip
    with shard.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(SourceError, match="changed while it was open"):
        read_tensor(entry)


def test_an_index_of_ten_million_keys_is_refused_unread(tmp_path: Path) -> None:
    keys = ",".join(f'"{number:x}":"a"' for number in range(1_000_000))
    with (tmp_path / KINDS[True]).open("w") as file:
        file.write('{"weight_map":{' + ",".join([keys] * 10) + "}}")
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"has more than 67.1.MB"):
            open_checkpoint(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@kinds
def test_a_shard_that_is_overwritten_is_noticed_and_never_mixed(tmp_path: Path, safe: bool) -> None:
    tensors = sharded(tmp_path, safe)
    checkpoint = open_checkpoint(tmp_path)
    files = index_of(tmp_path, safe)["weight_map"]
    key = "layer3.weight"
    shard = tmp_path / files[key]  # type: ignore[index]
    other = shard.read_bytes()[:-64] + bytes(64)
    with shard.open("r+b") as file:
        file.write(other)
    for name, entry in checkpoint.state_dict().items():
        if files[name] == files[key]:  # type: ignore[index]
            with pytest.raises(SourceError, match="changed while it was open"):
                read_tensor(entry)
        else:
            assert torch.equal(read_tensor(entry), tensors[name])


@kinds
def test_shards_that_are_replaced_or_removed_are_read_as_they_were(
    tmp_path: Path, safe: bool
) -> None:
    tensors = sharded(tmp_path / "model", safe)
    checkpoint = open_checkpoint(tmp_path / "model")
    shards = sorted((tmp_path / "model").glob("*-of-*"))
    (tmp_path / "newer").write_bytes(shards[1].read_bytes()[::-1])
    (tmp_path / "newer").replace(shards[1])
    shards[0].unlink()
    assert_holds(checkpoint, tensors)


class ReadLate(LocalFile):
    """A file before whose first bytes are read, a training job replaces another one."""

    def __init__(self, path: Path, other: Path) -> None:
        super().__init__(path)
        self.other = other

    def read(self, offset: int, nbytes: int) -> bytes:
        newer = self.other.with_name("newer")
        newer.write_bytes(self.other.read_bytes())
        newer.replace(self.other)
        return super().read(offset, nbytes)


@kinds
def test_a_set_that_is_replaced_while_it_is_opened_is_refused(tmp_path: Path, safe: bool) -> None:
    sharded(tmp_path, safe)
    first, *_, last = sorted(tmp_path.glob("*-of-*"))
    files = dict(folder_files(tmp_path).files) | {last.name: ReadLate(last, first)}
    with pytest.raises(SourceError, match=f"{first.name} changed while it was open"):
        open_checkpoint(FileSet("model", files))


@kinds
def test_equal_sets_have_equal_identities_and_others_do_not(tmp_path: Path, safe: bool) -> None:
    sharded(tmp_path, safe)
    first = open_checkpoint(tmp_path).identity
    assert open_checkpoint(tmp_path).identity == first
    shard = next(tmp_path.glob("*-00001-*"))
    shard.write_bytes(shard.read_bytes())
    assert open_checkpoint(tmp_path).identity != first
