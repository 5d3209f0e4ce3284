"""Loads a model: builds it, fills it from the file on a device, and tries a forward pass.

`load_model` takes a StateDict, an Architecture, a device and a dtype, and returns a LoadedModel, or
raises LoadError or NoRoom. ModelPool keeps the models that a server's sessions share. Needs torch.
"""

from core.load.loading import DTYPES, LoadedModel, devices, load_model, parameter_dtype
from core.load.model_request import ModelRequest, load_requested
from core.load.outcome import WAYS, LoadOutcome, load_words, loaded_headline, own_dtype
from core.load.pool import ModelPool
from core.load.room import is_out_of_memory
from core.load.smoke import SmokeRun, smoke_run
from core.load.switches import SwitchEffect, forward

__all__ = [
    "DTYPES",
    "WAYS",
    "LoadOutcome",
    "LoadedModel",
    "ModelPool",
    "ModelRequest",
    "SmokeRun",
    "SwitchEffect",
    "devices",
    "forward",
    "is_out_of_memory",
    "load_model",
    "load_requested",
    "load_words",
    "loaded_headline",
    "own_dtype",
    "parameter_dtype",
    "smoke_run",
]
