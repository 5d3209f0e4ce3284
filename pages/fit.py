"""Fit: identify the architecture, repair the keys, load the model."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.architectures import Architecture
from core.checkpoint import Checkpoint, StateDict
from core.errors import ArchitectureError
from core.fit import fit_verdict, initialised, obstacle
from core.fit.identify import Candidate, architecture_words
from core.plain_text import plain_sentence
from core.wording import counted
from pages.components.fit.architecture_picker import architecture_picker, as_in_a
from pages.components.fit.fitting import Fitting, fitting, remarks_on
from pages.components.fit.fixes_panel import fixes_panel
from pages.components.fit.identify_panel import identify_panel
from pages.components.fit.load_panel import load_button, load_choices, partial_notice
from pages.components.fit.matching.match_summary import coverage_bar
from pages.components.fit.matching.match_table import match_table
from pages.components.fit.proof_panel import proof_panel
from pages.components.fit.recipe_bar import use
from pages.components.fit.repaired_download import recipe_as_code, repaired_download
from pages.components.frame import danger_notice, empty_state, heading, page_verdict
from pages.components.identified import sure_candidate
from pages.components.open.repair_preview import repair_preview, why_sure
from pages.components.pressed import pressed
from pages.components.slot_choice import slot_switch, state_dict_choice
from pages.components.slot_model import slot_architecture, slot_request
from pages.components.workspace import workspace

QUESTION = "Which architecture does this checkpoint fit?"
"""The title while nothing is known to fit."""


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
            "matched, missing and unexpected keys, proposes fixes, and loads the model.",
        )
        return
    with choices:
        state_dict = state_dict_choice(slot)
    danger_notice(checkpoint)
    if state_dict is None:
        return
    architecture = _architecture(slot, checkpoint, state_dict)
    if architecture is None:
        sure = sure_candidate(checkpoint, state_dict)
        if sure is None:
            with top:
                page_verdict(QUESTION)
        else:
            with top:
                page_verdict(*_proposal(sure))
            _proposed(slot, checkpoint, state_dict, sure)
        return
    try:
        recipe = workspace().slot(slot).recipe
        fitted = fitting(checkpoint.identity, state_dict, recipe, architecture)
    except ArchitectureError as error:
        with top:
            page_verdict(QUESTION)
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return
    with top:
        page_verdict(fit_verdict(fitted.fit, fitted.proposals))
    if fitted.match.fits:
        for sentence in remarks_on(checkpoint, state_dict, architecture):
            st.markdown(plain_sentence(sentence))
    coverage_bar(fitted.sections, fitted.match.coverage_parameters)
    actions, keys = st.columns([5, 7], gap="large")
    with keys:
        st.markdown("#### Keys")
        match_table(fitted, f"{checkpoint.identity}:{state_dict.path!a}:{architecture.key}")
    with actions:
        fixes_panel(slot, checkpoint, state_dict, architecture, fitted)
        _load(slot, state_dict, fitted)
        if not fitted.trial.failed:
            if fitted.match.fits:
                st.markdown("#### Proof")
                repaired = fitted.trial.state_dict
                proof_panel(checkpoint, state_dict, repaired, recipe, architecture)
            _export(slot, checkpoint, state_dict, architecture, fitted)


def _proposal(sure: Candidate) -> tuple[str, str]:
    """The title and the line below it while nothing is chosen yet."""
    name, steps = architecture_words(sure.architecture), len(sure.recipe.steps)
    if not steps:
        return f"Fits {name} as it is", "Nothing is loaded until you choose it."
    repairs = "one repair" if steps == 1 else counted(steps, "repair")
    return f"Fits {name} after {repairs}", "Nothing is changed until you apply it."


def _proposed(slot: str, checkpoint: Checkpoint, state_dict: StateDict, sure: Candidate) -> None:
    """Draw the fit that the main button would choose, before anything is chosen."""
    try:
        fitted = fitting(checkpoint.identity, state_dict, sure.recipe, sure.architecture)
    except ArchitectureError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return
    left, right = st.columns([5, 7], gap="large")
    with left:
        repair_preview(slot, checkpoint, state_dict, sure, link=False)
        why_sure(slot, sure)
    with right:
        st.markdown("#### Keys, once it is applied")
        match_table(fitted, f"{checkpoint.identity}:{state_dict.path!a}:proposed")


def _architecture(slot: str, checkpoint: Checkpoint, state_dict: StateDict) -> Architecture | None:
    """Draw the identified architecture and the choice of another. Returns the chosen architecture,
    or None with a hint."""

    def choose(architecture: Architecture | None) -> None:
        workspace().update(slot, architecture=architecture.key if architecture else None)

    try:
        current = slot_architecture(slot)
    except ArchitectureError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
        current = None
    recipe = workspace().slot(slot).recipe
    identify_panel(f"fit-{slot}", checkpoint, state_dict, current, recipe, partial(use, slot))
    architecture_picker(f"fit-{slot}", current, checkpoint, state_dict, choose)
    if slot == "B":
        as_in_a()
    if current is None:
        st.markdown(
            "Choose an architecture to compare its keys and shapes with the file’s. No tensor is "
            "read for this."
        )
    return current


def _load(slot: str, state_dict: StateDict, fitted: Fitting) -> None:
    request, key = slot_request(slot), f"fit-{slot}"
    if request is None:
        return
    st.markdown("#### Load")
    load_choices(key, request, lambda **choice: workspace().update(slot, **choice))
    if not request.strict:
        partial_notice(initialised(fitted.match, fitted.signature), len(fitted.signature))
    reason = obstacle(fitted.match, fitted.trial.failed, request.strict)
    loaded = load_button(key, request, state_dict, reason)
    if loaded and pressed(
        "Predict with this model",
        key=f"{key}-predict",
        type="primary",
        icon=":material/arrow_forward:",
    ):
        st.switch_page("pages/predict.py")


def _export(
    slot: str,
    checkpoint: Checkpoint,
    state_dict: StateDict,
    architecture: Architecture,
    fitted: Fitting,
) -> None:
    state = workspace().slot(slot)
    st.markdown("#### Export")
    computed = fitted.match.computed
    recipe_as_code(checkpoint, state_dict.path, state.recipe, architecture, state.strict, computed)
    repaired_download(f"fit-{slot}", checkpoint, fitted.trial.state_dict, state.recipe)


main()
