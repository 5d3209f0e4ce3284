"""Statistics that a file lacks, at the values with which BatchNorm begins."""

from pathlib import Path

import pytest
import torch
from torch import nn

from core.architectures import parse_architecture, signature
from core.errors import FixError
from core.fit import match
from core.fixes import AddBatchStatistics, StripPrefix
from core.fixes.kinds.batch_norm import missing_statistics
from core.keys import STATISTICS
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


def test_an_architecture_is_needed(tmp_path: Path) -> None:
    with pytest.raises(FixError, match="needs the shapes of an architecture"):
        applied(saved(tmp_path, {"a": torch.ones(1)}), AddBatchStatistics())
