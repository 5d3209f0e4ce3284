"""Finds the state_dicts in a checkpoint's object tree, and the one that is the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from core.checkpoint.containers.budget import work_left
from core.checkpoint.entries import StateDict, TensorEntry, is_float_dtype
from core.checkpoint.pickles.inert import (
    CONTAINER_TYPES,
    InertArray,
    InertDict,
    InertForm,
    InertNested,
    InertQuantized,
    InertSparse,
    InertSubclass,
    InertTensor,
    Key,
    Opaque,
    Storage,
    Tree,
    inside,
)
from core.checkpoint.pickles.numpy_values import array_tensor
from core.checkpoint.tree.joined_parts import JoinedParts, join_parts, names_part
from core.checkpoint.tree.tensor_entries import EntryMaker
from core.errors import CheckpointError

MAX_DEPTH = 64
"""Levels of the tree that are searched for tensors."""

MAX_PATH = 1024
"""Characters of a path in the tree; what is below a longer one is not searched."""

ROLES: Mapping[str, str] = {
    "state_dict": "model",
    "model": "model",
    "model_state_dict": "model",
    "model_state": "model",
    "net": "model",
    "network": "model",
    "weights": "model",
    "params": "model",
    "module": "model",
    "generator": "model",
    "discriminator": "model",
    "student": "model",
    "encoder_q": "model",
    "ema": "ema",
    "model_ema": "ema",
    "ema_model": "ema",
    "state_dict_ema": "ema",
    "ema_state_dict": "ema",
    "model_ema_state_dict": "ema",
    "params_ema": "ema",
    "shadow": "ema",
    "shadow_params": "ema",
    "average_model": "ema",
    "teacher": "ema",
    "encoder_k": "ema",
    "optimizer": "optimizer",
    "optimizers": "optimizer",
    "optimizer_state_dict": "optimizer",
    "optimizer_states": "optimizer",
    "optim": "optimizer",
    "opt": "optimizer",
    "opt_state": "optimizer",
    "lr_scheduler": "optimizer",
    "scheduler": "optimizer",
    "amp": "optimizer",
    "scaler": "optimizer",
}
"""The names that training scripts give to the parts of their checkpoints, and their roles."""

RANKS = ("model", "ema", "other", "optimizer")
"""The roles in the order in which a state_dict is preferred as the model, the best first."""

NEARLY = 0.8
"""The share of the larger one's tensors that two copies of a network have in common: one may be
without its head. A teacher of another make is what its student learned from."""


def find_state_dicts(tree: Tree, entry: EntryMaker) -> dict[str, StateDict]:
    """Every state_dict in the tree by its path (`""` for the tree itself), in file order.

    A state_dict is one of these:

    - a dict or list that contains tensors;
    - a pickled model, whose parameters and buffers are in the order of `Module.state_dict`;
    - an optimizer's `state`, whose keys become `0.exp_avg`;
    - in a file without tensors, a dict of numpy arrays, which may have texts and numbers beside
      them.

    A tensor subclass without elements of its own, such as DTensor, is replaced by the tensors in
    it: a single one gets its key, several get `key.attribute`. Raises CheckpointError where a
    tensor is damaged, or the nesting exceeds the budget of work.
    """
    return _walked(tree, entry).found


def find_networks(
    tree: Tree, entry: EntryMaker
) -> tuple[dict[str, StateDict], dict[str, JoinedParts]]:
    """Every state_dict as `find_state_dicts` returns them, and the networks that have several."""
    walk = _walked(tree, entry)
    return walk.found, join_parts(walk.beside, walk.found)


def _walked(tree: Tree, entry: EntryMaker) -> _Walk:
    walk = _Walk(entry)
    walk.visit(tree, "", ())
    if walk.saw_arrays and not walk.found:
        walk = _Walk(entry, take_arrays=True)
        walk.visit(tree, "", ())
    return walk


def role(path: str, state_dict: StateDict) -> str:
    """The role of a state_dict by the names in its path: `model`, `ema`, `optimizer`, `other`."""
    if not path:
        return "model"
    # Whole names, where names_average in core/keys/vocabulary.py looks for words in them. The role
    # decides what is opened first, and weights wrongly called an EMA would come second.
    roles = [ROLES[part.lower()] for part in path.split(".") if part.lower() in ROLES]
    for strong in ("optimizer", "ema"):
        if strong in roles:
            return strong
    return "model" if roles or state_dict.versions else "other"


def best_path(roles: Mapping[str, str], state_dicts: Mapping[str, StateDict]) -> str:
    """The path of the state_dict that is most likely meant: of the best role, the largest.

    Tensors directly in the tree's top level are not preferred to a state_dict with as many weights:
    they are a random state, for example, or features. A teacher is preferred to its student,
    whichever of the two has a head: after such a training it is what is used.
    """
    first = min(roles.values(), key=RANKS.index)
    candidates = [path for path in state_dicts if roles[path] == first]
    weights = {path: _weights(state_dicts[path]) for path in candidates}
    loose = weights.pop("", 0)
    if weights and max(weights.values()) >= loose:
        candidates = list(weights)
    best = max(candidates, key=lambda path: state_dicts[path].numel)
    teacher = ".".join("teacher" if part == "student" else part for part in best.split("."))
    if teacher in state_dicts and _are_alike(state_dicts[teacher], state_dicts[best]):
        return teacher
    return best


def _are_alike(teacher: StateDict, student: StateDict) -> bool:
    """Whether a teacher is of its student's make: all that it has is, or nearly all of both."""
    if not _shapes(teacher.values()) - _shapes(student.values()):
        return True
    # A teacher may be of parameters alone, so vectors, among them statistics, do not count.
    one, other = (
        _shapes(entry for entry in each.values() if len(entry.shape) > 1)
        for each in (teacher, student)
    )
    return nearly_alike(one, other)


