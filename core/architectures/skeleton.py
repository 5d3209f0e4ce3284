"""Builds a model without initialising the parameters that a checkpoint is about to fill.

`WeightsOnMeta` makes them on the meta device, for a blueprint; `UninitialisedParameters` makes them
in memory that is never touched.
"""

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
"""The functions of torch.nn.init that call `handle_torch_function` themselves: a mode sees the
function, and none of the operations inside it."""

FREE: frozenset[object] = frozenset(
    (torch.empty, torch.rand, torch.randn, torch.randint, torch.normal, torch.randperm)
)
"""Functions that make tensors without values, or with random ones: torch's own layers make their
parameters with torch.empty."""

IS_META = torch.Tensor.is_meta.__get__  # type: ignore[attr-defined]  # a getset_descriptor
"""Read by torch.nn.init.trunc_normal_, which does nothing to a tensor on the meta device."""

READ_OUT: frozenset[object] = frozenset(
    getattr(torch.Tensor, name)
    for name in ("numpy", "__array__", "tolist", "__dlpack__", "__reduce_ex__")
)
"""Functions that let code outside torch read a tensor's memory."""

VALUE_TAGS = frozenset((torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape))
"""Tags of operators whose result reveals values outside a tensor's memory: `.item()` as a number,
`nonzero` as a shape."""

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
"""Operators that use a tensor's size, and none of its values."""

OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""The attributes that torch itself gives to a module: its registered tensors, its hooks."""

DEPTH = 3
"""How many levels of a module's lists and dicts are searched for tensors."""


class WeightsOnMeta(TorchFunctionMode):
    """A mode in which tensors without values, or with random ones, are made on the meta device.

    Initialising them there does nothing; all other tensors are computed as usual. So a constructor
    that computes anything from a weight raises, or leaves a tensor on the meta device. All other
    tensors are what they would be without this mode, unless `left_out` (it skipped the
    initialisation of a parameter that was made with values) or `drew` (random numbers were drawn
    meanwhile, perhaps by another thread). Like every torch function mode it applies to one thread
    only.
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
        """Leave the mode, and see whether random numbers were drawn."""
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
    """The generators' states of torch, Python and NumPy: equal if no number was drawn between."""
    numpys = pickle.dumps(np.random.get_state(legacy=False))
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), numpys


class UninitialisedParameters(TorchFunctionMode):
    """A mode in which initialising a parameter in place does nothing.

    Parameters whose shape is one of `initialised`, and buffers, are computed as usual. The memory
    of the others, the blank parameters, is never touched, so it costs neither time nor pages until
    the file's bytes are read into it. What is computed from a blank parameter is tracked: see
    `vouches_for`. Like every torch function mode it applies to one thread only.
    """

    def __init__(self, initialised: Collection[tuple[int, ...]] = ()) -> None:
        super().__init__()
        self._initialised = frozenset(initialised)
        self._memory = _BlankMemory()

    def __enter__(self) -> Self:
        """Enter this mode, and the one that tracks blank memory."""
        self._memory.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Leave both modes."""
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
            func in INITIALISERS and isinstance(target, torch.Tensor) and self._memory.owns(target)
        ):
            return target  # a parameter's `.data`, or a part of it
        if func in READ_OUT and isinstance(target, torch.Tensor) and self._memory.is_blank(target):
            self._memory.values_seen = True
        return func(*args, **kwargs)

    def vouches_for(self, model: nn.Module, filled: Collection[str]) -> bool:
        """Whether no tensor that stays as built was computed from a blank parameter.

        A tensor stays as built if its key is not in `filled`: parameters, buffers, and tensors in
        the modules' attributes.
        """
        named_tensors = [
            pair
            for tensors in (model.named_parameters, model.named_buffers)
            for pair in tensors(remove_duplicate=False)
        ]
        replaced = {id(tensor) for key, tensor in named_tensors if key in filled}
        attributes = (
            tensor
            for module in model.modules()
            for name, value in vars(module).items()
            if name not in OF_EVERY_MODULE
            for tensor in _tensors(value)
        )
        remaining = (*(tensor for _, tensor in named_tensors), *attributes)
        return not self._memory.values_seen and not any(
            id(tensor) not in replaced and tensor.numel() and self._memory.is_blank(tensor)
            for tensor in remaining
        )


class _BlankMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The storages of blank parameters, and of tensors that were computed from them.

    A dispatch mode sees each operator, whoever calls it: TorchScript and transforms such as vmap
    included. `values_seen` says whether blank values left torch, as a number or as a shape.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.values_seen = False
        self._blank: set[int] = set()
        self._kept: dict[int, torch.UntypedStorage] = {}

    def keep(self, parameter: nn.Parameter) -> None:
        """Note a blank parameter, and keep its storage while the mode is entered: if it were freed,
        another tensor could get the same address."""
        where = _storage(parameter)
        if where:
            self._blank.add(where)
            self._kept[where] = parameter.untyped_storage()

    def owns(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor lies in a blank parameter's storage."""
        return _storage(tensor) in self._kept

    def is_blank(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor's values are a blank parameter's, or computed from one."""
        return _storage(tensor) in self._blank

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator, and track blank memory through it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self._blank:
            self._follow(func, args, kwargs, result)
        return result

    def _follow(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: object
    ) -> None:
        """Mark results as blank if they come from blank memory, and clear the mark if not."""
        # An operator on a list of tensors, such as _foreach_mul_, writes to them, returning None.
        results = list(_tensors(args[:1] if result is None else result))
        from_blank = any(self.is_blank(tensor) for tensor in _tensors((*args, *kwargs.values())))
        if not from_blank or func.overloadpacket in SIZES_ALONE:
            for tensor in results:
                if not self.owns(tensor):
                    self._blank.discard(_storage(tensor))
            return
        unseen = any(
            tensor.numel() and not _storage(tensor) for tensor in results if not tensor.is_meta
        )
        if unseen or not results or self._reveals(func, args):
            self.values_seen = True
        self._blank.update(filter(None, map(_storage, results)))

    def _reveals(self, func: Any, args: Sequence[Any]) -> bool:
        """Whether the result reveals blank values; indexing does only if the index is blank."""
        if func.overloadpacket is torch.ops.aten.index:
            return any(self.is_blank(tensor) for tensor in _tensors(args[1:]))
        return not VALUE_TAGS.isdisjoint(func.tags)


def _tensors(value: object, depth: int = DEPTH) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif depth and isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part, depth - 1)


def _storage(tensor: torch.Tensor) -> int:
    """The address of the tensor's storage; 0 for a tensor without memory."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0
