"""Shows which architecture a file fits, and chooses it together with its repair in one click."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.architectures import Architecture
from core.checkpoint import Checkpoint, StateDict
from core.errors import LoupeError
from core.fit.identify import (
    Candidate,
    Identification,
    architecture_words,
    recipe_words,
    relation_words,
)
from core.fixes import Recipe
from core.plain_text import plain_sentence
from core.wording import count, percent
from pages.components.identified import identification

Use = Callable[[Architecture, Recipe], None]


def identify_panel(
    key: str,
    checkpoint: Checkpoint,
    state_dict: StateDict,
    current: Architecture | None,
    recipe: Recipe,
    use: Use,
) -> None:
    """Draw the sentence, a button that uses the best candidate, and the other candidates.

    `use(architecture, recipe)` is called before the page is drawn again.
    """
    try:
        identified = identification(checkpoint, state_dict)
    except LoupeError as error:
        st.caption(plain_sentence(str(error)))
        return
    if identified is None:
        return
    best = identified.candidates[0] if identified.candidates else None
    in_use = best is not None and (current, recipe) == (best.architecture, best.recipe)
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        icon = ":material/check_circle:" if in_use else ":material/fingerprint:"
        st.markdown(f"**{icon} {plain_sentence(identified.sentence)}**", width="stretch")
        if best is not None and not in_use:
            st.button(
                _label(best, identified.known),
                key=f"{key}-identified",
                type="primary" if identified.known and current is None else "secondary",
                on_click=use,
                args=(best.architecture, best.recipe),
            )
    if identified.candidates:
        _details(key, identified, use)


def _label(candidate: Candidate, known: bool) -> str:
    if not known:
        return "Try the closest"
    return "Use with its repair" if candidate.recipe.steps else "Use"


def _details(key: str, identified: Identification, use: Use) -> None:
    best, *others = identified.candidates
    with st.expander("Evidence and other candidates"):
        st.markdown("\n".join(f"- {plain_sentence(fact)}" for fact in best.evidence))
        if best.also or best.adapted:
            _equivalents(key, best, use)
        if others:
            st.markdown("**Other candidates**")
        for i, candidate in enumerate(others, 1):
            with st.container(horizontal=True, vertical_alignment="center", wrap=False):
                st.markdown(_line(candidate), width="stretch")
                st.button(
                    "Use",
                    key=f"{key}-candidate-{i}",
                    on_click=use,
                    args=(candidate.architecture, candidate.recipe),
                )


def _equivalents(key: str, candidate: Candidate, use: Use) -> None:
    """Draw a choice of the architectures that the file may be for as well."""
    titles = {
        architecture.title: architecture for architecture in (*candidate.also, *candidate.adapted)
    }
    labels = {
        architecture.title: f"{architecture.title}: {relation_words(relation)}"
        for architecture, relation in zip(candidate.also, candidate.relations, strict=True)
    }
    box = f"{key}-namesake"

    def on_change() -> None:
        title = st.session_state[box]
        st.session_state[box] = None
        if title:
            use(titles[title], candidate.recipe)

    st.selectbox(
        "Use another candidate",
        list(titles),
        index=None,
        format_func=lambda title: labels.get(title, title),
        placeholder=f"{count(len(titles))} to choose from",
        key=box,
        on_change=on_change,
    )


def _line(candidate: Candidate) -> str:
    words = plain_sentence(architecture_words(candidate.architecture))
    coverage = f"{percent(candidate.coverage_keys, decimal=True)} of its keys"
    more = f", {count(len(candidate.also))} more like it" if candidate.also else ""
    return f"**{words}**: {coverage}{more}{_steps(candidate.recipe)}"


def _steps(recipe: Recipe) -> str:
    words = recipe_words(recipe)
    return f"  \n{plain_sentence(words)}" if words else ""
