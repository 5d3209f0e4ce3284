"""The recipe's steps in order: each with a checkbox, its effect, and buttons to move, change and
remove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from core.fixes import Fix, Recipe
from core.plain_text import markup, plain, plain_sentence
from core.recipe import Change as KeyChange
from core.recipe import Outcome, moved, switched, without_step
from core.wording import count

Change = Callable[[Recipe], None]
Edit = Callable[[int, Fix], None]

SHOWN = 300
"""The most changes of a step that its list shows."""


def recipe_steps(
    key: str, recipe: Recipe, outcomes: Sequence[Outcome], change: Change, edit: Edit
) -> None:
    """Draw the steps with their outcomes. `change` is called with the new recipe, and
    `edit(index, fix)` to open the form for a step."""
    for i, (step, outcome) in enumerate(zip(recipe.steps, outcomes, strict=True)):
        with st.container(key=f"step-{i:d}", gap=None):
            _bar(key, i, recipe, change, edit)
            if not step.enabled:
                st.caption("Switched off.")
            elif outcome.error:
                st.error(plain_sentence(str(outcome.error)), icon=":material/error:")
            else:
                _changes(outcome)


def _bar(key: str, i: int, recipe: Recipe, change: Change, edit: Edit) -> None:
    switch = f"{key}-switch-{i}"
    st.session_state[switch] = recipe.steps[i].enabled
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", wrap=False):
        st.checkbox(
            plain_sentence(recipe.steps[i].fix.words()),
            key=switch,
            on_change=lambda: change(switched(recipe, i, st.session_state[switch])),
            width="stretch",
        )
        st.button(
            "Edit",
            key=f"{key}-edit-{i}",
            type="tertiary",
            help=f"Change step {i + 1:d}",
            on_click=edit,
            args=(i, recipe.steps[i].fix),
        )
        with st.popover(
            "",
            icon=":material/more_vert:",
            type="tertiary",
            width="content",
            help=f"Move or remove step {i + 1:d}",
        ):
            last = i == len(recipe.steps) - 1
            _act(key, i, "up", "Move up", lambda: change(moved(recipe, i, -1)), i == 0)
            _act(key, i, "down", "Move down", lambda: change(moved(recipe, i, 1)), last)
            _act(key, i, "remove", "Remove", lambda: change(without_step(recipe, i)))


def _act(
    key: str, i: int, name: str, label: str, act: Callable[[], None], disabled: bool = False
) -> None:
    st.button(
        plain(label),
        key=f"{key}-{name}-{i}",
        type="tertiary",
        on_click=act,
        disabled=disabled,
    )


def _changes(outcome: Outcome) -> None:
    """Draw what the step did, with all its changes in an expander."""
    sentence = markup(outcome.sentence.removesuffix("."))
    if not outcome.total:
        st.html(f'{STYLE}<div class="fit-step">{sentence}</div>')
        return
    lines = [_change_text(change) for change in outcome.changes[:SHOWN]]
    if outcome.total > len(lines):
        lines.append(f"… and {count(outcome.total - len(lines))} more")
    st.html(
        f'{STYLE}<details class="fit-step"><summary>{sentence}</summary>{_list(lines)}</details>'
    )


STYLE = """<style>
.fit-step {font-size: 0.9rem; color: var(--loupe-muted); margin-left: 1.75rem}
.fit-step summary {cursor: pointer}
.fit-step pre {background: var(--loupe-panel); border: 0; color: var(--loupe-text);
  border-radius: 6px; padding: 0.4rem 0.6rem; font-size: 0.82rem; line-height: 1.5}
</style>"""


def _list(lines: Sequence[str]) -> str:
    """The lines as HTML. Long keys wrap and a long list scrolls by itself, so that neither
    stretches the page."""
    style = "max-height:20rem;overflow-y:auto;white-space:pre-wrap;overflow-wrap:anywhere"
    listed = "\n".join(map(markup, lines))
    return f'<pre style="{style}">{listed}</pre>'


def _change_text(change: KeyChange) -> str:
    before, after = " + ".join(change.before), " + ".join(change.after)
    if not change.after:
        return f"{before} → dropped"
    if not change.before:
        return f"added: {after} ({change.now})" if change.now else f"added: {after}"
    names = before if before == after else f"{before} → {after}"
    return f"{names}  ({change.was} → {change.now})" if change.now else names
