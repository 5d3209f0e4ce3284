"""A model in memory: built, filled from the file, on a device, tried with one forward pass.

A StateDict, an Architecture, a device and a dtype go in; a LoadedModel comes out, or a LoadError or
NoRoom. ModelPool keeps the models that a server shares. Needs torch.
"""

from core.load.loading import DTYPES, LoadedModel, devices, load_model
from core.load.model_request import ModelRequest, load_requested
from core.load.pool import ModelPool
from core.load.smoke import SmokeRun, smoke_run
from core.load.switches import SwitchEffect, forward

__all__ = [
    "DTYPES",
    "LoadedModel",
    "ModelPool",
    "ModelRequest",
    "SmokeRun",
    "SwitchEffect",
    "devices",
    "forward",
    "load_model",
    "load_requested",
    "smoke_run",
]
