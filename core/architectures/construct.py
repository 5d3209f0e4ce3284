"""An architecture built: its signature without weights, or a module to load weights into."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING

from core.architectures.registry import OWN, TORCHVISION
from core.architectures.tensor_spec import Signature, TensorSpec
from core.errors import ArchitectureError

if TYPE_CHECKING:
    from torch import nn

    from core.architectures.blueprint import Blueprint, Blueprints
    from core.architectures.skeleton import UninitialisedParameters


import threading
from typing import TYPE_CHECKING

from core.architectures.own_models import own_function
from core.architectures.registry import SWITCHES, Architecture, known_name, least_of, most_of

if TYPE_CHECKING:
    from torch import nn

    from core.architectures.skeleton import UninitialisedParameters


ASK_WHETHER_TO_INITIALISE = ("googlenet", "inception_v3")
"""torchvision's networks that do by default, and warn that they will not (models/googlenet.py)."""


SIGNATURES = 512
"""Signatures remembered."""


def signature(architecture: Architecture) -> Signature:
    """The model's state_dict as keys, shapes and dtypes, without allocating its weights.

    Safe to call from several threads. Raises ArchitectureError.
    """
    with _lock_of(architecture):
        return _signature(architecture)


@lru_cache(maxsize=SIGNATURES)
def _lock_of(_architecture: Architecture) -> threading.Lock:
    return threading.Lock()


@lru_cache(maxsize=SIGNATURES)
def _signature(architecture: Architecture) -> Signature:
    model = _learnt(architecture) if architecture.library != OWN else None
    return signature_of(model or build_without_weights(architecture))


def signature_of(model: nn.Module) -> Signature:
    """The model's own state_dict as keys, shapes, dtypes and kinds."""
    import torch
    from torch import nn

    return {
        key: TensorSpec(
            tuple(tensor.shape),
            str(tensor.dtype).removeprefix("torch."),
            "parameter" if isinstance(tensor, nn.Parameter) else "buffer",
        )
        for key, tensor in model.state_dict(keep_vars=True).items()
        if isinstance(tensor, torch.Tensor)
    }


def build_without_weights(architecture: Architecture) -> nn.Module:
    """The model on the meta device, or where its constructor needs values, as
    build_uninitialised makes it. Raises ArchitectureError."""
    import torch

    try:
        with torch.device("meta"):
            return _build(architecture)
    except (RuntimeError, NotImplementedError, ArchitectureError):
        # Some constructors look at values, which the meta device has none of.
        return build_uninitialised(architecture)


def build(architecture: Architecture) -> nn.Module:
    """The model on the CPU with its own initialisation, in eval mode. Raises ArchitectureError."""
    return _build(architecture).eval()


def build_uninitialised(architecture: Architecture) -> nn.Module:
    """The model on the CPU, in eval mode, its parameters' memory untouched and its buffers right.

    Raises ArchitectureError.
    """
    with uninitialised_parameters():
        return _build(architecture).eval()


def uninitialised_parameters(
    initialised: Collection[tuple[int, ...]] = (),
) -> UninitialisedParameters:
    """A context in which constructors leave the memory of parameters untouched, but of those whose
    shape is one of `initialised`."""
    from core.architectures.skeleton import UninitialisedParameters  # it imports torch

    return UninitialisedParameters(initialised)


def _build(architecture: Architecture) -> nn.Module:
    from torch import nn

    for name, value in architecture.options:
        least, most = least_of(architecture, name), most_of(name)
        if not least <= value <= most:
            raise ArchitectureError(
                f"{name} is {value}, which no network has.", f"Choose {least} to {most:,}."
            )
    make = _maker(architecture)
    options = {
        name: bool(value) if name in SWITCHES else value for name, value in architecture.options
    }
    try:
        model = make(**options)
    except ArchitectureError:
        raise
    except (Exception, SystemExit) as error:  # a constructor of another's code may raise anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArchitectureError(
            f"{architecture.title} cannot be built: {first[:300]}",
            "Change its options, or choose another architecture.",
        ) from error
    if not isinstance(model, nn.Module):
        raise ArchitectureError(
            f"{architecture.title} gives a {type(model).__name__}, not a torch.nn.Module.",
            "Name a function that returns a model in LOUPE_MODELS.",
        )
    return model


def _maker(architecture: Architecture) -> Callable[..., object]:
    name = known_name(architecture.library, architecture.name)
    if architecture.library == OWN:
        return own_function(name)
    if architecture.library == TORCHVISION:
        from torchvision.models import get_model_builder

        make = get_model_builder(name)
        weights = [each for each in inspect.signature(make).parameters if "weights" in each]
        initialised = {"init_weights": True} if name.endswith(ASK_WHETHER_TO_INITIALISE) else {}
        return functools.partial(make, **dict.fromkeys(weights), **initialised)
    import timm

    return functools.partial(timm.create_model, name, pretrained=False)


def blueprint(architecture: Architecture) -> Blueprint | None:
    """What the model can be made of again without its constructor.

    None for an owner's own model, whose constructor may make another one each time, and for a
    network that cannot be copied exactly. Safe to call from several threads.
    """
    if architecture.library == OWN:
        return None
    with _lock_of(architecture):
        if architecture.key not in _blueprints():
            _learnt(architecture)
        return _blueprints().get(architecture.key)


@functools.cache
def _blueprints() -> Blueprints:
    from core.architectures.blueprint import Blueprints

    return Blueprints()


def _learnt(architecture: Architecture) -> nn.Module | None:
    """The model with its weights on the meta device, its blueprint remembered; None where its
    constructor cannot do without their values."""
    from core.architectures.blueprint import blueprint_of
    from core.architectures.skeleton import WeightsOnMeta

    for _ in range(2):  # numbers that another thread drew at random are no reason the second time
        mode = WeightsOnMeta()
        try:
            with mode:
                model = _build(architecture).eval()
        except (RuntimeError, NotImplementedError, ArchitectureError):
            _blueprints().put(architecture.key, None)
            return None
        if not mode.drew:
            break
    exact = not (mode.drew or mode.left_out)
    _blueprints().put(architecture.key, blueprint_of(model) if exact else None)
    return model
