"""Weight norm: folded as torch folds it, and renamed both ways."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, remove_weight_norm
from torch.nn.utils import weight_norm as hooked

from core.errors import FixError
from core.fixes import WeightNorm
from tests.core.fixes.files import applied, assert_tensors, saved, tensors_of

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")

LAYERS = [
    (lambda: nn.Conv1d(4, 6, 3), 0),
    (lambda: nn.Conv2d(4, 6, 3), 1),
    (lambda: nn.ConvTranspose1d(4, 6, 3), 1),
    (lambda: nn.Linear(4, 6), 0),
    (lambda: nn.Linear(4, 6), 1),
    (lambda: nn.Linear(4, 6), None),
    (lambda: nn.Conv2d(1, 1, 3), 0),
]


def network(layer: nn.Module) -> nn.Module:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.ModuleDict({"a": layer}))
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def old(make: object, dim: int | None, dtype: torch.dtype = torch.float32) -> nn.Module:
    assert callable(make)
    layer = hooked(make(), dim=dim)
    return network(layer).to(dtype)


def new(make: object, dim: int | None) -> nn.Module:
    assert callable(make)
    return network(parametrizations.weight_norm(make(), dim=dim))


@pytest.mark.parametrize(("make", "dim"), LAYERS)
def test_field_26_weight_norm_is_folded_as_torch_folds_it(
    make: object, dim: int | None, tmp_path: Path
) -> None:
    model = old(make, dim)
    given = saved(tmp_path, model.state_dict())
    remove_weight_norm(model[1]["a"])
    after = applied(given, WeightNorm())
    assert set(after.state_dict) == set(model.state_dict())
    assert_tensors(after.state_dict, {key: model.state_dict()[key] for key in after.state_dict})
    assert after.effects[0].sentence == "1 weight folded."

    model = new(make, dim)
    given = saved(tmp_path, model.state_dict())
    parametrize.remove_parametrizations(model[1]["a"], "weight")
    after = applied(given, WeightNorm())
    assert_tensors(after.state_dict, {key: model.state_dict()[key] for key in after.state_dict})
    assert set(after.state_dict) == set(model.state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_precision_is_folded_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)  # else some weight may lie between two halves, where float32 errs
    model = old(*LAYERS[0], dtype=dtype)
    given = saved(tmp_path, model.state_dict())
    remove_weight_norm(model.double()[1]["a"])
    found = applied(given, WeightNorm()).state_dict
    wanted = model.to(dtype).state_dict()
    assert_tensors(found, {key: wanted[key] for key in found})


@pytest.mark.parametrize(("make", "dim"), LAYERS[:3])
def test_field_26_the_two_names_become_one_another(
    make: object, dim: int | None, tmp_path: Path
) -> None:
    hooks, parameters = old(make, dim), new(make, dim)
    renamed = applied(saved(tmp_path, hooks.state_dict()), WeightNorm("parametrized"))
    parameters.load_state_dict(tensors_of(renamed.state_dict))
    layer = hooks[1]["a"]
    weight = torch._weight_norm(layer.weight_v, layer.weight_g, dim)
    assert torch.equal(parameters[1]["a"].weight, weight)
    back = applied(renamed.state_dict, WeightNorm("hooked"))
    assert_tensors(back.state_dict, hooks.state_dict())
    for fix, count in ((WeightNorm("hooked"), 0), (WeightNorm("parametrized"), 2)):
        assert applied(back.state_dict, fix).effects[0].changed == count


def test_weights_of_recurrent_layers_have_names_of_their_own(tmp_path: Path) -> None:
    layer = hooked(nn.GRU(3, 4), "weight_hh_l0")
    given = saved(tmp_path, layer.state_dict())
    remove_weight_norm(layer, "weight_hh_l0")
    found = applied(given, WeightNorm()).state_dict
    assert_tensors(found, {key: layer.state_dict()[key] for key in found})


def test_what_only_looks_like_it_stays(tmp_path: Path) -> None:
    tensors = {
        "gate_g": torch.randn(4),
        "gate_v": torch.randn(4),
        "a.weight_g": torch.randn(3, 1),
        "a.weight_v": torch.randn(4, 3),
        "b.weight_g": torch.randn(3, 1),
        "parametrizations.weight.original0": torch.randn(3),
        "parametrizations.weight.original1": torch.randn(3, 3),
        "parametrizations.weight.original": torch.randn(3, 3),
    }
    after = applied(saved(tmp_path, tensors), WeightNorm())
    assert_tensors(after.state_dict, tensors)
    assert after.effects[0].sentence == "No weight norm to fold."


def test_integers_and_weights_that_are_there_already_stay_and_are_said(tmp_path: Path) -> None:
    tensors = {
        "a.weight_g": torch.ones(3, 1, dtype=torch.long),
        "a.weight_v": torch.ones(3, 2, dtype=torch.long),
        "b.weight": torch.randn(3, 2),
        "b.weight_g": torch.randn(3, 1),
        "b.weight_v": torch.randn(3, 2),
        "c.weight_g": torch.randn(0, 1),
        "c.weight_v": torch.randn(0, 2),
    }
    after = applied(saved(tmp_path, tensors), WeightNorm(), WeightNorm())
    wanted = {key: value for key, value in tensors.items() if not key.startswith("c.")}
    assert_tensors(after.state_dict, {**wanted, "c.weight": torch.randn(0, 2)})
    assert "4 tensors unchanged" in after.effects[0].sentence


def test_a_name_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    tensors = {
        "weight_g": torch.randn(3, 1),
        "weight_v": torch.randn(3, 2),
        "parametrizations.weight.original0": torch.randn(7),
    }
    with pytest.raises(FixError, match="would both become"):
        applied(saved(tmp_path, tensors), WeightNorm("parametrized"))
