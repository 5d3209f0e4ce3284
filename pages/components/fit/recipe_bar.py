"""Undo, redo, and the recipe as a file to keep, to share and to take up again."""

from __future__ import annotations

import json
from collections.abc import Callable

import streamlit as st

from core.errors import FixError
from core.fixes import Recipe
from core.plain_text import plain, plain_sentence
from core.recipe import History, RecipeFile, recipe_file_from_json, recipe_file_to_json

TakeUp = Callable[[RecipeFile], None]

LARGEST_MB = 20
"""Of a recipe's file."""


def history(key: str, recipe: Recipe) -> History:
    """This session's history of a slot's recipe; a new one where the recipe came otherwise, from a
    link or with another file."""
    kept: History | None = st.session_state.get(f"{key}-history")
    if kept is None or kept.present != recipe:
        kept = History(present=recipe)
        st.session_state[f"{key}-history"] = kept
    return kept


def remember(key: str, recipe: Recipe, before: Recipe) -> None:
    """Note a change from `before` to `recipe`, so that it can be undone."""
    st.session_state[f"{key}-history"] = history(key, before).done(recipe)


def recipe_bar(
    key: str,
    file: RecipeFile,
    name: str,
    put: Callable[[Recipe], None],
    take_up: TakeUp,
) -> None:
    """Draw it. `put(recipe)` sets the recipe without a new entry in the history; `take_up(file)`
    takes what somebody saved."""
    past = history(key, file.recipe)
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        _step(key, "undo", past.undo(), not past.past, put)
        _step(key, "redo", past.redo(), not past.future, put)
        with st.popover("Recipe file", icon=":material/description:", type="tertiary"):
            if file.recipe.steps:
                st.download_button(
                    "Save as JSON",
                    json.dumps(recipe_file_to_json(file), indent=1),
                    f"{name}.recipe.json",
                    "application/json",
                    key=f"{key}-recipe-save",
                    icon=":material/download:",
                    on_click="ignore",
                )
            _upload(key, take_up)
            st.caption(
                "On the command line: `loupe fix in.pth out.safetensors --recipe recipe.json`"
            )


def _step(
    key: str, name: str, then: History, disabled: bool, put: Callable[[Recipe], None]
) -> None:
    def go() -> None:
        st.session_state[f"{key}-history"] = then
        put(then.present)

    st.button(
        f":material/{plain(name)}:",
        key=f"{key}-{name}",
        help=f"{plain(name.capitalize())} the last change of the recipe",
        type="tertiary",
        disabled=disabled,
        on_click=go,
    )


def _upload(key: str, take_up: TakeUp) -> None:
    box = f"{key}-recipe-file-{st.session_state.get(f'{key}-recipe-round', 0)}"

    def chosen() -> None:
        uploaded = st.session_state[box]
        if uploaded is None:
            return
        st.session_state[f"{key}-recipe-round"] = st.session_state.get(f"{key}-recipe-round", 0) + 1
        st.session_state[f"{key}-recipe-error"] = None
        try:
            take_up(recipe_file_from_json(json.loads(uploaded.getvalue())))
        except (ValueError, RecursionError):
            st.session_state[f"{key}-recipe-error"] = "This file is not JSON: choose a recipe."
        except FixError as error:
            st.session_state[f"{key}-recipe-error"] = str(error)

    st.file_uploader(
        "Take up a recipe", ["json"], max_upload_size=LARGEST_MB, key=box, on_change=chosen
    )
    if error := st.session_state.get(f"{key}-recipe-error"):
        st.error(plain_sentence(error), icon=":material/error:")
