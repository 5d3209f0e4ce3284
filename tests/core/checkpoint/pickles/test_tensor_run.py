"""A tensor's opcodes read at one go give what they give one by one."""

import gc
import io
import random
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from core.checkpoint import open_checkpoint
from core.checkpoint.pickles import unpickler
from core.checkpoint.pickles.inert import InertDict, InertTensor, Opaque, Tree
from core.checkpoint.pickles.key_names import key_text
from core.checkpoint.pickles.tensor_run import OBJECTS
from core.checkpoint.tree.tensor_entries import storage_of
from core.errors import CheckpointError
from core.tensors import read_tensor
from tests.core.checkpoint.same_tensors import assert_same_tensors


def many_tensors() -> dict[str, torch.Tensor]:
    """Enough for the memo's indices to outgrow one byte, from where on runs are recognised."""
    torch.manual_seed(0)
    base = torch.arange(6000.0).reshape(20, 20, 15)
    plain = {f"plain{i}": torch.randn(i % 5 + 1, *([2] * (i % 8))) for i in range(80)}
    views = {f"view{i}": base[i % 20, ::2, i % 15 :] for i in range(40)}
    shapes = {"scalar": torch.tensor(3), "empty": torch.empty(0, 4), "long": torch.zeros(70_000, 2)}
    shared = {f"tied{i}": plain["plain3"] for i in range(20)}
    learnt = {f"learnt{i}": nn.Parameter(torch.randn(300, 2)) for i in range(20)}
    frozen = {"frozen": nn.Parameter(torch.ones(2).half(), requires_grad=False)}
    return {**plain, **views, **shapes, **shared, **learnt, **frozen}


