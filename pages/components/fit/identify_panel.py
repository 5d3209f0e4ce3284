"""Says which architecture a file is for, and puts it on the bench with its repair in one click."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.architectures import Architecture
from core.checkpoint import Checkpoint, StateDict
from core.errors import LoupeError
from core.fit.identify import Candidate, Identification, architecture_words, recipe_words
from core.fixes import Recipe
from core.plain_text import plain_sentence
from core.wording import count, share
from pages.components.identified import identification
from pages.components.resources import index_keeper

Use = Callable[[Architecture, Recipe], None]


def identify_panel(
    key: str,
    checkpoint: Checkpoint,
    state_dict: StateDict,
    current: Architecture | None,
    recipe: Recipe,
    use: Use,
) -> None:
    """The sentence, a button that takes the best candidate, and the others to choose from.

    `use(architecture, recipe)` is called before the page is drawn again.
    """
    try:
        found = identification(checkpoint, state_dict)
    except LoupeError as error:
        st.caption(plain_sentence(str(error)))
        return
    if found is None:
        _building()
        return
    best = found.candidates[0] if found.candidates else None
    taken = best is not None and (current, recipe) == (best.architecture, best.recipe)
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        icon = ":material/check_circle:" if taken else ":material/fingerprint:"
        st.markdown(f"**{icon} {plain_sentence(found.sentence)}**", width="stretch")
        if best is not None and not taken:
            st.button(
                _label(best, found.known),
                key=f"{key}-identified",
                type="primary" if found.known and current is None else "secondary",
                on_click=use,
                args=(best.architecture, best.recipe),
            )
    if found.candidates:
        _details(key, found, use)


def _label(candidate: Candidate, known: bool) -> str:
    if not known:
        return "Try the nearest"
    return "Use it with its repair" if candidate.recipe.steps else "Use it"


@st.fragment(run_every=1.0)
def _building() -> None:
    """How far the index is, for whose first building nobody waits."""
    try:
        ready = index_keeper().lookup() is not None
    except LoupeError:
        ready = True
    if ready:
        st.rerun()
    job = index_keeper().job
    if job is not None:
        progress = job.progress
        st.progress(
            progress.fraction,
            text=f"Learning the keys of all architectures, once for this server: "
            f"{count(progress.done)} of {count(progress.total)}. Choose one below meanwhile.",
        )


def _details(key: str, found: Identification, use: Use) -> None:
    best = found.candidates[0]
    others = len(found.candidates) - 1
    with st.expander("Why, and what else it could be"):
        st.markdown("\n".join(f"- {plain_sentence(fact)}" for fact in best.evidence))
        if best.also or best.adapted:
            _namesakes(key, best, use)
        if others:
            st.markdown("**Other candidates**")
        for i, candidate in enumerate(found.candidates[1:], 1):
            with st.container(horizontal=True, vertical_alignment="center", wrap=False):
                st.markdown(_line(candidate), width="stretch")
                st.button(
                    "Use",
                    key=f"{key}-candidate-{i}",
                    on_click=use,
                    args=(candidate.architecture, candidate.recipe),
                )


def _namesakes(key: str, candidate: Candidate, use: Use) -> None:
    """The architectures that the file is for as well, to take one of them instead."""
    titles = {
        architecture.title: architecture for architecture in (*candidate.also, *candidate.adapted)
    }
    box = f"{key}-namesake"

    def chosen() -> None:
        title = st.session_state[box]
        st.session_state[box] = None
        if title:
            use(titles[title], candidate.recipe)

    st.selectbox(
        "Take another that it may be",
        list(titles),
        index=None,
        placeholder=f"{count(len(titles))} to choose from",
        key=box,
        on_change=chosen,
    )


def _line(candidate: Candidate) -> str:
    words = plain_sentence(architecture_words(candidate.architecture))
    rest = f"{share(candidate.coverage_keys)} of its keys"
    more = f", {count(len(candidate.also))} more like it" if candidate.also else ""
    return f"**{words}**: {rest}{more}{_steps(candidate.recipe)}"


def _steps(recipe: Recipe) -> str:
    words = recipe_words(recipe)
    return f"  \n{plain_sentence(words)}" if words else ""
