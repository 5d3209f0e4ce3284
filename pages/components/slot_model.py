"""A slot's model: what the Workspace asks for, from the pool that all sessions share."""

from __future__ import annotations

from collections.abc import Callable

from core.architectures import parse_architecture
from core.checkpoint import StateDict
from core.jobs import Progress
from core.load import LoadedModel
from core.model_request import ModelRequest, load_requested
from pages.components.resources import model_pool
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


def loading(
    request: ModelRequest, state_dict: StateDict
) -> Callable[[Progress], LoadedModel]:
    """The work that loads the model into the pool, or finds it there; for `jobs().start`."""
    pool = model_pool()

    def work(progress: Progress) -> LoadedModel:
        with pool.get(
            request, lambda: load_requested(request, state_dict, progress.report)
        ) as loaded:
            return loaded

    return work
