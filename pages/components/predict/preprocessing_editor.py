"""The preprocessing of a slot's images: where its values come from, and fields to change them."""

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
    """The preprocessing that the checkpoint or its architecture's library states.

    `identity` is the checkpoint's own.
    """
    return default_preprocessing(architecture, _checkpoint.metadata)


def preprocessing_editor(key: str, known: Preprocessing) -> Preprocessing:
    """Draw the values of `known` in fields. Returns them as the user has changed them."""
    fields_key = f"{key}-{sha256(repr(known).encode()).hexdigest()[:12]}"
    # Fields with new keys start from `known`: a new round undoes the changes.
    round_key = f"{fields_key}-again"
    round_ = st.session_state.get(round_key, 0)
    edited = _fields(f"{fields_key}-{round_}", known)
    changed = edited != known
    sentence = f"From {known.source}." if not known.guessed else f"{known.source.capitalize()}."
    st.caption(plain(f"Changed by you. {sentence}" if changed else sentence))
    if changed:
        st.button(
            "Undo my changes", key=f"{fields_key}-undo", on_click=_undo, args=(round_key, round_)
        )
    return replace(edited, source="changed by hand", guessed=False) if changed else known


def _undo(round_key: str, round_: int) -> None:
    st.session_state[round_key] = round_ + 1


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
    """Draw one field if height and width are equal, else two. Returns (height, width) in pixels."""
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
    """Draw a text field with one number per channel. Returns `known` if the text is no such list.

    The numbers are for pixel values from 0 to 1.
    """
    text = st.text_input(
        f"{plain(label)} per channel (0 to 1)",
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
            f"{plain(label)} needs {len(known)} numbers from {smallest:g} to 10, such as {EXAMPLE}."
        )
        return known
    # The field shows fewer digits than the library states: unchanged text must give back `known`.
    shown = tuple(float(f"{value:g}") for value in known)
    return known if values == shown else values


EXAMPLE = "0.485, 0.456, 0.406"
