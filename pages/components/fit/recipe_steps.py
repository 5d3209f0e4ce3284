"""The recipe's steps in order: each with a checkbox, its effect, and buttons to move, change and
remove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from core.fixes import Fix, Recipe
from core.plain_text import markup, plain, plain_sentence, visible
from core.recipe import Change as KeyChange
from core.recipe import Outcome, moved, switched, without_step
from core.wording import count
from pages.components.fit.matching.match_summary import STYLE

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
        with st.container(border=True, gap="xxsmall"):
            _bar(key, i, recipe, change, edit)
            if not step.enabled:
                st.caption("Switched off.")
            elif outcome.error:
                st.error(plain_sentence(str(outcome.error)), icon=":material/error:")
            else:
                st.caption(plain_sentence(outcome.sentence))
                _example(outcome)


def _bar(key: str, i: int, recipe: Recipe, change: Change, edit: Edit) -> None:
    switch = f"{key}-switch-{i}"
    st.session_state[switch] = recipe.steps[i].enabled
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.checkbox(
            f"{i + 1:d}. {plain_sentence(recipe.steps[i].fix.words())}",
            key=switch,
            on_change=lambda: change(switched(recipe, i, st.session_state[switch])),
            width="stretch",
        )
        _icon(key, i, "up", "arrow_upward", "Move up", lambda: change(moved(recipe, i, -1)), i == 0)
        last = i == len(recipe.steps) - 1
        _icon(
            key, i, "down", "arrow_downward", "Move down", lambda: change(moved(recipe, i, 1)), last
        )
        _icon(key, i, "edit", "edit", "Change", lambda: edit(i, recipe.steps[i].fix))
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
        help=f"{plain(tooltip)} step {i + 1:d}",
        on_click=act,
        disabled=disabled,
    )


def _example(outcome: Outcome) -> None:
    """Draw the first change, and all of them in an expander."""
    if outcome.total == 1:
        st.html(f'{STYLE}<div class="fit-diff">{_list([_change_text(outcome.changes[0])])}</div>')
        return
    if outcome.example is None:
        return
    before, after = outcome.example
    st.code(f"{visible(before)}\n→ {visible(after) or 'dropped'}", language=None, wrap_lines=True)
    lines = [_change_text(change) for change in outcome.changes[:SHOWN]]
    if outcome.total > len(lines):
        lines.append(f"… and {count(outcome.total - len(lines))} more")
    st.html(
        f'{STYLE}<div class="fit-diff"><details><summary>All {count(outcome.total)} changes, '
        f"before → after</summary>{_list(lines)}</details></div>"
    )


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