def nearly_alike(one: Counter[tuple[int, ...]], other: Counter[tuple[int, ...]]) -> bool:
    """Whether two networks, of which each shape is counted, have nearly the same shapes."""
    return 0 < max(one.total(), other.total()) * NEARLY <= (one & other).total()


def _shapes(entries: Iterable[TensorEntry]) -> Counter[tuple[int, ...]]:
    return Counter(entry.shape for entry in entries)


def _weights(state_dict: StateDict) -> int:
    return sum(is_float_dtype(entry.dtype) for entry in state_dict.values())


def is_module(value: Tree) -> bool:
    """Whether a value is a pickled torch.nn.Module, or a TorchScript one."""
    if not isinstance(value, Opaque):
        return False
    if value.name.startswith("__torch__."):
        return isinstance(value.state, dict)
    return (
        isinstance(value.state, dict)
        and isinstance(value.state.get("_parameters"), dict)
        and isinstance(value.state.get("_modules"), dict)
    )


def parts_of_larger(tree: Tree) -> int:
    """The number of DTensors in the tree that contain only one rank's part of their tensor."""
    visited: set[int] = set()
    rest, count = [tree], 0
    while rest:
        value = rest.pop()
        if id(value) in visited:
            continue
        visited.add(id(value))
        children = _children(value)
        if is_dtensor(value):
            local = children.get(LOCAL_TENSOR)
            assert isinstance(value, InertSubclass)
            count += isinstance(local, InertTensor) and local.shape != value.shape
        else:
            rest.extend(children.values())
    return count


def is_dtensor(value: Tree) -> bool:
    """Whether a value is a DTensor; its class has been in several modules of torch.distributed."""
    return isinstance(value, InertSubclass) and value.name.rpartition(".")[2] == "DTensor"


def tensors_in(tree: Tree) -> Iterator[InertTensor]:
    """Every tensor in the tree, each once, and the parts of tensors with a form.

    A storage that was saved by itself counts as a tensor of one dimension.
    """
    visited: set[int] = set()
    rest = [tree]
    while rest:
        value = rest.pop()
        if id(value) in visited:
            continue
        visited.add(id(value))
        if isinstance(value, InertTensor):
            yield value
            rest.extend(_parts(value.form))
        elif isinstance(value, Storage):
            yield _bare(value)
        else:
            rest.extend(_children(value).values())


