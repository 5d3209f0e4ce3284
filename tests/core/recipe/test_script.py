"""A recipe as a script: run by itself, on real files, it makes what Loupe makes."""

import ast
import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import save_torch_state_dict
from hypothesis import given
from hypothesis import strategies as some
from safetensors.torch import save_file
from torch import nn
from torchvision.models import shufflenet_v2_x0_5

from core.architectures import Signature, build, parse_architecture, signature
from core.checkpoint import open_checkpoint
from core.checkpoint.containers import file_or_set
from core.errors import FixError
from core.fit import match
from core.fixes import (
    KINDS,
    AdaptInput,
    AddBatchStatistics,
    AddPrefix,
    ApplyMasks,
    CastDtype,
    Dequantize,
    Drop,
    DropMismatched,
    Fix,
    Fuse,
    Keep,
    MergeLora,
    Recipe,
    Rename,
    RenameTable,
    ResamplePositions,
    Reshape,
    SelectClasses,
    Split,
    Step,
    StripPrefix,
    Transpose,
    Untie,
    WeightNorm,
)
from core.recipe import apply_recipe, in_pickled_object, recipe_code
from core.recipe.script import PACKED
from core.tensors import read_tensor
from tests.prepared import run_script

pytestmark = pytest.mark.slow


def run(code: str, folder: Path) -> dict[str, torch.Tensor]:
    """Run a script in a process of its own, in a folder; what its state_dict is then."""
    script = folder / "script.py"
    script.write_text(code + '\ntorch.save(state_dict, "result.pth")\n', encoding="utf-8")
    done = run_script(script)
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "result.pth", weights_only=True)


def run_all(codes: list[str], folder: Path) -> list[dict[str, torch.Tensor]]:
    """Run several scripts one after the other in one process; what each one's state_dict is."""
    scripts = [f'{code}\ntorch.save(state_dict, "result{at}.pth")' for at, code in enumerate(codes)]
    run("\n\n".join(scripts), folder)
    return [torch.load(folder / f"result{at}.pth", weights_only=True) for at in range(len(codes))]


def assert_close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-6)


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)


def repaired(
    path: Path, state_dict: str, recipe: Recipe, wanted: Signature | None = None
) -> dict[str, torch.Tensor]:
    entries = apply_recipe(recipe, open_checkpoint(path).state_dict(state_dict), wanted).state_dict
    return {key: read_tensor(entry) for key, entry in entries.items()}


def of(*fixes: Fix) -> Recipe:
    return Recipe.of(fixes)


TENSORS = {
    "module.encoder._orig_mod.module.0.weight": torch.randn(4, 3),
    "module.encoder._orig_mod.module.0.bias": torch.randn(4),
    "module.norm.gamma": torch.randn(4).double(),
    "module.norm.num_batches_tracked": torch.tensor(7),
    "module.fc.weight": torch.randn(2, 4).half(),
    "queue": torch.zeros(3),
    "module.": torch.ones(1),
}


RECIPES = [
    Recipe(),
    of(StripPrefix("module.")),
    of(StripPrefix("module.", anywhere=True), StripPrefix("_orig_mod.", anywhere=True)),
    of(AddPrefix('it\'s "new"\\n.'), Drop("*queue")),
    of(Keep("module.[en]*"), Rename(r"(^|\.)gamma$", r"\1weight")),
    of(Keep(r"\d\.", "regex"), Rename("^", "\\\\ünï\n")),
    of(Drop("^queue$|bias", "regex"), CastDtype("bfloat16"), CastDtype("float32")),
    Recipe((Step(Drop("*"), enabled=False), Step(StripPrefix("module.")))),
    of(RenameTable((("queue", "q\n'\"\\"), ("absent", "x"), ("module.", "m")))),
    of(StripPrefix("mod*."), StripPrefix("enc*._orig_*.")),
    of(StripPrefix("m*le.", anywhere=True), StripPrefix("_or*.", anywhere=True)),
]


