"""A file at a glance: its format, size, tensors, dtypes, and what else it contains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from core.errors import LoupeError
from core.inspect import Section, read_files, sections, storages_note
from core.plain_text import MAX_SENTENCE_LENGTH, markup, plain, plain_sentence, visible
from core.theme import ACCENT, AMBER, GREY, VIOLET, dtype_colour
from core.wording import count, parameters, size
from pages.components.cached import cached
from pages.components.frame import danger_notice
from pages.components.identified import identification
from pages.components.open.repair_preview import repair_preview, why_sure
from pages.components.slot_choice import state_dict_choice

ROLE_COLOURS = {"model": ACCENT, "ema": VIOLET, "optimizer": AMBER, "other": GREY}


def checkpoint_card(slot: str, checkpoint: Checkpoint) -> Callable[[], str]:
    """Draw the card of a slot's open file, with an empty place for its architecture.

    Returns a function that fills this place, and returns the sentence on the architecture, or "".
    Call it when the rest of the page is drawn, because the first identification of a file may take
    a moment.
    """
    danger_notice(checkpoint)
    state_dict = state_dict_choice(slot)
    if state_dict is None:
        return lambda: ""
    with st.container(horizontal=True, gap="medium"):
        st.metric("Tensors", count(len(state_dict)), width="content")
        st.metric("Parameters", parameters(state_dict.numel), width="content")
        st.metric(
            "Files" if checkpoint.files > 1 else "File", size(checkpoint.size), width="content"
        )
    files = f" · {count(checkpoint.files)} files" if checkpoint.files > 1 else ""
    version = f" · PyTorch {plain(checkpoint.torch_version)}" if checkpoint.torch_version else ""
    st.caption(f"{plain(checkpoint.format_title)}{files}{version}")
    place = st.empty()
    _dtypes(state_dict)
    parts = _sections(checkpoint.identity, checkpoint)
    if len(parts) > 1:
        _bar([(part.role, part.stored, ROLE_COLOURS[part.role]) for part in parts], "span")
    for note in (*checkpoint.notes, *filter(None, [storages_note(parts)])):
        st.caption(f":material/info: {plain(note, MAX_SENTENCE_LENGTH)}")
    if checkpoint.files > 1:
        _files(checkpoint)
    if checkpoint.metadata:
        entries = (
            "1 entry" if len(checkpoint.metadata) == 1 else f"{len(checkpoint.metadata)} entries"
        )
        with st.expander(f"Other contents of the file ({entries})"):
            st.json(checkpoint.metadata, expanded=1)

    def identify() -> str:
        try:
            found = identification(checkpoint, state_dict)
        except LoupeError:
            return ""  # Fit says why the index cannot be built
        if found is None or not found.known:
            return ""
        with place.container():
            if found.sure is not None:
                repair_preview(slot, checkpoint, state_dict, found.sure, link=True)
                why_sure(found.sure)
            else:
                st.markdown(f":material/fingerprint: {plain_sentence(found.sentence)}")
        return found.sentence

    return identify


def _dtypes(state_dict: StateDict) -> None:
    """Draw each dtype's share of the bytes as one bar."""
    by_dtype: Counter[str] = Counter()
    for entry in state_dict.values():
        by_dtype[entry.dtype] += entry.nbytes
    _bar([(dtype, nbytes, dtype_colour(dtype)) for dtype, nbytes in by_dtype.most_common()], "code")


@cached(64)
def _sections(identity: str, _checkpoint: Checkpoint) -> tuple[Section, ...]:
    """The parts of the file by role: the model, its EMA, the optimizer."""
    return sections(_checkpoint)


def _files(checkpoint: Checkpoint) -> None:
    """List the files that contain the tensors. An index contains none and is not listed."""
    files = read_files(checkpoint)
    with st.expander(f"Files with tensors ({count(len(files))})"):
        st.code(
            "\n".join(f"{visible(name)}  {size(nbytes)}" for name, nbytes in files.items()),
            language=None,
            height=240 if len(files) > 10 else "content",
        )


def _bar(shares: list[tuple[str, int, str]], tag: str) -> None:
    """Draw shares of (name, bytes, colour) as one bar, with a legend below; each name is wrapped in
    the HTML element `tag`."""
    total = sum(nbytes for _, nbytes, _ in shares) or 1
    segments, legend = [], []
    for name, nbytes, colour in shares:
        segments.append(f'<i style="flex:{nbytes / total:.4f};background:{markup(colour)}"></i>')
        legend.append(
            f'<span class="loupe-key"><b style="background:{markup(colour)}"></b>'
            f"<{markup(tag)}>{markup(name)}</{markup(tag)}> {size(nbytes)}</span>"
        )
    st.html(
        "<style>.loupe-bar{display:flex;height:8px;border-radius:4px;overflow:hidden;gap:1px}"
        ".loupe-bar i{min-width:2px}.loupe-keys{display:flex;flex-wrap:wrap;gap:2px 14px;"
        "margin-top:6px;font-size:0.85rem}.loupe-key b{display:inline-block;width:8px;height:8px;"
        "border-radius:2px;margin-right:5px}</style>"
        f'<div class="loupe-bar">{"".join(segments)}</div>'
        f'<div class="loupe-keys">{"".join(legend)}</div>'
    )
