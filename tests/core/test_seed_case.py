"""A wrapped, retrained resnet18, every way it comes and every way it is wanted."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from core.architectures import Architecture, catalogue, signature
from core.checkpoint import StateDict, open_checkpoint
from core.errors import CheckpointError, SourceError
from core.fit import propose_num_classes
from core.fit.proposals import propose
from core.fixes import Drop, Fix, Keep, Recipe, StripPrefix
from core.load import LoadedModel, load_model
from core.recipe import apply_recipe

PLAIN = Architecture("torchvision", "resnet18", (("num_classes", 10),))

OWN_MODULE = """
from torch import nn
from torchvision.models import resnet18


class SeedNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.resnet = resnet18()
        self.resnet.fc = nn.Linear(self.resnet.fc.in_features, 10)

    def forward(self, x):
        return self.resnet(x)
"""


class Wrapped(nn.Module):
    """What the person trained: a resnet18 in an attribute, with a head for ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = resnet18()
        self.resnet.fc = nn.Linear(self.resnet.fc.in_features, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resnet(x)


@pytest.fixture(scope="module")
def trained() -> Wrapped:
    torch.manual_seed(5)
    model = Wrapped()
    with torch.no_grad():
        model(torch.randn(4, 3, 64, 64))  # so that the running statistics are not the initial ones
    return model.eval()


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(6))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Architecture:
    """The class as the server owner's own module provides it."""
    (tmp_path / "seed_case_models.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    (first, *_) = catalogue(("seed_case_models:SeedNet",))
    assert first == Architecture("own", "seed_case_models.SeedNet")
    return first


def saved(path: Path, model: nn.Module) -> StateDict:
    torch.save(model.state_dict(), path)
    return open_checkpoint(path).state_dict()


def fixed(state_dict: StateDict, *fixes: Fix) -> StateDict:
    return apply_recipe(Recipe.of(fixes), state_dict).state_dict


def outputs(model: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model(images)


def assert_same_model(loaded: LoadedModel, trained: nn.Module, pictures: torch.Tensor) -> None:
    assert not loaded.model.training
    assert loaded.initialised == ()
    assert torch.equal(outputs(loaded.model, pictures), outputs(trained, pictures))


def test_the_wrapper_loads_with_the_owners_own_class(
    tmp_path: Path, trained: Wrapped, pictures: torch.Tensor, own: Architecture
) -> None:
    state_dict = saved(tmp_path / "wrapped.pth", trained)
    assert all(key.startswith("resnet.") for key in state_dict)
    assert_same_model(load_model(state_dict, own), trained, pictures)


def test_saved_from_data_parallel_it_loads_with_the_owners_own_class(
    tmp_path: Path, trained: Wrapped, pictures: torch.Tensor, own: Architecture
) -> None:
    state_dict = saved(tmp_path / "parallel.pth", nn.DataParallel(trained))
    (proposal, *_) = propose(state_dict, signature(own))
    assert proposal.fixes == (StripPrefix("module."),)
    assert (proposal.before, proposal.after, proposal.total) == (0, 122, 122)
    loaded = load_model(fixed(state_dict, StripPrefix("module.")), own)
    assert_same_model(loaded, trained, pictures)


def test_stripped_it_loads_as_plain_torchvision_resnet18(
    tmp_path: Path, trained: Wrapped, pictures: torch.Tensor
) -> None:
    state_dict = saved(tmp_path / "wrapped.pth", trained)
    assert propose_num_classes(state_dict, Architecture("torchvision", "resnet18")) == 10
    (proposal, *_) = propose(state_dict, signature(PLAIN))
    assert proposal.fixes == (StripPrefix("resnet."),)
    assert (proposal.before, proposal.after, proposal.total) == (0, 122, 122)
    assert_same_model(load_model(fixed(state_dict, *proposal.fixes), PLAIN), trained, pictures)


def test_saved_from_data_parallel_both_prefixes_go_with_one_proposal(
    tmp_path: Path, trained: Wrapped, pictures: torch.Tensor
) -> None:
    state_dict = saved(tmp_path / "parallel.pth", nn.DataParallel(trained))
    (proposal, *_) = propose(state_dict, signature(PLAIN))
    assert proposal.fixes == (StripPrefix("module.resnet."),)
    assert_same_model(load_model(fixed(state_dict, *proposal.fixes), PLAIN), trained, pictures)


def test_without_its_head_it_loads_partially_and_the_head_stays_as_initialised(
    tmp_path: Path, trained: Wrapped
) -> None:
    state_dict = fixed(
        saved(tmp_path / "wrapped.pth", trained),
        Keep("resnet.*"),
        Drop("resnet.fc.*"),
        StripPrefix("resnet."),
    )
    assert len(state_dict) == 120
    torch.manual_seed(8)
    loaded = load_model(state_dict, PLAIN, strict=False)
    torch.manual_seed(8)
    head = nn.Linear(512, 10).state_dict()  # nothing else takes random numbers

    assert loaded.initialised == ("fc.weight", "fc.bias")
    wanted = trained.resnet.state_dict() | {f"fc.{key}": head[key] for key in head}
    for key, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, wanted[key]), key


def test_tagged_for_a_gpu_that_is_not_here_it_loads_on_the_cpu(
    tmp_path: Path,
    trained: Wrapped,
    pictures: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as while_saving:
        while_saving.setattr(torch.serialization, "location_tag", lambda _storage: "cuda:0")
        state_dict = saved(tmp_path / "gpu.pth", trained)
    assert {entry.location for entry in state_dict.values()} == {"cuda:0"}
    loaded = load_model(fixed(state_dict, StripPrefix("resnet.")), PLAIN)
    assert {parameter.device.type for parameter in loaded.model.parameters()} == {"cpu"}
    assert_same_model(loaded, trained, pictures)


def test_a_missing_file_is_named_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"There is no file .*gone\.pth"):
        open_checkpoint(tmp_path / "gone.pth")


def test_a_corrupt_file_is_refused_in_a_sentence(tmp_path: Path, trained: Wrapped) -> None:
    path = tmp_path / "corrupt.pth"
    saved(path, trained)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert caught.value.problem.endswith(".")
    assert caught.value.remedy
