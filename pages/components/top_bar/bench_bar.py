"""Draws the bar: the chips of A and B, the steps to a prediction, and the main button."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from core.plain_text import code, plain
from core.server import Action, NextStep, Stage, next_step
from core.wording import counted_parameters, size, tensors
from pages.components.fit.matching.match_table import REVIEW
from pages.components.identified import index_progress
from pages.components.link.copy_link import copy_link
from pages.components.link.page_view import one_of, shared
from pages.components.predict.image_tray import add_images
from pages.components.pressed import pressed
from pages.components.slot_choice import close_button, state_dict_choice
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

STEPS = ("Repair", "Load", "Predict")


_STYLE = """<style>
:root {
  --loupe-ground: light-dark(#FFFFFF, #111416);
  --loupe-panel: light-dark(#F5F6F4, #191D1F);
  --loupe-line: light-dark(#E3E6E0, #2A3033);
  --loupe-text: light-dark(#1B2021, #E7EAE8);
  --loupe-muted: light-dark(#59636A, #A0A9AE);
  --loupe-accent: light-dark(#2457C5, #8AB0FA);
  --loupe-gone: light-dark(#BF2F2C, #F0716D);
  --loupe-fresh: light-dark(#1C7740, #4CC07D);
  --loupe-fits: light-dark(#2C9657, #4CC07D);
}
[data-testid=stMain] {scrollbar-gutter: stable}
[data-testid=stCaptionContainer], [data-testid=stCaptionContainer] p,
[data-testid=stFileUploaderDropzoneInstructions] * {color: var(--loupe-muted); opacity: 1}
[data-testid=stFileUploaderDropzoneInstructions] * {white-space: normal}
[data-testid=stButtonGroup] :is([aria-pressed=true], [aria-checked=true]) p {
  color: var(--loupe-accent)}
[data-testid=stMainBlockContainer] {padding-left: 1.5rem; padding-right: 1.5rem; max-width: 1440px}
[data-testid=stLayoutWrapper]:has(> .st-key-bench) {position: sticky; top: 3.75rem; z-index: 99;
  width: calc(100% + 3rem); max-width: none; margin: -0.75rem -1.5rem 0; padding: 0.5rem 1.5rem;
  background: var(--loupe-ground);
  border-bottom: 1px solid var(--loupe-line)}
.st-key-bench [data-testid=stPopoverButton], .st-key-bench [data-testid=stPageLink-NavLink],
.st-key-next button {min-height: 2.25rem; border-radius: 8px}
.st-key-bench p {white-space: nowrap}
.st-key-bench [class*=st-key-chip] {min-width: 0; flex-shrink: 1}
.st-key-bench > [data-testid=stLayoutWrapper]:has(> [class*=st-key-chip]) {flex: 0 1 auto;
  min-width: 0; width: auto}
.st-key-bench [class*=st-key-chip] :is([data-testid=stLayoutWrapper], .stPopover, button,
  button > *, button > * > *, [data-testid=stMarkdownContainer]) {min-width: 0; max-width: 100%}
.st-key-bench [class*=st-key-chip] button > * {margin-right: 0}
.st-key-bench [class*=st-key-chip] p {font-size: 0.93rem}
.st-key-bench [class*=st-key-chip] button p {display: flex; align-items: center}
.st-key-bench [class*=st-key-chip] button p > * {flex: none}
.st-key-bench [class*=st-key-chip] button p > code {flex: 0 1 auto; min-width: 4rem}
.st-key-bench [class*=st-key-chip] button p > em {flex: 0 50 auto; min-width: 0}
.st-key-bench [class*=st-key-chip] button p > :is(code, em) {overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap}
.st-key-bench [class*=st-key-chip] [data-testid=stElementContainer],
.st-key-bench [class*=st-key-chip] [data-testid=stPageLink-NavLink] {margin: 0}
.st-key-bench [class*=st-key-chip] p > * {margin-right: 0.4rem}
.st-key-bench [class*=st-key-chip] p > strong {display: inline-block; min-width: 1.5rem;
  text-align: center; border-radius: 5px; padding: 0.1rem 0}
.st-key-bench .st-key-chip-A p > strong {color: light-dark(#0B766C, #34C3B3);
  background: light-dark(#D7EAE8, #143532)}
.st-key-bench .st-key-chip-B p > strong {color: light-dark(#B83375, #EC7DB2);
  background: light-dark(#F4DDE9, #3D2031)}
.st-key-bench [class*=st-key-chip] p code {background: none; padding: 0; color: inherit;
  font-size: 0.86rem}
.st-key-bench [class*=st-key-chip] p em {font-family: "JetBrains Mono", ui-monospace, monospace;
  font-style: normal; font-size: 0.86rem; color: var(--loupe-muted)}
.st-key-bench [data-testid=stPageLink-NavLink] {border: 1px dashed light-dark(#C8CCC5, #3A4145);
  background: none}
.st-key-bench > [data-testid=stLayoutWrapper]:has(> .st-key-bench-end) {flex: 1 0 auto; width: auto}
.st-key-bench-end {margin-left: auto; flex: 0 0 auto; width: auto; flex-wrap: nowrap}
.st-key-bench-end p {font-size: 0.9rem}
[data-testid=stHeaderLogo], [data-testid=stSidebarLogo] {height: 1.6rem}
:has(> [data-testid=stHeaderLogo])::after {content: "Loupe"; margin-left: 0.5rem;
  font-weight: 650; font-size: 1.14rem; vertical-align: middle;
  color: var(--loupe-text)}
@media (max-width: 1180px) {.st-key-bench [class*=st-key-chip] p em,
  .st-key-bench-end > [data-testid=stElementContainer]:has([data-testid=stMarkdown])
  {display: none}}
@media (max-width: 900px) {
  .st-key-bench [class*=st-key-chip] p > .stMarkdownColoredText:not(:last-child) {display: none}
  .st-key-bench > [data-testid=stLayoutWrapper]:has(> [class*=st-key-chip]) {flex: 1 1 0}
  .st-key-bench > [data-testid=stLayoutWrapper]:has(> .st-key-bench-end) {flex: none}
  .st-key-bench [class*=st-key-chip], .st-key-bench [class*=st-key-chip] > *,
  .st-key-bench [class*=st-key-chip] .stPopover, .st-key-bench [class*=st-key-chip] button,
  .st-key-bench [class*=st-key-chip] [data-testid=stPageLink],
  .st-key-bench [class*=st-key-chip] [data-testid=stPageLink-NavLink] {width: 100%; min-width: 0}
  .st-key-bench [class*=st-key-chip] button {justify-content: flex-start; padding: 0.25rem 0.5rem;
    min-height: 3.25rem}
  .st-key-bench [class*=st-key-chip] [data-testid=stPageLink-NavLink] {min-height: 3.25rem}
  .st-key-bench [class*=st-key-chip] button p {display: grid; grid-template-columns: auto 1fr;
    text-align: left; line-height: 1.3}
  .st-key-bench [class*=st-key-chip] button p > .stMarkdownColoredText {white-space: normal;
    line-height: 1.15}
  .st-key-bench [class*=st-key-chip] button p > strong {grid-row: span 2; align-self: center;
    padding: 0.35rem 0}
}
@media (max-width: 640px) {
  [data-testid=stMainBlockContainer] {padding-left: 1rem; padding-right: 1rem;
    padding-bottom: 6rem}
  [data-testid=stLayoutWrapper]:has(> .st-key-bench) {width: calc(100% + 2rem);
    margin: -0.75rem -1rem 0; padding: 0.5rem 1rem}
  .st-key-bench > [data-testid=stLayoutWrapper]:has(> .st-key-bench-end) {flex: 0 0 0; width: 0;
    min-width: 0; margin: 0 0 0 -0.5rem}
  .st-key-next {position: fixed !important; left: 0; bottom: 0; width: 100vw !important;
    padding: 0.6rem 1rem; z-index: 100; background: var(--loupe-ground);
    border-top: 1px solid var(--loupe-line)}
  .st-key-next button {width: 100%; min-height: 3rem}
  .st-key-bench-end .st-key-copy-link {position: fixed !important; left: 1rem; bottom: 0.6rem;
    z-index: 101}
  .st-key-bench-end:has(.st-key-copy-link) .st-key-next {padding-left: 4.75rem}
}
</style>"""
"""The colours that all pages' own HTML takes, by their names, and the bar. It stays below the
navigation. On a narrow screen a chip has two lines, the name and the state, and the main button is
at the bottom."""


def bench_bar(page: str) -> None:
    """Draw the bar of the page `page`: `open`, `inspect`, `compare`, `fit` or `predict`."""
    st.html(_STYLE)
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
            _main_button(step, slots)
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
    return " ".join([*parts, state])


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
    acted = [slots[slot].stage.stage for slot in step.slots]
    fits = bool(acted) and all(stage in (Stage.FITS, Stage.LOADED) for stage in acted)
    loaded = bool(acted) and all(stage is Stage.LOADED for stage in acted)
    done = (fits, loaded, loaded and page == "predict")
    words = []
    for name, is_done, before in zip(STEPS, done, (bool(acted), *done), strict=False):
        if is_done:
            words.append(f":green[✓ {plain(name)}]")
        else:
            words.append(f"**● {plain(name)}**" if before else f":gray[○ {plain(name)}]")
    return " :gray[—] ".join(words)


def _main_button(step: NextStep, slots: Mapping[str, BenchSlot]) -> None:
    label = f"{plain(step.label)} :material/arrow_forward:"
    look: dict[str, Any] = {"key": "next", "type": "primary"}
    match step.action:
        case Action.ADD_IMAGES:
            # A button cannot open the browser's dialog for files; the uploader in a popover can.
            with st.popover(plain(step.label), **look):
                add_images("bar")
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
                slots[slot].stage.classifies for slot in step.slots
            ):
                then = "pages/predict.py"
            begin = partial(quick_demo.begin, step.slots, then)
            st.button(label, on_click=begin, **look)
        case Action.PREDICT | Action.OPEN_ANOTHER | Action.CHOOSE | Action.REVIEW:
            if pressed(label, **look):
                _turn_to_page(step)


def _turn_to_page(step: NextStep) -> None:
    if step.action is Action.PREDICT:
        st.switch_page("pages/predict.py")
    if step.action is Action.OPEN_ANOTHER:
        st.switch_page("pages/open.py")
    st.session_state["fit-slot"] = step.slots[0]
    if step.action is Action.REVIEW:
        st.session_state[REVIEW] = True
    st.switch_page("pages/fit.py")
