"""What a slot's model is fed: shown with where it is known from, and open to change."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import streamlit as st

from core.architectures import Architecture
from core.checkpoint import Checkpoint
from core.preprocessing import INTERPOLATIONS, MAX_EDGE, Preprocessing, default_preprocessing

FITS = {"cover": "Keep proportions, crop", "squash": "Squash", "pad": "Keep proportions, pad"}


@st.cache_data(max_entries=64, show_spinner=False)
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
    st.caption(f"Changed by you. {sentence}" if changed else sentence)
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
        mean = _values("Mean", known.mean, f"{key}-mean", low=-10.0)
        std = _values("Std", known.std, f"{key}-std", low=0.0001)
    return replace(
        known, resize=resize, crop=crop, fit=fit, interpolation=interpolation, mean=mean, std=std
    )


def _pair(label: str, known: tuple[int, int], key: str) -> tuple[int, int]:
    """One field for a square, two for anything else."""
    names = (f"{label} (px)",) if known[0] == known[1] else (f"{label}, height", "width (px)")
    values = [
        int(
            st.number_input(
                name, 1, MAX_EDGE, edge, key=f"{key}-{name}", persist_state="session", width=140
            )
        )
        for name, edge in zip(names, known, strict=False)
    ]
    return values[0], values[-1]


CHANNELS = ("red", "green", "blue")


def _values(label: str, known: tuple[float, ...], key: str, low: float) -> tuple[float, ...]:
    names = CHANNELS if len(known) == 3 else [str(index) for index in range(len(known))]
    return tuple(
        float(
            st.number_input(
                f"{label}, {name}" if len(known) > 1 else label,
                low,
                10.0,
                value,
                step=0.01,
                format="%.4f",
                key=f"{key}-{name}",
                persist_state="session",
                width=140,
            )
        )
        for name, value in zip(names, known, strict=True)
    )
