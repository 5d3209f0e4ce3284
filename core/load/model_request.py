"""What decides which model is loaded, and so the key under which sessions share it."""

from __future__ import annotations

from dataclasses import dataclass

from core.architectures import Architecture, signature
from core.checkpoint import StateDict
from core.fixes import Recipe
from core.load.loading import LoadedModel, load_model
from core.progress import Report, ignore
from core.recipe import apply_recipe


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """The key of a model: equal requests give the same model, so they may share it.

    `content` is the checkpoint's identity, and `state_dict` the path of the chosen one in it. The
    other fields are those of `load_model`.
    """

    content: str
    state_dict: str
    recipe: Recipe
    architecture: Architecture
    device: str = "cpu"
    dtype: str | None = None
    strict: bool = True
    channels_last: bool = False
    compiled: bool = False


def load_requested(
    request: ModelRequest,
    state_dict: StateDict,
    progress: Report = ignore,
) -> LoadedModel:
    """Apply the request's recipe to the chosen state_dict, and load the model.

    Raises FixError, ArchitectureError, LoadError, SourceError.
    """
    applied = apply_recipe(request.recipe, state_dict, signature(request.architecture))
    return load_model(
        applied.state_dict,
        request.architecture,
        device=request.device,
        dtype=request.dtype,
        strict=request.strict,
        channels_last=request.channels_last,
        compiled=request.compiled,
        progress=progress,
    )
