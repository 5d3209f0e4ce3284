"""Open: put one or two checkpoints on the bench, and see what they are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import CheckpointError, LoupeError
from core.fit.identify import headline
from core.plain_text import code, plain, plain_sentence, visible
from core.server import Stage
from core.wording import Headline, count, listed
from pages.components.fit.fit_view import FitView, fit_view
from pages.components.frame import danger_notice, heading, page_verdict
from pages.components.open.candidates_panel import candidates_panel
from pages.components.open.file_choice import file_choice
from pages.components.open.first_images import first_images
from pages.components.open.first_keys import keys_panel
from pages.components.open.in_the_file import in_the_file
from pages.components.open.numbers_row import numbers_row
from pages.components.open.repair_preview import repair_preview, why_sure
from pages.components.open.welcome import no_file_at_hand, what_you_will_see
from pages.components.pressed import pressed
from pages.components.slot_choice import close_button, turn_to
from pages.components.top_bar.stages import BenchSlot, bench_slots
from pages.components.workspace import SLOTS, workspace

PURPOSE = (
    "Loupe tells what it is, what keeps it from loading, and repairs it. Reading runs no code from "
    "the file."
)

READY = (Stage.SURE, Stage.FITS, Stage.LOADED)
"""The stages in which one click leads to a prediction, if the model is one for images."""


def main() -> None:
    top, tools = heading("open")
    opened = [slot for slot in SLOTS if workspace().slot(slot).file is not None]
    if not opened:
        with top:
            page_verdict("Open a checkpoint", PURPOSE)
        _empty_bench()
        return
    shown = bench_slots()
    views = {slot: _view(slot) for slot in opened}
    headlines = {slot: _headline(view) for slot, view in views.items()}
    with top:
        page_verdict(*_verdict(shown, headlines))
    if len(opened) == 1:
        _one_file(opened[0], views[opened[0]], shown, tools)
    else:
        _two_files(shown, views, headlines, tools)


def _empty_bench() -> None:
    a, b = st.columns([8, 5], gap="small")
    with a, st.container(key="slot-A"):
        file_choice("A", "Drop the files of one checkpoint here", "tall")
    with b:
        with st.container(key="slot-B"):
            file_choice("B", "Drop a second one to compare", "wide")
        no_file_at_hand()
    what_you_will_see()


def _view(slot: str) -> FitView | None:
    """The slot's file with its architecture; None if it cannot be read."""
    checkpoint, state_dict = workspace().checkpoint(slot), workspace().state_dict(slot)
    if checkpoint is None or state_dict is None:
        return None
    return fit_view(slot, checkpoint, state_dict)


def _headline(view: FitView | None) -> Headline:
    """What a file is; its words are empty where that is not known."""
    if view is None:
        return Headline("")
    # Fit says why an index cannot be built.
    return view.taken or (headline(view.identified) if view.identified else Headline(""))


def _are_alike(shown: Mapping[str, BenchSlot], headlines: Mapping[str, Headline]) -> bool:
    """Whether two files are for the same architecture for sure, and need the same repair."""
    return len({*headlines.values()}) == 1 and all(shown[slot].sure for slot in headlines)


def _verdict(shown: Mapping[str, BenchSlot], headlines: Mapping[str, Headline]) -> tuple[str, ...]:
    """The title of the page and the line below it, from the headline of each slot with a file."""
    unreadable = [slot for slot in headlines if shown[slot].stage.stage is Stage.UNREADABLE]
    if unreadable:
        files = "file" if len(unreadable) == 1 else "files"
        return (f"The {files} in {listed(unreadable, 2)} cannot be read",)
    first, *others = headlines.values()
    if not others:
        return (first.title or "One file is open", first.evidence)
    if _are_alike(shown, headlines):
        return (f"A and B: {first.title}", first.evidence)
    return ("Two files are open",)


def _one_file(
    slot: str, view: FitView | None, shown: Mapping[str, BenchSlot], tools: DeltaGenerator
) -> None:
    """Draw one file over the whole page, then its images and the place for another file."""
    with tools:
        _tools(slot, shown[slot], "Close the file")
    with st.container(key=f"slot-{slot}"):
        readable = _file(slot, view, columns=True)
    left, right = st.columns([3, 2], gap="small") if readable else (nullcontext(), nullcontext())
    with left:
        _images(shown)
    (other,) = (each for each in SLOTS if each != slot)
    with right, st.container(key=f"slot-{other}"):
        file_choice(other, "Compare with another", "wide")


