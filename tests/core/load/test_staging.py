"""The ring of buffers that takes a file's bytes to a device, here with the CPU as the device."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode

from core.checkpoint import Cast, StateDict, TensorEntry, open_checkpoint
from core.errors import CheckpointError
from core.fixes import CastDtype, Recipe, Split, Step
from core.load.staging import Staging, fill_staged
from core.progress import Cancelled, Progress
from core.recipe import apply_recipe

TENSORS = {
    "large": torch.arange(1000, dtype=torch.float32).view(10, 100),
    "turned": torch.arange(600, dtype=torch.float32).view(20, 30).T,
    "half": torch.arange(333, dtype=torch.float16),
    "counter": torch.tensor(7),
    "flags": torch.arange(99) % 2 == 0,
    "empty": torch.empty(0, 3),
    "double": torch.rand(70, dtype=torch.float64),
}


@pytest.fixture
def state_dict(tmp_path: Path) -> StateDict:
    torch.save(TENSORS, tmp_path / "model.pth")
    return open_checkpoint(tmp_path / "model.pth").state_dict()


def staged(
    entries: list[TensorEntry], dtype: torch.dtype | None = None, buffer_bytes: int = 256
) -> dict[str, torch.Tensor]:
    targets = [
        (entry, torch.empty(entry.shape, dtype=dtype or getattr(torch, entry.dtype)))
        for entry in entries
    ]
    total = sum(entry.nbytes for entry in entries)
    fill_staged(targets, Staging("cpu", total, 2, buffer_bytes), readers=3)
    return {entry.key: tensor for entry, tensor in targets}


@pytest.mark.parametrize("buffer_bytes", [16, 256, 1 << 20])
def test_every_tensor_arrives_whole_however_small_the_buffers(
    state_dict: StateDict, buffer_bytes: int
) -> None:
    found = staged(list(state_dict.values()), buffer_bytes=buffer_bytes)
    for key, wanted in TENSORS.items():
        assert torch.equal(found[key], wanted), key


def test_another_dtype_is_converted_to_where_it_arrives(state_dict: StateDict) -> None:
    floating = [state_dict[key] for key in ("large", "turned", "half", "double")]
    for key, tensor in staged(floating, torch.bfloat16).items():
        assert torch.equal(tensor, TENSORS[key].bfloat16()), key


def test_what_a_fix_computes_arrives_too(state_dict: StateDict) -> None:
    recipe = Recipe((Step(CastDtype("float16")), Step(Split("large", ("first", "second")))))
    repaired = apply_recipe(recipe, state_dict).state_dict
    found = staged([repaired[key] for key in ("first", "second", "turned")])
    whole = TENSORS["large"].half()
    assert torch.equal(found["first"], whole[:5])
    assert torch.equal(found["second"], whole[5:])
    assert torch.equal(found["turned"], TENSORS["turned"].half())


def test_a_cast_that_widens_does_not_overrun_a_buffer(state_dict: StateDict) -> None:
    wide = replace(state_dict["half"], dtype="float64", transforms=(Cast("float16", "float64"),))
    assert torch.equal(staged([wide], buffer_bytes=64)["half"], TENSORS["half"].double())


def test_the_bytes_are_told_as_they_come_and_add_up(state_dict: StateDict) -> None:
    entries = list(state_dict.values())
    targets = [
        (entry, torch.empty(entry.shape, dtype=getattr(torch, entry.dtype))) for entry in entries
    ]
    told: list[tuple[str, int]] = []
    fill_staged(
        targets,
        Staging("cpu", state_dict.nbytes, 2, 256),
        2,
        lambda entry, nbytes: told.append((entry.key, nbytes)),
    )
    assert sum(nbytes for _, nbytes in told) == state_dict.nbytes
    assert len([key for key, _ in told if key == "large"]) == -(-4000 // 256)


def test_a_cancel_stops_and_leaves_no_thread_waiting_for_a_buffer(state_dict: StateDict) -> None:
    progress = Progress()
    progress.cancel()
    target = torch.empty(10, 100)
    staging = Staging("cpu", 4000, 1, 16)
    with pytest.raises(Cancelled):
        fill_staged(
            [(state_dict["large"], target)],
            staging,
            2,
            lambda entry, nbytes: progress(nbytes, 4000, entry.key),
        )
    fill_staged([(state_dict["large"], target)], staging, 2)
    assert torch.equal(target, TENSORS["large"])


def test_a_tensor_that_cannot_be_read_raises_and_gives_its_buffer_back(
    state_dict: StateDict,
) -> None:
    staging = Staging("cpu", 4000, 1, 256)
    nowhere = replace(state_dict["large"], record=None)
    target = torch.empty(10, 100)
    with pytest.raises(CheckpointError, match="meta device"):
        fill_staged([(nowhere, target)], staging, 2)
    fill_staged([(state_dict["large"], target)], staging, 2)
    assert torch.equal(target, TENSORS["large"])


class Copies(TorchFunctionMode):
    """Notes, of each copy, the dtypes of both sides and whether it may still run on its return."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.dtype, torch.dtype, bool]] = []

    def __torch_function__(self, func: Callable, types: object, args=(), kwargs=None) -> object:
        kwargs = kwargs or {}
        if func is torch.Tensor.copy_:
            self.seen.append((args[1].dtype, args[0].dtype, kwargs.get("non_blocking", False)))
        return func(*args, **kwargs)


def test_where_nothing_tells_that_a_copy_is_over_it_is_waited_for_and_takes_no_foreign_dtype() -> (
    None
):
    """A GPU other than CUDA's: its buffers are filled again at once, and Apple's has no float64."""
    staging = Staging("cpu", 800, 1)
    target = torch.empty(100)
    with Copies() as copies:
        staging.copy(torch.float64, lambda staged: torch.full((100,), 0.5, out=staged), target)
    assert copies.seen == [(torch.float32, torch.float32, False)]
    assert torch.equal(target, torch.full((100,), 0.5))
