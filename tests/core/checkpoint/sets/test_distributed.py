"""Folders of torch.distributed.checkpoint open as the one checkpoint that they are."""

import copy
import io
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import IO, Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import nn
from torch.distributed.checkpoint._extension import StreamTransformExtension
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorStorageMetadata,
)

from core.checkpoint import Verdict, open_checkpoint
from core.checkpoint.entries import Pieces
from core.errors import CheckpointError, SourceError
from core.inspect import verify
from core.tensors import chunks, read_tensor
from tests.bounds import at_most
from tests.core.checkpoint.same_tensors import assert_same_tensors
from tests.waiting import PATIENCE

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled"),
    pytest.mark.slow,
]


def saved(folder: Path) -> dict[str, object]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.25)
    model(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 7,
        "notes": ["warm", torch.ones(2), 3.5],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(state, checkpoint_id=folder)
    return state


def rewrite(folder: Path, change: Mapping[str, object]) -> None:
    """Write `.metadata` again with other values, as torch itself pickles it."""
    path = folder / ".metadata"
    metadata: Metadata = pickle.loads(path.read_bytes())
    for name, value in change.items():
        setattr(metadata, name, value)
    path.write_bytes(pickle.dumps(metadata))


def metadata_of(folder: Path) -> Metadata:
    found: Metadata = pickle.loads((folder / ".metadata").read_bytes())
    return found


def test_the_same_tensors_as_torchs_own_conversion_at_the_same_paths(tmp_path: Path) -> None:
    saved(tmp_path / "step-7")
    dcp_to_torch_save(tmp_path / "step-7", tmp_path / "converted.pth")
    converted = torch.load(tmp_path / "converted.pth", weights_only=False)
    checkpoint = open_checkpoint(tmp_path / "step-7")
    assert checkpoint.format == "distributed"
    assert checkpoint.best == "model"
    assert list(checkpoint.state_dict()) == list(converted["model"])
    for key, tensor in converted["model"].items():
        assert torch.equal(read_tensor(checkpoint.state_dict()[key]), tensor)
    moments = checkpoint.state_dict("optimizer.state")
    for index, group in converted["optimizer"]["state"].items():
        for name, tensor in group.items():
            assert torch.equal(read_tensor(moments[f"{index}.{name}"]), tensor)


def test_what_is_no_tensor_is_metadata(tmp_path: Path) -> None:
    saved(tmp_path)
    metadata = open_checkpoint(tmp_path).metadata
    assert metadata["epoch"] == 7
    assert metadata["notes"] == ["warm", 3.5]
    assert metadata["optimizer"]["param_groups"][0]["lr"] == 0.25  # type: ignore[index,call-overload]


def test_its_own_classes_are_no_danger(tmp_path: Path) -> None:
    saved(tmp_path)
    uses = open_checkpoint(tmp_path).globals
    assert {use.verdict for use in uses} == {Verdict.PLAIN}
    assert len({use.name for use in uses}) == len(uses)


TWO_RANKS = """
import os, sys, time, torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
from pathlib import Path
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, Replicate, distribute_tensor
from torch.distributed.device_mesh import init_device_mesh
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
mesh = init_device_mesh("cpu", (2,))
whole = torch.arange(7 * 6, dtype=torch.float32).reshape(7, 6)
state = {
    "rows": distribute_tensor(whole, mesh, [Shard(0)]),
    "columns": distribute_tensor(whole, mesh, [Shard(1)]),
    "copied": distribute_tensor(whole, mesh, [Replicate()]),
    "plain": torch.ones(3, dtype=torch.bfloat16),
}
dcp.save({"model": state, "step": 5}, checkpoint_id=folder + "/saved")
dcp.save(state, storage_writer=HuggingFaceStorageWriter(folder + "/hf", save_distributed=True))
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 1))
fully_shard(model, mesh=mesh)
optimizer = torch.optim.AdamW(model.parameters())
model(torch.randn(4, 3)).sum().backward()
optimizer.step()
weights, moments = get_state_dict(model, optimizer)
each_tensor_a_file = dcp.FileSystemWriter(folder + "/fsdp", single_file_per_rank=False)
dcp.save({"model": weights, "optimizer": moments}, storage_writer=each_tensor_a_file)
# A rank that goes closes its connections, which another may still need.
Path(folder, f"done-{rank}").touch()
while not Path(folder, f"done-{1 - rank}").exists():
    time.sleep(0.05)
# All files are written. Python's and gloo's own way out ends now and then with
# "terminate called without an active exception": threads that still run when it is gone.
os._exit(0)
"""


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-W", "ignore", "-c", TWO_RANKS]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(folder)], env=environment, stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    errors = [rank.communicate(timeout=PATIENCE)[1].decode() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], errors
    return folder / "saved"


@pytest.mark.parametrize("key", ["rows", "columns", "copied"])
def test_the_pieces_of_several_ranks_are_one_tensor(two_ranks: Path, key: str) -> None:
    whole = torch.arange(42, dtype=torch.float32).reshape(7, 6)
    entry = open_checkpoint(two_ranks).state_dict()[key]
    assert entry.shape == (7, 6)
    assert isinstance(entry.form, Pieces) is (key != "copied")
    assert torch.equal(read_tensor(entry), whole)
    for nbytes in (4, 20, 24, 52, 4096):
        read = [piece.clone() for piece in chunks(entry, nbytes)]
        assert max(piece.numel() for piece in read) * 4 <= max(nbytes, 4)
        assert torch.equal(torch.cat(read), whole.reshape(-1))


def test_the_safetensors_files_of_several_ranks_are_one_checkpoint(two_ranks: Path) -> None:
    whole = torch.arange(42, dtype=torch.float32).reshape(7, 6)
    checkpoint = open_checkpoint(two_ranks.parent / "hf")
    assert checkpoint.format == "safetensors shards"
    assert checkpoint.files == 2
    state_dict = checkpoint.state_dict()
    assert set(state_dict) == {"rows", "columns", "copied", "plain"}
    assert isinstance(state_dict["rows"].form, Pieces)
    for key in ("rows", "columns", "copied"):
        assert torch.equal(read_tensor(state_dict[key]), whole), key
    assert torch.equal(read_tensor(state_dict["plain"]), torch.ones(3, dtype=torch.bfloat16))
    assert verify(checkpoint).sound


def test_one_ranks_safetensors_file_says_that_it_is_one(two_ranks: Path, tmp_path: Path) -> None:
    first, second = sorted((two_ranks.parent / "hf").glob("*.safetensors"))
    for name in (first.name, "renamed.safetensors"):
        path = tmp_path / name
        path.write_bytes(first.read_bytes())
        (note,) = open_checkpoint(path).notes
        assert "wrote this file for one rank" in note
        assert "open the folder that contains the files of all ranks" in note
        path.unlink()
    (tmp_path / second.name).write_bytes(second.read_bytes())
    with pytest.raises(CheckpointError, match="do not make up whole tensors") as raised:
        open_checkpoint(tmp_path)
    assert raised.value.remedy == "Get the files of all ranks, and put them next to the others."


def test_pieces_in_numbered_shards_are_joined_and_not_taken_for_the_whole(tmp_path: Path) -> None:
    for number in (1, 2):
        sharding = json.dumps({"w": {"saved_offsets": [2 * number - 2, 0]}})
        save_file(
            {"w": torch.full((2, 4), float(number))},
            tmp_path / f"model-0000{number}-of-00002.safetensors",
            metadata={"DCP_SHARDING_INFO": sharding},
        )
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.notes == ()
    expected = torch.tensor([1.0, 1, 2, 2]).repeat_interleave(4).reshape(4, 4)
    assert torch.equal(read_tensor(checkpoint.state_dict()["w"]), expected)


@pytest.mark.parametrize(
    "sharding",
    ["[", "[]", '{"w": {}}', '{"w": {"saved_offsets": [-1, 0]}}', '{"w": {"saved_offsets": [0]}}'],
)
def test_a_rank_that_says_nonsense_on_its_pieces_is_refused(tmp_path: Path, sharding: str) -> None:
    save_file(
        {"w": torch.ones(2, 4)},
        tmp_path / "shard-00001-model-00001-of-00001.safetensors",
        metadata={"DCP_SHARDING_INFO": sharding},
    )
    with pytest.raises(CheckpointError, match="do not make up whole tensors"):
        open_checkpoint(tmp_path)


def test_a_lone_file_of_a_distributed_checkpoint_says_what_to_open(tmp_path: Path) -> None:
    dcp.save({"a": torch.ones(4, 4), "b": torch.ones(2)}, checkpoint_id=tmp_path)
    with pytest.raises(CheckpointError, match="one of the data files of a distributed") as raised:
        open_checkpoint(tmp_path / "__0_0.distcp")
    assert raised.value.remedy == "Open the folder that contains .metadata and all data files."
    with pytest.raises(CheckpointError, match=r"is the \.metadata of a distributed") as raised:
        open_checkpoint(tmp_path / ".metadata")
    assert raised.value.remedy == "Open the folder that contains it and the .distcp files."


def test_a_fully_sharded_model_and_its_optimizer_are_whole(two_ranks: Path, tmp_path: Path) -> None:
    folder = two_ranks.parent / "fsdp"
    assert len(list(folder.glob("*.distcp"))) > 4
    dcp_to_torch_save(folder, tmp_path / "whole.pth")
    whole = torch.load(tmp_path / "whole.pth", weights_only=False)
    checkpoint = open_checkpoint(folder)
    assert set(checkpoint.state_dicts) == {"model", "optimizer.state"}
    assert_same_tensors(checkpoint, whole["model"])
    moments = {
        f"{name}.{moment}": tensor
        for name, group in whole["optimizer"]["state"].items()
        for moment, tensor in group.items()
    }
    assert_same_tensors(checkpoint, moments, "optimizer.state")
    only_rank_0s = checkpoint.state_dict()["1.weight"]
    assert only_rank_0s.shape == (1, 5)
    assert only_rank_0s.form is None
    assert verify(checkpoint).sound


def test_an_optimizers_state_under_the_parameters_names_is_one_state_dict(tmp_path: Path) -> None:
    state = {"0.weight": {"exp_avg": torch.ones(2)}, "0.bias": {"exp_avg": torch.zeros(1)}}
    torch.save({"model": {"w": torch.ones(1)}, "optimizer": {"state": state}}, tmp_path / "a.pth")
    checkpoint = open_checkpoint(tmp_path / "a.pth")
    assert list(checkpoint.state_dicts) == ["model", "optimizer.state"]
    assert list(checkpoint.state_dict("optimizer.state")) == ["0.weight.exp_avg", "0.bias.exp_avg"]


def test_every_byte_of_the_files_is_verified(tmp_path: Path) -> None:
    saved(tmp_path)
    whole = verify(open_checkpoint(tmp_path))
    assert whole.sound
    assert whole.checked == whole.records > 0
    entry = open_checkpoint(tmp_path).state_dict()["0.weight"]
    assert entry.record is not None
    with (tmp_path / "__0_0.distcp").open("r+b") as file:
        file.seek(entry.record.offset)
        file.write(b"\x55")
    (damage,) = verify(open_checkpoint(tmp_path)).damaged
    assert damage.keys == ("model.0.weight",)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.complex64, torch.bool])
