"""A recipe as a file: the steps, the state_dict that they are for, and the architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.architectures import LIBRARIES, Architecture
from core.errors import FixError
from core.fixes import Recipe
from core.recipe.json_form import recipe_from_json, recipe_to_json
from core.wording import count

VERSION = 1
"""The version of the file format, the value of `loupe_recipe`."""

FIELDS = ("loupe_recipe", "state_dict", "architecture", "steps")

MAX_NAME = 1_000
"""The most characters of a state_dict's path or an architecture's key."""

REMEDY = "Save the recipe again on the Fit page, or write a list of steps."

_ARCHITECTURE = re.compile(r"(\w+):([\w.]+)(?:\?(\w+=\d{1,7}(?:&\w+=\d{1,7})*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe with the state_dict and the architecture that it was made for, None if unknown.

    `state_dict` is the path of the state_dict in its checkpoint, `""` if the file is one itself.
    """

    recipe: Recipe
    state_dict: str | None = None
    architecture: Architecture | None = None


def recipe_file_to_json(file: RecipeFile) -> dict[str, object]:
    """The recipe file as plain dicts and lists; what is unknown is left out."""
    document: dict[str, object] = {"loupe_recipe": VERSION}
    if file.state_dict is not None:
        document["state_dict"] = file.state_dict
    if file.architecture is not None:
        document["architecture"] = file.architecture.key
    document["steps"] = recipe_to_json(file.recipe)
    return document


def recipe_file_from_json(value: object) -> RecipeFile:
    """Read what `recipe_file_to_json` wrote, or a bare list of steps.

    It does not check that an architecture of that name exists. Raises FixError if the value has
    neither form.
    """
    if isinstance(value, list):
        return RecipeFile(recipe_from_json(value))
    if not isinstance(value, Mapping) or "loupe_recipe" not in value:
        raise FixError("This is not a recipe: it has no field `loupe_recipe`.", REMEDY)
    version = value["loupe_recipe"]
    if isinstance(version, bool) or version != VERSION:
        raise FixError(
            f"This recipe has the version {str(version)[:20]}; this Loupe knows only {VERSION}.",
            "Use the Loupe that wrote it, or a newer one.",
        )
    strange = [str(name)[:40] for name in value if name not in FIELDS]
    if strange:
        raise FixError(f"This is not a recipe: it has a field `{strange[0]}`.", REMEDY)
    if "steps" not in value:
        raise FixError("This is not a recipe: it has no `steps`.", REMEDY)
    state_dict = _text(value, "state_dict")
    key = _text(value, "architecture")
    return RecipeFile(
        recipe_from_json(value["steps"]),
        state_dict,
        None if key is None else _architecture(key),
    )


def _text(value: Mapping[str, object], name: str) -> str | None:
    text = value.get(name)
    if text is None or (isinstance(text, str) and len(text) <= MAX_NAME):
        return text
    raise FixError(
        f"This is not a recipe: its `{name}` is not a text of at most {count(MAX_NAME)} "
        "characters.",
        REMEDY,
    )


def _architecture(key: str) -> Architecture:
    parts = _ARCHITECTURE.fullmatch(key)
    if parts is None or parts[1] not in LIBRARIES:
        raise FixError(
            f"This is not a recipe: its `architecture` is {key[:80]!r}.",
            "Write an architecture like `torchvision:resnet18?num_classes=10`.",
        )
    options = [option.partition("=") for option in (parts[3] or "").split("&") if option]
    return Architecture(
        parts[1], parts[2], tuple(sorted((name, int(number)) for name, _, number in options))
    )
