"""The architecture and the model that a slot of the Workspace asks for."""

from __future__ import annotations

import streamlit as st

from core.architectures import OWN, Architecture, catalogue, own_architectures, parse_architecture
from core.errors import ArchitectureError
from core.load import ModelRequest
from pages.components.resources import model_pool, settings
from pages.components.workspace import workspace


def known_architectures() -> tuple[tuple[Architecture, ...], tuple[ArchitectureError, ...]]:
    """Every architecture of the server's owner, of torchvision and of timm, and the errors of the
    owner's modules that cannot be imported. Those modules are tried again at each call."""
    errors: list[ArchitectureError] = []
    own = own_architectures(settings().models, errors.append)
    return (*own, *_libraries()), tuple(errors)


@st.cache_resource(show_spinner="Listing the architectures")
def _libraries() -> tuple[Architecture, ...]:
    return catalogue()


def slot_architecture(slot: str) -> Architecture | None:
    """The architecture that is chosen in `slot`, or None.

    Raises ArchitectureError if it is unknown, for example one that an old link names.
    """
    key = workspace().slot(slot).architecture
    if key is None:
        return None
    if key.startswith(f"{OWN}:"):
        # `parse_architecture` knows only those of the owner's architectures that were listed.
        own_architectures(settings().models, lambda _: None)
    return parse_architecture(key)


def slot_request(slot: str) -> ModelRequest | None:
    """The model that `slot` asks for; None while it has no file or no architecture.

    Raises ArchitectureError if the architecture is unknown.
    """
    state, checkpoint = workspace().slot(slot), workspace().checkpoint(slot)
    state_dict, architecture = workspace().state_dict(slot), slot_architecture(slot)
    if checkpoint is None or state_dict is None or architecture is None:
        return None
    return ModelRequest(
        content=checkpoint.identity,
        state_dict=state_dict.path,
        recipe=state.recipe,
        architecture=architecture,
        device=state.device,
        dtype=state.dtype,
        strict=state.strict,
        channels_last=state.channels_last,
        compiled=state.compiled,
    )


def is_loaded(request: ModelRequest) -> bool:
    """Whether the model was in the pool at some run of this session.

    A model that the pool has dropped since then is loaded again where it is needed.
    """
    loaded_models: set[ModelRequest] = st.session_state.setdefault("loaded-models", set())
    if request in model_pool().resident():
        loaded_models.add(request)
    return request in loaded_models
