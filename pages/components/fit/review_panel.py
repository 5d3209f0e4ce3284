"""What a person has to decide before a file fits: which architecture it is, and what becomes of the
keys that do not match."""

from __future__ import annotations

import streamlit as st

from core.fit.identify import architecture_words, hints_of
from core.fit.review import Choice, Problem, choices_of, problems_of
from core.plain_text import plain, plain_sentence
from core.recipe import with_fixes
from core.theme import STATE_MARKS
from core.wording import capital, count, counted, listed
from pages.components.cached import cached
from pages.components.fit.fit_view import FitView
from pages.components.fit.fitting import Fitting
from pages.components.panels.panel import panel
from pages.components.workspace import workspace

MOST_CHOICES = 6
"""The choices that are set side by side; the architecture's panel has all."""

MOST_REMEDIES = 3
"""The proposals that a problem offers."""

NAMED = 3
"""Architectures that compute the same which a choice names."""


def review_panel(view: FitView) -> None:
    """Draw what there is to choose from where several fit, and the keys that do not match; nothing
    where there is nothing to decide."""
    candidate = view.candidate
    if view.proposed and candidate is not None and candidate.fits and not view.is_sure:
        _choices(view, "Which one is it?")
    if view.fitted is not None and not view.fitted.fit.fits:
        problems = _problems_of(view.fitted.identity, view.fitted)
        # With no key in its place the whole repair is what helps, and the panel of repairs has it.
        if problems and view.fitted.match.matched:
            _problems(view, problems)


def nearest_panel(view: FitView) -> None:
    """Draw the nearest candidates where none fits."""
    candidate = view.candidate
    if view.proposed and candidate is not None and not candidate.fits:
        _choices(view, "The nearest architectures")


def _choices(view: FitView, title: str) -> None:
    choices = _choices_of(view.name, view.checkpoint.name, view)
    if not choices:
        return
    fits = choices[0].fits
    _, body = panel("choices", title, "to choose" if fits else "nearest")
    with body:
        with st.container(key="fit-choices"):
            for at, choice in enumerate(choices[:MOST_CHOICES]):
                _choice(view, at, choice)
        if len(choices) > MOST_CHOICES:
            st.caption(
                f"{count(len(choices) - MOST_CHOICES)} more are under *Choose* beside the "
                "architecture."
            )


@cached(64)
def _choices_of(name: str, file_name: str, _view: FitView) -> tuple[Choice, ...]:
    if _view.identified is None:
        return ()
    return choices_of(_view.identified, hints_of(_view.checkpoint, _view.state_dict))


@cached(64)
def _problems_of(identity: str, _fitted: Fitting) -> tuple[Problem, ...]:
    return problems_of(_fitted.fit, _fitted.proposals)


def _choice(view: FitView, at: int, choice: Choice) -> None:
    with st.container(border=True, key=f"choice-{at:d}", gap="xsmall"):
        shown = " :gray[· shown here]" if at == 0 else ""
        st.markdown(f"**{plain(architecture_words(choice.architecture))}**{shown}")
        for line in _lines(choice):
            st.caption(plain_sentence(line))
        st.button(
            "Choose" if choice.fits else "Try it",
            key=f"{view.key}-choice-{at:d}",
            on_click=view.take,
            args=(choice.architecture, choice.recipe),
        )


def _lines(choice: Choice) -> list[str]:
    repair = f"repair: {choice.repair[:1].lower()}{choice.repair[1:]}" if choice.repair else ""
    first = [capital(choice.matches), repair or "no repair"]
    names = [f"{other.library} {other.tagged_name}" for other in choice.alike]
    return [
        f"{'; '.join(first)}.",
        *([f"Computes: {choice.arithmetic}."] if choice.arithmetic else []),
        *([f"The same as {listed(names, NAMED)}."] if names else []),
        *choice.facts,
    ]


def _problems(view: FitView, problems: tuple[Problem, ...]) -> None:
    tools, body = panel("problems", "What does not match")
    if view.proposed:
        steps = len(view.recipe.steps)
        label = f"Apply {counted(steps, 'repair')}" if steps else "Choose this architecture"
        with tools:
            st.button(
                plain(label), key=f"{view.key}-take", on_click=view.change, args=(view.recipe,)
            )
    with body:
        for at, problem in enumerate(problems):
            with st.container(key=f"problem-{at:d}", gap="xsmall"):
                st.markdown(f"{_mark(problem.state)} {plain_sentence(problem.sentence)}")
                _remedies(view, at, problem)


def _mark(state: str) -> str:
    colours = {"mismatched": "violet", "missing": "red", "unexpected": "orange"}
    if state not in colours:
        return ":yellow[**!**]"
    return f":{plain(colours[state])}[**{plain(STATE_MARKS[state].sign)}**]"


def _remedies(view: FitView, at: int, problem: Problem) -> None:
    """Draw the proposals that help as buttons, and for what is missing a load without it."""
    offers_partial = problem.state == "missing" and workspace().slot(view.slot).strict
    remedies = problem.remedies[:MOST_REMEDIES]
    if not (remedies or offers_partial):
        return
    with st.container(horizontal=True, gap="small"):
        for number, proposal in enumerate(remedies):
            st.button(
                plain_sentence(proposal.short_title),
                key=f"{view.key}-remedy-{at:d}-{number:d}",
                help=plain_sentence(proposal.why) or None,
                on_click=view.change,
                args=(with_fixes(view.recipe, proposal.fixes),),
            )
        if offers_partial:
            st.button(
                "Load without them",
                key=f"{view.key}-partial-{at:d}",
                help="A partial load: these keys keep the values that the model begins with.",
                on_click=_load_partially,
                args=(view,),
            )


def _load_partially(view: FitView) -> None:
    view.change(view.recipe)
    workspace().update(view.slot, strict=False)
