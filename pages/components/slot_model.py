"""A slot's architecture and model: what the Workspace asks for, as all sessions share it."""

from __future__ import annotations

import streamlit as st

from core.architectures import OWN, Architecture, catalogue, own_architectures, parse_architecture
from core.errors import ArchitectureError
from core.load import ModelRequest
from pages.components.resources import settings
from pages.components.workspace import workspace


def known_architectures() -> tuple[tuple[Architecture, ...], tuple[ArchitectureError, ...]]:
    """Every architecture of the server's owner, torchvision and timm; and what is wrong with those
    modules of the owner's that cannot be imported, which are tried again each time."""
    troubles: list[ArchitectureError] = []
    own = own_architectures(settings().models, troubles.append)
    return (*own, *_libraries()), tuple(troubles)


@st.cache_resource(show_spinner="Listing the architectures")
def _libraries() -> tuple[Architecture, ...]:
    return catalogue()


def slot_architecture(slot: str) -> Architecture | None:
    """The architecture that is chosen in `slot`, or None.

    Raises ArchitectureError where it is unknown, as one in an old link may be.
    """
    named = workspace().slot(slot).architecture
    if named is None:
        return None
    if named.startswith(f"{OWN}:"):
        own_architectures(settings().models, lambda _: None)
    return parse_architecture(named)


def slot_request(slot: str) -> ModelRequest | None:
    """The model that `slot` asks for; None while it has no file or no architecture.

    Raises ArchitectureError where the architecture is unknown.
    """
    state, checkpoint = workspace().slot(slot), workspace().checkpoint(slot)
    chosen, architecture = workspace().state_dict(slot), slot_architecture(slot)
    if checkpoint is None or chosen is None or architecture is None:
        return None
    return ModelRequest(
        content=checkpoint.identity,
        state_dict=chosen.path,
        recipe=state.recipe,
        architecture=architecture,
        device=state.device,
        dtype=state.dtype,
        strict=state.strict,
        channels_last=state.channels_last,
        compiled=state.compiled,
    )
