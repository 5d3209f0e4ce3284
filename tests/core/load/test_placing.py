"""A model in another dtype is what plain PyTorch's `.to` makes of it, buffers that no file holds
included, without its weights' being there twice."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import core.load
import core.load.room
from benchmarks.peak_memory import peak, reset_peak
from benchmarks.plain_outputs import everything
from core.architectures import Architecture, build, catalogue, parse_architecture, signature
from core.checkpoint import StateDict, open_checkpoint
from core.errors import LoadError
from core.load.loading import load_model
from core.load.room import NoRoom

pytestmark = pytest.mark.slow

SLACK = 16 << 20
"""Bytes that Python and the allocators take as they like."""

OWN = """
import torch
from torch import nn


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(5, 7, num_layers=2, batch_first=True)

    def forward(self, steps):
        return self.rnn(steps)[0]


class Noted(nn.Module):
    placed = 0

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 4)

    def _apply(self, fn, recurse=True):
        self.placed += 1
        return super()._apply(fn, recurse)


class Exact(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 4)
        self.register_buffer("table", torch.arange(4, dtype=torch.float64), persistent=False)
        self.register_buffer("turns", torch.polar(torch.ones(4), torch.arange(4.0)))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Architecture]:
    (tmp_path / "placing_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    found = catalogue(("placing_models",))
    return {each.name.partition(".")[2]: each for each in found if each.library == "own"}


def saved(folder: Path, model: nn.Module) -> StateDict:
    torch.save(model.state_dict(), folder / "model.pth")
    return open_checkpoint(folder / "model.pth").state_dict()


@pytest.fixture(
    scope="module",
    params=[
        "timm:eva02_tiny_patch14_224?img_size=56",
        "timm:vit_base_patch16_rope_224?img_size=64",
        "timm:vit_small_patch16_dinov3?img_size=64",
        "timm:swin_tiny_patch4_window7_224?num_classes=3",
        "torchvision:resnet18?num_classes=3",
    ],
)
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Architecture, nn.Module, StateDict]:
    """An architecture, a model of it, and the model's weights in a file: for all dtypes."""
    architecture = parse_architecture(request.param)
    torch.manual_seed(0)
    model = build(architecture)
    return architecture, model, saved(tmp_path_factory.mktemp("built"), model)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_every_tensor_and_buffer_is_as_after_to(
    built: tuple[Architecture, nn.Module, StateDict], dtype: str
) -> None:
    architecture, model, state_dict = built
    found = everything(load_model(state_dict, architecture, dtype=dtype).model)
    wanted = copy.deepcopy(model).to(getattr(torch, dtype))
    for name, tensor in everything(wanted).items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


def test_what_a_module_does_when_it_is_moved_is_done(
    tmp_path: Path, own: dict[str, Architecture]
) -> None:
    state_dict = saved(tmp_path, build(own["Noted"]))
    assert load_model(state_dict, own["Noted"]).model.placed == 0
    assert load_model(state_dict, own["Noted"], dtype="float16").model.placed == 1


def test_recurrent_weights_in_another_dtype_are_those_of_plain_torch(
    tmp_path: Path, own: dict[str, Architecture]
) -> None:
    wanted = build(own["Recurrent"])
    found = load_model(saved(tmp_path, wanted), own["Recurrent"], dtype="float64").model
    steps = torch.randn(2, 3, 5, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(found(steps), wanted.double()(steps))
    for key, tensor in wanted.state_dict().items():
        assert torch.equal(found.state_dict()[key], tensor), key


def test_complex_numbers_keep_both_their_parts(
    tmp_path: Path, own: dict[str, Architecture]
) -> None:
    wanted = build(own["Exact"])
    found = load_model(saved(tmp_path, wanted), own["Exact"], dtype="float16").model
    assert torch.equal(found.turns, wanted.turns)
    assert torch.equal(found.table, wanted.table.half())


@pytest.mark.parametrize("dtype", [None, "float64"])
def test_apples_gpu_is_asked_for_no_float64(
    tmp_path: Path,
    own: dict[str, Architecture],
    monkeypatch: pytest.MonkeyPatch,
    dtype: str | None,
) -> None:
    """Neither where a person chose it nor where a buffer of the model is so."""
    monkeypatch.setattr(core.load.loading, "devices", lambda: ("cpu", "mps"))
    state_dict = saved(tmp_path, build(own["Exact"]))
    with pytest.raises(LoadError) as caught:
        load_model(state_dict, own["Exact"], device="mps", dtype=dtype)
    assert caught.value.problem == "Apple's GPU (mps) has no float64."
    assert caught.value.remedy == "Load it as float32, or choose another device."


@pytest.mark.parametrize("missing", [(), ("classifier.0.weight",)])
def test_half_precision_takes_the_memory_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    """What the file lacks is initialised in float32 first: here, most of the network."""
    architecture = parse_architecture("torchvision:vgg11")
    tensors = {
        key: torch.zeros(spec.shape)
        for key, spec in signature(architecture).items()
        if key not in missing
    }
    torch.save(tensors, tmp_path / "model.pth")
    state_dict = open_checkpoint(tmp_path / "model.pth").state_dict()
    del tensors
    with monkeypatch.context() as full:
        full.setattr(core.load.room, "free_bytes", lambda device: 0)
        with pytest.raises(NoRoom) as caught:
            load_model(state_dict, architecture, dtype="bfloat16", strict=False)
    before = reset_peak()
    loaded = load_model(state_dict, architecture, dtype="bfloat16", strict=False)
    assert peak() - before < caught.value.needed + SLACK
    if not missing:
        assert caught.value.needed < 1.2 * loaded.nbytes
