"""The repair of a slot: its steps, the proposals, undo, and a form for the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

from core.fixes import Fix, Recipe
from core.predict import labels_in
from core.recipe import RecipeFile, recipe_to_json
from pages.components.fit.alignment_table import alignment_table
from pages.components.fit.fit_view import FitView
from pages.components.fit.fitting import Fitting
from pages.components.fit.fix_form import edit_fix, fix_form, fix_kind
from pages.components.fit.proposal_cards import proposal_cards
from pages.components.fit.recipe_bar import recipe_bar
from pages.components.fit.recipe_steps import recipe_steps
from pages.components.panels.panel import panel
from pages.components.workspace import workspace


def repair_panel(view: FitView, fitted: Fitting) -> None:
    """Draw the steps, the proposals and the form. A change of what is only proposed takes it."""
    key, recipe = view.key, view.recipe

    def put(changed: Recipe) -> None:
        workspace().update(view.slot, recipe=changed)

    def load(file: RecipeFile) -> None:
        view.change(file.recipe)
        if file.architecture is not None:
            workspace().update(view.slot, architecture=file.architecture.key)
        if file.state_dict in view.checkpoint.choices:
            workspace().update(view.slot, state_dict=file.state_dict)

    def edit(index: int, fix: Fix) -> None:
        edit_fix(key, index, fix)

    _, body = panel("repair", "Repair", _mark(view, fitted))
    with body:
        if not recipe.steps and fitted.fit.fits:
            st.caption("The file needs no repair: every key matches as it is saved.")
        elif not recipe.steps and not fitted.proposals:
            st.caption("No repair that was tried makes more keys match.")
        recipe_steps(key, recipe, fitted.trial.outcomes, view.change, edit)
        identity = json.dumps(
            [
                view.checkpoint.identity,
                view.state_dict.path,
                fitted.identity,
                recipe_to_json(recipe),
            ]
        )
        proposal_cards(
            key,
            fitted.proposals,
            recipe,
            view.change,
            lambda card: alignment_table(card, identity, fitted.trial.state_dict, fitted.signature),
        )
        with st.container(key="foot-repair", gap="xsmall"):
            with st.container(horizontal=True, vertical_alignment="center", wrap=False):
                kind = fix_kind(key)
                file = RecipeFile(recipe, view.state_dict.path, view.architecture)
                own = workspace().slot(view.slot).recipe
                recipe_bar(key, file, own, Path(view.checkpoint.name).stem, put, load)
            if kind is not None:
                labels = labels_in(view.checkpoint) or ()
                left = fitted.match.unexpected_keys, fitted.match.missing_keys
                fix_form(key, kind, recipe, view.change, *left, labels)


def _mark(view: FitView, fitted: Fitting) -> str:
    if not view.recipe.steps:
        return "none needed" if fitted.fit.fits else ""
    if view.proposed:
        return "proposed"
    return "applied" if fitted.fit.fits else "in part"
