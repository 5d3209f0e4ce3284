"""Building a model without initialising the parameters that a file is about to fill."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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

LOOKS: frozenset[object] = frozenset(
    (
        *(
            getattr(torch.Tensor, name)
            for name in ("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__")
        ),
        torch.equal,
        torch.Tensor.equal,
        torch.allclose,
        torch.Tensor.allclose,
    )
)
"""Functions through which a tensor's values come out of torch."""


class UninitialisedParameters(TorchFunctionMode):
    """While entered, initialising a parameter in place does nothing, unless its shape is one of
    `initialised`.

    The memory of such a blank parameter is never touched, so it costs neither time nor pages until
    the file's bytes are read into it. The others, and buffers, are computed as ever. What is
    computed from a blank parameter is followed: see `vouches_for`. Like every torch function mode
    it holds for one thread only.
    """

    def __init__(self, initialised: Collection[tuple[int, ...]] = ()) -> None:
        super().__init__()
        self._initialised = frozenset(initialised)
        self._blank: set[int] = set()
        self._kept: dict[int, torch.UntypedStorage] = {}
        self._looked = False

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
        if isinstance(target, nn.Parameter) and tuple(target.shape) not in self._initialised:
            if func in INITIALISERS or func in DISPATCHED:
                self._leave_blank(target)
                return target
            if func == IS_META:
                return True
        elif (
            func in INITIALISERS
            and isinstance(target, torch.Tensor)
            and _storage(target) in self._kept
        ):
            return target  # a parameter's `.data`, or a part of it
        result = func(*args, **kwargs)
        if self._blank:
            self._follow(func, args, kwargs, result)
        return result

    def _leave_blank(self, parameter: nn.Parameter) -> None:
        """Its memory stays while the mode does, so that nothing else comes to lie there."""
        where = _storage(parameter)
        if where:
            self._blank.add(where)
            self._kept[where] = parameter.untyped_storage()

    def _follow(
        self, func: object, args: Sequence[Any], kwargs: Mapping[str, Any], result: object
    ) -> None:
        """What comes of blank memory is blank; what comes of other memory, even where blank memory
        was before, is not."""
        made = [_storage(tensor) for tensor in _tensors(result)]
        taken = {_storage(tensor) for tensor in _tensors((*args, *kwargs.values()))}
        if taken & self._blank:
            self._blank.update(made)
            self._looked = self._looked or func in LOOKS
        else:
            self._blank.difference_update(where for where in made if where not in self._kept)

    def vouches_for(self, model: nn.Module, filled: Collection[str]) -> bool:
        """Whether all that stays as built, because no file fills its key, was computed from no
        blank parameter."""
        kept = (
            tensor
            for named in (model.named_parameters, model.named_buffers)
            for key, tensor in named(remove_duplicate=False)
            if key not in filled
        )
        return not self._looked and not any(
            tensor.numel() and _storage(tensor) in self._blank for tensor in kept
        )


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _storage(tensor: torch.Tensor) -> int:
    """Where its memory is; 0 for one without."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0
