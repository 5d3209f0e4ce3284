"""A recipe as plain PyTorch: a script that needs torch and the file, and no Loupe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from core.checkpoint.discover import ROLES
from core.checkpoint.formats import FORMATS
from core.checkpoint.inert import InertTensor, Tree
from core.errors import FixError
from core.fixes import (
    AdaptInput,
    AddBatchStatistics,
    AddPrefix,
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
    StripPrefix,
    Transpose,
    Untie,
    WeightNorm,
)
from core.fixes.kinds.renaming import prefix_regex
from core.recipe.describe import describe

if TYPE_CHECKING:
    from core.architectures import Architecture

WITH_TENSORS = "{key: value for key, value in {found}.items() if isinstance(value, torch.Tensor)}"

DICTS = tuple(name for name, role in ROLES.items() if role == "model" or "state_dict" in name)
"""Names under which training scripts keep a plain dict of tensors."""

TENSOR_FIXES = (
    AdaptInput,
    AddBatchStatistics,
    Dequantize,
    Fuse,
    MergeLora,
    ResamplePositions,
    Reshape,
    SelectClasses,
    Split,
    Untie,
    WeightNorm,
)
"""Fixes whose code calls functions of core/recipe/script_functions.py."""

SHARDS = {
    "shards": 'torch.load(name, map_location="cpu", weights_only=True)',
    "safetensors shards": "load_file(name)",
}
"""What reads one file of a set, by the set's format."""

INDEX = ".index.json"

PACKED = (".gz", ".bz2", ".xz")
"""What the name of a packed file ends with; what is in it has a format of its own."""

SHAPES = "shapes = {key: value.shape for key, value in model.state_dict().items()}"

FIND = '''
def find(value, path):
    """What lies at a dotted path of dicts and lists."""
    if not path:
        return value
    items = value if isinstance(value, dict) else dict(enumerate(value))
    for key in sorted(items, key=lambda key: len(str(key)), reverse=True):
        if path == str(key) or path.startswith(f"{key}."):
            return find(items[key], path[len(str(key)) + 1 :])
    raise KeyError(path)


def tensors_in(value):
    """The tensors of a dict or a list, and of an optimizer's dicts under numbers."""
    found = {}
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, torch.Tensor):
            found[str(key)] = item
        elif isinstance(key, int) and isinstance(item, dict):
            found.update((f"{key}.{name}", x) for name, x in item.items() if torch.is_tensor(x))
    return found
'''

STRIP_ANYWHERE = r'''
def strip_anywhere(key, prefix):
    """The key without the prefix, a regex, wherever a part of the path begins with it."""
    part = re.compile(rf"(?:^|(?<=\.)){prefix}(?=.)", re.DOTALL)
    while (shorter := part.sub("", key)) != key:
        key = shorter
    return key
'''


def recipe_code(
    checkpoint_name: str,
    state_dict_path: str,
    recipe: Recipe,
    architecture: Architecture | None = None,
    *,
    strict: bool | None = None,
    whole_model: bool = False,
    computed: Sequence[str] = (),
    format: str | None = None,
    tree: Tree = None,
) -> str:
    """A Python script that makes the same state_dict, and loads it where a model is chosen.

    `state_dict_path` is StateDict's path. `strict` is load_state_dict's; None is strict unless
    the recipe drops tensors of another shape. `whole_model` says that the state_dict lies in a
    pickled module, which torch cannot read without running code from the file: then the script
    reads the repaired download instead. `computed` are the keys of absent buffers that the model
    computes by itself (Match.computed), for which a strict load asks all the same. `format` and
    `tree` are the Checkpoint's; without them the script goes by names: the file's suffix, and what
    training scripts call a state_dict. Raises FixError where the recipe needs an architecture and
    there is none, and where PyTorch and safetensors alone do not read the file.
    """
    fixes = [] if whole_model else [step.fix for step in recipe.steps if step.enabled]
    given = [step.fix for step in recipe.steps if step.enabled]
    drops = any(isinstance(fix, DropMismatched | ResamplePositions) for fix in given)
    if architecture is None and any(map(_needs_shapes, given)):
        raise FixError(
            "Which shapes are wanted is not known without an architecture.",
            "Choose an architecture, or switch this step off.",
        )
    if whole_model:
        reading, helper = _reading_repaired(checkpoint_name), ""
    else:
        reading, helper = _reading(checkpoint_name, state_dict_path, format, tree)
    steps = [line for fix in fixes for line in _step(fix)]
    body = [*reading, *steps]
    if architecture is not None:
        body = [
            *_building(architecture),
            "",
            *body,
            "",
            *_loading(not drops if strict is None else strict, computed),
        ]
    helpers = [helper] if helper else []
    if any(isinstance(fix, StripPrefix) and fix.anywhere for fix in fixes):
        helpers.append(STRIP_ANYWHERE)
    helpers += _functions([fix for fix in fixes if isinstance(fix, TENSOR_FIXES)])
    imports = _imports("\n".join([*helpers, *body]), architecture)
    defined = [f"\n\n{text.strip()}" for text in helpers]
    gap = ["", ""] if helpers else [""]
    return "\n".join([*imports, *defined, *gap, *body]) + "\n"


