"""The preprocessing of a slot's images: which one, where it comes from, and fields to change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

import streamlit as st

from core.architectures import Architecture
from core.checkpoint import Checkpoint
from core.inputs import (
    CHECKPOINT,
    INTERPOLATIONS,
    MAX_EDGE,
    Fit,
    Offer,
    Preprocessing,
)
from core.plain_text import plain, plain_sentence
from core.predict import image_choices, not_understood_words
from core.wording import capital, count
from pages.components.cached import cached, told_by

FITS: Mapping[Fit, str] = {
    "cover": "Keep proportions, crop",
    "squash": "Squash",
    "pad": "Keep proportions, pad",
    "keep": "Do not resize",
}

ORDERS = ("RGB", "BGR")


def slot_choices(architecture: Architecture, checkpoint: Checkpoint) -> tuple[Offer, ...]:
    """What the checkpoint and its architecture's library state, the most likely first."""
    return _choices(architecture, told_by(checkpoint), checkpoint)


@cached(64)
def _choices(architecture: Architecture, told: str, _checkpoint: Checkpoint) -> tuple[Offer, ...]:
    return image_choices(architecture, _checkpoint)


def editor_key(slot: str) -> str:
    """The key of the editor of a slot's preprocessing."""
    return f"fed-{slot}"


def preprocessing_editor(key: str, choices: Sequence[Offer]) -> Preprocessing:
    """Draw what may be fed, if that is a choice, and its values in fields.

    Returns the values as the user has chosen and changed them.
    """
    default = choices[0].preprocessing if len(choices) == 1 else _chosen(key, choices)
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
    source = default.source
    sentence = f"{capital(source)}." if default.guessed else f"From {source}."
    lacking = not_understood_words(default)
    said = ["Changed by you."] if changed else []
    st.caption(plain_sentence(" ".join([*said, sentence, *([lacking] if lacking else [])])))
    if changed:
        st.button(
            "Undo my changes",
            key=f"{fields_key}-undo",
            on_click=_undo,
            args=(round_key, round_, start_key),
        )
    return replace(edited, source="changed by hand", guessed=False) if changed else default


def _chosen(key: str, choices: Sequence[Offer]) -> Preprocessing:
    """Draw the choice, and return its preprocessing; one that is no guess once it is chosen."""
    names = {choice.name: choice for choice in choices}
    digest = sha256(repr(choices).encode()).hexdigest()[:12]
    name = st.selectbox(
        "Preprocessing",
        list(names),
        format_func=lambda name: _title(names[name]),
        key=f"{key}-{digest}-choice",
        persist_state="session",
    )
    preprocessing = names[name].preprocessing
    if name == choices[0].name:
        return preprocessing
    return replace(preprocessing, source=f"{preprocessing.source}, chosen by hand", guessed=False)


def _title(choice: Offer) -> str:
    if choice.name == CHECKPOINT:
        return "As the checkpoint states"
    more = len(choice.also)
    return f"{choice.name} and {count(more)} more" if more else choice.name


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
            width=190,
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
        bgr = default.bgr
        if default.channels == len(ORDERS[0]):
            bgr = _order(bgr, f"{key}-order")
    return replace(
        default,
        resize=resize,
        crop=crop,
        fit=fit,
        interpolation=interpolation,
        mean=mean,
        std=std,
        bgr=bgr,
    )


def _order(bgr: bool, key: str) -> bool:
    """Draw the order of the channels. Returns whether blue is first."""
    order = st.selectbox(
        "Channels", ORDERS, index=int(bgr), key=key, persist_state="session", width=140
    )
    return order == ORDERS[1]


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
