"""Draws the bar: the chips of A and B, the steps to a prediction, and the main button."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from core.inspect import danger_sentence
from core.plain_text import code, plain
from core.server import Action, NextStep, SlotStage, Stage, next_step
from core.wording import counted_parameters, size, tensors
from pages.components.fit.architecture.architecture_panel import candidates_choice
from pages.components.fit.fit_view import fit_view
from pages.components.fit.matching.match_table import REVIEW
from pages.components.identified import index_progress
from pages.components.link.copy_link import copy_link
from pages.components.link.page_view import one_of, shared
from pages.components.panels.own_component import own_component
from pages.components.predict.image_tray import add_images
from pages.components.pressed import pressed
from pages.components.slot_choice import close_button, state_dict_choice, turn_to
from pages.components.top_bar import quick_demo
from pages.components.top_bar.stages import BenchSlot, bench_slots
from pages.components.workspace import SLOTS, open_sample, workspace

STATES: Mapping[Stage, str] = {
    Stage.EMPTY: "",
    Stage.UNREADABLE: ":red[− cannot be read]",
    Stage.IDENTIFYING: ":gray[identifying]",
    Stage.UNKNOWN: ":yellow[! unknown architecture]",
    Stage.SEVERAL: ":yellow[! several candidates]",
    Stage.NEAR: ":yellow[! fits in part]",
    Stage.SURE: ":green[✓ fits]",
    Stage.FITS: ":green[✓ fits]",
    Stage.LOADED: ":green[● loaded]",
}
"""The state of a file in a chip: a mark, a word and a colour, as on every page."""

NEEDS_REPAIR = ":yellow[! needs repair]"

DANGER = ":red[! could run code]"
"""Of a file that would run code elsewhere; the notice on the page says which."""

STEPS = ("Repair", "Load", "Predict")

_FOLDER = Path(__file__).parent

_STYLE = f"<style>{(_FOLDER / 'bench_bar.css').read_text('utf-8')}</style>"


def bench_bar(page: str) -> None:
    """Draw the bar of the page `page`: `open`, `inspect`, `compare`, `fit` or `predict`."""
    st.html(_STYLE)
    own_component(_FOLDER / "scheme_widget", "scheme")(key="colour-scheme")
    slots = bench_slots()
    in_view = st.session_state.get(shared(f"{page}-slot", "A", one_of(SLOTS)))
    step = next_step(page, {slot: slots[slot].stage for slot in slots}, in_view)
    with st.container(
        horizontal=True, key="bench", vertical_alignment="center", gap="small", wrap=False
    ):
        for slot in SLOTS:
            _chip(slot, slots[slot])
        with st.container(
            horizontal=True, key="bench-end", vertical_alignment="center", gap="small"
        ):
            st.markdown(_steps(page, slots, step), width="content")
            if step.action is not Action.OPEN_SAMPLE:
                copy_link(page)
            _main_button(page, step, slots)
    if any(shown.waits_for_index for shown in slots.values()):
        index_progress()


def _chip(slot: str, shown: BenchSlot) -> None:
    if shown.stage.stage is Stage.EMPTY:
        words = "No checkpoint" if slot == "A" else "Add to compare"
        with st.container(key=f"chip-{slot}", width="content"):
            st.page_link("pages/open.py", label=f"**{slot}** :gray[{words}]", width="content")
        return
    with (
        st.container(key=f"chip-{slot}", width="content"),
        st.popover(_title(slot, shown), width="content"),
    ):
        _facts(slot, shown)
        state_dict_choice(slot, "bench")
        with st.container(horizontal=True):
            st.page_link("pages/open.py", label="Replace", icon=":material/folder_open:")
            if all(workspace().slot(other).file for other in SLOTS):
                st.button(
                    "Swap A and B",
                    key=f"bench-swap-{slot}",
                    icon=":material/swap_horiz:",
                    type="tertiary",
                    on_click=workspace().swap,
                )
            close_button(slot, "bench")


def _title(slot: str, shown: BenchSlot) -> str:
    """A chip's label as Markdown: the slot, the file's name, its size, its architecture, its state.

    The style cuts the name and the architecture short where there is no room for them, and hides
    the size; the popover has all of them.
    """
    stage = shown.stage
    state = NEEDS_REPAIR if stage.needs_repair else STATES[stage.stage]
    checkpoint = shown.checkpoint
    if checkpoint is None:
        name = (workspace().slot(slot).file or "").rpartition("/")[2]
        return f"**{slot}** {code(name)} {state}"
    parts = [f"**{slot}**", code(checkpoint.name), f":gray[{size(checkpoint.size)}]"]
    if shown.architecture is not None:
        parts.append(f"*{plain(shown.architecture.name)}*")
    parts.append(state)
    if danger_sentence(checkpoint):
        parts.append(DANGER)  # a narrow screen shows only the last of the coloured words
    return " ".join(parts)


def _facts(slot: str, shown: BenchSlot) -> None:
    checkpoint, state_dict = shown.checkpoint, workspace().state_dict(slot)
    if checkpoint is None or state_dict is None:
        return
    lines = [
        code(checkpoint.name),
        f"{plain(checkpoint.format_title)}, {size(checkpoint.size)}",
        f"{tensors(len(state_dict))}, {counted_parameters(state_dict.numel)}",
    ]
    if checkpoint.torch_version:
        lines.append(f"saved by PyTorch {plain(checkpoint.torch_version)}")
    if shown.architecture is not None:
        lines.append(plain(shown.architecture.title))
    st.markdown("  \n".join(lines))


def _steps(page: str, slots: Mapping[str, BenchSlot], step: NextStep) -> str:
    """The three steps with a mark each: done, next, or to come."""
    acted = [slots[slot].stage for slot in step.slots]
    fits = bool(acted) and all(_needs_no_repair(stage) for stage in acted)
    loaded = bool(acted) and all(stage.stage is Stage.LOADED for stage in acted)
    done = (fits, loaded, loaded and page == "predict")
    words = []
    for name, is_done, before in zip(STEPS, done, (bool(acted), *done), strict=False):
        if is_done:
            words.append(f":green[✓ {plain(name)}]")
        else:
            words.append(f"**● {plain(name)}**" if before else f":gray[○ {plain(name)}]")
    return " :gray[—] ".join(words)


def _needs_no_repair(stage: SlotStage) -> bool:
    if stage.stage is Stage.SURE:
        return not stage.needs_repair
    return stage.partial or stage.stage in (Stage.FITS, Stage.LOADED)


def _main_button(page: str, step: NextStep, slots: Mapping[str, BenchSlot]) -> None:
    label = f"{plain(step.label)} :material/arrow_forward:"
    look: dict[str, Any] = {"key": "next", "type": "primary"}
    match step.action:
        case Action.ADD_IMAGES:
            # A button cannot open the browser's dialog for files; the uploader in a popover can.
            with st.popover(plain(step.label), **look):
                add_images("bar")
        case Action.CHOOSE if page == "fit":
            with st.popover(plain(step.label), **look):
                _choose(*step.slots)
        case Action.WAIT:
            st.button(plain(step.label), disabled=True, **look)
        case Action.OPEN_SAMPLE:
            st.button(label, on_click=open_sample, **look)
        case Action.APPLY:
            apply = partial(quick_demo.apply_sure, step.slots)
            st.button(label, on_click=apply, **look)
        case Action.QUICK_DEMO | Action.LOAD:
            then = "pages/fit.py"
            if step.action is Action.QUICK_DEMO and any(
                slots[slot].stage.predicts for slot in step.slots
            ):
                then = "pages/predict.py"
            begin = partial(quick_demo.begin, step.slots, then)
            st.button(label, on_click=begin, **look)
        case Action.PREDICT | Action.OPEN_ANOTHER | Action.CHOOSE | Action.REVIEW:
            if pressed(label, **look):
                _turn_to_page(step)


def _choose(slot: str) -> None:
    checkpoint, state_dict = workspace().checkpoint(slot), workspace().state_dict(slot)
    if checkpoint is not None and state_dict is not None:
        candidates_choice(fit_view(slot, checkpoint, state_dict), f"bench-{slot}")
    st.caption("Every other architecture is in the list of the Architecture panel.")


def _turn_to_page(step: NextStep) -> None:
    if step.action is Action.PREDICT:
        st.switch_page("pages/predict.py")
    if step.action is Action.OPEN_ANOTHER:
        st.switch_page("pages/open.py")
    if step.action is Action.REVIEW:
        st.session_state[REVIEW] = True
    turn_to("fit", step.slots[0])