def _parts(form: InertForm | None) -> list[Tree]:
    match form:
        case InertQuantized(_, scale, zero_point):
            return [scale, zero_point]
        case InertSparse(_, parts):
            return list(parts.values())
        case InertNested(sizes, strides, offsets):
            return [sizes, strides, offsets]
        case _:
            return []


def _bare(storage: Storage) -> InertTensor:
    return InertTensor(storage, storage.dtype, (storage.numel,), (1,), 0)


CONVOLUTION = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation"),
    *("transposed", "output_padding", "groups", "padding_mode", "weight", "bias", "scale"),
    *("zero_point", "training"),
)
"""The state of a pickled quantized convolution (torch/ao/nn/quantized/modules/conv.py,
__getstate__)."""

LOCAL_TENSOR = "_local_tensor"
"""The attribute of a DTensor that has its elements; its device mesh contains a tensor too."""

PACKED_PARAMS = "_packed_params"
"""The name under which a quantized linear layer keeps its weight and bias as one object, in its
state_dict too (torch/ao/nn/quantized/modules/linear.py, LinearPackedParams)."""


class _Walk:
    """One search for state_dicts through a tree, with its limits.

    `barren` has the ids of values in which no tensor was found, so that a shared one is searched
    once. `beside` has the paths of state_dicts that are side by side in a dict under names of a
    network's parts, by the path of the dict.
    """

    def __init__(self, entry: EntryMaker, *, take_arrays: bool = False) -> None:
        self.entry = entry
        self.take_arrays = take_arrays
        self.saw_arrays = False
        self.found: dict[str, StateDict] = {}
        self.beside: dict[str, list[str]] = {}
        self.classes: dict[str, str] = {}
        self.work = work_left()
        self.barren: set[int] = set()

    def visit(self, value: Tree, path: str, above: tuple[int, ...]) -> bool:
        """Search a value for state_dicts; False where it can contain none, under any path.

        `above` has the ids of the values around it, so that a cycle ends.
        """
        if isinstance(value, TENSORS):
            if not path:
                self.add(path, dict(self.tensors("tensor", value, ())))
            return True
        if is_module(value):
            self.classes = {}
            self.add(path, dict(self.module(value, "", ())), classes=self.classes)
            return True
        if type(value) is InertArray:
            self.saw_arrays = True
        number = id(value)
        if number in self.barren:
            return False
        if number in above or len(above) >= MAX_DEPTH:
            return True
        fruitful = self.visit_inside(value, path, (*above, number))
        if not fruitful:
            self.barren.add(number)
        return fruitful

    def visit_inside(self, value: Tree, path: str, above: tuple[int, ...]) -> bool:
        children = _children(value)
        tensors = {key: item for key, item in children.items() if type(item) is InertTensor}
        inner = len(tensors) < len(children) and self.expanded(children)
        tensors = inner or tensors
        if self.take_arrays and not tensors:
            tensors = _from_arrays(value)
        self.count(2 + (_length(value) >> 4) + len(children) - len(tensors))
        grouped = self.grouped(value, path)
        if tensors or grouped:
            self.add(path, grouped or tensors, value)
        if grouped or (len(tensors) == len(children) and not inner):
            return bool(children)
        fruitful = bool(tensors)
        for key, item in children.items():
            below = f"{path}.{key}" if path else key
            if type(item) is InertTensor or (inner and _is_packed(key, item)):
                continue
            if len(below) > MAX_PATH or self.visit(item, below, above):
                fruitful = True
            if isinstance(value, dict) and below in self.found and names_part(key):
                self.beside.setdefault(path, []).append(below)
        return fruitful

    def expanded(self, children: Mapping[str, Tree]) -> dict[str, InertTensor]:
        """The tensors of a mapping that has subclasses, bare storages or packed parameters.

        Empty where it has none of these.
        """
        if not any(
            isinstance(item, InertSubclass | Storage) or _is_packed(key, item)
            for key, item in children.items()
        ):
            return {}
        return {
            key: tensor
            for name, item in children.items()
            if isinstance(item, TENSORS) or _is_packed(name, item)
            for key, tensor in self.tensors(name, item, ())
        }

    def tensors(
        self, key: str, value: Tree, above: tuple[int, ...]
    ) -> Iterator[tuple[str, InertTensor]]:
        """The tensors that replace a value: itself, or all tensors in it, by their paths."""
        if isinstance(value, InertTensor):
            yield key, value
        elif isinstance(value, Storage):
            yield key, _bare(value)
        elif id(value) not in above and len(above) < MAX_DEPTH and len(key) <= MAX_PATH:
            children = _children(value)
            if is_dtensor(value):
                children = {name: item for name, item in children.items() if name == LOCAL_TENSOR}
            self.count(2 + (_length(value) >> 4) + len(children))
            below = (*above, id(value))
            pairs = [
                pair
                for name, item in children.items()
                for pair in self.tensors(f"{key}.{name}", item, below)
            ]
            if not isinstance(value, InertSubclass) or len(pairs) > 1:
                yield from pairs
            elif pairs:
                yield key, pairs[0][1]
            else:
                shape, stride = value.shape, value.stride
                yield key, InertTensor(None, value.dtype, shape, stride, 0, value.requires_grad)

    def grouped(self, value: Tree, path: str) -> dict[str, InertTensor]:
        """The tensors of an optimizer's `state`, with keys such as `0.exp_avg`; else empty.

        Its dicts of tensors are under numbers, or under the names of the parameters, as
        torch/distributed/checkpoint/state_dict.py saves it.
        """
        if not isinstance(value, dict) or not value:
            return {}
        if not all(isinstance(item, dict) for item in value.values()):
            return {}
        if not all(type(key) is int for key in value) and not _is_optimizers_state(path):
            return {}
        self.count(sum(len(item) for item in value.values() if isinstance(item, dict)))
        return {
            key: tensor
            for index, group in value.items()
            if isinstance(group, dict)
            for name, item in group.items()
            if isinstance(item, TENSORS)
            for key, tensor in self.tensors(f"{index}.{name}", item, ())
        }

    def module(
        self, value: Tree, prefix: str, above: tuple[int, ...]
    ) -> Iterator[tuple[str, InertTensor]]:
        """A module's parameters, its buffers, then those of its submodules.

        This is the order of `state_dict` (torch/nn/modules/module.py).
        """
        if id(value) in above or len(above) >= MAX_DEPTH or len(prefix) > MAX_PATH:
            return
        if not isinstance(value, Opaque):
            return
        self.classes[prefix[:-1]] = value.name
        if not is_module(value):
            yield from self.unusual(value, prefix, above)
            return
        assert isinstance(value.state, dict)
        state = value.state
        below = (*above, id(value))
        if value.name.startswith("__torch__."):
            yield from self.scripted(state, prefix, below)
            return
        skipped = state.get("_non_persistent_buffers_set")
        for group in ("_parameters", "_buffers"):
            members = state.get(group)
            if not isinstance(members, dict):
                continue
            self.count(len(members) + 1)
            for name, tensor in members.items():
                if not isinstance(tensor, TENSORS):
                    continue
                if group == "_parameters" or not isinstance(skipped, set) or name not in skipped:
                    yield from self.tensors(f"{prefix}{name}", tensor, ())
        if PACKED_PARAMS in state:
            packed = state[PACKED_PARAMS]
            if isinstance(packed, Opaque) and isinstance(packed.state, tuple) and packed.state:
                packed = packed.state[0]
            yield from self.tensors(f"{prefix}{PACKED_PARAMS}", packed, below)
        modules = state.get("_modules")
        if isinstance(modules, dict):
            self.count(len(modules) + 1)
            for name, inner in modules.items():
                yield from self.module(inner, f"{prefix}{name}.", below)

    def unusual(
        self, value: Opaque, prefix: str, above: tuple[int, ...]
    ) -> Iterator[tuple[str, InertTensor]]:
        """The tensors of a module with its own `__getstate__` or `__reduce__`."""
        state = value.state
        if not isinstance(state, tuple) or len(state) != len(CONVOLUTION):
            yield from self.tensors(prefix[:-1], value, above)
            return
        for name, item in zip(CONVOLUTION, state, strict=True):
            if isinstance(item, InertTensor):
                yield f"{prefix}{name}", item

    def scripted(
        self, state: Mapping[Key, Tree], prefix: str, above: tuple[int, ...]
    ) -> Iterator[tuple[str, InertTensor]]:
        """The tensors of a TorchScript module, whose attributes and submodules are in one dict."""
        self.count(len(state) + 1)
        for name, item in state.items():
            if isinstance(item, InertTensor):
                yield f"{prefix}{name}", item
            elif is_module(item):
                yield from self.module(item, f"{prefix}{name}.", above)

    def add(
        self,
        path: str,
        tensors: Mapping[str, InertTensor],
        value: Tree = None,
        classes: Mapping[str, str] | None = None,
    ) -> None:
        """Add the state_dict at a path; `value` is the object with torch's `_metadata`."""
        if tensors:
            # An entry takes the memory of many steps, and a file may contain the same tensors at
            # many paths.
            versions = _versions(value)
            self.count(10 + 3 * len(tensors) + len(versions))
            make = self.entry
            entries = [make(key, tensor) for key, tensor in tensors.items()]
            self.found[path] = StateDict(entries, path, versions, classes)

    def count(self, steps: int) -> None:
        self.work.steps -= steps
        if self.work.steps < 0:
            raise CheckpointError(
                "The file contains more objects, or the same ones at more paths, than any "
                "checkpoint does.",
                "It was made to keep a reader busy: get it from a source you trust.",
            )


