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


def editor_key(slot: str) -> str:
    """The key of the editor of a slot's preprocessing."""
    return f"fed-{slot}"


def preprocessing_editor(key: str, default: Preprocessing) -> Preprocessing:
    """Draw the values of `default` in fields. Returns them as the user has changed them."""
    fields_key = f"{key}-{sha256(repr(default).encode()).hexdigest()[:12]}"
    # Fields with new keys start from their defaults: a new round undoes or replaces the changes.
    round_key, start_key = f"{fields_key}-again", f"{fields_key}-start"
    wanted = st.session_state.pop(_wanted_key(key), None)
    if wanted is not None:
        said = replace(wanted, source=default.source, guessed=default.guessed)
        st.session_state[start_key] = said
        st.session_state[round_key] = st.session_state.get(round_key, 0) + 1
    round_ = st.session_state.get(round_key, 0)
    edited = _fields(f"{fields_key}-{round_}", st.session_state.get(start_key, default))
    changed = edited != default
    sentence = f"{default.source.capitalize()}." if default.guessed else f"From {default.source}."
    st.caption(plain(f"Changed by you. {sentence}" if changed else sentence))
    if changed:
        st.button(
            "Undo my changes",
            key=f"{fields_key}-undo",
            on_click=_undo,
            args=(round_key, round_, start_key),
        )
    return replace(edited, source="changed by hand", guessed=False) if changed else default


def _undo(round_key: str, round_: int, start_key: str) -> None:
    st.session_state[round_key] = round_ + 1
    st.session_state.pop(start_key, None)


def use_preprocessing(key: str, wanted: Preprocessing) -> None:
    """Have the editor of this `key` take these values when it is drawn next, as if a person had
    filled them in."""
    st.session_state[_wanted_key(key)] = wanted


def _wanted_key(key: str) -> str:
    return f"{key}-wanted"


def _fields(key: str, default: Preprocessing) -> Preprocessing:
    with st.container(horizontal=True, gap="small"):
        resize = _pair("Resize to", default.resize, f"{key}-resize")
        crop = _pair("Crop to", default.crop, f"{key}-crop")
        fit = st.selectbox(
            "Proportions",
            list(FITS),
            index=list(FITS).index(default.fit),
            format_func=FITS.__getitem__,
            key=f"{key}-fit",
            persist_state="session",
            width=220,
        )
        interpolation = st.selectbox(
            "Interpolation",
            INTERPOLATIONS,
            index=INTERPOLATIONS.index(default.interpolation),
            key=f"{key}-interpolation",
            persist_state="session",
            width=140,
        )
    with st.container(horizontal=True, gap="small"):
        mean = _values("Mean", default.mean, f"{key}-mean", smallest=-10)
        std = _values("Std", default.std, f"{key}-std", smallest=0.0001)
    return replace(
        default, resize=resize, crop=crop, fit=fit, interpolation=interpolation, mean=mean, std=std
    )


def _pair(label: str, default: tuple[int, int], key: str) -> tuple[int, int]:
    """Draw one field if height and width are equal, else two. Returns (height, width) in pixels."""
    names = (f"{label} (px)",) if default[0] == default[1] else (f"{label}, height", "width (px)")
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
        for name, edge in zip(names, default, strict=False)  # one name if both edges are equal
    ]
    return values[0], values[-1]


def _values(label: str, default: tuple[float, ...], key: str, smallest: float) -> tuple[float, ...]:
    """Draw a text field with one number per channel. Returns `default` if the text is no such list.

    The numbers are for pixel values from 0 to 1.
    """
    text = st.text_input(
        f"{plain(label)} per channel (0 to 1)",
        ", ".join(f"{value:g}" for value in default),
        key=key,
        persist_state="session",
        width=220,
    )
    try:
        values = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        values = ()
    if len(values) != len(default) or not all(smallest <= value <= 10 for value in values):
        st.error(
            f"{plain(label)} needs {len(default)} numbers from {smallest:g} to 10, such as "
            f"{EXAMPLE}."
        )
        return default
    # The field shows fewer digits than the library states: unchanged text must give back `default`.
    shown = tuple(float(f"{value:g}") for value in default)
    return default if values == shown else values


EXAMPLE = "0.485, 0.456, 0.406"