def test_strides_scalars_and_empty_tensors_come_through(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    state = {
        "transposed": (torch.randn(5, 3) > 0).to(dtype).t(),
        "channels_last": torch.ones(2, 3, 4, 4, dtype=dtype).to(memory_format=torch.channels_last),
        "slice": torch.arange(90).reshape(9, 10)[2:5, 1:4].to(dtype),
        "scalar": torch.tensor(1, dtype=dtype),
        "empty": torch.empty(0, 7, dtype=dtype),
        "large": torch.ones(300, 300).to(dtype),
    }
    dcp.save(state, checkpoint_id=tmp_path)
    assert_same_tensors(open_checkpoint(tmp_path), state)


class Packed(StreamTransformExtension):
    """Names itself in `.metadata`, as torch's own ZStandard does."""

    @staticmethod
    def registry_name() -> str:
        return "packed"

    @staticmethod
    def from_descriptor(version: str) -> "Packed":
        return Packed()

    def get_descriptor(self) -> str:
        return "packed/1"

    def transform_to(self, output: IO[bytes]) -> IO[bytes]:
        return io.BufferedWriter(_StaysOpen(output))  # type: ignore[return-value]

    def transform_from(self, input: IO[bytes]) -> IO[bytes]:
        return input


class _StaysOpen(io.RawIOBase):
    def __init__(self, output: IO[bytes]) -> None:
        self.output = output

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self.output.write(data)


def test_tensors_behind_an_extension_are_refused(tmp_path: Path) -> None:
    writer = dcp.FileSystemWriter(tmp_path, _extensions=[Packed()])
    dcp.save({"w": torch.ones(3)}, storage_writer=writer)
    with pytest.raises(CheckpointError, match=r"extension.*packed/1"):
        open_checkpoint(tmp_path)


def test_other_values_beside_pieces_are_there(two_ranks: Path) -> None:
    checkpoint = open_checkpoint(two_ranks)
    assert checkpoint.metadata == {"step": 5}
    assert torch.equal(
        read_tensor(checkpoint.state_dict()["plain"]), torch.ones(3, dtype=torch.bfloat16)
    )


def test_a_missing_file_is_named_with_what_is_whole(two_ranks: Path, tmp_path: Path) -> None:
    for path in two_ranks.iterdir():
        if path.name != "__0_0.distcp":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match=r"__0_0\.distcp") as raised:
        open_checkpoint(tmp_path)
    assert "model.rows" not in raised.value.whole
    assert raised.value.whole


