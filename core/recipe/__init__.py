"""Recipes: fixes in order, applied, tried, edited, saved and written as code.

`apply_recipe` returns the new StateDict, and `try_recipe` also what each step does, or why it
cannot be applied. A recipe is written and read as JSON (`recipe_to_json`, `recipe_from_json`; with
what it is for, as a RecipeFile), and written as a script of plain PyTorch (`recipe_code`). What is
particular to a kind of fix is in core.fixes; this package uses its table. It imports torch only to
write a script of fixes that compute with tensors.
"""

from core.recipe.apply import Applied, apply_recipe
from core.recipe.class_mapping import rows_for
from core.recipe.edits import moved, switched, with_fix, with_fix_at, with_fixes, without_step
from core.recipe.file import RecipeFile, recipe_file_from_json, recipe_file_to_json
from core.recipe.form_texts import (
    classes_texts,
    labels_of,
    parts_of,
    parts_text,
    table_from_json,
    table_of,
)
from core.recipe.history import History
from core.recipe.json_form import NAMES, recipe_from_json, recipe_to_json
from core.recipe.script import in_pickled_object, recipe_code
from core.recipe.trial import Change, Outcome, Trial, try_recipe

__all__ = [
    "NAMES",
    "Applied",
    "Change",
    "History",
    "Outcome",
    "RecipeFile",
    "Trial",
    "apply_recipe",
    "classes_texts",
    "in_pickled_object",
    "labels_of",
    "moved",
    "parts_of",
    "parts_text",
    "recipe_code",
    "recipe_file_from_json",
    "recipe_file_to_json",
    "recipe_from_json",
    "recipe_to_json",
    "rows_for",
    "switched",
    "table_from_json",
    "table_of",
    "try_recipe",
    "with_fix",
    "with_fix_at",
    "with_fixes",
    "without_step",
]
