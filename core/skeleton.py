"""Building a model without initialising the parameters that a file is about to fill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

INITIALISERS: frozenset[object] = frozenset(
    getattr(torch.Tensor, name)
    for name in (
        "uniform_",
        "normal_",
        "fill_",
        "zero_",
        "erfinv_",
        "mul_",
        "add_",
        "sub_",
        "div_",
        "clamp_",
        "copy_",
        "bernoulli_",
        "exponential_",
        "log_normal_",
    )
)
"""The in-place operations that torch.nn.init and models' own constructors initialise with."""


class UninitialisedParameters(TorchFunctionMode):
    """While entered, initialising a parameter in place does nothing.

    Its memory is never touched, so it costs neither time nor pages until the file's bytes are read
    into it. Buffers are computed as ever, so those that are not in the state_dict come out right.
    Like every torch function mode it holds for one thread only.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a torch function, or leave it out."""
        if func in INITIALISERS and args and isinstance(args[0], nn.Parameter):
            return args[0]
        return func(*args, **(kwargs or {}))