def test_a_file_that_is_cut_off_is_said(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "__0_0.distcp"
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(CheckpointError, match=r"__0_0\.distcp is cut off") as raised:
        open_checkpoint(tmp_path)
    assert "model.0.weight" in raised.value.whole
    assert len(raised.value.whole) < len(metadata_of(tmp_path).state_dict_metadata)


def test_a_file_that_changes_after_opening_is_noticed(tmp_path: Path) -> None:
    saved(tmp_path)
    entry = open_checkpoint(tmp_path).state_dict()["0.weight"]
    with (tmp_path / "__0_0.distcp").open("r+b") as file:
        file.write(b"another")
    with pytest.raises(SourceError, match="changed while it was open"):
        read_tensor(entry)


def test_lying_metadata_is_refused_in_a_sentence(tmp_path: Path) -> None:
    saved(tmp_path)
    sound = metadata_of(tmp_path)
    name = "model.0.weight"

    def refused(message: str) -> None:
        with pytest.raises(CheckpointError, match=message) as raised:
            open_checkpoint(tmp_path)
        assert len(str(raised.value)) < 600

    described = sound.state_dict_metadata
    tensor = described[name]
    for size, message in ((torch.Size([30, 4]), "more or fewer"), (torch.Size([2, 4]), "beyond")):
        lie = type(tensor)(tensor.properties, size, tensor.chunks)
        rewrite(tmp_path, {"state_dict_metadata": {name: lie}})
        refused(message)
    twice = type(tensor)(tensor.properties, torch.Size([6, 4]), [tensor.chunks[0]] * 2)
    rewrite(tmp_path, {"state_dict_metadata": {name: twice}})
    refused("overlap")
    rewrite(tmp_path, {"state_dict_metadata": described, "storage_data": {}})
    refused("does not say where")
    places = {
        index: type(info)("../../etc/passwd", 0, 10) for index, info in sound.storage_data.items()
    }
    rewrite(tmp_path, {"storage_data": places})
    refused("missing")
    places = {
        index: type(info)(info.relative_path, (1 << 60) + info.offset, info.length)
        for index, info in sound.storage_data.items()
    }
    rewrite(tmp_path, {"storage_data": places})
    refused("cut off")
    shifted = {
        index: type(info)(info.relative_path, info.offset + 9, info.length - 9)
        for index, info in sound.storage_data.items()
    }
    rewrite(tmp_path, {"storage_data": shifted})
    refused(r"In __0_0\.distcp, which should contain")
    rewrite(tmp_path, {"storage_data": {"a": 1}})
    refused("should be a Metadata")
    (tmp_path / ".metadata").write_bytes(b"\x80\x04]\x94.")
    refused("should be a Metadata")
    (tmp_path / ".metadata").write_bytes(b"nothing")
    refused("damaged")


def test_a_checkpoint_of_nothing_is_empty_and_not_damaged(tmp_path: Path) -> None:
    dcp.save({}, checkpoint_id=tmp_path)
    with pytest.raises(CheckpointError, match="no tensor: only an empty dictionary"):
        open_checkpoint(tmp_path)


def test_a_conjugate_view_is_resolved_as_torch_resolves_it(tmp_path: Path) -> None:
    numbers = torch.randn(3, dtype=torch.complex64)
    dcp.save({"conj": numbers.conj(), "plain": numbers}, checkpoint_id=tmp_path / "saved")
    dcp_to_torch_save(tmp_path / "saved", tmp_path / "converted.pth")
    converted = torch.load(tmp_path / "converted.pth", weights_only=True)
    expected = {key: tensor.resolve_conj() for key, tensor in converted.items()}
    assert_same_tensors(open_checkpoint(tmp_path / "saved"), expected)


@pytest.mark.parametrize("needed", [True, False])
def test_a_link_to_a_file_that_is_gone_is_a_missing_file(tmp_path: Path, needed: bool) -> None:
    dcp.save({"w": torch.ones(2)}, checkpoint_id=tmp_path)
    name = "__0_0.distcp" if needed else "__1_0.distcp"
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).symlink_to(tmp_path / "gone")
    if not needed:
        assert_same_tensors(open_checkpoint(tmp_path), {"w": torch.ones(2)})
        return
    with pytest.raises(CheckpointError, match=r"lacks 1 of its files, such as __0_0\.distcp"):
        open_checkpoint(tmp_path)


