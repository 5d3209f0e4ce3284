"""Fit: identify the architecture, repair the keys, load the model."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.load import loaded_headline
from core.wording import Headline
from pages.components.fit.architecture.architecture_panel import architecture_panel
from pages.components.fit.export_panel import export_panel
from pages.components.fit.fit_view import FitView, fit_view
from pages.components.fit.fitting import Fitting
from pages.components.fit.load_panel import load_panel
from pages.components.fit.matching.coverage_strip import coverage_strip
from pages.components.fit.matching.keys_in_file import keys_in_file
from pages.components.fit.matching.match_table import match_table
from pages.components.fit.page_grid import STYLE
from pages.components.fit.proof_panel import proof_panel
from pages.components.fit.repair_panel import repair_panel
from pages.components.fit.review_panel import nearest_panel, review_panel
from pages.components.frame import danger_notice, empty_state, heading, page_verdict
from pages.components.resources import model_pool
from pages.components.slot_choice import slot_switch, state_dict_choice
from pages.components.slot_model import slot_request
from pages.components.workspace import workspace


def main() -> None:
    top, choices = heading("fit")
    with choices:
        slot = slot_switch("fit")
    checkpoint = workspace().checkpoint(slot) if slot else None
    if slot is None or checkpoint is None:
        with top:
            page_verdict("Which architecture does a checkpoint fit?")
        empty_state(
            "Open a checkpoint first. Loupe then says which architecture it fits, lists the "
            "matched, missing and unexpected keys, proposes repairs, and loads the model.",
        )
        return
    with choices:
        state_dict = state_dict_choice(slot)
    danger_notice(checkpoint)
    if state_dict is None:
        return
    st.html(STYLE)
    _draw(fit_view(slot, checkpoint, state_dict), top)


def _draw(view: FitView, top: DeltaGenerator) -> None:
    strip = st.container()
    with st.container(key="fit-body"):
        left = st.container(key="fit-left", gap="small")
        decide = st.container(key="fit-decide", gap="small")
        right = st.container(key="fit-right", gap="small")
    fitted = view.fitted
    if fitted is None:
        with top:
            _title(view.headline)
        with left:
            architecture_panel(view)
        with right:
            keys_in_file(view.state_dict, view.checkpoint.identity)
        return
    with left:
        repair_panel(view, fitted)
        architecture_panel(view)
        outcome = load_panel(view, fitted)
    request = None if view.proposed else slot_request(view.slot)
    loaded = request is not None and request in model_pool().resident()
    with top:
        if loaded and request is not None:
            _title(loaded_headline(request, fitted.match, outcome))
        else:
            _title(view.headline)
    with strip:
        coverage_strip(fitted.before, fitted.match, repaired=fitted.is_repaired, loaded=loaded)
    with decide:
        if not loaded:
            review_panel(view)
    with right:
        match_table(fitted, view.name, loaded=loaded)
        nearest_panel(view)
        if not view.proposed:
            _takeaway(view, fitted, loaded=loaded)


def _takeaway(view: FitView, fitted: Fitting, *, loaded: bool) -> None:
    """Draw the proof and the exports of what is chosen."""
    if fitted.trial.failed or view.architecture is None:
        return
    export_panel(view, fitted, loaded=loaded)
    if fitted.match.fits:
        proof_panel(
            view.checkpoint,
            view.state_dict,
            fitted.trial.state_dict,
            view.recipe,
            view.architecture,
        )


def _title(headline: Headline) -> None:
    page_verdict(headline.title, headline.evidence)


main()
