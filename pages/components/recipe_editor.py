"""The recipe on screen: proposals to take, steps to order and switch, a form for one more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from core.fixes import (
    CASTS,
    AddPrefix,
    CastDtype,
    Drop,
    DropMismatched,
    Fix,
    Keep,
    Recipe,
    Rename,
    StripPrefix,
    describe,
)
from core.proposals import Proposal
from core.recipe_edits import (
    moved,
    switched,
    with_fix,
    with_fix_at,
    with_fixes,
    without_step,
)
from core.theme import count
from core.trial import Outcome
from pages.components.plain_text import plain_sentence

Change = Callable[[Recipe], None]


def proposal_cards(key: str, proposals: Sequence[Proposal], recipe: Recipe, change: Change) -> None:
    """A card for each fix that would help, with its gain; a click adds it to the recipe."""
    for i, proposal in enumerate(proposals):
        with st.container(
            border=True,
            horizontal=True,
            vertical_alignment="center",
            horizontal_alignment="distribute",
            wrap=False,
        ):
            st.markdown(f"**{plain_sentence(proposal.title)}**  \n{_gain(proposal)}")
            st.button(
                "Apply",
                key=f"{key}-proposal-{i}",
                type="primary" if i == 0 else "secondary",
                help=plain_sentence(proposal.why),
                on_click=lambda fixes=proposal.fixes: change(with_fixes(recipe, fixes)),
                width="content",
            )


def _gain(proposal: Proposal) -> str:
    after = f"**{count(proposal.after)}** of {count(proposal.total)} keys"
    if proposal.after > proposal.before:
        return f"{count(proposal.before)} → {after}"
    return f"clears the way; {after} match"


def recipe_steps(key: str, recipe: Recipe, outcomes: Sequence[Outcome], change: Change) -> None:
    """The steps in order: a switch, what it does here, and buttons to move, mend and remove."""
    for i, (step, outcome) in enumerate(zip(recipe.steps, outcomes, strict=True)):
        with st.container(border=True, gap="xxsmall"):
            _step_bar(key, i, recipe, change)
            if not step.enabled:
                st.caption("Switched off.")
            elif outcome.error:
                st.error(plain_sentence(str(outcome.error)), icon=":material/error:")
            else:
                st.caption(outcome.sentence)
                _example(outcome)


def _step_bar(key: str, i: int, recipe: Recipe, change: Change) -> None:
    switch = f"{key}-switch-{i}"
    st.session_state[switch] = recipe.steps[i].enabled
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.checkbox(
            f"{i + 1}. {plain_sentence(describe(recipe.steps[i].fix))}",
            key=switch,
            on_change=lambda: change(switched(recipe, i, st.session_state[switch])),
            width="stretch",
        )
        _icon(key, i, "up", "arrow_upward", "Move up", lambda: change(moved(recipe, i, -1)), i == 0)
        last = i == len(recipe.steps) - 1
        _icon(
            key, i, "down", "arrow_downward", "Move down", lambda: change(moved(recipe, i, 1)), last
        )
        _icon(key, i, "edit", "edit", "Change", lambda: _edit(key, i, recipe.steps[i].fix))
        _icon(key, i, "remove", "close", "Remove", lambda: change(without_step(recipe, i)))


def _icon(
    key: str,
    i: int,
    name: str,
    icon: str,
    tooltip: str,
    act: Callable[[], None],
    disabled: bool = False,
) -> None:
    st.button(
        f":material/{icon}:",
        key=f"{key}-{name}-{i}",
        type="tertiary",
        help=f"{tooltip} step {i + 1}",
        on_click=act,
        disabled=disabled,
    )


def _example(outcome: Outcome) -> None:
    if outcome.example is None:
        return
    before, after = outcome.example
    st.code(f"{before}\n→ {after or 'dropped'}", language=None, wrap_lines=True)


@dataclass(frozen=True, slots=True)
class FixKind:
    """A kind of fix in the form: its name there, and what it is good for."""

    fix: type[Fix]
    title: str
    about: str


KINDS = (
    FixKind(StripPrefix, "Strip a prefix", "Takes `module.` or the like off the keys."),
    FixKind(AddPrefix, "Add a prefix", "Puts text in front of every key."),
    FixKind(Keep, "Keep only", "Keeps the keys that match, drops all others."),
    FixKind(Drop, "Drop", "Drops the keys that match."),
    FixKind(Rename, "Rename by regex", r"Groups in the pattern are `\1`, `\2` in the new name."),
    FixKind(
        DropMismatched,
        "Drop what has another shape",
        "Drops tensors whose shape is not the network's, so that the rest can be loaded.",
    ),
    FixKind(CastDtype, "Cast to a dtype", "Changes floating-point tensors when they are read."),
)


def fix_form(key: str, recipe: Recipe, change: Change) -> None:
    """A form for a fix of one's own; it adds a step, or changes the one that is being edited."""
    titles = [kind.title for kind in KINDS]
    title = st.selectbox(
        "Add a fix of your own",
        titles,
        index=None,
        placeholder="Choose a kind of fix",
        key=f"{key}-kind",
        on_change=_start_anew,
        args=(key,),
    )
    if title is None:
        return
    kind = KINDS[titles.index(title)]
    editing: int | None = st.session_state.get(f"{key}-editing")
    if editing is not None and editing >= len(recipe.steps):
        editing = None

    def save() -> None:
        fix = kind.fix(**{name: st.session_state[f"{key}-field-{name}"] for name in names})
        _close(key)
        change(with_fix(recipe, fix) if editing is None else with_fix_at(recipe, editing, fix))

    with st.form(f"{key}-form", border=False):
        st.caption(kind.about)
        names = [name for name in FIELDS if name in kind.fix.__dataclass_fields__]
        for name in names:
            FIELDS[name](f"{key}-field-{name}")
        label = "Add to the recipe" if editing is None else f"Change step {editing + 1}"
        st.form_submit_button(label, key=f"{key}-save", on_click=save)


def _prefix(key: str) -> None:
    st.text_input("Prefix", key=key, placeholder="module.", required=True)


def _anywhere(key: str) -> None:
    st.checkbox("Wherever it stands in a key, not at the start only", key=key)


def _pattern(key: str) -> None:
    st.text_input("Pattern", key=key, placeholder="fc.*", required=True)


def _syntax(key: str) -> None:
    st.session_state.setdefault(key, "glob")
    st.segmented_control("Read the pattern as", ["glob", "regex"], required=True, key=key)


def _replacement(key: str) -> None:
    st.text_input("New name", key=key)


def _dtype(key: str) -> None:
    st.selectbox("dtype", CASTS, key=key)


FIELDS: dict[str, Callable[[str], None]] = {
    "prefix": _prefix,
    "anywhere": _anywhere,
    "pattern": _pattern,
    "syntax": _syntax,
    "replacement": _replacement,
    "dtype": _dtype,
}
"""A widget for each field that a fix may have, in the order of the form."""


def _edit(key: str, index: int, fix: Fix) -> None:
    kind = next(kind for kind in KINDS if isinstance(fix, kind.fix))
    st.session_state[f"{key}-kind"] = kind.title
    st.session_state[f"{key}-editing"] = index
    for name in kind.fix.__dataclass_fields__:
        st.session_state[f"{key}-field-{name}"] = getattr(fix, name)


def _close(key: str) -> None:
    st.session_state[f"{key}-kind"] = None
    _start_anew(key)


def _start_anew(key: str) -> None:
    st.session_state[f"{key}-editing"] = None
    for name in FIELDS:
        st.session_state.pop(f"{key}-field-{name}", None)