def _children(value: Tree) -> dict[str, Tree]:
    """The children of a value that are tensors or may contain some, by their keys in a path."""
    return {str(key): item for key, item in inside(value) if type(item) in _KINDS}


TENSORS = (InertTensor, InertSubclass, Storage)
"""The types of values that are replaced by one tensor or more."""

_KINDS = CONTAINER_TYPES | {InertTensor, Storage}
"""The types of values that are visited in a search for tensors."""


def _is_optimizers_state(path: str) -> bool:
    *above, last = path.split(".")
    return last == "state" and any(ROLES.get(part.lower()) == "optimizer" for part in above)


def _is_packed(key: str, value: Tree) -> bool:
    return isinstance(value, tuple) and key.rpartition(".")[2] == PACKED_PARAMS


def _from_arrays(value: Tree) -> dict[str, InertTensor]:
    """The numpy arrays of a dict as tensors; empty where it has anything else but plain values,
    such as the learning rate that a Caffe2 pickle has among its blobs."""
    if not isinstance(value, dict):
        return {}
    arrays = {str(key): item for key, item in value.items() if isinstance(item, InertArray)}
    plain = sum(isinstance(item, PLAIN) for item in value.values())
    try:
        tensors = {key: array_tensor(item) for key, item in arrays.items()}
    except ValueError:
        return {}
    return tensors if len(tensors) + plain == len(value) else {}


PLAIN = (str, bytes, int, float, type(None))
"""Values that say something of a file's arrays and contain none."""


def _length(value: Tree) -> int:
    """The number of a value's children, without walking through them."""
    if isinstance(value, Opaque):
        return _length(value.state) + len(value.items) + len(value.elements)
    return len(value) if isinstance(value, dict | list | tuple) else 0


def _versions(value: Tree) -> dict[str, int]:
    """The versions in torch's `_metadata`, by module path."""
    attributes = value.attributes if isinstance(value, InertDict) else None
    if isinstance(value, Opaque):  # an object of a subclass of OrderedDict
        attributes = value.state
    metadata = attributes.get("_metadata") if isinstance(attributes, dict) else None
    if not isinstance(metadata, dict):
        return {}
    versions = {}
    for module, facts in metadata.items():
        version = facts.get("version") if isinstance(facts, dict) else None
        if isinstance(module, str) and type(version) is int:
            versions[module] = version
    return versions
