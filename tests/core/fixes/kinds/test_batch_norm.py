"""Statistics that a file lacks, at the values with which BatchNorm begins."""

from pathlib import Path

import pytest
import torch
from torch import nn

from core.architectures import parse_architecture, signature
from core.errors import FixError
from core.fit import match
from core.fixes import FOLDED_VARIANCE, AddBatchStatistics, Recipe, StripPrefix
from core.fixes.kinds.batch_norm import missing_statistics
from core.keys import STATISTICS
from core.recipe import recipe_code, recipe_from_json, recipe_to_json
from tests.core.fixes.files import applied, assert_tensors, saved, signature_of, tensors_of


def test_field_27_absent_statistics_are_added_as_a_fresh_layer_has_them(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm1d(2, affine=False))
    fresh = model.state_dict()
    parameters = {key: value for key, value in fresh.items() if not key.startswith(("1.r", "1.n"))}
    bare = {key: value for key, value in parameters.items() if not key.startswith("2")}
    for tensors in (parameters, bare):
        given = saved(tmp_path, tensors)
        after = applied(given, AddBatchStatistics(), wanted=signature_of(fresh))
        assert_tensors(after.state_dict, fresh)
    assert after.effects[0].sentence == "6 statistics of BatchNorm added at their defaults."
    assert after.state_dict["1.num_batches_tracked"].dtype == "int64"


def test_field_27_a_whole_network_without_its_statistics_fits_with_them(tmp_path: Path) -> None:
    wanted = signature(parse_architecture("torchvision:shufflenet_v2_x0_5"))
    parameters = {
        f"module.{key}": torch.zeros(spec.shape)
        for key, spec in wanted.items()
        if spec.kind == "parameter"
    }
    fixes = StripPrefix("module."), AddBatchStatistics(), AddBatchStatistics()
    after = applied(saved(tmp_path, parameters), *fixes, wanted=wanted)
    assert match(after.state_dict, wanted).fits
    assert [effect.changed for effect in after.effects[1:]] == [168, 0]
    assert after.effects[2].sentence == "No BatchNorm statistic is missing."


def test_every_statistic_of_the_vocabulary_is_added() -> None:
    wanted = sorted(f"bn.{name}" for name in STATISTICS)
    assert missing_statistics(["bn.weight"], [*wanted, "bn.weight"]) == wanted


def test_layers_that_the_file_has_nothing_of_get_none(tmp_path: Path) -> None:
    wanted = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2)).state_dict()
    tensors = {key: value for key, value in wanted.items() if key.startswith("0.w")}
    after = applied(saved(tmp_path, tensors), AddBatchStatistics(), wanted=signature_of(wanted))
    assert {key.partition(".")[0] for key in tensors_of(after.state_dict)} == {"0"}


def test_a_folded_layer_s_statistics_leave_its_weight_and_bias_alone(tmp_path: Path) -> None:
    norm = nn.BatchNorm2d(3).eval()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    given = saved(tmp_path, dict(norm.named_parameters()))
    fix = AddBatchStatistics(FOLDED_VARIANCE)
    after = applied(given, fix, wanted=signature_of(norm.state_dict()))
    assert after.effects[0].sentence == (
        "3 statistics of BatchNorm added: mean 0, variance 0.99999."
    )
    norm.load_state_dict(tensors_of(after.state_dict))
    image = torch.randn(2, 3, 4, 4)
    scaled = image * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(image), scaled)


def test_the_variance_is_in_the_recipe_its_words_and_its_script(tmp_path: Path) -> None:
    fix = AddBatchStatistics(FOLDED_VARIANCE)
    assert fix.words() == "Add BatchNorm's statistics with variance 0.99999"
    words = [{"fix": "add_batch_statistics", "variance": 0.99999}]
    assert recipe_to_json(Recipe.of([fix])) == words
    assert recipe_from_json(words) == Recipe.of([fix])
    assert recipe_from_json([{"fix": "add_batch_statistics"}]) == Recipe.of([AddBatchStatistics()])
    wanted = parse_architecture("torchvision:shufflenet_v2_x0_5")
    tensors = {
        key: torch.zeros(spec.shape)
        for key, spec in signature(wanted).items()
        if spec.kind == "parameter"
    }
    given = saved(tmp_path, tensors)
    after = applied(given, fix, wanted=signature(wanted)).state_dict
    code = recipe_code("file.pth", "", Recipe.of([fix]), wanted)
    scope: dict[str, dict[str, torch.Tensor]] = {}
    exec(code.replace('"file.pth"', repr(str(tmp_path / "file.pth"))), scope)
    assert_tensors(after, scope["state_dict"])


def test_a_variance_below_0_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixError, match="is no variance"):
        applied(saved(tmp_path, {"a": torch.ones(1)}), AddBatchStatistics(-1.0), wanted={})


def test_an_architecture_is_needed(tmp_path: Path) -> None:
    with pytest.raises(FixError, match="needs the shapes of an architecture"):
        applied(saved(tmp_path, {"a": torch.ones(1)}), AddBatchStatistics())
