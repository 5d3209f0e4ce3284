"""A recipe as a file of its own: the steps, which state_dict they are for, and which network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.architectures import LIBRARIES, Architecture
from core.errors import FixError
from core.fixes import Recipe
from core.recipe.json_form import recipe_from_json, recipe_to_json

VERSION = 1
"""Of the form of a recipe's file, as its `loupe_recipe` says."""

FIELDS = ("loupe_recipe", "state_dict", "architecture", "steps")

MAX_NAME = 1_000
"""Characters in a state_dict's path or an architecture's key."""

REMEDY = "Save the recipe anew on the Fit page, or write a list of steps."

_ARCHITECTURE = re.compile(r"(\w+):([\w.]+)(?:\?(\w+=\d{1,7}(?:&\w+=\d{1,7})*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe with what it was made for, as far as that is told.

    `state_dict` is the path of the state_dict in its checkpoint, `""` for a bare one.
    """

    recipe: Recipe
    state_dict: str | None = None
    architecture: Architecture | None = None


def recipe_file_to_json(file: RecipeFile) -> dict[str, object]:
    """The whole as plain dicts and lists; what is not told is left out."""
    words: dict[str, object] = {"loupe_recipe": VERSION}
    if file.state_dict is not None:
        words["state_dict"] = file.state_dict
    if file.architecture is not None:
        words["architecture"] = file.architecture.key
    words["steps"] = recipe_to_json(file.recipe)
    return words


def recipe_file_from_json(value: object) -> RecipeFile:
    """What `recipe_file_to_json` wrote, or a bare list of steps.

    Whether there is an architecture of that name is found out only when it is built. Raises
    FixError where the value is of neither form.
    """
    if isinstance(value, list):
        return RecipeFile(recipe_from_json(value))
    if not isinstance(value, Mapping) or "loupe_recipe" not in value:
        raise FixError("This is no recipe: it says nothing of `loupe_recipe`.", REMEDY)
    version = value["loupe_recipe"]
    if isinstance(version, bool) or version != VERSION:
        raise FixError(
            f"This recipe is of the form {str(version)[:20]}, and only {VERSION} is known here.",
            "Use the Loupe that wrote it, or a newer one.",
        )
    strange = [str(name)[:40] for name in value if name not in FIELDS]
    if strange:
        raise FixError(f"This is no recipe: nothing in one is called `{strange[0]}`.", REMEDY)
    if "steps" not in value:
        raise FixError("This is no recipe: it has no `steps`.", REMEDY)
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
        f"This is no recipe: its `{name}` is no text of at most {MAX_NAME:,} characters.", REMEDY
    )


def _architecture(key: str) -> Architecture:
    found = _ARCHITECTURE.fullmatch(key)
    if found is None or found[1] not in LIBRARIES:
        raise FixError(
            f"This is no recipe: its `architecture` is {key[:80]!r}.",
            "An architecture is written like `torchvision:resnet18?num_classes=10`.",
        )
    options = [option.partition("=") for option in (found[3] or "").split("&") if option]
    return Architecture(
        found[1], found[2], tuple(sorted((name, int(number)) for name, _, number in options))
    )
