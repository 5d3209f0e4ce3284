"""A recipe as a script: run by itself, on real files, it makes what Loupe makes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from safetensors.torch import save_file
from torch import nn
from torchvision.models import shufflenet_v2_x0_5

from core.architectures import parse_architecture, signature
from core.checkpoint import open_checkpoint
from core.checkpoint.tensors import read_tensor
from core.errors import FixError
from core.fixes import (
    AddPrefix,
    CastDtype,
    Drop,
    DropMismatched,
    Fix,
    Keep,
    Recipe,
    Rename,
    Step,
    StripPrefix,
    apply_recipe,
)
from core.recipe_code import recipe_code


def run(code: str, folder: Path) -> dict[str, torch.Tensor]:
    """Run a script in a process of its own, in a folder; what its state_dict is then."""
    script = folder / "script.py"
    script.write_text(code + '\ntorch.save(state_dict, "result.pth")\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", script.name], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "result.pth", weights_only=True)


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)


def repaired(path: Path, state_dict: str, recipe: Recipe) -> dict[str, torch.Tensor]:
    entries = apply_recipe(recipe, open_checkpoint(path).state_dict(state_dict)).state_dict
    return {key: read_tensor(entry) for key, entry in entries.items()}


def of(*fixes: Fix) -> Recipe:
    return Recipe(tuple(Step(fix) for fix in fixes))


TENSORS = {
    "module.encoder._orig_mod.module.0.weight": torch.randn(4, 3),
    "module.encoder._orig_mod.module.0.bias": torch.randn(4),
    "module.norm.gamma": torch.randn(4).double(),
    "module.norm.num_batches_tracked": torch.tensor(7),
    "module.fc.weight": torch.randn(2, 4).half(),
    "queue": torch.zeros(3),
    "module.": torch.ones(1),
}


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        of(StripPrefix("module.")),
        of(StripPrefix("module.", anywhere=True), StripPrefix("_orig_mod.", anywhere=True)),
        of(AddPrefix('it\'s "new"\\n.'), Drop("*queue")),
        of(Keep("module.[en]*"), Rename(r"(^|\.)gamma$", r"\1weight")),
        of(Keep(r"\d\.", "regex"), Rename("^", "\\\\ünï\n")),
        of(Drop("^queue$|bias", "regex"), CastDtype("bfloat16"), CastDtype("float32")),
        Recipe((Step(Drop("*"), enabled=False), Step(StripPrefix("module.")))),
    ],
)
def test_the_script_makes_the_same_state_dict(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    torch.save({"epoch": 3, "state_dict": TENSORS}, path)
    found = run(recipe_code(path.name, "state_dict", recipe), tmp_path)
    assert_same(found, repaired(path, "state_dict", recipe))


@pytest.mark.parametrize(
    ("contents", "path"),
    [
        (TENSORS, ""),
        ({"epoch": 3, **TENSORS}, ""),
        (
            {"ema": {"decay": 0.9, "shadow_params": [torch.ones(2), torch.zeros(3)]}},
            "ema.shadow_params",
        ),
        ({"nets": [{"a": torch.ones(2)}, {"b": torch.zeros(2)}]}, "nets.1"),
        ({"runs": {0: {"a.b": torch.ones(2)}}, "v1.0": {"c": torch.zeros(1)}}, "runs"),
        ({"v1.0": {"c": torch.zeros(1), "name": "x"}}, "v1.0"),
    ],
)
def test_the_script_finds_the_state_dict_where_it_lies(
    contents: object, path: str, tmp_path: Path
) -> None:
    file = tmp_path / 'it\'s a "file".pth'
    torch.save(contents, file)
    found = run(recipe_code(file.name, path, Recipe()), tmp_path)
    assert_same(found, repaired(file, path, Recipe()))


def test_the_script_reads_an_optimizers_state(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    file = tmp_path / "file.pth"
    torch.save({"optimizer": optimizer.state_dict()}, file)
    found = run(recipe_code(file.name, "optimizer.state", Recipe()), tmp_path)
    assert_same(found, repaired(file, "optimizer.state", Recipe()))


def test_the_script_reads_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "file.safetensors"
    save_file({"module.a": torch.ones(2), "module.b": torch.zeros(3)}, file)
    recipe = of(StripPrefix("module."))
    code = recipe_code(file.name, "", recipe)
    assert "torch.load" not in code
    assert_same(run("import torch\n" + code, tmp_path), repaired(file, "", recipe))


def test_field_1_the_script_is_what_one_would_write_by_hand() -> None:
    code = recipe_code(
        "moco.pth",
        "state_dict",
        of(StripPrefix("module.")),
        parse_architecture("torchvision:resnet18?num_classes=10"),
    )
    assert code == (
        "import torch\n"
        "from torchvision.models import get_model\n"
        "\n"
        'model = get_model("resnet18", weights=None, num_classes=10)\n'
        "\n"
        "# With weights_only PyTorch runs nothing from the file. Where it refuses the file,\n"
        "# read Loupe's repaired download instead.\n"
        'checkpoint = torch.load("moco.pth", map_location="cpu", weights_only=True)\n'
        'state_dict = {key: value for key, value in checkpoint["state_dict"].items()'
        " if isinstance(value, torch.Tensor)}\n"
        "\n"
        "# Strip `module.`\n"
        'state_dict = {key.removeprefix("module.") or key: value'
        " for key, value in state_dict.items()}\n"
        "\n"
        "model.load_state_dict(state_dict)\n"
        "model.eval()\n"
    )


@pytest.mark.parametrize("library", ["torchvision:shufflenet_v2_x0_5", "timm:resnet10t"])
def test_field_3_the_script_loads_a_model_but_for_a_head_of_another_shape(
    library: str, tmp_path: Path
) -> None:
    architecture = parse_architecture(library)
    wanted = signature(architecture)
    file = tmp_path / "file.pth"
    tensors = {key: torch.zeros(spec.shape) for key, spec in wanted.items()}
    *_, weight, bias = (key for key, spec in wanted.items() if spec.kind == "parameter")
    tensors |= {weight: torch.zeros(5, wanted[weight].shape[1]), bias: torch.zeros(5)}
    torch.save(tensors, file)
    recipe = of(DropMismatched())
    code = recipe_code(file.name, "", recipe, architecture)
    entries = apply_recipe(recipe, open_checkpoint(file).state_dict(""), wanted).state_dict
    assert list(run(code, tmp_path)) == list(entries)
    assert len(entries) == len(wanted) - 2
    with pytest.raises(FixError, match="without an architecture"):
        recipe_code(file.name, "", recipe)


def test_the_script_of_a_whole_model_reads_the_repaired_download(tmp_path: Path) -> None:
    code = recipe_code("model.pth", "", of(StripPrefix("module.")), whole_model=True)
    assert "repaired download" in code
    assert "removeprefix" not in code
    torch.save(shufflenet_v2_x0_5().state_dict(), tmp_path / "repaired.pth")
    assert len(run(code, tmp_path)) == 338


TEXTS = some.text(min_size=1, max_size=20)


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_no_text_gets_out_of_its_place_in_the_script(
    name: str, path: str, prefix: str, pattern: str
) -> None:
    def shape(*texts: str) -> list[type[ast.AST]]:
        name, path, prefix, pattern = texts
        recipe = of(StripPrefix(prefix), Keep(pattern), Rename(pattern, prefix))
        return [type(node) for node in ast.walk(ast.parse(recipe_code(name, f".{path}", recipe)))]

    plain = "c*" if "*" in prefix else "c"
    assert shape(name, path, prefix, pattern) == shape("a.pth", "b", plain, "d")
