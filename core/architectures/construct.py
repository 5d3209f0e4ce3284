"""Builds architectures: a signature without weights, or a module to load weights into."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING

from core.architectures.option_table import TABLE
from core.architectures.own_models import own_function
from core.architectures.registry import (
    OWN,
    TORCHVISION,
    Architecture,
    check_options,
    known_name,
)
from core.architectures.tensor_spec import Signature, TensorSpec
from core.errors import ArchitectureError

if TYPE_CHECKING:
    from torch import nn

    from core.architectures.blueprints import Blueprint, Blueprints
    from core.architectures.skeleton import UninitialisedParameters


ASK_WHETHER_TO_INITIALISE = ("googlenet", "inception_v3")
"""torchvision's builders that take `init_weights`: without it they initialise, which is slow, and
warn that a later version will not (torchvision/models/googlenet.py)."""


SIGNATURES = 512
"""Signatures that are cached."""


def signature(architecture: Architecture) -> Signature:
    """The keys, shapes and dtypes of the architecture's state_dict, without allocating its weights.

    Safe to call from several threads. Raises ArchitectureError.
    """
    with _lock_of(architecture):
        return _signature(architecture)


@lru_cache(maxsize=SIGNATURES)
def _lock_of(_architecture: Architecture) -> threading.Lock:
    return threading.Lock()


@lru_cache(maxsize=SIGNATURES)
def _signature(architecture: Architecture) -> Signature:
    model = _build_on_meta(architecture) if architecture.library != OWN else None
    return signature_of(model or build_without_weights(architecture))


def signature_of(model: nn.Module) -> Signature:
    """The keys, shapes, dtypes and kinds of a model's state_dict, in its order."""
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
    """The model on the meta device, or, where its constructor reads values, on the CPU.

    On the CPU it is what `build_uninitialised` returns. Raises ArchitectureError.
    """
    import torch

    try:
        with torch.device("meta"):
            return _build(architecture)
    except (RuntimeError, NotImplementedError, ArchitectureError):
        # Some constructors read values, and tensors on the meta device have none.
        return build_uninitialised(architecture)


def build(architecture: Architecture) -> nn.Module:
    """The model on the CPU with its own initialisation, in eval mode. Raises ArchitectureError."""
    return _build(architecture).eval()


def build_uninitialised(architecture: Architecture) -> nn.Module:
    """The model on the CPU, in eval mode: its parameters uninitialised, its buffers computed.

    Raises ArchitectureError.
    """
    with uninitialised_parameters():
        return _build(architecture).eval()


def uninitialised_parameters(
    initialised: Collection[tuple[int, ...]] = (),
) -> UninitialisedParameters:
    """A context in which constructors leave parameters uninitialised.

    Parameters whose shape is one of `initialised` are initialised as usual.
    """
    from core.architectures.skeleton import UninitialisedParameters  # it imports torch

    return UninitialisedParameters(initialised)


def _build(architecture: Architecture) -> nn.Module:
    from torch import nn

    check_options(architecture)
    make = _maker(architecture)
    options = {name: TABLE[name].argument(value) for name, value in architecture.options}
    try:
        model = make(**options)
    except ArchitectureError:
        raise
    except (Exception, SystemExit) as error:  # other people's constructors may raise anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArchitectureError(
            f"{architecture.title} cannot be built: {first[:300]}",
            "Change its options, or choose another architecture.",
        ) from error
    if not isinstance(model, nn.Module):
        raise ArchitectureError(
            f"{architecture.title} returns a {type(model).__name__}, not a torch.nn.Module.",
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
        weights = [
            parameter for parameter in inspect.signature(make).parameters if "weights" in parameter
        ]
        initialised = {"init_weights": True} if name.endswith(ASK_WHETHER_TO_INITIALISE) else {}
        return functools.partial(make, **dict.fromkeys(weights), **initialised)
    import timm

    return functools.partial(timm.create_model, architecture.tagged_name, pretrained=False)


def blueprint(architecture: Architecture) -> Blueprint | None:
    """The blueprint from which the model can be made again without its constructor.

    None for a model of the server's owner, whose constructor may make a different one each time,
    and for a model that cannot be copied exactly. Safe to call from several threads.
    """
    if architecture.library == OWN:
        return None
    with _lock_of(architecture):
        if architecture.key not in _blueprints():
            _build_on_meta(architecture)
        return _blueprints().get(architecture.key)


@functools.cache
def _blueprints() -> Blueprints:
    from core.architectures.blueprints import Blueprints

    return Blueprints()


def _build_on_meta(architecture: Architecture) -> nn.Module | None:
    """The model with its weights on the meta device, after its blueprint was cached.

    None where its constructor needs the values of its weights.
    """
    from core.architectures.blueprints import blueprint_of
    from core.architectures.skeleton import WeightsOnMeta

    for _ in range(2):  # the first time, another thread may have drawn the random numbers
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
