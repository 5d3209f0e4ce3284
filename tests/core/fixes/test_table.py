"""The table of kinds: each is whole, and a recipe written earlier is read and done as it was."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import torch

from core.architectures import parse_architecture
from core.checkpoint import StateDict
from core.fixes import KINDS, Context, Effect, Fix, Recipe, ScriptPart, TextField
from core.fixes.form import Form
from core.recipe import NAMES, apply_recipe, recipe_code, recipe_from_json, recipe_to_json
from tests.core.fixes.files import saved, signature_of

WRITTEN = r"""
{"fix": "strip_prefix", "prefix": "module.", "anywhere": true}
{"fix": "add_prefix", "prefix": "net."}
{"fix": "keep", "pattern": "[a-m].*", "syntax": "regex"}
{"fix": "drop", "pattern": "*.count"}
{"fix": "rename", "pattern": "^(.*)\\.gamma$", "replacement": "\\1.weight"}
{"fix": "rename_table", "table": {"head.weight": "fc.weight", "absent": "x"}}
{"fix": "drop_mismatched"}
{"fix": "cast_dtype", "dtype": "bfloat16"}
{"fix": "select_classes", "pattern": "head.*", "rows": [1, -1, 0]}
{"fix": "adapt_input", "pattern": "conv.*", "in_chans": 1}
{"fix": "resample_positions", "method": "torchvision"}
{"fix": "split", "fused": "qkv", "parts": ["q", "k", "v"]}
{"fix": "fuse", "parts": ["wq", "wk"], "fused": "w"}
{"fix": "transpose", "pattern": "head.weight"}
{"fix": "reshape"}
{"fix": "weight_norm", "to": "parametrized"}
{"fix": "apply_masks"}
{"fix": "add_batch_statistics"}
{"fix": "merge_lora", "alpha": 16.0}
{"fix": "dequantize"}
{"fix": "untie"}
""".strip().splitlines()
"""A recipe of all kinds in the order of the table, as saved recipes and links hold it."""

WORDS = r"""
Strip `module.` anywhere
Add `net.`
Keep only keys with the regex `[a-m].*`
Drop `*.count`
Rename `^(.*)\.gamma$` to `\1.weight`
Rename 2 keys by a table
Drop what has another shape
Cast to bfloat16
Make `head.*` a head of 3 classes
Adapt the input convolution `conv.*` to 1 channel
Resample position embeddings as torchvision does
Split `qkv` into `q`, `k`, `v`
Fuse `wq`, `wk` into `w`
Transpose `head.weight`
Add or remove dimensions of 1
Rename weight norm to `parametrizations`
Apply the pruning masks
Add BatchNorm's default statistics
Merge the LoRA adapters with alpha 16
Dequantize
Untie shared storages
""".strip().splitlines()

EFFECTS = """
1 0 1 key renamed.
19 0 19 keys renamed.
0 0 No key dropped.
0 1 1 key dropped.
1 0 1 key renamed.
1 0 1 key renamed.
0 2 2 keys dropped.
17 0 17 tensors cast to bfloat16.
2 0 2 of 2 rows taken in 2 tensors, 1 row of zeros added.
1 0 `conv.weight` adapted from 3 to 1 channel.
1 0 `pos_embed` resampled from 4 × 4 to 3 × 3, assumed to be square.
1 0 1 tensor split into 3 tensors.
1 0 2 tensors fused into 1 tensor.
1 0 1 matrix transposed.
1 0 1 key reshaped.
2 0 2 keys renamed.
0 0 No pruning mask to apply.
2 0 2 statistics of BatchNorm added at their defaults.
1 0 1 adapter merged into the weights.
1 0 1 tensor dequantized.
1 0 1 key untied.
""".strip().splitlines()
"""What each fix alone does to `tensors()`: changed, dropped, sentence."""

STEPS = r"""
model = get_model("resnet18", weights=None)

# With weights_only, PyTorch runs no code from the file. If it refuses the file,
# read Loupe's repaired download instead.
checkpoint = torch.load("a.pth", map_location="cpu", weights_only=True)
state_dict = {key: value for key, value in checkpoint.items() if isinstance(value, torch.Tensor)}

# Strip `module.` anywhere
state_dict = {strip_anywhere(key, r"module\."): value for key, value in state_dict.items()}

