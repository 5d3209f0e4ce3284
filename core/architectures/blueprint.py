"""A network as its constructor made it, without its weights: to make it again in a fraction of the
time that the constructors of hundreds of modules take."""

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
"""What all blueprints together may take. ResNet-18 takes 0.05 MB, DenseNet-121 0.4 MB."""

ENTRY_BYTES = 1 << 10
"""What an entry takes besides, so that those without a blueprint are bounded too."""

LARGEST = MAX_BYTES // 8
"""What one may take; only networks with large tables, which few are, would take more."""


@dataclass(frozen=True, slots=True)
class _Weights:
    """A parameter, which a file is to fill: memory without values."""

    shape: torch.Size
    dtype: torch.dtype
    requires_grad: bool

    def tensor(self) -> torch.Tensor:
        """A new one."""
        return nn.Parameter(torch.empty(self.shape, dtype=self.dtype), self.requires_grad)


class Blueprint:
    """The modules of a model as bytes, its parameters' shapes, and the values of its other tensors.

    The bytes are Python's pickle of the modules. They are written and read in this process only,
    and hold nothing that comes from a checkpoint. What is made of them is what copy.deepcopy makes
    of a model: tied parameters stay tied.
    """

    def __init__(
        self,
        modules: bytes,
        tensors: Sequence[_Weights | torch.Tensor],
        names: Sequence[frozenset[str]],
    ) -> None:
        """`tensors` by the numbers that the bytes name; `names` are each parameter's names."""
        self._modules = modules
        self._tensors = tensors
        self._names = names
        values = (each.nbytes for each in tensors if isinstance(each, torch.Tensor))
        self.nbytes = len(modules) + sum(values)

    def serves(self, filled: Collection[str]) -> bool:
        """Whether a file that fills these keys leaves no parameter without values."""
        return all(any(name in filled for name in names) for names in self._names)

    def model(self) -> nn.Module:
        """A new model on the CPU; its parameters' memory is not touched."""
        made: nn.Module = _Reader(self._modules, self._tensors).load()
        return made


def blueprint_of(model: nn.Module) -> Blueprint | None:
    """What the same model can be made of again, given one that comes from its constructor, whose
    parameters may be on the meta device.

    None where it holds what cannot be copied exactly: functions without a name, tensors that share
    memory, buffers on the meta device, tensors of other layouts; or more bytes than LARGEST.
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
        return None  # no file fills a parameter that is no module's
    blueprint = Blueprint(modules, tuple(writer.tensors), tuple(map(frozenset, names.values())))
    return blueprint if blueprint.nbytes <= LARGEST else None


class _CannotBeCopied(Exception):
    """A tensor that is more than its shape and values."""


class _Writer(pickle.Pickler):
    """Writes a model's modules, and lists the tensors that it meets."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        super().__init__(self._file, protocol=pickle.HIGHEST_PROTOCOL)
        self.tensors: list[_Weights | torch.Tensor] = []
        self.parameters: list[nn.Parameter] = []
        self._storages: set[int] = set()

    def written(self, model: nn.Module) -> bytes:
        """The bytes; raises whatever the modules' own code raises."""
        self.dump(model)
        return self._file.getvalue()

    def reducer_override(self, value: Any) -> Any:
        """A tensor is written as its number."""
        if not isinstance(value, torch.Tensor):
            return NotImplemented
        self.tensors.append(self._described(value))
        return _tensor, (len(self.tensors) - 1,)

    def _described(self, tensor: torch.Tensor) -> _Weights | torch.Tensor:
        if tensor.layout != torch.strided or not tensor.is_contiguous() or tensor.__dict__:
            raise _CannotBeCopied
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage._cdata in self._storages:
            raise _CannotBeCopied  # a part of another, or all of it
        self._storages.add(storage._cdata)
        if type(tensor) is nn.Parameter:
            self.parameters.append(tensor)
            return _Weights(tensor.shape, tensor.dtype, tensor.requires_grad)
        if type(tensor) is not torch.Tensor or tensor.device.type != "cpu" or tensor.requires_grad:
            raise _CannotBeCopied
        return tensor.clone()


class _Reader(pickle.Unpickler):
    """Makes the modules again, with new tensors."""

    def __init__(self, modules: bytes, tensors: Sequence[_Weights | torch.Tensor]) -> None:
        super().__init__(io.BytesIO(modules))
        self._tensors = tensors

    def find_class(self, module: str, name: str) -> Any:
        """The modules' classes, which were imported when the model was built."""
        if (module, name) == (__name__, _tensor.__name__):
            return self._new_tensor
        return super().find_class(module, name)

    def _new_tensor(self, number: int) -> torch.Tensor:
        found = self._tensors[number]
        return found.tensor() if isinstance(found, _Weights) else found.clone()


def _tensor(number: int) -> torch.Tensor:
    """What a tensor is written as. Only a _Reader can read it, with its own function."""
    raise NotImplementedError(number)


class Blueprints:
    """The blueprints of architectures by their keys, the least recently used dropped beyond
    `max_bytes`; None is remembered of an architecture that has none. Safe to use from several
    threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._nbytes = 0
        self._known: OrderedDict[str, Blueprint | None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: str) -> bool:
        return key in self._known

    @property
    def nbytes(self) -> int:
        """What they take now."""
        return self._nbytes

    def get(self, key: str) -> Blueprint | None:
        """The blueprint, if there is one."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def put(self, key: str, blueprint: Blueprint | None) -> None:
        """Remember it."""
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
