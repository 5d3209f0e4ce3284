"""Building a model without initialising the parameters that a file is about to fill: on the meta
device where no more is wanted than its modules, else in memory."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

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

FREE: frozenset[object] = frozenset(
    (torch.empty, torch.rand, torch.randn, torch.randint, torch.normal, torch.randperm)
)
"""Functions that make tensors whose values nobody counts on: torch's own layers make their
parameters with torch.empty."""

IS_META = torch.Tensor.is_meta.__get__  # type: ignore[attr-defined]  # a getset_descriptor
"""Asked by torch.nn.init.trunc_normal_, which does nothing for a tensor without memory."""

READ_OUT: frozenset[object] = frozenset(
    getattr(torch.Tensor, name)
    for name in ("numpy", "__array__", "tolist", "__dlpack__", "__reduce_ex__")
)
"""Functions through which a tensor's memory is read outside torch."""

VALUE_TAGS = frozenset((torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape))
"""Tags of operators that tell of a tensor's values: `.item()`, or how many are not zero."""

SIZES_ALONE: frozenset[object] = frozenset(
    getattr(torch.ops.aten, name)
    for name in (
        "empty_like",
        "zeros_like",
        "ones_like",
        "full_like",
        "rand_like",
        "randn_like",
        "new_empty",
        "new_empty_strided",
        "new_zeros",
        "new_ones",
        "new_full",
    )
)
"""Operators that take no more from a tensor than its size."""

OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""The attributes that torch itself gives to a module: its registered tensors, its hooks."""

DEPTH = 3
"""How deep in a module's lists and dicts tensors are looked for."""


class WeightsOnMeta(TorchFunctionMode):
    """While entered, tensors without values, or with values drawn at random, are made on the meta
    device, where initialising them does nothing. All others are computed as ever.

    So a constructor that computes anything from a weight raises, or leaves a tensor on the meta
    device. All other tensors are what they would be without this mode, unless it `left_out` the
    initialisation of a parameter that was made with values, or numbers were drawn at random
    meanwhile (`drew`; it may have been another thread). Like every torch function mode it holds for
    one thread only.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left_out = self.drew = False
        self._before = _random_states()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Leave it."""
        super().__exit__(exc_type, exc_val, exc_tb)  # type: ignore[no-untyped-call]
        self.drew = self._before != _random_states()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a torch function, or leave it out."""
        kwargs = kwargs or {}
        if func in FREE:
            if kwargs.get("device") is None and kwargs.get("out") is None:
                kwargs = {**kwargs, "device": "meta"}
        elif func in INITIALISERS or func in DISPATCHED:
            target = args[0] if args else kwargs.get("tensor")
            if isinstance(target, torch.Tensor) and target.is_meta:
                return target
            if isinstance(target, nn.Parameter):
                self.left_out = True
                return target
        return func(*args, **kwargs)


def _random_states() -> tuple[object, ...]:
    """Equal where no number was drawn between."""
    numpys = pickle.dumps(np.random.get_state(legacy=False))
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), numpys


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
        self._memory = _BlankMemory()

    def __enter__(self) -> Self:
        """Enter the mode that follows blank memory too."""
        self._memory.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Leave both."""
        super().__exit__(exc_type, exc_val, exc_tb)  # type: ignore[no-untyped-call]
        self._memory.__exit__(exc_type, exc_val, exc_tb)  # type: ignore[no-untyped-call]

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
                self._memory.keep(target)
                return target
            if func == IS_META:
                return True
        elif (
            func in INITIALISERS and isinstance(target, torch.Tensor) and self._memory.keeps(target)
        ):
            return target  # a parameter's `.data`, or a part of it
        if func in READ_OUT and isinstance(target, torch.Tensor) and self._memory.holds(target):
            self._memory.looked = True
        return func(*args, **kwargs)

    def vouches_for(self, model: nn.Module, filled: Collection[str]) -> bool:
        """Whether all that stays as built, because no file fills its key, was computed from no
        blank parameter: other parameters and buffers, and what lies in the modules' attributes."""
        named = [
            pair
            for tensors in (model.named_parameters, model.named_buffers)
            for pair in tensors(remove_duplicate=False)
        ]
        replaced = {id(tensor) for key, tensor in named if key in filled}
        attributes = (
            tensor
            for module in model.modules()
            for name, value in vars(module).items()
            if name not in OF_EVERY_MODULE
            for tensor in _tensors(value)
        )
        kept = (*(tensor for _, tensor in named), *attributes)
        return not self._memory.looked and not any(
            id(tensor) not in replaced and tensor.numel() and self._memory.holds(tensor)
            for tensor in kept
        )


class _BlankMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Where the blank parameters' memory is, and that of what was computed from them: each operator
    is seen here, whoever calls it, TorchScript and transforms such as vmap included.

    `looked` says whether blank values came out of torch, as a number or as a shape.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.looked = False
        self._blank: set[int] = set()
        self._kept: dict[int, torch.UntypedStorage] = {}

    def keep(self, parameter: nn.Parameter) -> None:
        """A blank parameter, whose memory stays while the mode does, so that nothing else comes to
        lie there."""
        where = _storage(parameter)
        if where:
            self._blank.add(where)
            self._kept[where] = parameter.untyped_storage()

    def keeps(self, tensor: torch.Tensor) -> bool:
        """Whether it lies in a blank parameter's memory."""
        return _storage(tensor) in self._kept

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether its values are a blank parameter's, or computed from one."""
        return _storage(tensor) in self._blank

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator, and follow blank memory through it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self._blank:
            self._follow(func, args, kwargs, result)
        return result

    def _follow(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: object
    ) -> None:
        """What comes of blank memory is blank; what comes of other memory, even where blank memory
        was before, is not."""
        # An operator of a list of tensors writes to them and gives nothing.
        made = list(_tensors(args[:1] if result is None else result))
        from_blank = any(self.holds(tensor) for tensor in _tensors((*args, *kwargs.values())))
        if not from_blank or func.overloadpacket in SIZES_ALONE:
            for tensor in made:
                if not self.keeps(tensor):
                    self._blank.discard(_storage(tensor))
            return
        unseen = any(
            tensor.numel() and not _storage(tensor) for tensor in made if not tensor.is_meta
        )
        if unseen or not made or self._tells(func, args):
            self.looked = True
        self._blank.update(filter(None, map(_storage, made)))

    def _tells(self, func: Any, args: Sequence[Any]) -> bool:
        """Whether what it gives tells of blank values; of an index, only a blank one does."""
        if func.overloadpacket is torch.ops.aten.index:
            return any(self.holds(tensor) for tensor in _tensors(args[1:]))
        return not VALUE_TAGS.isdisjoint(func.tags)


def _tensors(value: object, depth: int = DEPTH) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif depth and isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part, depth - 1)


def _storage(tensor: torch.Tensor) -> int:
    """Where its memory is; 0 for one without."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0