# Add `net.`
state_dict = {"net." + key: value for key, value in state_dict.items()}

# Keep only keys with the regex `[a-m].*`
state_dict = {key: value for key, value in state_dict.items() if re.search("[a-m].*", key)}

# Drop `*.count`
state_dict = {key: value for key, value in state_dict.items() if not fnmatch.fnmatchcase(key, "*.count")}

# Rename `^(.*)\.gamma$` to `\1.weight`
state_dict = {re.sub(r"^(.*)\.gamma$", r"\1.weight", key): value for key, value in state_dict.items()}

# Rename 2 keys by a table
names = {
    "head.weight": "fc.weight",
    "absent": "x",
}
state_dict = {names.get(key, key): value for key, value in state_dict.items()}

# Drop what has another shape
shapes = {key: value.shape for key, value in model.state_dict().items()}
state_dict = {key: value for key, value in state_dict.items() if shapes.get(key, value.shape) == value.shape}

# Cast to bfloat16
state_dict = {
    key: value.to(torch.bfloat16) if value.is_floating_point() else value
    for key, value in state_dict.items()
}

# Make `head.*` a head of 3 classes
state_dict = select_classes(state_dict, 'head.*', (1, -1, 0))

# Adapt the input convolution `conv.*` to 1 channel
state_dict = adapt_input(state_dict, {}, 'conv.*', 1)

# Resample position embeddings as torchvision does
shapes = {key: value.shape for key, value in model.state_dict().items()}
state_dict = resample_positions(state_dict, shapes, '*', 'torchvision')

# Split `qkv` into `q`, `k`, `v`
state_dict = split(state_dict, 'qkv', ('q', 'k', 'v'))

# Fuse `wq`, `wk` into `w`
state_dict = fuse(state_dict, ('wq', 'wk'), 'w')

# Transpose `head.weight`
state_dict = {
    key: value.T if value.dim() == 2 and fnmatch.fnmatchcase(key, "head.weight") else value
    for key, value in state_dict.items()
}

# Add or remove dimensions of 1
shapes = {key: value.shape for key, value in model.state_dict().items()}
state_dict = reshape(state_dict, shapes, '*')

# Rename weight norm to `parametrizations`
state_dict = rename_weight_norm(state_dict, 'parametrized')

# Apply the pruning masks
state_dict = apply_masks(state_dict)

# Add BatchNorm's default statistics
state_dict = add_batch_statistics(state_dict, model.state_dict())

# Merge the LoRA adapters with alpha 16
state_dict = merge_lora(state_dict, 16.0)

# Dequantize
state_dict = dequantize(state_dict)

# Untie shared storages
state_dict = untie(state_dict)

