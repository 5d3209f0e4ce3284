"""A recipe as a script of plain PyTorch, which needs torch and the file but not Loupe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.checkpoint.pickles import InertTensor, Opaque, Tree, inside
from core.checkpoint.readers import FORMATS
from core.checkpoint.tree import ROLES
from core.errors import FixError
from core.fixes import Recipe, ScriptPart, literal, shapes_unknown
from core.recipe.script_functions import FIND, sources

if TYPE_CHECKING:
    from core.architectures import Architecture

WITH_TENSORS = "{key: value for key, value in {found}.items() if isinstance(value, torch.Tensor)}"

DICTS = tuple(name for name, role in ROLES.items() if role == "model" or "state_dict" in name)
"""Keys under which training scripts keep a plain dict of tensors."""

SHARDS = {
    "shards": 'torch.load(name, map_location="cpu", weights_only=True)',
    "safetensors shards": "load_file(name)",
}
"""The code that reads one file of a sharded checkpoint, by its format."""

INDEX = ".index.json"

PACKED = (".gz", ".bz2", ".xz")
"""Suffixes of compressed files, which torch.load does not read."""


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
    """A Python script that makes the same state_dict, and loads it if an architecture is given.

    `state_dict_path` is StateDict's path. `strict` is that of `load_state_dict`; None is strict
    unless the recipe drops tensors of another shape. `whole_model`: the state_dict is in a pickled
    module, which torch cannot read without running code from the file, so the script reads the
    repaired download instead. `computed` are the keys of absent buffers that the model computes
    itself (Match.computed): a strict load asks for them all the same. `format` and `tree` are the
    Checkpoint's; without them the script guesses by names: the file's suffix, and the usual keys of
    a state_dict. Raises FixError if the recipe needs an architecture and there is none, or if
    PyTorch and safetensors alone cannot read the file.
    """
    fixes = [step.fix for step in recipe.steps if step.enabled]
    parts = [fix.script() for fix in fixes]
    drops = any(part.leaves_out for part in parts)
    if architecture is None and any(part.needs_model for part in parts):
        raise shapes_unknown()
    if whole_model:
        body, helpers = _reading_repaired(checkpoint_name), []
    else:
        reading = _reading(checkpoint_name, state_dict_path, format, tree)
        body = [*reading.lines]
        for fix, part in zip(fixes, parts, strict=True):
            body += ["", f"# {_comment(fix.words())}", *part.lines]
        helpers = sources(function for part in (reading, *parts) for function in part.functions)
    if architecture is not None:
        body = [
            *_building(architecture),
            "",
            *body,
            "",
            *_loading(not drops if strict is None else strict, computed),
        ]
    imports = _imports("\n".join([*helpers, *body]), architecture)
    defined = [f"\n\n{text.strip()}" for text in helpers]
    gap = ["", ""] if helpers else [""]
    return "\n".join([*imports, *defined, *gap, *body]) + "\n"


def in_pickled_object(tree: Tree, path: str) -> bool:
    """Whether the state_dict at `path` of a checkpoint's tree is in an object of some class.

    `torch.save(model)` writes such files.
    """
    if isinstance(tree, Opaque):
        return True
    for key, value in inside(tree) if path else ():
        if path == str(key) or path.startswith(f"{key}."):
            return in_pickled_object(value, path[len(str(key)) + 1 :])
    return False


def _imports(code: str, architecture: Architecture | None) -> list[str]:
    modules = ("fnmatch", "json", "math", "re")
    plain = [name for name in modules if re.search(rf"\b{name}\.\w", code)]
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
        f"# {_comment(name)} contains a pickled model: PyTorch could read it only by running",
        "# code from the file. This reads Loupe's repaired download of it instead.",
        'state_dict = torch.load("repaired.pth", map_location="cpu", weights_only=True)',
    ]


def _reading(name: str, path: str, format: str | None, tree: Tree) -> ScriptPart:
    """The lines that read the file."""
    if format is None:
        format = "safetensors" if name.endswith(".safetensors") else "zip"
    if format in SHARDS and name.endswith(INDEX) and not path:
        return _reading_shards(name, SHARDS[format])
    if format not in ("zip", "legacy", "safetensors") or name.lower().endswith(PACKED):
        packed = "a packed file" if format in ("zip", "legacy", "safetensors") else FORMATS[format]
        raise FixError(
            f"PyTorch and safetensors alone cannot read {name}, which is {packed}.",
            "Use Loupe's repaired download instead of a script.",
        )
    if format == "safetensors":
        return ScriptPart((f"state_dict = load_file({literal(name)})",))
    lines = (
        "# With weights_only, PyTorch runs no code from the file. If it refuses the file,",
        "# read Loupe's repaired download instead.",
        *_loaded(name),
    )
    if isinstance(tree, InertTensor):
        return ScriptPart((*lines, 'state_dict = {"tensor": checkpoint}'))
    if not _is_plain(path, tree):
        line = f"state_dict = tensors_in(find(checkpoint, {literal(path)}))"
        return ScriptPart((*lines, line), (FIND,))
    mapping = f"checkpoint[{literal(path)}]" if path else "checkpoint"
    return ScriptPart((*lines, f"state_dict = {WITH_TENSORS.replace('{found}', mapping)}"))


def _loaded(name: str) -> list[str]:
    """The lines that read what torch.save wrote."""
    # torch.load reads a path that ends with .safetensors as a safetensors file, an open file never.
    if name.lower().endswith(".safetensors"):
        return [
            f'with open({literal(name)}, "rb") as file:',
            '    checkpoint = torch.load(file, map_location="cpu", weights_only=True)',
        ]
    return [f'checkpoint = torch.load({literal(name)}, map_location="cpu", weights_only=True)']


def _reading_shards(index: str, load: str) -> ScriptPart:
    """The lines that read the files that an index next to them names."""
    return ScriptPart(
        (
            f'with open({literal(index)}, encoding="utf-8") as file:',
            '    names = sorted(set(json.load(file)["weight_map"].values()))',
            "state_dict = {}",
            "for name in names:",
            f"    state_dict.update({load})",
        )
    )


def _is_plain(path: str, tree: Tree) -> bool:
    """Whether the state_dict is a dict with texts as keys, the file itself or one of its items."""
    if tree is None:
        return not path or path in DICTS
    mapping = tree.get(path) if path and isinstance(tree, dict) else tree
    return isinstance(mapping, dict) and all(isinstance(key, str) for key in mapping)


def _building(architecture: Architecture) -> list[str]:
    options = "".join(f", {name}={value!r}" for name, value in architecture.options)
    name = literal(architecture.tagged_name)
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
            "# The file lacks buffers that the model computes itself: the model's own stay.",
            f"names = ({''.join(f'{literal(name)}, ' for name in names).strip()})",
            "own = {key: x for key, x in model.state_dict().items() if key.endswith(names)}",
            "model.load_state_dict({**own, **state_dict})",
            "model.eval()",
        ]
    if strict:
        return ["model.load_state_dict(state_dict)", "model.eval()"]
    return [
        "# The missing_keys that this prints stay as the model initialises them.",
        "print(model.load_state_dict(state_dict, strict=False))",
        "model.eval()",
    ]


def _comment(text: str) -> str:
    """The text on one line, so that it cannot end the comment."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
