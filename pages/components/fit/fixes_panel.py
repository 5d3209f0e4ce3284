"""The fixes of a slot: proposals, the recipe's steps, undo, and a form for the user's own fix."""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

from core.architectures import Architecture
from core.checkpoint import Checkpoint, StateDict
from core.fixes import Fix, Recipe
from core.predict import labels_in
from core.recipe import RecipeFile, recipe_to_json
from pages.components.fit.alignment_table import alignment_table
from pages.components.fit.fitting import Fitting
from pages.components.fit.fix_form import edit_fix, fix_form
from pages.components.fit.proposal_cards import proposal_cards
from pages.components.fit.recipe_bar import recipe_bar, remember
from pages.components.fit.recipe_steps import recipe_steps
from pages.components.workspace import workspace


def fixes_panel(
    slot: str,
    checkpoint: Checkpoint,
    state_dict: StateDict,
    architecture: Architecture,
    fitted: Fitting,
) -> None:
    """Draw the proposals, the recipe and the form; each choice changes the slot's recipe."""
    recipe, key = workspace().slot(slot).recipe, f"fit-{slot}"

    def put(changed: Recipe) -> None:
        workspace().update(slot, recipe=changed)

    def change(changed: Recipe) -> None:
        remember(key, changed, recipe)
        put(changed)

    def load(file: RecipeFile) -> None:
        change(file.recipe)
        if file.architecture is not None:
            workspace().update(slot, architecture=file.architecture.key)
        if file.state_dict in checkpoint.choices:
            workspace().update(slot, state_dict=file.state_dict)

    def edit(index: int, fix: Fix) -> None:
        edit_fix(key, index, fix)

    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.markdown("#### Fixes", width="content")
        file = RecipeFile(recipe, state_dict.path, architecture)
        with st.container(width="content"):
            recipe_bar(key, file, Path(checkpoint.name).stem, put, load)
    identity = json.dumps(
        [checkpoint.identity, state_dict.path, architecture.key, recipe_to_json(recipe)]
    )
    proposal_cards(
        key,
        fitted.proposals,
        recipe,
        change,
        lambda card: alignment_table(card, identity, fitted.trial.state_dict, fitted.signature),
    )
    recipe_steps(key, recipe, fitted.trial.outcomes, change, edit)
    labels = labels_in(checkpoint) or ()
    match = fitted.match
    fix_form(key, recipe, change, match.unexpected_keys, match.missing_keys, labels)
