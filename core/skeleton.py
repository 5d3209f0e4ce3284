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

DISPATCHED: frozenset[object] = frozenset(
    getattr(nn.init, name) for name in ("uniform_", "normal_", "constant_", "kaiming_uniform_")
)
"""Those of torch.nn.init that a mode gets as a whole; what they call inside, it does not get."""

IS_META = torch.Tensor.is_meta.__get__  # type: ignore[attr-defined]  # a getset_descriptor
"""Asked by torch.nn.init.trunc_normal_, which does nothing for a tensor without memory."""


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
        kwargs = kwargs or {}
        target = args[0] if args else kwargs.get("tensor")
        if isinstance(target, nn.Parameter):
            if func in INITIALISERS or func in DISPATCHED:
                return target
            if func == IS_META:
                return True
        return func(*args, **kwargs)
