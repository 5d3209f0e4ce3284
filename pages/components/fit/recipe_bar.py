"""Undo, redo, and the recipe as a file to save, to share and to load again."""

from __future__ import annotations

import json
from collections.abc import Callable

import streamlit as st

from core.architectures import Architecture
from core.errors import FixError
from core.fixes import Recipe
from core.plain_text import plain, plain_sentence
from core.recipe import History, RecipeFile, recipe_file_from_json, recipe_file_to_json
from pages.components.workspace import workspace

Load = Callable[[RecipeFile], None]

LARGEST_MB = 20
"""The largest recipe file, in MB."""


def history(key: str, recipe: Recipe) -> History:
    """This session's history of a slot's recipe. It starts anew if the recipe was not changed on
    this page, but came from a link or was cleared with another file."""
    past: History | None = st.session_state.get(f"{key}-history")
    if past is None or past.present != recipe:
        past = History(present=recipe)
        st.session_state[f"{key}-history"] = past
    return past


def remember(key: str, recipe: Recipe, before: Recipe) -> None:
    """Note a change from `before` to `recipe`, so that it can be undone."""
    st.session_state[f"{key}-history"] = history(key, before).done(recipe)


def use(slot: str, architecture: Architecture, recipe: Recipe) -> None:
    """Choose an architecture for a slot, with the recipe that makes its file fit."""
    remember(f"fit-{slot}", recipe, workspace().slot(slot).recipe)
    workspace().update(slot, architecture=architecture.key, recipe=recipe)


def recipe_bar(
    key: str,
    file: RecipeFile,
    own: Recipe,
    name: str,
    put: Callable[[Recipe], None],
    load: Load,
) -> None:
    """Draw the buttons and the recipe file.

    `own` is the slot's recipe, which is undone and done again; that of the file may be one that is
    only proposed. `name` is the checkpoint's, for the saved file. `put(recipe)` sets the recipe
    without a new entry in the history; `load(file)` is called with a recipe file that was uploaded.
    """
    past = history(key, own)
    with st.container(
        horizontal=True, vertical_alignment="center", gap="xsmall", width="content", wrap=False
    ):
        _step(key, "undo", past.undo(), not past.past, put)
        _step(key, "redo", past.redo(), not past.future, put)
        with st.popover("Recipe file", type="tertiary", width="content"):
            if file.recipe.steps:
                save_recipe(f"{key}-recipe-save", "Save as JSON", file, name)
            _upload(key, load)
            st.caption(
                "On the command line: `loupe fix in.pth out.safetensors --recipe recipe.json`"
            )


def save_recipe(key: str, label: str, file: RecipeFile, name: str) -> None:
    """Draw the button that saves the recipe; `label` is its label, `name` the checkpoint's."""
    st.download_button(
        plain(label),
        json.dumps(recipe_file_to_json(file), indent=1),
        f"{name}.recipe.json",
        "application/json",
        key=key,
        icon=":material/download:",
        on_click="ignore",
    )


def _step(
    key: str, name: str, target: History, disabled: bool, put: Callable[[Recipe], None]
) -> None:
    def go() -> None:
        st.session_state[f"{key}-history"] = target
        put(target.present)

    st.button(
        f":material/{plain(name)}:",
        key=f"{key}-{name}",
        help=f"{plain(name.capitalize())} the last change to the recipe",
        type="tertiary",
        disabled=disabled,
        on_click=go,
    )


def _upload(key: str, load: Load) -> None:
    # A new key empties the uploader, so that the same file can be chosen again.
    box = f"{key}-recipe-file-{st.session_state.get(f'{key}-recipe-round', 0)}"

    def on_change() -> None:
        uploaded = st.session_state[box]
        if uploaded is None:
            return
        st.session_state[f"{key}-recipe-round"] = st.session_state.get(f"{key}-recipe-round", 0) + 1
        st.session_state[f"{key}-recipe-error"] = None
        try:
            load(recipe_file_from_json(json.loads(uploaded.getvalue())))
        except (ValueError, RecursionError):
            st.session_state[f"{key}-recipe-error"] = "This file is not JSON. Choose a recipe file."
        except FixError as error:
            st.session_state[f"{key}-recipe-error"] = str(error)

    st.file_uploader(
        "Load a recipe", ["json"], max_upload_size=LARGEST_MB, key=box, on_change=on_change
    )
    if error := st.session_state.get(f"{key}-recipe-error"):
        st.error(plain_sentence(error), icon=":material/error:")
