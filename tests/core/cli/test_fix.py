"""`loupe fix IN OUT`: a recipe from a file, the repaired weights in a new one."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import save_torch_state_dict
from safetensors import safe_open
from safetensors.torch import load_file
from torchvision.models import squeezenet1_1

from core.architectures import parse_architecture
from core.cli import main
from core.fixes import CastDtype, Recipe, Step, StripPrefix
from core.recipe import RecipeFile, recipe_file_to_json, recipe_to_json
from tests.core.fit.renamed_networks import efficientnet_pytorch_names

ARCH = "torchvision:squeezenet1_1?num_classes=4"
STRIP = [{"fix": "strip_prefix", "prefix": "module."}]


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(squeezenet1_1(num_classes=4).state_dict())


@pytest.fixture
def run(tmp_path: Path, weights: dict[str, torch.Tensor]) -> Path:
    """A training's checkpoint from DataParallel."""
    prefixed = {f"module.{key}": value for key, value in weights.items()}
    momentum = {index: {"exp_avg": value * 0} for index, value in enumerate(weights.values())}
    path = tmp_path / "run.ckpt"
    training = {"state": momentum, "param_groups": [{"lr": 0.1}]}
    torch.save({"epoch": 3, "model": prefixed, "optimizer": training, "note": "ü"}, path)
    return path


