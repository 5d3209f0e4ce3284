"""A slot's model: what the Workspace asks for, as the key that all sessions share it by."""

from __future__ import annotations

from core.architectures import parse_architecture
from core.model_request import ModelRequest
from pages.components.workspace import workspace


def slot_request(slot: str) -> ModelRequest | None:
    """What `slot` asks for; None while it has no file or no architecture.

    Raises ArchitectureError where the architecture's name is unknown.
    """
    state, checkpoint = workspace().slot(slot), workspace().checkpoint(slot)
    chosen = workspace().state_dict(slot)
    if checkpoint is None or chosen is None or state.architecture is None:
        return None
    return ModelRequest(
        content=checkpoint.identity,
        state_dict=chosen.path,
        recipe=state.recipe,
        architecture=parse_architecture(state.architecture),
        device=state.device,
        dtype=state.dtype,
        strict=state.strict,
    )