def test_a_dict_whose_numbers_are_no_positions_stays_a_dict(tmp_path: Path) -> None:
    dcp.save({"w": torch.ones(1), "at": {"b": 2.5}}, checkpoint_id=tmp_path)
    planned = metadata_of(tmp_path).planner_data
    rewrite(tmp_path, {"planner_data": {**planned, "at.b": ("at", 3)}})
    assert open_checkpoint(tmp_path).metadata == {"at": {"3": 2.5}}


def test_a_description_that_is_larger_than_any_is_refused_before_it_is_read(
    tmp_path: Path,
) -> None:
    dcp.save({"w": torch.ones(1)}, checkpoint_id=tmp_path)
    with (tmp_path / ".metadata").open("r+b") as file:
        file.truncate((128 << 20) + 1)
    with pytest.raises(CheckpointError, match=r"Loupe reads: .metadata has more than 134.MB"):
        open_checkpoint(tmp_path)


def changed(value: Any, **fields: object) -> Any:
    """A copy of one of torch's dataclasses, whose values it does not check."""
    copied = copy.copy(value)
    for name, field in fields.items():
        object.__setattr__(copied, name, field)
    return copied


def unsound(sound: Metadata) -> dict[str, list[dict[str, object]]]:
    """Metadata that contradicts itself or the file, by the words that say so."""
    tensor: Any = sound.state_dict_metadata["a"]
    chunk = tensor.chunks[0]
    places = {index.fqn: (index, place) for index, place in sound.storage_data.items()}
    index, place = places["a"]

    def described(**fields: object) -> dict[str, object]:
        return {"state_dict_metadata": {"a": changed(tensor, **fields)}}

    def stored(info: Any = place, at: Any = index) -> dict[str, object]:
        return {"state_dict_metadata": {"a": tensor}, "storage_data": {at: info}}

    two = {index: place, MetadataIndex("a", torch.Size([2])): places["b"][1]}
    return {
        "it describes no tensor": [{"state_dict_metadata": None}],
        "a has no chunks": [described(chunks=[]), described(chunks=None)],
        "the shape of a differs from the one in __0_0.distcp": [
            described(chunks=[changed(chunk, sizes=torch.Size([1, 2]))])
        ],
        "the pieces of a have different dtypes": [
            {
                **described(
                    size=torch.Size([4]),
                    chunks=[chunk, changed(chunk, offsets=torch.Size([2]))],
                ),
                "storage_data": two,
            }
        ],
        "a has a piece of another rank": [described(size=torch.Size([1, 2]))],
        "a size in it is not a list of lengths": [described(size="2")],
        "a size in it is impossible": [described(size=(-2,)), described(size=(2.0,))],
        "it does not say where the tensors are": [{"storage_data": None}],
        "it does not say where step is": [
            {"storage_data": dict([places["a"], places["b"]])}
        ],
        "a chunk in it has no key or no file": [
            stored(at=changed(index, fqn=None)),
            stored(changed(place, relative_path=None)),
        ],
        "a has an impossible offset or length": [
            stored(changed(place, offset=-1)),
            stored(changed(place, length=2.5)),
        ],
        "__0_0.distcp contains no tensor for a": [stored(places["step"][1])],
    }  # fmt: skip