def test_the_script_makes_the_same_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    torch.save({"epoch": 3, "state_dict": TENSORS}, path)
    codes = [recipe_code(path.name, "state_dict", recipe) for recipe in RECIPES]
    for recipe, found in zip(RECIPES, run_all(codes, tmp_path), strict=True):
        assert_same(found, repaired(path, "state_dict", recipe))


PLACES = [
    (TENSORS, ""),
    ({"epoch": 3, **TENSORS}, ""),
    (
        {"ema": {"decay": 0.9, "shadow_params": [torch.ones(2), torch.zeros(3)]}},
        "ema.shadow_params",
    ),
    ({"nets": [{"a": torch.ones(2)}, {"b": torch.zeros(2)}]}, "nets.1"),
    ({"runs": {0: {"a.b": torch.ones(2)}}, "v1.0": {"c": torch.zeros(1)}}, "runs"),
    ({"v1.0": {"c": torch.zeros(1), "name": "x"}}, "v1.0"),
]


def test_the_script_finds_the_state_dict_where_it_lies(tmp_path: Path) -> None:
    files = [tmp_path / f'it\'s a "file" {index}.pth' for index in range(len(PLACES))]
    for file, (contents, _) in zip(files, PLACES, strict=True):
        torch.save(contents, file)
    codes = [
        recipe_code(file.name, path, Recipe())
        for file, (_, path) in zip(files, PLACES, strict=True)
    ]
    for file, (_, path), found in zip(files, PLACES, run_all(codes, tmp_path), strict=True):
        assert_same(found, repaired(file, path, Recipe()))


def told_by_the_file(path: Path, recipe: Recipe) -> str:
    """The script for the best state_dict of a file or folder, as the Fit page shows it."""
    checkpoint = open_checkpoint(file_or_set(path))
    given = {"format": checkpoint.format, "tree": checkpoint.tree}
    return recipe_code(checkpoint.name, checkpoint.best, recipe, **given)


ROOTS: dict[str, object] = {
    "list": [torch.ones(2), torch.zeros(3)],
    "tensor": torch.ones(3),
    "numbers": {"model": {0: torch.ones(2), 1: torch.zeros(1)}},
    "dots": {"model": {"ema": 3}, "model.ema": {"a": torch.ones(2)}},
    "own-name": {"weights of mine": {"a": torch.ones(2)}, "epoch": 1},
}


@pytest.mark.parametrize("contents", ROOTS.values(), ids=ROOTS)
def test_the_script_reads_a_file_whose_tensors_lie_unusually(
    contents: object, tmp_path: Path
) -> None:
    file = tmp_path / "file.pth"
    torch.save(contents, file)
    recipe = of(AddPrefix("m."))
    best = open_checkpoint(file).best
    assert_same(run(told_by_the_file(file, recipe), tmp_path), repaired(file, best, recipe))


def test_the_script_goes_by_what_a_file_is_and_not_by_its_name(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2), "b": torch.zeros(3)}
    torch.save(tensors, tmp_path / "torch.safetensors")
    save_file(tensors, tmp_path / "safe.ckpt")
    torch.save(tensors, tmp_path / "moco.pth.tar", _use_new_zipfile_serialization=False)
    files = [tmp_path / name for name in ("torch.safetensors", "safe.ckpt", "moco.pth.tar")]
    codes = [told_by_the_file(file, Recipe()) for file in files]
    for found in run_all(codes, tmp_path):
        assert_same(found, tensors)


@pytest.mark.parametrize("safe", [True, False])
def test_the_script_reads_the_files_that_an_index_names(safe: bool, tmp_path: Path) -> None:
    tensors = {f"layer{index}.weight": torch.randn(50, 50) for index in range(4)}
    save_torch_state_dict(tensors, tmp_path, max_shard_size=25_000, safe_serialization=safe)
    (index,) = tmp_path.glob("*.index.json")
    code = told_by_the_file(index, of(AddPrefix("m.")))
    assert_same(
        run("import torch\n" + code, tmp_path),
        {f"m.{key}": value for key, value in tensors.items()},
    )
    with pytest.raises(FixError, match="alone cannot read"):
        told_by_the_file(tmp_path, Recipe())