def _needs_shapes(fix: Fix) -> bool:
    """Whether the fix goes by the shapes that an architecture wants."""
    wanted = (AddBatchStatistics, DropMismatched, ResamplePositions, Reshape)
    return isinstance(fix, wanted) or (isinstance(fix, AdaptInput) and not fix.in_chans)


def _functions(fixes: Sequence[Fix]) -> list[str]:
    """The source of the functions that these fixes call."""
    if not fixes:
        return []
    from core.recipe.script_functions import functions_of  # it imports torch, which takes a second

    return functions_of(fixes)


def _imports(code: str, architecture: Architecture | None) -> list[str]:
    plain = [name for name in ("fnmatch", "json", "re") if f"{name}." in code]
    lines = [f"import {name}" for name in plain]
    if plain:
        lines.append("")
    if "timm." in code and architecture is not None and architecture.library == "timm":
        lines.append("import timm")
    if "torch." in code:
        lines.append("import torch")
    if "load_file(" in code:
        lines.append("from safetensors.torch import load_file")
    if architecture is not None and architecture.library == "torchvision":
        lines.append("from torchvision.models import get_model")
    elif architecture is not None and architecture.library != "timm":
        module, _, function = architecture.name.rpartition(".")
        lines.append(f"from {module} import {function}")
    return lines


def _reading_repaired(name: str) -> list[str]:
    """The lines that read the repaired download of a file that plain PyTorch does not read."""
    return [
        f"# {_comment(name)} holds a pickled model: PyTorch could read it only by running",
        "# code from the file. This reads Loupe's repaired download of it instead.",
        'state_dict = torch.load("repaired.pth", map_location="cpu", weights_only=True)',
    ]


def _reading(name: str, path: str, format: str | None, tree: Tree) -> tuple[list[str], str]:
    """The lines that read the file, and the text of the functions that they call."""
    if format is None:
        format = "safetensors" if name.endswith(".safetensors") else "zip"
    if format in SHARDS and name.endswith(INDEX) and not path:
        return _reading_shards(name, SHARDS[format]), ""
    if format not in ("zip", "legacy", "safetensors") or name.lower().endswith(PACKED):
        packed = "a packed file" if format in ("zip", "legacy", "safetensors") else FORMATS[format]
        raise FixError(
            f"PyTorch and safetensors alone do not read {name}, which is {packed}.",
            "Use Loupe's repaired download instead of a script.",
        )
    if format == "safetensors":
        return [f"state_dict = load_file({_literal(name)})"], ""
    lines = [
        "# With weights_only PyTorch runs nothing from the file. Where it refuses the file,",
        "# read Loupe's repaired download instead.",
        *_loaded(name),
    ]
    if isinstance(tree, InertTensor):
        return [*lines, 'state_dict = {"tensor": checkpoint}'], ""
    if not _is_plain(path, tree):
        return [*lines, f"state_dict = tensors_in(find(checkpoint, {_literal(path)}))"], FIND
    found = f"checkpoint[{_literal(path)}]" if path else "checkpoint"
    return [*lines, f"state_dict = {WITH_TENSORS.replace('{found}', found)}"], ""


def _loaded(name: str) -> list[str]:
    """The lines that read what torch.save wrote, which torch.load takes for a safetensors file
    where its path says so."""
    if name.lower().endswith(".safetensors"):
        return [
            f'with open({_literal(name)}, "rb") as file:',
            '    checkpoint = torch.load(file, map_location="cpu", weights_only=True)',
        ]
    return [f'checkpoint = torch.load({_literal(name)}, map_location="cpu", weights_only=True)']


def _reading_shards(index: str, load: str) -> list[str]:
    """The lines that read the files which an index beside them names."""
    return [
        f'with open({_literal(index)}, encoding="utf-8") as file:',
        '    names = sorted(set(json.load(file)["weight_map"].values()))',
        "state_dict = {}",
        "for name in names:",
        f"    state_dict.update({load})",
    ]