# The missing_keys that this prints stay as the model initialises them.
print(model.load_state_dict(state_dict, strict=False))
model.eval()
"""  # noqa: E501
"""The script of the recipe, after the functions that it carries."""

FUNCTIONS = [
    "strip_anywhere",
    "chosen_rows",
    "select_classes",
    "adapted_channels",
    "input_plans",
    "adapt_input",
    "prefix_tokens",
    "position_plan",
    "resampled_grid",
    "resampled_table",
    "resample_positions",
    "split",
    "fuse",
    "reshape",
    "norm_dim",
    "norm_pairs",
    "rename_weight_norm",
    "mask_pairs",
    "masked",
    "apply_masks",
    "missing_statistics",
    "add_batch_statistics",
    "lora_part",
    "lora_plans",
    "merged_names",
    "merged_lora",
    "merge_lora",
    "dequantize",
    "untie",
]

RECIPE = recipe_from_json(list(map(json.loads, WRITTEN)))


def tensors() -> dict[str, torch.Tensor]:
    """Something for each kind to do."""
    shared = torch.zeros(3)
    return {
        "conv.weight": torch.zeros(4, 3, 2, 2),
        "module.norm.gamma": torch.zeros(4),
        "norm.count": torch.tensor(3),
        "head.weight": torch.zeros(2, 4),
        "head.bias": torch.zeros(2),
        "pos_embed": torch.zeros(1, 17, 8),
        "attn.qkv.weight": torch.zeros(9, 4),
        "attn.wq": torch.zeros(2, 2),
        "attn.wk": torch.zeros(2, 2),
        "flat.weight": torch.zeros(5, 4, 1, 1),
        "normed.weight_g": torch.zeros(3, 1),
        "normed.weight_v": torch.zeros(3, 2),
        "bn.weight": torch.zeros(4),
        "low.weight": torch.zeros(5, 4),
        "low.lora_A.weight": torch.zeros(2, 4),
        "low.lora_B.weight": torch.zeros(5, 2),
        "quantized": torch._make_per_tensor_quantized_tensor(torch.ones(3, 2).char(), 0.3, 1),
        "shared.a": shared,
        "shared.b": shared,
    }


WANTED = signature_of(
    {
        "pos_embed": torch.zeros(1, 10, 8),
        "flat.weight": torch.zeros(5, 4),
        "bn.weight": torch.zeros(4),
        "bn.running_mean": torch.zeros(4),
        "bn.running_var": torch.zeros(4),
    }
)


def test_the_kinds_have_the_names_and_the_order_that_they_always_had() -> None:
    assert [kind.json_name for kind in KINDS] == [json.loads(line)["fix"] for line in WRITTEN]
    assert [type(step.fix) for step in RECIPE.steps] == list(KINDS)
    assert len(NAMES) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_has_a_form_that_asks_for_all_its_fields(kind: type[Fix]) -> None:
    asked = [field.name for field in kind.form.fields]
    assert sorted(asked) == sorted(field.name for field in fields(kind))
    assert kind.form.title
    assert kind.form.about.endswith(".")
    assert [other.form.title for other in KINDS].count(kind.form.title) == 1


def test_a_recipe_that_was_written_earlier_is_written_so_again() -> None:
    assert list(map(json.dumps, recipe_to_json(RECIPE))) == WRITTEN


def test_each_kind_has_the_words_that_it_had() -> None:
    assert [step.fix.words() for step in RECIPE.steps] == WORDS


@pytest.mark.filterwarnings("ignore:.*quantize.*:UserWarning")
def test_each_kind_does_what_it_did(tmp_path: Path) -> None:
    state_dict = saved(tmp_path, tensors())
    effects = [
        apply_recipe(Recipe((step,)), state_dict, WANTED).effects[0] for step in RECIPE.steps
    ]
    found = [f"{effect.changed} {effect.dropped} {effect.sentence}" for effect in effects]
    assert found == EFFECTS


def test_each_kind_has_the_code_that_it_had() -> None:
    architecture = parse_architecture("torchvision:resnet18")
    code = recipe_code("a.pth", "", RECIPE, architecture)
    assert code[code.index("\nmodel = ") :] == STEPS
    assert re.findall(r"^def (\w+)", code, re.MULTILINE) == FUNCTIONS


@dataclass(frozen=True, slots=True)
class Shout(Fix):
    """A kind that is not in the table."""

    json_name = "shout"
    form = Form("Shout", "Makes keys loud.", (TextField("end", "End"),))

    end: str

    def words(self) -> str:
        return f"Shout `{self.end}`"

    def apply(self, state_dict: StateDict, context: Context) -> tuple[StateDict, Effect]:
        entries = [entry.under(key.upper() + self.end) for key, entry in state_dict.items()]
        return StateDict(entries, state_dict.path, {}), Effect(len(entries), 0, "Loud.")

    def script(self) -> ScriptPart:
        return ScriptPart(("state_dict = shout(state_dict)",), ("def shout(state_dict): ...",))


def test_a_new_kind_needs_nothing_besides_its_class_and_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NAMES, "shout", Shout)
    recipe = recipe_from_json([{"fix": "shout", "end": "!"}])
    assert recipe == Recipe.of([Shout("!")])
    assert recipe_to_json(recipe) == [{"fix": "shout", "end": "!"}]
    applied = apply_recipe(recipe, saved(tmp_path, {"a": torch.zeros(1)}))
    assert list(applied.state_dict) == ["A!"]
    code = recipe_code("a.pth", "", recipe)
    assert "# Shout `!`\nstate_dict = shout(state_dict)\n" in code
    assert "def shout(state_dict): ..." in code


@pytest.mark.parametrize("package", ["core.fixes", "core.recipe"])
def test_a_recipe_is_read_without_torch_and_without_streamlit(package: str) -> None:
    code = f"import sys, {package}; sys.exit(bool({{'torch', 'streamlit'}} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_fixes_know_nothing_of_recipes() -> None:
    code = "import sys, core.fixes; sys.exit('core.recipe' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
