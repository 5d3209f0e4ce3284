"""What the sure architecture makes of a file, before anything is changed: the repair as a diff, and
why it is sure."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from core.errors import LoupeError
from core.fit.identify import Candidate, recipe_words
from core.fixes import Recipe
from core.plain_text import markup, plain_sentence
from core.recipe import Change
from core.wording import count, percent
from pages.components.fit.fitting import Fitting, fitting
from pages.components.pressed import pressed

MOST_CHANGES = 8
"""Changed keys that the preview shows; Fit shows all."""


def repair_preview(
    slot: str, checkpoint: Checkpoint, state_dict: StateDict, sure: Candidate, *, link: bool
) -> None:
    """Draw the coverage as saved and repaired, and the first keys that the repair changes; with a
    `link` to all of them on Fit."""
    try:
        before = fitting(checkpoint.identity, state_dict, Recipe(), sure.architecture)
        after = fitting(checkpoint.identity, state_dict, sure.recipe, sure.architecture)
    except LoupeError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return
    needs_repair = bool(sure.recipe.steps)
    with st.container(border=True):
        title = "Proposed repair" if needs_repair else "Fits as it is"
        st.markdown(f"**{title}** :green[✓ sure]")
        bars = [("As saved", before), *([("Repaired", after)] if needs_repair else [])]
        st.html(f"{STYLE}{''.join(_bar(name, fitted) for name, fitted in bars)}")
        if needs_repair:
            st.caption(plain_sentence(recipe_words(sure.recipe)))
            changes = [change for outcome in after.trial.outcomes for change in outcome.changes]
            total = sum(outcome.total for outcome in after.trial.outcomes)
            st.html(_diff(changes[:MOST_CHANGES]))
            with st.container(
                horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
            ):
                shown = min(MOST_CHANGES, len(changes))
                st.caption(f"{count(shown)} of {count(total)} changed keys", width="content")
                if link and pressed("All keys in Fit", key=f"all-keys-{slot}", type="tertiary"):
                    st.session_state["fit-slot"] = slot
                    st.switch_page("pages/fit.py")


def why_sure(sure: Candidate) -> None:
    """Draw the evidence for the sure architecture."""
    with st.container(border=True):
        st.markdown("**Why this is sure**")
        lines = [f":green[✓] {plain_sentence(fact)}" for fact in sure.evidence]
        st.markdown("  \n".join(lines))


def _bar(name: str, fitted: Fitting) -> str:
    share = fitted.match.coverage_keys
    state = "whole" if share == 1 else "part" if share else "none"
    matched = f"{count(len(fitted.match.matched))} of {count(fitted.match.total)} keys match"
    return (
        f'<div class="loupe-cover {state}" role="img" '
        f'aria-label="{markup(name)}: {percent(share)}, {matched}" title="{matched}">'
        f"<span>{markup(name)}</span><i><b style='width:{100 * share:.3f}%'></b></i>"
        f"<strong>{percent(share)}</strong></div>"
    )


def _diff(changes: Sequence[Change]) -> str:
    return f'<div class="loupe-diff">{"".join(map(_line, changes))}</div>'


def _line(change: Change) -> str:
    before, after = " + ".join(change.before), " + ".join(change.after)
    if after and before != after and before.endswith(after):
        removed = before.removesuffix(after)
        names = f"<del>{markup(removed)}</del>{markup(after)}"
    elif before and before != after and after.endswith(before):
        names = f"<ins>{markup(after.removesuffix(before))}</ins>{markup(before)}"
    elif not after:
        names = f"<del>{markup(before)}</del>"
    elif not before:
        names = f"<ins>{markup(after)}</ins>"
    else:
        names = markup(before) if before == after else f"{markup(before)} → {markup(after)}"
    shapes = f"<span>{markup(change.was)} → {markup(change.now)}</span>" if change.now else ""
    return f"<div><code>{names}</code>{shapes}</div>"


STYLE = """<style>
.loupe-cover {display: grid; grid-template-columns: 5rem 1fr 4rem; gap: 0.75rem;
  align-items: center; line-height: 1.9; color: var(--loupe-muted)}
.loupe-cover i {height: 8px; border-radius: 4px; background: var(--loupe-line);
  overflow: hidden}
.loupe-cover b {display: block; height: 100%; background: var(--loupe-fits)}
.loupe-cover strong {font-size: 1.15rem; font-weight: 650; text-align: right;
  font-variant-numeric: tabular-nums}
.loupe-cover.whole strong {color: var(--loupe-fresh)}
.loupe-cover.part strong {color: light-dark(#8A5A00, #DDA52E)}
.loupe-cover.none strong {color: var(--loupe-gone)}
.loupe-diff {border-top: 1px solid var(--loupe-line)}
.loupe-diff > div {display: flex; justify-content: space-between; gap: 1rem; padding: 0.3rem 0;
  border-bottom: 1px solid var(--loupe-line)}
.loupe-diff code {background: none; color: inherit; padding: 0; font-size: 0.9rem;
  overflow-wrap: anywhere; min-width: 0}
.loupe-diff del {color: var(--loupe-gone); background: light-dark(#FBEAEA, #3A1F1F)}
.loupe-diff ins {color: var(--loupe-fresh); background: light-dark(#E5F3EA, #16301F);
  text-decoration: none}
</style>"""
