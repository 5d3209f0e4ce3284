"""A model as its constructor made it, without its weights, so that it can be made again quickly.

Making it from a blueprint takes a fraction of the time that the constructors of hundreds of modules
take.
"""

from __future__ import annotations

import io
import pickle
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

MAX_BYTES = 64 << 20
"""Bytes that all blueprints together may take. ResNet-18 takes 0.05 MB, DenseNet-121 0.4 MB."""

ENTRY_BYTES = 1 << 10
"""Bytes that each entry counts besides, so that entries without a blueprint are bounded too."""

LARGEST = MAX_BYTES // 8
"""Bytes that one blueprint may take; only the few models with large buffers would take more."""


@dataclass(frozen=True, slots=True)
class _Weights:
    """A parameter that a checkpoint is to fill: its shape and dtype, without values."""

    shape: torch.Size
    dtype: torch.dtype
    requires_grad: bool

    def tensor(self) -> torch.Tensor:
        """A new parameter on the CPU, its memory uninitialised."""
        return nn.Parameter(torch.empty(self.shape, dtype=self.dtype), self.requires_grad)


class Blueprint:
    """The modules of a model as bytes, its parameters' shapes, and the values of its other tensors.

    The bytes are Python's pickle of the modules. They are written and read in this process only,
    and contain nothing that comes from a checkpoint. The model that they give is the one that
    copy.deepcopy would give: tied parameters stay tied.
    """

    def __init__(
        self,
        modules: bytes,
        tensors: Sequence[_Weights | torch.Tensor],
        names: Sequence[frozenset[str]],
    ) -> None:
        """`tensors` are in the order of the numbers in `modules`; `names` has, for each parameter,
        its names in the model: more than one where it is tied."""
        self._modules = modules
        self._tensors = tensors
        self._names = names
        values = (tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))
        self.nbytes = len(modules) + sum(values)

    def serves(self, filled: Collection[str]) -> bool:
        """Whether a file that fills these keys gives every parameter its values."""
        return all(any(name in filled for name in names) for names in self._names)

    def model(self) -> nn.Module:
        """A new model on the CPU; its parameters' memory is uninitialised."""
        model: nn.Module = _Reader(self._modules, self._tensors).load()
        return model


def blueprint_of(model: nn.Module) -> Blueprint | None:
    """The blueprint of a model that its constructor just made; parameters may be on `meta`.

    None where the model contains something that cannot be copied exactly (functions without a name,
    tensors that share memory, buffers on the meta device, tensors that are not strided), and where
    the blueprint would take more bytes than LARGEST.
    """
    writer = _Writer()
    try:
        modules = writer.written(model)
    except Exception:  # modules' own code, which may raise anything where it cannot be pickled
        return None
    names: dict[int, set[str]] = {id(parameter): set() for parameter in writer.parameters}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)].add(name)
    if not all(names.values()):
        return None  # a parameter that belongs to no module has no key that a file could fill
    blueprint = Blueprint(modules, tuple(writer.tensors), tuple(map(frozenset, names.values())))
    return blueprint if blueprint.nbytes <= LARGEST else None


class _CannotBeCopied(Exception):
    """A tensor has something besides its shape, dtype and values, such as a storage it shares."""


class _Writer(pickle.Pickler):
    """Pickles a model's modules, and lists their tensors."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        super().__init__(self._file, protocol=pickle.HIGHEST_PROTOCOL)
        self.tensors: list[_Weights | torch.Tensor] = []
        self.parameters: list[nn.Parameter] = []
        self._storages: set[int] = set()

    def written(self, model: nn.Module) -> bytes:
        """The model's pickle; raises whatever the modules' own code raises."""
        self.dump(model)
        return self._file.getvalue()

    def reducer_override(self, value: Any) -> Any:
        """Write a tensor as its number in `tensors`."""
        if not isinstance(value, torch.Tensor):
            return NotImplemented
        self.tensors.append(self._described(value))
        return _tensor, (len(self.tensors) - 1,)

    def _described(self, tensor: torch.Tensor) -> _Weights | torch.Tensor:
        if tensor.layout != torch.strided or not tensor.is_contiguous() or tensor.__dict__:
            raise _CannotBeCopied
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage._cdata in self._storages:
            raise _CannotBeCopied  # it is a view of a larger storage, or shares one
        self._storages.add(storage._cdata)
        if type(tensor) is nn.Parameter:
            self.parameters.append(tensor)
            return _Weights(tensor.shape, tensor.dtype, tensor.requires_grad)
        if type(tensor) is not torch.Tensor or tensor.device.type != "cpu" or tensor.requires_grad:
            raise _CannotBeCopied
        return tensor.clone()


class _Reader(pickle.Unpickler):
    """Makes the modules again from their pickle, with new tensors."""

    def __init__(self, modules: bytes, tensors: Sequence[_Weights | torch.Tensor]) -> None:
        super().__init__(io.BytesIO(modules))

        # No method: the memo holds what `find_class` gives and all that is made, and the collector
        # of Python 3.11.2, which is Debian 12's, does not see a cycle through it: every model that
        # was made would stay in memory.
        def new_tensor(number: int) -> torch.Tensor:
            tensor = tensors[number]
            return tensor.tensor() if isinstance(tensor, _Weights) else tensor.clone()

        self._new_tensor = new_tensor

    def find_class(self, module: str, name: str) -> Any:
        """A class of a module, which was imported when the model was built."""
        if (module, name) == (__name__, _tensor.__name__):
            return self._new_tensor
        return super().find_class(module, name)


def _tensor(number: int) -> torch.Tensor:
    """Stands in the pickle for a tensor; a _Reader replaces it by a function of its own."""
    raise NotImplementedError(number)


class Blueprints:
    """A cache of blueprints by the architecture's key; safe to use from several threads.

    Beyond `max_bytes`, those used longest ago are dropped. None is remembered for an architecture
    that has no blueprint.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._nbytes = 0
        self._known: OrderedDict[str, Blueprint | None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def get(self, key: str) -> Blueprint | None:
        """The architecture's blueprint; None where it has none, or was never put."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def put(self, key: str, blueprint: Blueprint | None) -> None:
        """Remember the architecture's blueprint, or that it has none."""
        with self._lock:
            self._forget(key)
            self._known[key] = blueprint
            self._nbytes += _nbytes(blueprint)
            while self._nbytes > self._max_bytes:
                self._forget(next(iter(self._known)))

    def _forget(self, key: str) -> None:
        if key in self._known:
            self._nbytes -= _nbytes(self._known.pop(key))


def _nbytes(blueprint: Blueprint | None) -> int:
    return ENTRY_BYTES + (blueprint.nbytes if blueprint else 0)
