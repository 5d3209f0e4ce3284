"""Chooses a slot's architecture: from the catalogue, as the file states it, or as in A."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from core.architectures import (
    SIMPLE,
    Architecture,
    Option,
    Stated,
    Value,
    option_of,
    options_of,
    stated_architecture,
)
from core.checkpoint import Checkpoint, StateDict
from core.fit import classes_in, other_classes, with_classes, with_option
from core.plain_text import plain, plain_sentence
from core.wording import count
from pages.components.cached import cached
from pages.components.slot_model import known_architectures
from pages.components.workspace import workspace

Choose = Callable[[Architecture | None], None]

OPTIONS: Mapping[str, str] = {
    "num_classes": "Classes",
    "in_chans": "Input channels",
    "img_size": "Image size",
    "image_size": "Image size",
    "aux_logits": "Auxiliary heads, 0 or 1",
    "aux_loss": "Auxiliary head, 0 or 1",
}
"""The labels of options on screen; any other option is shown by its own name."""


def architecture_picker(
    key: str,
    current: Architecture | None,
    checkpoint: Checkpoint,
    state_dict: StateDict,
    choose: Choose,
) -> None:
    """Draw the search box, the architecture's options, and the architecture that the file states.

    `choose` is called with the new architecture, or None, before the page is drawn again.
    """
    architectures = _architectures()
    box = f"{key}-architecture"
    names = {_name(architecture): architecture for architecture in architectures}
    st.session_state[box] = _name(current) if current else None

    def on_change() -> None:
        name = st.session_state[box]
        choose(with_classes(names[name], state_dict) if name else None)

    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "Architecture",
            list(names),
            index=None,
            placeholder=f"Search {count(len(names))} architectures, for example resnet18",
            key=box,
            filter_mode="contains",
            on_change=on_change,
            width="stretch",
        )
        if current is not None:
            _options(key, current, choose)
    stated = stated_architecture(checkpoint.metadata, architectures)
    if stated and (current is None or current.name != stated.architecture.name):
        _stated(key, stated, state_dict, choose)
    elif current is not None:
        _classes(key, current, checkpoint, state_dict, choose)


def _architectures() -> tuple[Architecture, ...]:
    """Every architecture; the errors of the owner's modules are drawn."""
    architectures, errors = known_architectures()
    for error in errors:
        st.error(plain_sentence(str(error)), icon=":material/error:")
    return architectures


def _name(architecture: Architecture) -> str:
    return f"{architecture.library} {architecture.name}"


def _options(key: str, current: Architecture, choose: Choose) -> None:
    """Draw the simple options and those that are set; the others are in a popover."""
    chosen = dict(current.options)
    more = []
    for name in options_of(current):
        if name in SIMPLE or name in chosen:
            _option(key, current, option_of(current, name), choose)
        else:
            more.append(name)
    if more:
        with st.popover("More options"):
            for name in more:
                _option(key, current, option_of(current, name), choose)


def _option(key: str, current: Architecture, option: Option, choose: Choose) -> None:
    field = f"{key}-option-{option.name}"
    st.session_state[field] = dict(current.options).get(option.name)
    label = plain(OPTIONS.get(option.name, option.name))

    def on_change() -> None:
        choose(with_option(current, option.name, st.session_state[field]))

    if option.kind in ("word", "scale") or (option.most == 1 and option.name not in SIMPLE):
        choices: tuple[Value, ...] = option.words or (0, 1)
        set_to: Value | None = st.session_state[field]
        if set_to is not None and set_to not in choices:  # a scale, which a link may set freely
            choices = (*choices, set_to)
        st.selectbox(
            label,
            choices,
            index=None,
            placeholder="default",
            key=field,
            on_change=on_change,
            width=150,
        )
    else:
        st.number_input(
            label,
            min_value=option.least,
            max_value=option.most,
            value=None,
            placeholder="default",
            key=field,
            on_change=on_change,
            width=150,
        )


def _stated(key: str, stated: Stated, state_dict: StateDict, choose: Choose) -> None:
    architecture = with_classes(stated.architecture, state_dict)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"The file states {plain(stated.where)} = **{plain(stated.architecture.name)}**."
        )
        st.button(
            f"Use {plain(architecture.title)}",
            key=f"{key}-stated",
            on_click=choose,
            args=(architecture,),
        )


def _classes(
    key: str, current: Architecture, checkpoint: Checkpoint, state_dict: StateDict, choose: Choose
) -> None:
    """Draw where the number of classes comes from, or offer the file's own number. A model without
    a head has no classes, and nothing is drawn."""
    if dict(current.options).get("num_classes") == 0:
        return
    in_file, other = _classes_of(checkpoint.identity, state_dict.path, current, state_dict)
    if other is not None:
        st.button(
            f"Set {count(other)} classes, as in the file's last layer",
            key=f"{key}-classes",
            on_click=choose,
            args=(with_option(current, "num_classes", other),),
        )
    elif in_file is not None and dict(current.options).get("num_classes") == in_file:
        st.caption(f"{count(in_file)} classes, read from the shape of the file's last layer.")


@cached(64)
def _classes_of(
    identity: str, path: str, architecture: Architecture, _state_dict: StateDict
) -> tuple[int | None, int | None]:
    return classes_in(_state_dict, architecture), other_classes(_state_dict, architecture)


def as_in_a() -> None:
    """Offer B the architecture and the recipe of A, if they differ from B's own."""
    a, b = workspace().slot("A"), workspace().slot("B")
    if a.architecture is None or (a.architecture, a.recipe) == (b.architecture, b.recipe):
        return
    steps = len(a.recipe.steps)
    fixes = f" with {count(steps)} fix{'' if steps == 1 else 'es'}" if steps else ""
    st.button(
        f"Same as A: {plain(a.architecture.partition(':')[2])}{fixes}",
        key="fit-B-same",
        on_click=lambda: workspace().update("B", architecture=a.architecture, recipe=a.recipe),
    )