def _is_plain(path: str, tree: Tree) -> bool:
    """Whether the state_dict is a dict under texts, the file itself or one step into it."""
    if tree is None:
        return not path or path in DICTS
    found = tree.get(path) if path and isinstance(tree, dict) else tree
    return isinstance(found, dict) and all(isinstance(key, str) for key in found)


def _step(fix: Fix) -> Iterable[str]:
    yield ""
    yield f"# {_comment(describe(fix))}"
    match fix:
        case StripPrefix(prefix, anywhere=True):
            yield _renamed(f"strip_anywhere(key, {_literal(prefix_regex(prefix))})")
        case StripPrefix(prefix) if "*" in prefix:
            start = _literal(rf"^{prefix_regex(prefix)}(?=.)")
            yield _renamed(f're.sub({start}, "", key, flags=re.DOTALL)')
        case StripPrefix(prefix):
            yield _renamed(f"key.removeprefix({_literal(prefix)}) or key")
        case AddPrefix(prefix):
            yield _renamed(f"{_literal(prefix)} + key")
        case Rename(pattern, replacement):
            yield _renamed(f"re.sub({_literal(pattern)}, {_literal(replacement)}, key)")
        case RenameTable(table):
            yield "names = {"
            yield from (f"    {_literal(old)}: {_literal(new)}," for old, new in table)
            yield "}"
            yield _renamed("names.get(key, key)")
        case Keep(pattern, syntax):
            yield _chosen(_matches(pattern, syntax))
        case Drop(pattern, syntax):
            yield _chosen(f"not {_matches(pattern, syntax)}")
        case DropMismatched():
            yield SHAPES
            yield _chosen("shapes.get(key, value.shape) == value.shape")
        case CastDtype(dtype):
            yield "state_dict = {"
            yield f"    key: value.to(torch.{dtype}) if value.is_floating_point() else value"
            yield "    for key, value in state_dict.items()"
            yield "}"
        case Transpose(pattern, syntax):
            yield "state_dict = {"
            yield f"    key: value.T if value.dim() == 2 and {_matches(pattern, syntax)} else value"
            yield "    for key, value in state_dict.items()"
            yield "}"
        case _:
            from core.recipe.script_functions import call_of

            if _needs_shapes(fix) and not isinstance(fix, AddBatchStatistics):
                yield SHAPES
            yield f"state_dict = {call_of(fix)}"


def _renamed(expression: str) -> str:
    return f"state_dict = {{{expression}: value for key, value in state_dict.items()}}"


def _chosen(condition: str) -> str:
    return f"state_dict = {{key: value for key, value in state_dict.items() if {condition}}}"


def _matches(pattern: str, syntax: str) -> str:
    if syntax == "glob":
        return f"fnmatch.fnmatchcase(key, {_literal(pattern)})"
    return f"re.search({_literal(pattern)}, key)"


def _building(architecture: Architecture) -> list[str]:
    options = "".join(f", {name}={value}" for name, value in architecture.options)
    name = _literal(architecture.name)
    if architecture.library == "torchvision":
        return [f"model = get_model({name}, weights=None{options})"]
    if architecture.library == "timm":
        return [f"model = timm.create_model({name}, pretrained=False{options})"]
    function = architecture.name.rpartition(".")[2]
    return [f"model = {function}({options.removeprefix(', ')})"]


def _loading(strict: bool, computed: Sequence[str]) -> list[str]:
    if strict and computed:
        names = sorted({key.rpartition(".")[2] for key in computed})
        return [
            "# The file lacks buffers that the model computes by itself: its own stay.",
            f"names = ({''.join(f'{_literal(name)}, ' for name in names).strip()})",
            "own = {key: x for key, x in model.state_dict().items() if key.endswith(names)}",
            "model.load_state_dict({**own, **state_dict})",
            "model.eval()",
        ]
    if strict:
        return ["model.load_state_dict(state_dict)", "model.eval()"]
    return [
        "# What this prints as missing_keys stays as the model initialises it.",
        "print(model.load_state_dict(state_dict, strict=False))",
        "model.eval()",
    ]


def _literal(text: str) -> str:
    """The text as a Python string, raw where it has backslashes and can be."""
    if not text.isprintable():
        return ascii(text)
    if "\\" in text and '"' not in text and not text.endswith("\\"):
        return f'r"{text}"'
    return json.dumps(text, ensure_ascii=False)


def _comment(text: str) -> str:
    """The text on one line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
