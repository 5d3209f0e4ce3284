"""A copy of a model that shares its weights: hooks and switches on it change nothing for others.

Passes that need no gradient run under `no_grad`, not in inference mode: some models keep tensors of
one pass for the next, which could then need one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn

from core.errors import LoadError, LoupeError
from core.load import LoadedModel, is_out_of_memory, parameter_dtype
from core.predict.answers import logits_of
from core.progress import Cancelled, Report
from core.wording import shape as shape_words

Scores = Callable[[torch.Tensor], torch.Tensor]
"""Takes images [N, C, H, W], and returns their logits, float32 [N, classes]."""


def twin(model: nn.Module) -> nn.Module:
    """The model once more, with the same parameters and buffers, in evaluation mode.

    Its modules are its own, so that hooks and attributes may be set on it while others run the
    model. It is not compiled, as a compiled pass calls no hooks. Raises LoadError if it cannot be
    copied.
    """
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    try:
        copied = copy.deepcopy(model, shared)
    except Exception as error:  # another's class may refuse to be copied in any way
        raise LoadError(
            f"The model cannot be copied: {_first_line(error)}",
            "Its layers cannot be looked at while it runs for others too.",
        ) from error
    copied._compiled_call_impl = None  # what Module.compile sets (torch/nn/modules/module.py)
    return copied.eval()


def scoring(model: nn.Module, progress: Report, passes: int = 1, *, head: str = "") -> Scores:
    """A function that runs the model, and calls `progress` before each of about `passes` runs.

    It takes float32 images and gives float32 logits whatever the model's dtype is, so that what a
    method sums up over images and steps is not rounded to it. They are those of the head of this
    name, by default of the main one.
    """
    dtype = parameter_dtype(model)
    done = 0

    def scores(images: torch.Tensor) -> torch.Tensor:
        nonlocal done
        progress(min(done, passes), passes, "running the model")
        done += 1
        return logits_of(model(images.to(dtype)), len(images), head).float()

    return scores


@contextmanager
def running(loaded: LoadedModel, image: torch.Tensor) -> Iterator[None]:
    """Around passes of a model that take this image: raises LoadError for what they raise."""
    try:
        yield
    except (LoupeError, Cancelled):
        raise
    except Exception as error:  # a pass of another's code: whatever it raises is the cause
        if is_out_of_memory(error):
            raise LoadError(
                f"There is not enough memory on {loaded.device} for this.",
                "Free memory on the device, or load the model on another one.",
            ) from error
        raise LoadError(
            f"The model cannot be explained for an input of shape {shape_words(image.shape)}: "
            f"{_first_line(error)}",
            "Try another method, or the size that the model was built for.",
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:300] + "."