def test_of_a_file_that_pytorch_alone_does_not_read_there_is_a_sentence(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    packed = tmp_path / "a.pth.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.pth").read_bytes()))
    plain = tmp_path / "plain.pkl"
    plain.write_bytes(pickle.dumps({"a": np.ones(2, np.float32)}))
    for file, words in ((packed, "a packed file"), (plain, "plain pickle")):
        with pytest.raises(FixError, match=f"cannot read {file.name}, which is {words}"):
            told_by_the_file(file, Recipe())


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
        "# With weights_only, PyTorch runs no code from the file. If it refuses the file,\n"
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


def test_field_3_the_script_loads_a_model_but_for_a_head_of_another_shape(tmp_path: Path) -> None:
    recipe = of(DropMismatched())
    codes, wanted = [], []
    for name in ("torchvision:shufflenet_v2_x0_5", "timm:resnet10t"):
        architecture = parse_architecture(name)
        specs = signature(architecture)
        *_, weight, bias = (key for key, spec in specs.items() if spec.kind == "parameter")
        tensors = {key: torch.zeros(spec.shape) for key, spec in specs.items()}
        tensors |= {weight: torch.zeros(5, specs[weight].shape[1]), bias: torch.zeros(5)}
        file = tmp_path / f"{architecture.name}.pth"
        torch.save(tensors, file)
        codes.append(recipe_code(file.name, "", recipe, architecture))
        wanted.append(repaired(file, "", recipe, specs))
        assert len(wanted[-1]) == len(specs) - 2
    for found, expected in zip(run_all(codes, tmp_path), wanted, strict=True):
        assert_same(found, expected)
    with pytest.raises(FixError, match="needs the shapes of an architecture"):
        recipe_code("file.pth", "", recipe)


TIED = torch.randn(4, 3)
TINY = "timm:vit_tiny_patch16_224?num_classes=4"
LORA = {
    "base_model.model.fc.base_layer.weight": torch.randn(5, 4),
    "base_model.model.fc.lora_A.default.weight": torch.randn(2, 4),
    "base_model.model.fc.lora_B.default.weight": torch.randn(5, 2),
    "base_model.model.head.original_module.weight": torch.randn(3, 4),
    "base_model.model.head.modules_to_save.default.weight": torch.randn(3, 4),
}
NORMED = {
    "a.weight_g": torch.randn(3, 1, 1),
    "a.weight_v": torch.randn(3, 2, 5),
    "a.bias": torch.randn(3),
    "b.parametrizations.weight.original0": torch.randn(()),
    "b.parametrizations.weight.original1": torch.randn(3, 2).half(),
}
PRUNED = {
    "a.weight_orig": torch.randn(3, 2).half(),
    "a.weight_mask": torch.ones(3, 2).tril(),
    "a.bias_orig": torch.randn(3),
    "a.bias_mask": torch.tensor([True, False, True]),
    "b.weight_orig": torch.ones(3, dtype=torch.long),
    "b.weight_mask": torch.ones(3),
    "c.weight_orig": torch.randn(3),
    "c.weight_mask": torch.ones(3),
    "c.weight": torch.zeros(3),
}
UNFOLDABLE = {
    "a.weight_g": torch.ones(3, 1, dtype=torch.long),
    "a.weight_v": torch.randn(3, 2),
    "b.weight_g": torch.randn(0, 1, 1),
    "b.weight_v": torch.randn(0, 3, 2),
}
QKV = {
    "attn.qkv.weight": torch.randn(9, 4),
    "attn.qkv.bias": torch.randn(9).half(),
    "attn.qkv.count": torch.tensor(3),
    "attn.k_norm.weight": torch.randn(3),
}
SPLIT = Split("qkv", ("q", "k", "v"))


