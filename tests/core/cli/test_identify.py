"""`loupe identify FILE`: which architecture a checkpoint is for, in words and as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import resnet18, squeezenet1_1

from core.architectures import parse_architecture
from core.checkpoint import open_checkpoint
from core.cli import main
from core.fit.index import build_index, index_path, installed_versions, save_index
from core.recipe import apply_recipe, recipe_from_json

pytestmark = pytest.mark.slow

KNOWN = ("torchvision:resnet18", "timm:resnet18", "torchvision:squeezenet1_1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a small index, which is taken where Loupe came with none."""
    folder = tmp_path_factory.mktemp("data")
    versions = installed_versions()
    index = build_index(versions, 1, architectures=[parse_architecture(key) for key in KNOWN])
    save_index(index, index_path(folder, versions))
    return folder


@pytest.fixture(autouse=True)
def _with_the_index(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOUPE_DATA", str(data))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A 10-class resnet18, saved from DataParallel in a training checkpoint."""
    torch.manual_seed(0)
    model = torch.nn.DataParallel(resnet18(num_classes=10))
    torch.save({"epoch": 7, "state_dict": model.state_dict()}, tmp_path / "run.pth")
    return tmp_path / "run.pth"


def identified(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    status = main(["identify", *map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_json_tells_the_architecture_its_options_and_the_recipe_that_makes_it_fit(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, candidates = identified(capsys, run)
    assert status == 0
    best = candidates[0]
    assert (best["library"], best["architecture"]) == ("torchvision", "resnet18")
    assert best["options"] == {"num_classes": 10}
    assert best["key"] == "torchvision:resnet18?num_classes=10"
    assert "timm:resnet18?num_classes=10" in best["also"]
    assert [each["key"] for each in best["arithmetic"]] == best["also"]
    assert {each["arithmetic"] for each in best["arithmetic"]} <= {"same", "other", "unknown"}
    assert best["coverage"] == {"keys": 1.0, "parameters": 1.0}
    assert best["fits"] is True
    repaired = apply_recipe(recipe_from_json(best["recipe"]), open_checkpoint(run).state_dict())
    assert set(repaired.state_dict) == set(resnet18(num_classes=10).state_dict())


def test_people_read_a_sentence_a_table_and_the_evidence(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["identify", str(run)]) == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert "torchvision resnet18 with 10 classes" in lines[0]
    header = next(line for line in lines if "architecture" in line and "recipe" in line)
    row = lines[lines.index(header) + 1]
    assert row.startswith("fits")
    for words in ("torchvision:resnet18", "num_classes=10", "100 %", "Strip `module.`"):
        assert words in row
    assert "timm resnet18" in told
    assert "the same keys and shapes" in told


def test_a_damaged_fit_is_told_as_less_than_all_and_is_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = dict(resnet18().state_dict())
    del weights["layer4.1.bn2.bias"]
    torch.save(weights, tmp_path / "damaged.pth")
    status, candidates = identified(capsys, tmp_path / "damaged.pth")
    assert status == 1
    best = candidates[0]
    assert best["architecture"] == "resnet18"
    assert best["missing_keys"] == ["layer4.1.bn2.bias"]
    assert best["fits"] is False
    assert 0.9 < best["coverage"]["keys"] < 1


def test_what_no_architecture_is_like_is_status_1_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"nothing.like.it": torch.zeros(3, 7)}, tmp_path / "odd.pth")
    assert main(["identify", str(tmp_path / "odd.pth")]) == 1
    assert capsys.readouterr().out.startswith("No architecture")


def test_the_number_of_candidates_and_the_state_dict_are_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(
        {"model": resnet18().state_dict(), "other": squeezenet1_1(num_classes=3).state_dict()},
        tmp_path / "two.pth",
    )
    status, candidates = identified(capsys, tmp_path / "two.pth", "-n", 1)
    assert (status, len(candidates), candidates[0]["architecture"]) == (0, 1, "resnet18")
    status, candidates = identified(capsys, tmp_path / "two.pth", "--state-dict", "other")
    assert status == 0
    assert candidates[0]["architecture"] == "squeezenet1_1"
    assert candidates[0]["options"] == {"num_classes": 3}


def test_trouble_is_status_2_and_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.pth").write_text("hello")
    assert main(["identify", str(tmp_path / "text.pth")]) == 2
    assert capsys.readouterr().err.startswith("loupe: ")


def test_fix_takes_the_identified_architecture_where_none_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pth"
    assert main(["fix", str(run), str(out), "--best", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["architecture"] == "torchvision:resnet18?num_classes=10"
    assert document["fits"] is True
    resnet18(num_classes=10).load_state_dict(torch.load(out, weights_only=True))


def test_fix_asks_for_a_name_where_nothing_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"nothing.like.it": torch.zeros(3, 7)}, tmp_path / "odd.pth")
    out = tmp_path / "out.pth"
    assert main(["fix", str(tmp_path / "odd.pth"), str(out), "--best"]) == 2
    assert "--arch" in capsys.readouterr().err
    assert not out.exists()
