"""The architecture that a file is compared with: the reasons for it, and the choice of another."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.architectures import Architecture, Stated
from core.fit.identify import (
    Candidate,
    Hints,
    Identification,
    architecture_words,
    hints_of,
    recipe_words,
    relation_words,
)
from core.fit.lookalikes import Arithmetic
from core.fit.review import Reason, reasons_for
from core.fixes import Recipe
from core.plain_text import plain, plain_sentence
from core.wording import count, listed, percent
from pages.components.cached import cached
from pages.components.fit.architecture.architecture_picker import (
    architecture_picker,
    as_in_a,
    classes_button,
    classes_of,
    stated_in,
    use_stated,
)
from pages.components.fit.fit_view import FitView
from pages.components.fit.fitting import remarks_on
from pages.components.panels.panel import panel
from pages.components.workspace import workspace

NAMED = 2
"""Architectures of the same tensors that the foot names."""


def architecture_panel(view: FitView) -> None:
    """Draw the choice, the reasons and the other candidates."""

    def choose(architecture: Architecture | None) -> None:
        workspace().update(view.slot, architecture=architecture.key if architecture else None)

    _, body = panel("architecture", "Architecture", _mark(view))
    with body:
        for error in view.errors:
            st.error(plain_sentence(error), icon=":material/error:")
        current = view.architecture
        architecture_picker(view.key, current, view.state_dict, choose)
        stated = stated_in(view.checkpoint)
        if current is None:
            st.caption(
                "Choose an architecture to compare its keys and shapes with the file’s. No tensor "
                "is read for this. Your own models are in the list once the server’s LOUPE_MODELS "
                "names their module."
            )
        else:
            _reasons(_reasons_for(view, current, stated))
            classes_button(view.key, current, view.checkpoint, view.state_dict, choose)
        if view.slot == "B":
            as_in_a()
        if view.candidate is None and stated is None:
            return
        with st.container(
            key="foot-architecture",
            horizontal=True,
            vertical_alignment="center",
            horizontal_alignment="distribute",
            gap="small",
            wrap=False,
        ):
            st.caption(_same_keys(view.candidate), width="stretch")
            with st.popover("Choose", type="tertiary", width="content"):
                if stated and (current is None or current.name != stated.architecture.name):
                    use_stated(view.key, stated, view.state_dict, choose)
                candidates_choice(view, view.key)


def _mark(view: FitView) -> str:
    if view.fitted is None:
        return ""
    if view.is_sure:
        return "sure"
    if view.proposed:
        fits = view.candidate is not None and view.candidate.fits
        return "to choose" if fits else "nearest"
    return "fits" if view.fitted.fit.fits else "other"


def _reasons_for(view: FitView, current: Architecture, stated: Stated | None) -> Sequence[Reason]:
    if view.fitted is None:
        return ()
    fits = view.fitted.match.fits
    candidate = view.candidate
    of_current = candidate if candidate and candidate.architecture == current else None
    in_file, other = classes_of(view.checkpoint, view.state_dict, current)
    return reasons_for(
        current,
        view.fitted.match,
        _hints(view.checkpoint.identity, view.state_dict.path, view),
        stated=stated,
        classes=in_file,
        other_classes=other,
        candidate=of_current,
        remarks=remarks_on(view.checkpoint, view.state_dict, current) if fits else (),
    )


@cached(64)
def _hints(identity: str, path: str, _view: FitView) -> Hints:
    return hints_of(_view.checkpoint, _view.state_dict)


def _reasons(reasons: Sequence[Reason]) -> None:
    with st.container(key="reasons", gap=None):
        for reason in reasons:
            mark = ":green[**✓**]" if reason.speaks_for else ":yellow[**!**]"
            st.markdown(f"{mark} {plain_sentence(reason.sentence)}")


def _same_keys(candidate: Candidate | None) -> str:
    """The architectures that take the same tensors, those that compute the same before others."""
    if candidate is None or not candidate.also:
        return ""
    ranked = sorted(
        zip(candidate.also, candidate.relations, strict=True),
        key=lambda pair: pair[1].arithmetic is not Arithmetic.SAME,
    )
    names = [f"{other.library} {other.tagged_name}" for other, _ in ranked]
    return plain(f"Same keys: {listed(names, NAMED)}")


def candidates_choice(view: FitView, key: str) -> None:
    """Draw what was identified, the evidence, and every other candidate with a button that takes
    it. `key` begins the keys of the widgets."""
    identified = view.identified
    if identified is None:
        st.caption("The architectures are still being indexed.")
        return
    st.markdown(plain_sentence(identified.sentence))
    if not identified.candidates:
        return
    best, *others = identified.candidates
    if view.proposed or (view.architecture, view.recipe) != (best.architecture, best.recipe):
        st.button(
            _label(best, identified),
            key=f"{key}-identified",
            on_click=view.take,
            args=(best.architecture, best.recipe),
        )
    st.markdown("\n".join(f"- {plain_sentence(fact)}" for fact in best.evidence))
    if best.also or best.adapted:
        _equivalents(view, best, key)
    if others:
        st.markdown("**Other candidates**")
    for i, candidate in enumerate(others, 1):
        with st.container(horizontal=True, vertical_alignment="center", wrap=False):
            st.markdown(_line(candidate), width="stretch")
            st.button(
                "Use",
                key=f"{key}-candidate-{i}",
                on_click=view.take,
                args=(candidate.architecture, candidate.recipe),
            )


def _label(candidate: Candidate, identified: Identification) -> str:
    if not identified.known:
        return "Try the closest"
    return "Use with its repair" if candidate.recipe.steps else "Use"


def _equivalents(view: FitView, candidate: Candidate, key: str) -> None:
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
            view.take(titles[title], candidate.recipe)

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