def recipe_of(folder: Path, value: object) -> Path:
    path = folder / "recipe.json"
    path.write_text(json.dumps(value))
    return path


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key], tensor), key


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def test_a_list_of_steps_is_applied_to_another_format(
    tmp_path: Path, run: Path, weights: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [*STRIP, {"fix": "cast_dtype", "dtype": "float16"}]
    out = tmp_path / "out.safetensors"
    assert main(["fix", str(run), str(out), "--recipe", str(recipe_of(tmp_path, steps))]) == 0
    assert_same(load_file(out), {key: value.half() for key, value in weights.items()})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Strip `module.`: {len(weights)} keys renamed."
    assert lines[1].startswith("Cast to float16: ")
    assert lines[-1] == f"verified: {out} was read back, and every byte is as it was written."
    sizes = next(line for line in lines if "→" in line)
    assert sizes.startswith(f"Strips {sum(v.nbytes for v in weights.values()) / 1e6:.2f} MB of opt")


def test_a_saved_recipe_brings_its_state_dict_and_its_architecture(
    tmp_path: Path, run: Path, weights: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    file = RecipeFile(Recipe((Step(StripPrefix("module.")),)), "model", parse_architecture(ARCH))
    recipe = recipe_of(tmp_path, recipe_file_to_json(file))
    out = tmp_path / "out.pth"
    assert main(["fix", str(run), str(out), "--recipe", str(recipe), "--json"]) == 0
    document = told(capsys)
    assert (document["fits"], document["architecture"], document["state_dict"]) == (
        True,
        ARCH,
        "model",
    )
    assert document["verified"] is True
    assert document["recipe"] == recipe_file_to_json(file)
    assert document["bytes_before"] == run.stat().st_size
    assert document["bytes_after"] == out.stat().st_size
    assert [step["changed"] for step in document["steps"]] == [len(weights)]
    squeezenet1_1(num_classes=4).load_state_dict(torch.load(out, weights_only=True))


def test_what_does_not_fit_the_named_architecture_is_written_and_is_status_1(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(tmp_path, STRIP)
    arguments = ["fix", str(run), str(tmp_path / "out.pth"), "--recipe", str(recipe)]
    assert main([*arguments, "--arch", "squeezenet1_1", "--num-classes", "5"]) == 1
    assert "Does not fit" in capsys.readouterr().out
    assert (tmp_path / "out.pth").is_file()
    assert main([*arguments, "--force", "--arch", "squeezenet1_1", "--num-classes", "4"]) == 0
    assert "Fits" in capsys.readouterr().out


def test_without_a_recipe_a_file_is_converted(
    tmp_path: Path, weights: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(weights, tmp_path / "in.pth")
    assert main(["fix", str(tmp_path / "in.pth"), str(tmp_path / "out.safetensors")]) == 0
    assert_same(load_file(tmp_path / "out.safetensors"), weights)
    assert "kept: 52 tensors\n" in capsys.readouterr().out


def test_the_shards_of_a_folder_become_one_file(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    save_torch_state_dict(weights, folder, max_shard_size=1_000_000)
    assert len(list(folder.glob("*.safetensors"))) > 1
    assert main(["fix", str(folder), str(tmp_path / "one.pth")]) == 0
    assert_same(torch.load(tmp_path / "one.pth"), weights)


@pytest.mark.parametrize("keep", ["weights", "metadata", "all"])
def test_what_is_kept_is_chosen_and_told(
    tmp_path: Path,
    run: Path,
    weights: dict[str, torch.Tensor],
    keep: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = str(recipe_of(tmp_path, STRIP))
    out = tmp_path / "out.pth"
    given = ["fix", str(run), str(out), "--recipe", recipe, "--keep", keep, "--json"]
    assert main(given) == 0
    found = torch.load(out, weights_only=True)
    names = {"weights": set(), "metadata": {"epoch", "note"}, "all": {"epoch", "note", "optimizer"}}
    assert set(told(capsys)["kept"]) == names[keep]
    place = {"weights": None, "metadata": "state_dict", "all": "model"}[keep]
    assert_same(found if place is None else found[place], weights)
    assert place is None or set(found) == names[keep] | {place}


def test_metadata_goes_into_safetensors_as_texts(tmp_path: Path, run: Path) -> None:
    out = tmp_path / "out.safetensors"
    assert main(["fix", str(run), str(out), "--keep", "metadata"]) == 0
    with safe_open(out, "pt") as file:
        assert file.metadata() == {"format": "pt", "epoch": "3", "note": "ü"}


def test_the_best_recipe_for_an_architecture_is_found_and_told(
    tmp_path: Path, run: Path, weights: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pth"
    assert main(["fix", str(run), str(out), "--best", "--arch", ARCH, "--json"]) == 0
    document = told(capsys)
    assert document["fits"] is True
    assert document["recipe"]["steps"] == recipe_to_json(Recipe((Step(StripPrefix("module.")),)))
    assert_same(torch.load(out), weights)
    again = recipe_of(tmp_path, document["recipe"])
    assert main(["fix", str(run), str(tmp_path / "2.pth"), "--recipe", str(again)]) == 0
    assert (tmp_path / "2.pth").read_bytes() == out.read_bytes()


def test_the_best_recipe_comes_after_the_given_steps(
    tmp_path: Path, run: Path, weights: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    cast = recipe_of(tmp_path, recipe_to_json(Recipe((Step(CastDtype("float16")),))))
    out = tmp_path / "out.pth"
    given = ["fix", str(run), str(out), "--recipe", str(cast), "--best", "--arch", ARCH]
    assert main(given) == 0
    assert capsys.readouterr().out.startswith("Cast to float16")
    assert_same(torch.load(out), {key: value.half() for key, value in weights.items()})


def test_adapters_without_an_alpha_are_not_merged_unless_a_recipe_gives_one(
    tmp_path: Path, weights: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    layer = "base_model.model.features.3.squeeze"
    tensors = {f"base_model.model.{key}": value for key, value in weights.items()}
    base = tensors.pop(f"{layer}.weight")
    tensors[f"{layer}.base_layer.bias"] = tensors.pop(f"{layer}.bias")
    tensors[f"{layer}.base_layer.weight"] = base
    a, b = torch.randn(2, base.shape[1], 1, 1), torch.randn(base.shape[0], 2, 1, 1)
    tensors |= {f"{layer}.lora_A.default.weight": a, f"{layer}.lora_B.default.weight": b}
    torch.save(tensors, tmp_path / "in.pth")
    out = tmp_path / "out.pth"
    given = ["fix", str(tmp_path / "in.pth"), str(out), "--best", "--arch", ARCH]
    assert main(given) == 1
    said = capsys.readouterr().out
    assert "1 LoRA adapter is not merged, since the file has no alpha that states the scale" in said
    left = torch.load(out)
    assert any("lora_A" in key for key in left)
    assert torch.equal(left["features.3.expand3x3.weight"], weights["features.3.expand3x3.weight"])

    recipe = recipe_of(tmp_path, [{"fix": "merge_lora", "alpha": 16}])
    assert main([*given, "--recipe", str(recipe), "--force"]) == 0
    assert "not merged" not in capsys.readouterr().out
    merged = torch.load(out)["features.3.squeeze.weight"]
    change = torch.einsum("orij,ruij->ouij", b, a) * 16 / 2
    torch.testing.assert_close(merged, base + change)


def test_adapters_without_an_alpha_are_not_dropped_where_the_weights_fit(
    tmp_path: Path, weights: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    base = weights["features.3.squeeze.weight"]
    a, b = torch.randn(2, base.shape[1], 1, 1), torch.randn(base.shape[0], 2, 1, 1)
    layer = "features.3.squeeze"
    adapters = {f"{layer}.lora_A.weight": a, f"{layer}.lora_B.weight": b}
    torch.save({**weights, **adapters}, tmp_path / "in.pth")
    for arch in (["--arch", ARCH], []):
        given = ["fix", str(tmp_path / "in.pth"), str(tmp_path / "out.pth"), "--best", "--force"]
        assert main([*given, *arch]) == 1
        said = capsys.readouterr().out
        assert "2 unexpected" in said
        assert "1 LoRA adapter is not merged" in said
        assert adapters.keys() <= torch.load(tmp_path / "out.pth").keys()


def test_a_file_that_is_there_is_replaced_only_where_that_is_asked_for(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pth"
    out.write_bytes(b"dear")
    assert main(["fix", str(run), str(out)]) == 2
    assert out.read_bytes() == b"dear"
    assert "--force" in capsys.readouterr().err
    assert main(["fix", str(run), str(out), "--force"]) == 0
    assert torch.load(out)


def test_a_link_that_leads_nowhere_is_there_too(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pth"
    out.symlink_to(tmp_path / "nowhere.pth")
    assert main(["fix", str(run), str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert out.is_symlink()
    assert main(["fix", str(run), str(out), "--force"]) == 0
    assert torch.load(out)
    assert not (tmp_path / "nowhere.pth").exists()


def test_the_input_is_never_written_to_by_whatever_name(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run.read_bytes()
    os.link(run, tmp_path / "hard.pth")
    (tmp_path / "soft.pth").symlink_to(run)
    for out in (run, tmp_path / "hard.pth", tmp_path / "soft.pth"):
        assert main(["fix", str(run), str(out), "--force"]) == 2
        assert "never changed" in capsys.readouterr().err
    assert run.read_bytes() == before
    assert (tmp_path / "soft.pth").is_symlink()


def test_a_shard_of_the_input_is_never_written_to(
    tmp_path: Path, weights: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    save_torch_state_dict(weights, folder, max_shard_size=1_000_000)
    shard = sorted(folder.glob("*.safetensors"))[0]
    before = shard.read_bytes()
    assert main(["fix", str(folder), str(shard), "--force"]) == 2
    assert "never changed" in capsys.readouterr().err
    assert shard.read_bytes() == before


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("not json", "is not JSON"),
        ('{"steps": []}', "not a recipe"),
        ('[{"fix": "explode"}]', "not a recipe"),
        ('[{"fix": "drop_mismatched"}]', "architecture"),
        ('[{"fix": "drop", "pattern": "*"}]', "No tensor is left to write"),
        ('{"loupe_recipe": 1, "state_dict": "gone", "steps": []}', "no state_dict at 'gone'"),
        ('{"loupe_recipe": 1, "architecture": "timm:nothing_like_it", "steps": []}', "nothing_li"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_said_in_a_sentence_and_nothing_is_written(
    tmp_path: Path, run: Path, recipe: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(recipe)
    assert main(["fix", str(run), str(tmp_path / "out.pth"), "--recipe", str(path)]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("loupe: ")
    assert said.err.count("\n") == 1
    assert not said.out
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["out.onnx"], "is not a known format"),
        (["out.safetensors", "--keep", "all"], "Export it as .pth"),
        (["out.pth", "--recipe", "missing.json"], "cannot be read"),
        (["out.pth", "--arch", "resnet1800"], "No architecture is called"),
        (["folder.pth", "--force"], "is a folder"),
    ],
)
def test_trouble_is_one_sentence(
    tmp_path: Path,
    run: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.pth").mkdir()
    before = sorted(tmp_path.iterdir())
    assert main(["fix", str(run), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


LONG = f"{'x' * 300}.pth"


@pytest.mark.parametrize("names", [("run.ckpt", LONG), (LONG, "out.pth")])
def test_a_path_that_the_system_refuses_is_one_sentence(
    tmp_path: Path, run: Path, names: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fix", *(str(tmp_path / name) for name in names)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("loupe: ")
    assert "File name too long" in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [run]


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_characters_that_the_terminal_lacks_are_written_out(
    tmp_path: Path, run: Path, options: list[str]
) -> None:
    recipe = recipe_of(tmp_path, [{"fix": "strip_prefix", "prefix": "modülé."}])
    loupe = Path(sys.executable).with_name("loupe")
    done = subprocess.run(
        [loupe, "fix", run, tmp_path / "out.pth", "--recipe", recipe, *options],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if options:
        assert json.loads(done.stdout)["steps"][0]["fix"] == "Strip `modülé.`"
    else:
        assert "Strip `mod\\xfcl\\xe9.`" in done.stdout
        assert "\\u2192" in done.stdout


@pytest.mark.slow
def test_a_class_of_the_file_is_named_where_it_is_left_out_and_never_runs(tmp_path: Path) -> None:
    """The file would write `ran` if anything in it were called."""
    source = tmp_path / "make.py"
    source.write_text(
        "import sys, torch, pathlib\n"
        "class Evil:\n"
        "    def __reduce__(self):\n"
        "        return (pathlib.Path.write_text, (pathlib.Path(sys.argv[2]), 'ran'))\n"
        "torch.save({'model': {'w': torch.ones(2)}, 'evil': Evil()}, sys.argv[1])\n"
    )
    ran = tmp_path / "ran"
    subprocess.run([sys.executable, source, tmp_path / "in.pth", ran], check=True)
    loupe = Path(sys.executable).with_name("loupe")
    command = [loupe, "fix", tmp_path / "in.pth", tmp_path / "out.pth", "--keep", "all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "left out: evil: " in done.stdout
    assert not ran.exists()
    assert set(torch.load(tmp_path / "out.pth", weights_only=True)) == {"model"}


SWAP = [
    {
        "fix": "rename_table",
        "table": {
            "layer1.0.conv1.weight": "layer1.0.conv2.weight",
            "layer1.0.conv2.weight": "layer1.0.conv1.weight",
        },
    }
]


def test_what_was_written_is_proved_on_request(
    tmp_path: Path, training_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    arguments = ["fix", str(training_file), str(out), "--best", "--prove"]
    assert main([*arguments, "--arch", "resnet18", "--num-classes", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index(f"verified: {out} was read back, and every byte is as it was written.")
    assert lines[at + 1].startswith("Proved: it loads with the right values.")
    assert any("was built and loaded strictly: 122 tensors." in line for line in lines)
    assert any("The file has the target's own key names" in line for line in lines)


def test_a_proof_that_fails_is_status_1(
    tmp_path: Path, training_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(tmp_path, [*STRIP, *SWAP])
    arguments = ["fix", str(training_file), str(tmp_path / "out.pth"), "--recipe", str(recipe)]
    arguments += ["--arch", "resnet18", "--num-classes", "10", "--keep", "metadata"]
    assert main([*arguments, "--json"]) == 0
    assert told(capsys)["proof"] is None
    assert main([*arguments, "--prove", "--json", "--force"]) == 1
    document = told(capsys)
    assert document["fits"] is True
    proof = document["proof"]
    assert (proof["proved"], proof["verdict"]) == (False, "other outputs")
    assert proof["difference"] > proof["tolerance"]
    assert len(proof["values"]["from_file"]) == 122
    assert proof["sentences"][0].startswith("The proof failed: its outputs are not those of")


def test_a_proof_needs_an_architecture(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fix", str(run), str(tmp_path / "out.pth"), "--prove"]) == 2
    assert "--prove builds a model, and no architecture is named." in capsys.readouterr().err
    assert not (tmp_path / "out.pth").exists()


def test_another_copy_in_the_file_and_other_arithmetic_are_told(
    tmp_path: Path, weights: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"model": weights, "ema": {"shadow": weights}}, tmp_path / "both.pth")
    said = "The file also contains tensors of the same shapes in `ema.shadow`: choose which to use."
    for command in (["fit"], ["fix"]):
        output = [str(tmp_path / "b.safetensors")] if command == ["fix"] else []
        assert main([*command, str(tmp_path / "both.pth"), *output, "--arch", ARCH]) == 0
        assert said in capsys.readouterr().out
    output = str(tmp_path / "d.pth")
    assert main(["fix", str(tmp_path / "both.pth"), output, "--best"]) == 0
    assert capsys.readouterr().out.startswith("This is a torchvision squeezenet1_1 with 4 classes")
    keys = efficientnet_pytorch_names(timm.create_model("efficientnet_b0").state_dict())
    torch.save(keys, tmp_path / "b0.pth")
    arch = ["--best", "--arch", "timm:efficientnet_b0"]
    assert main(["fix", str(tmp_path / "b0.pth"), str(tmp_path / "c.pth"), *arch, "--json"]) == 0
    (remark,) = told(capsys)["remarks"]
    assert "what timm's tf_efficientnet does: padding SAME" in remark


def test_what_is_dropped_is_named_by_part_with_its_count(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fix", str(run), str(tmp_path / "weights.pth")]) == 0
    number = len(torch.load(run)["model"])
    dropped = f"dropped: optimizer.state ({number} tensors), epoch and note\n"
    assert dropped in capsys.readouterr().out
    assert main(["fix", str(run), str(tmp_path / "data.pth"), "--keep", "metadata"]) == 0
    assert f"dropped: optimizer.state ({number} tensors)\n" in capsys.readouterr().out
    assert main(["fix", str(run), str(tmp_path / "all.pth"), "--keep", "all", "--json"]) == 0
    assert told(capsys)["dropped"] == []


@pytest.mark.parametrize("values", [30, 1500])
def test_many_values_that_are_left_out_are_one_line_for_each_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: int
) -> None:
    strange = {f"k{number}": np.array([1 + 2j]) for number in range(values)}
    saved = {"model": {"w": torch.ones(2)}, "cfg": strange, "one": np.array([2j])}
    torch.save(saved, tmp_path / "in.pth")
    command = ["fix", str(tmp_path / "in.pth"), str(tmp_path / "out.pth"), "--keep", "metadata"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if line.startswith(("changed", "left out"))]
    one = "changed: one: a numpy array of 1, kept as a list"
    assert said == [
        f"changed: cfg: {values:,} values, such as cfg.k0: a numpy array of 1, kept as a list",
        one if values == 30 else "changed: one: 1 value, kept as a list",
    ]


@pytest.mark.parametrize("keep", ["metadata", "all"])
def test_a_checkpoint_in_bytes_that_is_chosen_keeps_nothing_around_it(
    tmp_path: Path, keep: str, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = io.BytesIO()
    torch.save({"w": torch.ones(2)}, policy)
    saved = {"state_dict": {"w": torch.zeros(2)}, "epoch": 3, "policy": policy.getvalue()}
    torch.save(saved, tmp_path / "in.pth")
    command = ["fix", str(tmp_path / "in.pth"), str(tmp_path / "out.pth"), "--keep", keep]

    assert main([*command, "--state-dict", "policy.bytes"]) == 2
    assert "Keep the weights alone (--keep weights" in capsys.readouterr().err
    assert not (tmp_path / "out.pth").exists()
    assert main(command) == 0
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert loaded["policy"] == saved["policy"]