def without_a_model() -> list[tuple[dict[str, torch.Tensor], Recipe]]:
    integers = torch.randint(0, 9, (3, 2)).char()
    quantized = torch._make_per_tensor_quantized_tensor(integers, 0.3, 1)
    return [
        (QKV, of(SPLIT)),
        (QKV, of(SPLIT, Fuse(("q", "k", "v"), "in_proj"), Fuse(("k_norm", "absent"), "norm"))),
        (QKV, of(Transpose("*.weight"), Transpose(r"qkv\.w", "regex"), Transpose("*qkv*"))),
        (QKV, of(SelectClasses("attn.qkv.*", (8, -1, 0, 0)))),
        ({"c.weight": torch.randn(4, 3, 2, 2).bfloat16()}, of(AdaptInput(in_chans=5))),
        ({"c.weight": torch.randn(4, 12, 2, 2)}, of(AdaptInput("c*", 1))),
        (
            {"b.dw.weight": torch.randn(4, 1, 3, 3), "stem.weight": torch.randn(4, 3, 3, 3)},
            of(AdaptInput(in_chans=1)),
        ),
        (
            {"a.weight": torch.ones(4, 3, 2, 2).char(), "b.weight": torch.randn(4, 8, 3, 3)},
            of(AdaptInput(in_chans=1)),
        ),
        (NORMED, of(WeightNorm())),
        (UNFOLDABLE, of(WeightNorm())),
        (NORMED, of(WeightNorm("hooked"))),
        (NORMED, of(WeightNorm("parametrized"))),
        (PRUNED, of(ApplyMasks())),
        (LORA, of(MergeLora())),
        (LORA, of(MergeLora(16))),
        (
            {
                "fc.weight": torch.randn(5, 4).half(),
                "fc.lora_down.weight": torch.randn(2, 4),
                "fc.lora_up.weight": torch.randn(5, 2),
                "fc.alpha": torch.tensor(3.0),
            },
            of(MergeLora()),
        ),
        ({"a": quantized, "b": torch.ones(2)}, of(Dequantize())),
        ({"a": TIED, "b": TIED, "c": TIED[:2]}, of(Untie())),
    ]


@pytest.mark.filterwarnings("ignore:.*quantize.*:UserWarning")
def test_the_script_does_to_tensors_what_loupe_does(tmp_path: Path) -> None:
    codes, cases = [], without_a_model()
    for index, (tensors, recipe) in enumerate(cases):
        torch.save(tensors, tmp_path / f"{index}.pth")
        codes.append(recipe_code(f"{index}.pth", "", recipe))
        assert "core" not in codes[-1]
        assert "loupe" not in codes[-1].replace("# read Loupe's", "")
    for index, found in enumerate(run_all(codes, tmp_path)):
        wanted = repaired(tmp_path / f"{index}.pth", "", cases[index][1])
        assert_close(found, wanted)
    untied = run_all(codes[-1:], tmp_path)[0]
    assert untied["a"].data_ptr() != untied["b"].data_ptr()


def for_models() -> list[tuple[str, dict[str, torch.Tensor], Recipe]]:
    vit = {key: torch.randn(spec.shape) for key, spec in signature_of(TINY).items()}
    other = vit | {
        "pos_embed": torch.randn(1, 8 * 8 + 1, 192),
        "patch_embed.proj.weight": torch.randn(192, 1, 16, 16),
        "norm.weight": torch.randn(1, 192, 1),
    }
    shuffle = "torchvision:shufflenet_v2_x0_5"
    bare = {
        key: torch.randn(spec.shape)
        for key, spec in signature_of(shuffle).items()
        if spec.kind == "parameter" and not key.startswith("stage2")
    }
    swin = "torchvision:swin_t"
    tables = {
        key: torch.randn(225 if "table" in key else 4096, *spec.shape[1:])
        for key, spec in signature_of(swin).items()
        if "relative_position" in key and ".0.attn" in key
    }
    positions = ResamplePositions(method="torchvision"), ResamplePositions("*", "timm")
    return [
        (TINY, other, of(AdaptInput(), Reshape(), positions[0])),
        (TINY, other, of(positions[1], AdaptInput("patch*"), Reshape("norm*"))),
        (shuffle, bare, of(AddBatchStatistics())),
        (swin, tables, of(positions[1])),
    ]


def signature_of(name: str) -> Signature:
    return signature(parse_architecture(name))