class Branches(nn.Module):
    """Parameters, frozen and shared ones, buffers, and submodules with hooks of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2), requires_grad=False)
        self.tied = nn.Parameter(torch.ones(3))
        self.again = self.tied
        self.layers = nn.Sequential(*[nn.BatchNorm1d(2), nn.Linear(2, 3), nn.Identity()] * 4)
        self.register_parameter("none", None)


def pickled(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    with zipfile.ZipFile(file) as archive:
        return archive.read("archive/data.pkl")


def described(value: Tree, seen: dict[int, int]) -> object:
    """A tree as plain values, which objects are the same ones included."""
    if isinstance(value, dict | list | Opaque | InertTensor):
        if id(value) in seen:
            return "again", seen[id(value)]
        seen[id(value)] = len(seen)
    if isinstance(value, dict):
        return [(key_text(key), described(item, seen)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value).__name__, [described(item, seen) for item in value]
    if isinstance(value, Opaque):
        return value.name, described(value.args, seen), described(value.state, seen)
    return repr(value)


def outcome(data: bytes) -> object:
    mentions = unpickler.Mentions()
    try:
        found = unpickler.unpickle(data, mentions, storage_of)
    except CheckpointError as error:
        return str(error)
    return described(found.tree, {}), found.end, mentions.judged()


class NoRuns(unpickler.TensorRuns):
    """The same pickle, read opcode by opcode."""

    def read(self, *_place: object) -> None:  # type: ignore[override]
        return None

    def read_dicts(self, *_place: object) -> None:  # type: ignore[override]
        return None


def both_ways(data: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[object, object]:
    at_one_go = outcome(data)
    with monkeypatch.context() as patch:
        patch.setattr(unpickler, "TensorRuns", NoRuns)
        return at_one_go, outcome(data)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_protocols_with_and_without_runs_give_the_same_tensors(
    tmp_path: Path, zipped: bool
) -> None:
    saved = many_tensors()
    found = []
    for protocol in (2, 4):
        path = tmp_path / f"{protocol}.pth"
        torch.save(saved, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        found.append(open_checkpoint(path).state_dict())
    assert list(found[0]) == list(found[1]) == list(saved)
    for key, tensor in saved.items():
        with_runs, without = found[0][key], found[1][key]
        assert torch.equal(read_tensor(with_runs), tensor)
        for entry in (with_runs, without):
            assert (entry.shape, entry.stride) == (tuple(tensor.shape), tensor.stride())
            assert entry.requires_grad is tensor.requires_grad
        assert with_runs.storage_offset == without.storage_offset


def test_tensors_behind_hundreds_of_other_objects_are_read(tmp_path: Path) -> None:
    """The memo's indices of torch's own functions have four bytes then."""
    saved = many_tensors()
    torch.save({"log": [[step] for step in range(300)], "model": saved}, tmp_path / "m.pth")
    assert_same_tensors(open_checkpoint(tmp_path / "m.pth"), saved)


def test_lengths_of_more_than_four_bytes_are_read_in_a_run(tmp_path: Path) -> None:
    saved = {f"w{i}": torch.zeros(i % 3 + 1) for i in range(100)} | {
        "long": torch.empty(1 << 33, 0)
    }
    torch.save({**saved, "after": torch.ones(2)}, tmp_path / "m.pth")
    found = open_checkpoint(tmp_path / "m.pth").state_dict()
    assert list(found) == [*saved, "after"]
    assert found["long"].shape == (1 << 33, 0)
    assert torch.equal(read_tensor(found["after"]), torch.ones(2))


def test_runs_are_recognised_in_what_torch_save_writes() -> None:
    data = pickled({f"w{i}": torch.zeros(4) for i in range(200)})
    taken = []

    class Counting(unpickler.TensorRuns):
        def read(self, *place: object) -> tuple[list[Tree], int, int] | None:
            found = super().read(*place)  # type: ignore[arg-type]
            taken.append(found[1] if found else 0)
            return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpickler, "TensorRuns", Counting)
        outcome(data)
    assert sum(taken) == 198 * OBJECTS


def test_the_runs_of_a_pickled_model_are_recognised() -> None:
    data = pickled(nn.Sequential(*(nn.Linear(2, 3) for _ in range(20))))
    taken = []

    class Counting(unpickler.TensorRuns):
        def read(self, *place: object) -> tuple[list[Tree], int, int] | None:
            found = super().read(*place)  # type: ignore[arg-type]
            taken.extend(found[0] if found else ())
            return found

        def read_dicts(self, *place: object) -> tuple[list[Tree], int] | None:
            found = super().read_dicts(*place)  # type: ignore[arg-type]
            taken.extend(found[0] if found else ())
            return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpickler, "TensorRuns", Counting)
        outcome(data)
    # All but those of the first modules, which are in the memo's first 256 places.
    assert sum(isinstance(value, InertTensor) for value in taken) >= 2 * 15
    assert sum(isinstance(value, InertDict) for value in taken) >= 10 * 15


def test_whole_and_mutated_pickles_read_the_same_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modules = nn.ModuleList(Branches() for _ in range(4))
    optimizer = torch.optim.Adam(modules.parameters())
    sum(parameter.sum() for parameter in modules.parameters() if parameter.requires_grad).backward()
    optimizer.step()
    sound = [pickled(value) for value in (many_tensors(), modules, optimizer.state_dict())]
    for data in sound:
        at_one_go, singly = both_ways(data, monkeypatch)
        assert at_one_go == singly
        assert not isinstance(at_one_go, str)
    chance = random.Random(0)
    for _ in range(800):
        mutant = bytearray(chance.choice(sound))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(mutant) // 4, len(mutant))
            mutant[at] = chance.choice(b"(.02RQbchjr}])tsuKMJN\x85\x86\x87\x88\x89\x8aX\x00\xff")
        at_one_go, singly = both_ways(bytes(mutant), monkeypatch)
        assert at_one_go == singly


def test_mutated_runs_of_the_memo_s_first_places_read_the_same_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There each object is kept, and whatever a mutant fetches must be the same object."""
    tied = torch.zeros(3)
    sound = pickled({"a": tied, "b": [tied, torch.ones(2, 3)], "c": nn.Parameter(tied)} | {
        f"w{i}": torch.zeros(i % 3 + 1, i) for i in range(20)
    })  # fmt: skip
    chance = random.Random(1)
    opened = 0
    for _ in range(1500):
        mutant = bytearray(sound)
        for _ in range(chance.randrange(1, 3)):
            at = chance.randrange(2, len(mutant))
            mutant[at] = chance.choice(
                [mutant[at] ^ 1, chance.randrange(256), *b"h(.02Rqrjt}])X\x85\x89"]
            )
        at_one_go, singly = both_ways(bytes(mutant), monkeypatch)
        assert at_one_go == singly
        opened += not isinstance(singly, str)
    assert opened > 200


LONG_BINPUT = b"X\x01\0\0\0ar\x2c\x01\0\0"
MEMOIZE = b"X\x01\0\0\0b\x94"


def test_a_pickle_that_numbers_its_memo_in_two_ways_is_refused() -> None:
    """Python would count what is kept here differently, and so fetch another object."""
    data = b"\x80\x04(" + MEMOIZE + LONG_BINPUT + MEMOIZE + MEMOIZE + b"h\x02t."
    with pytest.raises(CheckpointError, match="two ways"):
        unpickler.unpickle(data, unpickler.Mentions(), unpickler.no_persistent_ids)


@pytest.mark.parametrize("sound", [True, False], ids=["opened", "refused"])
@pytest.mark.parametrize("was_on", [True, False], ids=["on", "off"])
def test_the_cycle_collector_is_left_as_it_was(tmp_path: Path, sound: bool, was_on: bool) -> None:
    path = tmp_path / "m.pth"
    torch.save({"w": torch.ones(2)}, path)
    if not sound:
        path.write_bytes(b"no checkpoint")
    (gc.enable if was_on else gc.disable)()
    try:
        if sound:
            open_checkpoint(path)
        else:
            with pytest.raises(CheckpointError):
                open_checkpoint(path)
        assert gc.isenabled() is was_on
    finally:
        gc.enable()
