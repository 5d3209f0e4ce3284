"""What the sure or the chosen architecture makes of a file: the repair as a diff, and why it is
sure."""

from __future__ import annotations

from core.checkpoint import StateDict
from core.fit.identify import Candidate
from core.plain_text import plain_sentence
from core.recipe import Change
from core.theme import STATE_MARKS
from core.wording import count, shape
from pages.components.fit.fit_view import FitView
from pages.components.fit.fitting import Fitting
from pages.components.fit.matching.coverage_strip import cover_bars
from pages.components.open.first_keys import all_of_them, first_keys
from pages.components.panels.panel import panel
from pages.components.panels.panel_lines import PanelLine, draw_lines

MOST_CHANGES = 8
"""Changed keys that the preview shows; Fit shows all."""

STATES = {"renamed": "renamed", "added": "matched", "dropped": "missing"}
"""The state whose sign and colour a kind of change has; all others are changes of the tensor."""


def repair_preview(view: FitView, fitted: Fitting) -> None:
    """Draw the coverage as saved and repaired, and the first keys that the repair changes."""
    slot, needs_repair = view.slot, bool(view.recipe.steps)
    _, body = panel(f"repair-{slot}", _title(view, fitted), _mark(view, fitted))
    with body:
        repaired = {"Repaired": fitted.match} if needs_repair else {}
        cover_bars({"As saved": fitted.before, **repaired})
        if not needs_repair:
            first_keys(slot, view.state_dict, "fit")
            return
        changes = [change for outcome in fitted.trial.outcomes for change in outcome.changes]
        total = sum(outcome.total for outcome in fitted.trial.outcomes)
        draw_lines([_line(change, fitted.trial.state_dict) for change in changes[:MOST_CHANGES]])
        shown = f"{count(min(MOST_CHANGES, len(changes)))} of {count(total)} changed keys"
        all_of_them(slot, shown, "fit")


def _title(view: FitView, fitted: Fitting) -> str:
    if view.recipe.steps:
        return "Proposed repair" if view.proposed else "Applied repair"
    if fitted.match.fits:
        return "Fits as it is"
    return "Fits in part" if fitted.match.matched else "Does not fit"


def _mark(view: FitView, fitted: Fitting) -> str:
    if view.is_sure:
        return "sure"
    if fitted.fit.fits:
        return "fits"
    return "in part" if fitted.match.matched else "other"


def why_sure(slot: str, sure: Candidate) -> None:
    """Draw the evidence for the sure architecture of a slot's file."""
    _, body = panel(f"why-{slot}", "Why this is sure")
    body.markdown("  \n".join(f":green[✓] {plain_sentence(fact)}" for fact in sure.evidence))


def _line(change: Change, repaired: StateDict) -> PanelLine:
    """A change as a line: what goes from a key and what comes, and the tensor's shape after it."""
    before, after = " + ".join(change.before), " + ".join(change.after)
    removed, added, text = "", "", after
    if not after:
        removed = before
    elif not before:
        added, text = after, ""
    elif before != after and before.endswith(after):
        removed = before.removesuffix(after)
    elif before != after and after.endswith(before):
        added, text = after.removesuffix(before), before
    elif before != after:
        text = f"{before} → {after}"
    mark = STATE_MARKS[STATES.get(change.kind, "changed")]
    sign = "+" if change.kind == "added" else mark.sign
    entry = repaired.get(change.after[0]) if change.after else None
    shapes = f"{change.was} → {change.now}" if change.now else shape(entry.shape) if entry else ""
    return PanelLine(sign, mark.colour, text, shapes, removed, added)