def test_the_strict_script_takes_the_models_own_buffers_where_the_file_has_none(
    tmp_path: Path,
) -> None:
    name = "timm:efficientformer_l1?num_classes=3"
    model = build(parse_architecture(name))
    harmless = ("attention_bias_idxs", "num_batches_tracked")
    tensors = {k: v for k, v in model.state_dict().items() if not k.endswith(harmless)}
    torch.save(tensors, tmp_path / "a.pth")
    found = match(open_checkpoint(tmp_path / "a.pth").state_dict(), signature_of(name))
    architecture = parse_architecture(name)
    code = recipe_code("a.pth", "", Recipe(), architecture, strict=True, computed=found.computed)
    assert "strict=False" not in code
    assert_same(run(f"{code}\nstate_dict = model.state_dict()", tmp_path), model.state_dict())


def test_the_script_goes_by_the_models_own_shapes(tmp_path: Path) -> None:
    cases = for_models()
    codes = []
    for index, (name, tensors, recipe) in enumerate(cases):
        torch.save(tensors, tmp_path / f"{index}.pth")
        architecture = parse_architecture(name)
        codes.append(recipe_code(f"{index}.pth", "", recipe, architecture, strict=False))
        with pytest.raises(FixError, match="needs the shapes of an architecture"):
            recipe_code(f"{index}.pth", "", recipe)
    for index, found in enumerate(run_all(codes, tmp_path)):
        name, tensors, recipe = cases[index]
        assert_close(found, repaired(tmp_path / f"{index}.pth", "", recipe, signature_of(name)))
        assert found.keys() != tensors.keys() or any(
            value.shape != tensors[key].shape for key, value in found.items()
        )


@pytest.mark.filterwarnings("ignore:.*quantize.*:UserWarning")
def test_every_fix_has_code() -> None:
    kinds = {type(step.fix) for _, recipe in without_a_model() for step in recipe.steps}
    kinds |= {type(step.fix) for *_, recipe in for_models() for step in recipe.steps}
    kinds |= {type(step.fix) for recipe in RECIPES for step in recipe.steps} | {DropMismatched}
    assert kinds == set(KINDS)


def test_the_script_of_a_whole_model_reads_the_repaired_download(tmp_path: Path) -> None:
    code = recipe_code("model.pth", "", of(StripPrefix("module.")), whole_model=True)
    assert "repaired download" in code
    assert "removeprefix" not in code
    torch.save(shufflenet_v2_x0_5().state_dict(), tmp_path / "repaired.pth")
    assert len(run(code, tmp_path)) == 338


def test_weights_in_a_pickled_model_are_told_from_weights_in_a_dict(tmp_path: Path) -> None:
    model = shufflenet_v2_x0_5()
    torch.save({"state.dict": model.state_dict(), "whole": model}, tmp_path / "both.pth")
    checkpoint = open_checkpoint(tmp_path / "both.pth")
    inside = {path: in_pickled_object(checkpoint.tree, path) for path in checkpoint.state_dicts}
    assert inside == {"state.dict": False, "whole": True}


def test_a_file_that_is_a_model_is_a_pickled_object(tmp_path: Path) -> None:
    torch.save(shufflenet_v2_x0_5(), tmp_path / "whole.pth")
    checkpoint = open_checkpoint(tmp_path / "whole.pth")
    assert in_pickled_object(checkpoint.tree, checkpoint.best)


TEXTS = some.text(min_size=1, max_size=20)
NAMES = TEXTS.filter(lambda name: not name.lower().endswith((*PACKED, ".safetensors")))
"""A name's ending says what the script reads, where nothing else does."""


@given(NAMES, TEXTS, TEXTS, TEXTS)
def test_no_text_gets_out_of_its_place_in_the_script(
    name: str, path: str, prefix: str, pattern: str
) -> None:
    def shape(*texts: str) -> list[type[ast.AST]]:
        name, path, prefix, pattern = texts
        recipe = of(StripPrefix(prefix), Keep(pattern), Rename(pattern, prefix))
        return [type(node) for node in ast.walk(ast.parse(recipe_code(name, f".{path}", recipe)))]

    plain = "c*" if "*" in prefix else "c"
    assert shape(name, path, prefix, pattern) == shape("a.pth", "b", plain, "d")