def test_metadata_that_contradicts_itself_is_said(tmp_path: Path) -> None:
    state = {"a": torch.ones(2), "b": torch.ones(2).half(), "step": 3}
    dcp.save(state, checkpoint_id=tmp_path)
    sound = metadata_of(tmp_path)
    for words, changes in unsound(sound).items():
        for change in changes:
            rewrite(tmp_path, vars(sound) | change)
            with pytest.raises(CheckpointError, match=re.escape(f"unsound: {words}")):
                open_checkpoint(tmp_path)


def test_a_tensor_that_is_split_along_more_dimensions_than_any_is_refused(
    tmp_path: Path,
) -> None:
    corners = list(product(range(2), repeat=7))
    dcp.save({str(at): torch.ones([1] * 7) for at in range(len(corners))}, checkpoint_id=tmp_path)
    sound = metadata_of(tmp_path)
    size = torch.Size([1] * 7)
    chunks = [ChunkStorageMetadata(torch.Size(corner), size) for corner in corners]
    properties = sound.state_dict_metadata["0"].properties  # type: ignore[union-attr]
    whole = TensorStorageMetadata(properties, torch.Size([2] * 7), chunks)
    places = zip(chunks, sound.storage_data.values(), strict=True)
    rewrite(tmp_path, {
        "state_dict_metadata": {"w": whole},
        "planner_data": None,
        "storage_data": {MetadataIndex("w", chunk.offsets): place for chunk, place in places},
    })  # fmt: skip
    with pytest.raises(CheckpointError, match="w is split along more than 6 dimensions"):
        open_checkpoint(tmp_path)


