"""What a slot's model is fed: shown with where it is known from, and open to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

import streamlit as st

from core.architectures import Architecture
from core.checkpoint import Checkpoint
from core.inputs import INTERPOLATIONS, MAX_EDGE, Fit, Preprocessing, default_preprocessing
from core.plain_text import plain
from pages.components.cached import cached

FITS: Mapping[Fit, str] = {
    "cover": "Keep proportions, crop",
    "squash": "Squash",
    "pad": "Keep proportions, pad",
}


@cached(64)
def slot_preprocessing(
    architecture: Architecture, identity: str, _checkpoint: Checkpoint
) -> Preprocessing:
    """What the checkpoint or its architecture's library states, for `_checkpoint.identity`."""
    return default_preprocessing(architecture, _checkpoint.metadata)


def preprocessing_editor(key: str, known: Preprocessing) -> Preprocessing:
    """Draw the values of `known` in fields; returns them as the person has changed them."""
    fields = f"{key}-{sha256(repr(known).encode()).hexdigest()[:12]}"
    again = f"{fields}-again"
    round_ = st.session_state.get(again, 0)
    edited = _fields(f"{fields}-{round_}", known)
    changed = edited != known
    sentence = f"From {known.source}." if not known.guessed else f"{known.source.capitalize()}."
    st.caption(plain(f"Changed by you. {sentence}" if changed else sentence))
    if changed:
        st.button("Undo the changes", key=f"{fields}-undo", on_click=_undo, args=(again, round_))
    return replace(edited, source="changed by hand", guessed=False) if changed else known


def _undo(again: str, round_: int) -> None:
    st.session_state[again] = round_ + 1


def _fields(key: str, known: Preprocessing) -> Preprocessing:
    with st.container(horizontal=True, gap="small"):
        resize = _pair("Resize to", known.resize, f"{key}-resize")
        crop = _pair("Crop to", known.crop, f"{key}-crop")
        fit = st.selectbox(
            "Proportions",
            list(FITS),
            index=list(FITS).index(known.fit),
            format_func=FITS.__getitem__,
            key=f"{key}-fit",
            persist_state="session",
            width=220,
        )
        interpolation = st.selectbox(
            "Interpolation",
            INTERPOLATIONS,
            index=INTERPOLATIONS.index(known.interpolation),
            key=f"{key}-interpolation",
            persist_state="session",
            width=140,
        )
    with st.container(horizontal=True, gap="small"):
        mean = _values("Mean", known.mean, f"{key}-mean", smallest=-10)
        std = _values("Std", known.std, f"{key}-std", smallest=0.0001)
    return replace(
        known, resize=resize, crop=crop, fit=fit, interpolation=interpolation, mean=mean, std=std
    )


def _pair(label: str, known: tuple[int, int], key: str) -> tuple[int, int]:
    """One field for a square, two for anything else."""
    names = (f"{label} (px)",) if known[0] == known[1] else (f"{label}, height", "width (px)")
    values = [
        int(
            st.number_input(
                plain(name),
                1,
                MAX_EDGE,
                edge,
                key=f"{key}-{name}",
                persist_state="session",
                width=140,
            )
        )
        for name, edge in zip(names, known, strict=False)
    ]
    return values[0], values[-1]


def _values(label: str, known: tuple[float, ...], key: str, smallest: float) -> tuple[float, ...]:
    """One number a channel, written with commas; what cannot be read leaves `known`."""
    text = st.text_input(
        f"{plain(label)} (0 to 1, a channel)",
        ", ".join(f"{value:g}" for value in known),
        key=key,
        persist_state="session",
        width=220,
    )
    try:
        values = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        values = ()
    if len(values) != len(known) or not all(smallest <= value <= 10 for value in values):
        st.error(
            f"{plain(label)} needs {len(known)} numbers from {smallest:g} to 10, like {EXAMPLE}."
        )
        return known
    # The field shows fewer digits than the library states: unchanged text means unchanged values.
    shown = tuple(float(f"{value:g}") for value in known)
    return known if values == shown else values


EXAMPLE = "0.485, 0.456, 0.406"
