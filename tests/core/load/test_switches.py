"""channels_last and torch.compile change a model's time, which is measured, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from core.architectures import Architecture, build, catalogue
from core.checkpoint import StateDict, open_checkpoint
from core.inputs import RandomInputs
from core.load.loading import load_model
from core.load.smoke import smoke_run
from core.load.switches import throw_switches
from core.progress import Cancelled, Progress

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

SMALL = """
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.stem(images).relu().mean((2, 3)))
"""


@pytest.fixture
def architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Architecture:
    (tmp_path / "small_models.py").write_text(SMALL)
    monkeypatch.syspath_prepend(tmp_path)
    return catalogue(("small_models:Small",))[0]


@pytest.fixture
def state_dict(tmp_path: Path, architecture: Architecture) -> StateDict:
    torch.save(build(architecture).state_dict(), tmp_path / "model.pth")
    return open_checkpoint(tmp_path / "model.pth").state_dict()


def answers(model: nn.Module) -> torch.Tensor:
    torch.manual_seed(4)
    with torch.inference_mode():
        return model(torch.randn(2, 3, 60, 60))


def test_channels_last_lays_out_the_convolutions_so_and_tells_both_times(
    architecture: Architecture, state_dict: StateDict
) -> None:
    plain = load_model(state_dict, architecture)
    loaded = load_model(state_dict, architecture, channels_last=True)
    assert plain.effects == ()
    (effect,) = loaded.effects
    assert (effect.switch, effect.trouble) == ("channels_last", "")
    assert effect.before > 0
    assert effect.after > 0
    convolutions = [p for p in loaded.model.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in convolutions)
    for key, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, plain.model.state_dict()[key]), key
    torch.testing.assert_close(answers(loaded.model), answers(plain.model))


def test_films_get_the_layout_for_three_dimensions() -> None:
    model = nn.Conv3d(2, 4, 3).eval()
    inputs = RandomInputs((torch.randn(1, 2, 4, 8, 8),), "a film", (1, 2, 4, 8, 8))
    (effect,) = throw_switches(model, lambda: inputs, channels_last=True, compiled=False)
    assert effect.trouble == ""
    assert model.weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_compiled_model_is_still_itself_and_answers_the_same(
    architecture: Architecture, state_dict: StateDict
) -> None:
    plain = load_model(state_dict, architecture)
    loaded = load_model(state_dict, architecture, compiled=True)
    (effect,) = loaded.effects
    assert effect.switch == "torch.compile"
    assert smoke_run(loaded).peak_bytes == smoke_run(plain).peak_bytes
    if not effect.trouble:
        assert effect.preparing > effect.after > 0
        assert loaded.model._compiled_call_impl is not None
    assert list(loaded.model.state_dict()) == list(plain.model.state_dict())
    torch.testing.assert_close(answers(loaded.model), answers(plain.model), rtol=1e-4, atol=1e-4)


WITHOUT_A_COMPILER = """
from pathlib import Path
import torch
from core.architectures import catalogue
from core.checkpoint import open_checkpoint
from core.load import load_model

architecture = catalogue(("small_models:Small",))[0]
state_dict = open_checkpoint(Path("model.pth")).state_dict()
loaded = load_model(state_dict, architecture, compiled=True)
inputs = torch.randn(2, 3, 60, 60)
with torch.inference_mode():
    wanted = load_model(state_dict, architecture).model(inputs)
    print(torch.equal(loaded.model(inputs), wanted), loaded.effects[0].trouble)
"""


def test_where_there_is_no_compiler_the_plain_model_stays_and_says_why(
    tmp_path: Path, state_dict: StateDict
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_COMPILER],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
            "CXX": "/nowhere/c++",
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said = done.stdout.strip()
    assert said.startswith("True torch.compile was switched off, because it fails here: ")
    assert "\n" not in said


def test_a_model_that_does_not_run_is_left_as_it_is_and_says_so() -> None:
    model = nn.Conv2d(3, 4, 3).eval()
    inputs = RandomInputs((torch.randn(1, 1, 8, 8),), "an image", (1, 1, 8, 8))
    effects = throw_switches(model, lambda: inputs, channels_last=True, compiled=True)
    assert [effect.switch for effect in effects] == ["channels_last", "torch.compile"]
    assert all(
        "was switched off, because the model does not run: " in effect.trouble for effect in effects
    )
    assert model.weight.is_contiguous()


def test_measuring_can_be_cancelled(architecture: Architecture, state_dict: StateDict) -> None:
    progress = Progress()

    def report(done: int, total: int, what: str) -> None:
        if what.startswith("Measuring"):
            progress.cancel()
        progress(done, total, what)

    with pytest.raises(Cancelled):
        load_model(state_dict, architecture, channels_last=True, progress=report)


class NoMemoryForTheWayBack(TorchFunctionMode):
    """A device on which nothing can be laid out anew once a pass has failed."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.contiguous and not kwargs:
            raise torch.OutOfMemoryError("out of memory")
        return func(*args, **(kwargs or {}))


class OnlyContiguous(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.stem.weight.view(-1).sum() * images


def test_memory_that_is_too_short_for_the_way_back_is_said_and_loses_no_weight() -> None:
    model = OnlyContiguous().eval()
    weight = model.stem.weight.detach().clone()
    images = torch.randn(1, 3, 8, 8)
    inputs = RandomInputs((images,), "an image", (1, 3, 8, 8))
    with NoMemoryForTheWayBack():
        (effect,) = throw_switches(model, lambda: inputs, channels_last=True, compiled=False)
    assert effect.trouble.startswith("channels_last was switched off, because it fails here: ")
    assert effect.trouble.endswith(
        "; not all weights are back in the layout that they had: out of memory"
    )
    assert torch.equal(model.stem.weight, weight)