def test_chunks_that_lie_over_one_another_are_refused(tmp_path: Path) -> None:
    """Thousands of chunks in one small archive would keep a reader busy for minutes."""
    saved(tmp_path)
    sound = metadata_of(tmp_path)
    index, info = next(iter(sound.storage_data.items()))
    described = sound.state_dict_metadata["model.0.weight"]
    keys = [f"w{number}" for number in range(3000)]
    places = {type(index)(key, index.offset): info for key in keys}
    rewrite(tmp_path, {
        "state_dict_metadata": dict.fromkeys(keys, described), "storage_data": places
    })  # fmt: skip
    with at_most(calls=1_000_000), pytest.raises(CheckpointError, match="overlap"):
        open_checkpoint(tmp_path)


def test_a_million_mentions_of_one_chunk_are_refused(tmp_path: Path) -> None:
    dcp.save({"w": torch.ones(2)}, checkpoint_id=tmp_path)
    sound = metadata_of(tmp_path).state_dict_metadata["w"]
    assert isinstance(sound, TensorStorageMetadata)
    often = TensorStorageMetadata(sound.properties, sound.size, sound.chunks * 1_000_000)
    rewrite(tmp_path, {"state_dict_metadata": {"w": often}})
    with (
        at_most(calls=3_000_000),
        pytest.raises(CheckpointError, match=r"more than 4.000.000 steps to be put together"),
    ):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("offsets", "sound"),
    [
        ([(0, 0), (0, 3), (2, 0), (2, 3)], True),
        ([(0, 0), (0, 3), (2, 0), (2, 2)], False),
        ([(0, 0), (0, 3), (0, 3), (2, 3)], False),
        ([(0, 0), (1, 3), (2, 0), (2, 3)], False),
    ],
)
def test_pieces_in_a_grid_must_cover_the_whole_once(
    tmp_path: Path, offsets: list[tuple[int, int]], sound: bool
) -> None:
    blocks = {f"b{number}": torch.full((2, 3), float(number)) for number in range(4)}
    dcp.save(blocks, checkpoint_id=tmp_path)
    metadata = metadata_of(tmp_path)
    places = list(metadata.storage_data.values())
    size = torch.Size([2, 3])
    pieces = [ChunkStorageMetadata(torch.Size(offset), size) for offset in offsets]
    whole = TensorStorageMetadata(
        metadata.state_dict_metadata["b0"].properties, torch.Size([4, 6]), pieces
    )
    rewrite(tmp_path, {
        "state_dict_metadata": {"w": whole},
        "planner_data": None,
        "storage_data": {
            MetadataIndex("w", piece.offsets): place
            for piece, place in zip(pieces, places, strict=True)
        },
    })  # fmt: skip
    if sound:
        expected = torch.arange(4.0).reshape(2, 2).repeat_interleave(2, 0).repeat_interleave(3, 1)
        assert torch.equal(read_tensor(open_checkpoint(tmp_path).state_dict()["w"]), expected)
        return
    with pytest.raises(CheckpointError, match=r"overlap|beyond"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "path",
    [(), ("a",) * 40, ("model", 1 << 40), (1.5,), "model", ("model", "0.weight", "inside")],
)
def test_odd_paths_in_the_planners_data_hurt_nobody(tmp_path: Path, path: object) -> None:
    saved(tmp_path)
    rewrite(tmp_path, {"planner_data": metadata_of(tmp_path).planner_data | {"epoch": path}})
    try:
        found = set(open_checkpoint(tmp_path).state_dicts)
    except CheckpointError as error:
        found = {str(error)[:20]}
    assert found & {"model", "The checkpoint's .me"}


def test_two_entries_at_one_path_are_never_mixed(tmp_path: Path) -> None:
    dcp.save({"a": torch.zeros(2), "b": torch.ones(2)}, checkpoint_id=tmp_path)
    rewrite(tmp_path, {"planner_data": {"a": ("w",), "b": ("w",)}})
    with pytest.raises(CheckpointError, match="same path as another"):
        open_checkpoint(tmp_path)
