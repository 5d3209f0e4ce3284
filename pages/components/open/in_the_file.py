"""What is in a file: the chosen state_dict, and what else the file holds."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from core.inspect import Section, dtype_bytes, read_files, sections, storages_note
from core.plain_text import MAX_SENTENCE_LENGTH, markup, plain, visible
from core.predict import FileContent, file_contents
from core.theme import ACCENT, AMBER, GREY, VIOLET, dtype_colour
from core.wording import count, size
from pages.components.cached import cached
from pages.components.panels.panel import panel
from pages.components.slot_choice import state_dict_choice

ROLE_COLOURS = {"model": ACCENT, "ema": VIOLET, "optimizer": AMBER, "other": GREY}


def in_the_file(slot: str, checkpoint: Checkpoint, state_dict: StateDict) -> None:
    """Draw the choice of the state_dict, what the file holds, the bytes by dtype and by part, and
    everything else that it contains."""
    remark, body = panel(f"contents-{slot}", "In the file")
    remark.caption(plain(checkpoint.format_title))
    with body:
        # Of a model and its optimizer nobody asks which is meant; the chip in the bar has all.
        if sum(role != "optimizer" for role in checkpoint.roles.values()) > 1:
            state_dict_choice(slot)
        contents = _contents(checkpoint.identity, state_dict.path, checkpoint, state_dict)
        st.html(f"{_STYLE}<dl class='loupe-facts'>{''.join(map(_fact, contents))}</dl>")
        shares = _dtype_bytes(checkpoint.identity, state_dict.path, state_dict)
        st.html(_bar([(name, nbytes, dtype_colour(name)) for name, nbytes in shares], "code"))
        parts = _sections(checkpoint.identity, checkpoint)
        if len(parts) > 1:
            by_part = [(part.role, part.stored, ROLE_COLOURS[part.role]) for part in parts]
            st.html(_bar(by_part, "span"))
        for note in (*checkpoint.notes, *filter(None, [storages_note(parts)])):
            st.caption(f":material/info: {plain(note, MAX_SENTENCE_LENGTH)}")
        if checkpoint.files > 1:
            _files(checkpoint)
        if checkpoint.metadata:
            number = len(checkpoint.metadata)
            entries = "1 entry" if number == 1 else f"{count(number)} entries"
            with st.expander(f"Other contents of the file ({entries})"):
                st.json(checkpoint.metadata, expanded=1)


@cached(64)
def _contents(
    identity: str, path: str, _checkpoint: Checkpoint, _state_dict: StateDict
) -> tuple[FileContent, ...]:
    return file_contents(_checkpoint, _state_dict)


@cached(64)
def _dtype_bytes(identity: str, path: str, _state_dict: StateDict) -> tuple[tuple[str, int], ...]:
    return dtype_bytes(_state_dict)


@cached(64)
def _sections(identity: str, _checkpoint: Checkpoint) -> tuple[Section, ...]:
    """The parts of the file by role: the model, its EMA, the optimizer."""
    return sections(_checkpoint)


def _fact(content: FileContent) -> str:
    return f"<dt>{markup(content.name)}</dt><dd>{markup(content.words)}</dd>"


def _files(checkpoint: Checkpoint) -> None:
    """List the files that contain the tensors. An index contains none and is not listed."""
    files = read_files(checkpoint)
    with st.expander(f"Files with tensors ({count(len(files))})"):
        st.code(
            "\n".join(f"{visible(name)}  {size(nbytes)}" for name, nbytes in files.items()),
            language=None,
            height=240 if len(files) > 10 else "content",
        )


def _bar(shares: list[tuple[str, int, str]], tag: str) -> str:
    """Shares of (name, bytes, colour) as one bar, with a legend below; each name is wrapped in the
    HTML element `tag`."""
    total = sum(nbytes for _, nbytes, _ in shares) or 1
    segments, legend = [], []
    for name, nbytes, colour in shares:
        segments.append(f'<i style="flex:{nbytes / total:.4f};background:{markup(colour)}"></i>')
        legend.append(
            f'<span class="loupe-key"><b style="background:{markup(colour)}"></b>'
            f"<{markup(tag)}>{markup(name)}</{markup(tag)}> {size(nbytes)}</span>"
        )
    return (
        f'<div class="loupe-bar">{"".join(segments)}</div>'
        f'<div class="loupe-keys">{"".join(legend)}</div>'
    )


_STYLE = """<style>
.stApp .loupe-facts {display: grid; grid-template-columns: auto 1fr; gap: 0.2rem 1rem;
  margin: 0; padding: 0; font-size: 0.9rem}
.stApp .loupe-facts dt {color: var(--loupe-muted); margin: 0; padding: 0; font-weight: 400}
.stApp .loupe-facts dd {margin: 0; padding: 0; text-align: right; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums}
.loupe-bar {display: flex; height: 8px; border-radius: 4px; overflow: hidden; gap: 1px}
.loupe-bar i {min-width: 2px}
.loupe-keys {display: flex; flex-wrap: wrap; gap: 2px 14px; margin-top: 6px; font-size: 0.86rem}
.loupe-key b {display: inline-block; width: 8px; height: 8px; border-radius: 2px;
  margin-right: 5px}
</style>"""
