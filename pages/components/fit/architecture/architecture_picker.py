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
from core.wording import count, counted
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


OPTION_WIDTH = 104
"""In pixels: two fit beside each other, and Streamlit leaves out the buttons for plus and minus."""


def architecture_picker(
    key: str, current: Architecture | None, state_dict: StateDict, choose: Choose
) -> None:
    """Draw the search box and the architecture's options.

    `choose` is called with the new architecture, or None, before the page is drawn again.
    """
    architectures = _architectures()
    box = f"{key}-architecture"
    names = {_name(architecture): architecture for architecture in architectures}
    st.session_state[box] = _name(current) if current else None

    def on_change() -> None:
        name = st.session_state[box]
        choose(with_classes(names[name], state_dict) if name else None)

    with st.container(key="model", horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "Model",
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
        with st.popover("More options", type="tertiary", width="content"):
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
            width=OPTION_WIDTH,
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
            width=OPTION_WIDTH,
        )


def stated_in(checkpoint: Checkpoint) -> Stated | None:
    """The architecture that the file's metadata names."""
    return stated_architecture(checkpoint.metadata, known_architectures()[0])


def use_stated(key: str, stated: Stated, state_dict: StateDict, choose: Choose) -> None:
    """Draw what the file states, and a button that takes it."""
    architecture = with_classes(stated.architecture, state_dict)
    st.markdown(f"The file states {plain(stated.where)} = **{plain(stated.architecture.name)}**.")
    st.button(
        f"Use {plain(architecture.title)}",
        key=f"{key}-stated",
        on_click=choose,
        args=(architecture,),
    )


def classes_button(
    key: str, current: Architecture, checkpoint: Checkpoint, state_dict: StateDict, choose: Choose
) -> None:
    """Offer the number of classes of the file, if it is another than the architecture's."""
    _, other = classes_of(checkpoint, state_dict, current)
    if other is not None:
        st.button(
            f"Set {count(other)} classes, as in the file's last layer",
            key=f"{key}-classes",
            on_click=choose,
            args=(with_option(current, "num_classes", other),),
        )


def classes_of(
    checkpoint: Checkpoint, state_dict: StateDict, architecture: Architecture
) -> tuple[int | None, int | None]:
    """The number of classes in the file's last layer, and the same if the architecture has another
    one; None if that is not known. A model without a head has no classes."""
    if dict(architecture.options).get("num_classes") == 0:
        return None, None
    return _classes_of(checkpoint.identity, state_dict.path, architecture, state_dict)


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
    repairs = f" with {counted(steps, 'repair')}" if steps else ""
    st.button(
        f"Same as A: {plain(a.architecture.partition(':')[2])}{repairs}",
        key="fit-B-same",
        on_click=lambda: workspace().update("B", architecture=a.architecture, recipe=a.recipe),
    )