def _two_files(
    shown: Mapping[str, BenchSlot],
    views: Mapping[str, FitView | None],
    headlines: Mapping[str, Headline],
    tools: DeltaGenerator,
) -> None:
    """Draw both files beside each other, each as a column of the same panels, then the images."""
    with tools:
        readable = all(shown[slot].checkpoint is not None for slot in SLOTS)
        if readable and pressed("Compare A with B", key="open-compare"):
            st.switch_page("pages/compare.py")
        st.button("Swap A and B", key="open-swap", type="tertiary", on_click=workspace().swap)
    for slot, column in zip(SLOTS, st.columns(2, gap="medium"), strict=True):
        with column, st.container(key=f"slot-{slot}"):
            words = Headline("") if _are_alike(shown, headlines) else headlines[slot]
            _slot_head(slot, shown[slot], words)
            _file(slot, views[slot], columns=False)
    _images(shown)


def _slot_head(slot: str, shown: BenchSlot, words: Headline) -> None:
    """Draw which of two files it is, what it is, and its buttons."""
    st.html(SLOT_STYLE)
    with st.container(key=f"slothead-{slot}", gap=None):
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            checkpoint = shown.checkpoint
            name = (workspace().slot(slot).file or "").rpartition("/")[2]
            name = checkpoint.name if checkpoint is not None else name
            st.markdown(f"**{slot}** {code(name)}", width="content")
            with st.container(horizontal=True, gap="small", width="content"):
                _tools(slot, shown, "Close")
        if words.title:
            st.markdown(f"**{plain_sentence(words.title)}**")
        if words.evidence:
            st.caption(plain_sentence(words.evidence))


def _tools(slot: str, shown: BenchSlot, close: str) -> None:
    """Draw the buttons for one file: its repair, its tensors, another in its place, and to close
    it."""
    if shown.stage.stage in READY:
        repaired = shown.stage.needs_repair or workspace().slot(slot).recipe.steps
        label = "Review the repair" if repaired else "Review the fit"
        if pressed(plain(label), key=f"review-{slot}"):
            turn_to("fit", slot)
    if shown.checkpoint is not None:
        if pressed("Inspect", key=f"inspect-{slot}"):
            turn_to("inspect", slot)
        with st.popover("Replace", key=f"replace-{slot}", type="tertiary"):
            file_choice(slot)
    close_button(slot, words=close)


def _file(slot: str, view: FitView | None, *, columns: bool) -> bool:
    """Draw a slot's file: its numbers, what it is, why, and what else it has; in two columns or in
    one. Returns whether it can be read: otherwise it is told why not, with a choice of another."""
    try:
        workspace().opened(slot)
    except LoupeError as error:
        _open_error(error)
        file_choice(slot, "Open another file here", "wide")
        return False
    if view is None:
        return False
    danger_notice(view.checkpoint)
    numbers_row(slot, view.checkpoint, view.state_dict)
    left, right = st.columns([3, 2], gap="small") if columns else (nullcontext(), nullcontext())
    identified, fitted = view.identified, view.fitted
    sure = identified.sure if identified is not None else None
    with left:
        if fitted is not None and (view.is_sure or not view.proposed):
            repair_preview(view, fitted)
        else:
            if identified is not None and identified.candidates:
                candidates_panel(slot, identified)
            keys_panel(slot, view.state_dict)
    with right:
        if sure is not None and view.is_sure:
            why_sure(slot, sure)
        in_the_file(slot, view.checkpoint, view.state_dict)
    return True


def _images(shown: Mapping[str, BenchSlot]) -> None:
    """Draw the images that the first prediction takes, if one of the files can make one."""
    ready = [
        slot for slot in SLOTS if shown[slot].stage.stage in READY and shown[slot].stage.predicts
    ]
    if ready:
        first_images([shown[slot] for slot in ready])


def _open_error(error: LoupeError) -> None:
    st.error(plain_sentence(str(error)), icon=":material/error:")
    if isinstance(error, CheckpointError) and error.whole:
        with st.expander(f"Intact tensors ({count(len(error.whole))})"):
            st.code("\n".join(map(visible, error.whole[:2000])), language=None, height=240)


SLOT_STYLE = """<style>
[class*=st-key-slothead-] {border-top: 3px solid var(--loupe-a);
  padding-top: 0.6rem; margin-bottom: 0.25rem}
.st-key-slothead-B {border-top-color: var(--loupe-b)}
[class*=st-key-slothead-] p, [class*=st-key-slothead-] [data-testid=stMarkdownContainer],
[class*=st-key-slothead-] [data-testid=stCaptionContainer] {margin: 0}
[class*=st-key-slothead-] [data-testid=stMarkdown] p > strong:first-child:not(:only-child) {
  display: inline-block; min-width: 1.5rem; text-align: center; border-radius: 5px;
  padding: 0.1rem 0; margin-right: 0.35rem; color: var(--loupe-a);
  background: var(--loupe-a-tint)}
.st-key-slothead-B [data-testid=stMarkdown] p > strong:first-child:not(:only-child) {
  color: var(--loupe-b); background: var(--loupe-b-tint)}
</style>"""


main()
