"""Finds the state_dicts in a checkpoint's object tree, and the one that is the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple, TypeGuard

from core.checkpoint.containers.budget import STEPS, MoreThanLoupeReads, work_left
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
    LongNumber,
    Opaque,
    Storage,
    Tree,
    UnusualKey,
    each_once,
    inside,
)
from core.checkpoint.pickles.key_names import Names, key_kind, key_text, named, says_all
from core.checkpoint.pickles.numpy_values import array_tensor
from core.checkpoint.tree.fingerprints import NOTHING, Fingerprints
from core.checkpoint.tree.joined_parts import JoinedParts, join_parts, names_part
from core.checkpoint.tree.tensor_entries import EntryMaker
from core.wording import count

MAX_PATH = 1024
"""Characters of a path in the tree. A longer one is shown without its middle."""

MAX_DEPTH = 64
"""Levels of values in a tensor's subclass that are searched for the tensors that it consists of."""

DIGEST_BYTES = 6
"""Bytes of the digest of a key that its name does not say in full."""

MAX_KEY_BYTES = 8 << 20
"""Bytes of such keys that are read, of those that stayed in the file."""

MAX_ALIASES = 256
"""State_dicts that are listed once more, at another path to the same object."""

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

    - a dict, list or set that contains tensors;
    - a list of pairs of a name and a tensor, as `list(model.named_parameters())`;
    - a pickled model, whose parameters and buffers are in the order of `Module.state_dict`;
    - an optimizer's `state`, whose keys become `0.exp_avg`;
    - a dict of numpy arrays, which may have texts and numbers beside them, if the file has no
      weights as tensors but an optimizer's, or if the dict's name is a model's.

    An object is searched once, at the first path to it. A state_dict that another path of dicts and
    lists leads to is listed there too. A tensor subclass without elements of its own, such as
    DTensor, is replaced by the tensors in it: a single one gets its key, several get
    `key.attribute`. Raises CheckpointError where a tensor is damaged, or where the same objects
    have more names than the budget of work allows.
    """
    return _walked(tree, entry).found


class Networks(NamedTuple):
    """The state_dicts of a tree as `find_state_dicts` returns them, and the networks that have
    several. `arrays` are the numpy arrays, by `id`, that are the weights in one of them."""

    state_dicts: dict[str, StateDict]
    joined: dict[str, JoinedParts]
    arrays: frozenset[int]


def find_networks(tree: Tree, entry: EntryMaker) -> Networks:
    """Every state_dict in a tree, and the networks that have several."""
    walk = _walked(tree, entry)
    return Networks(walk.found, join_parts(walk.beside, walk.found), frozenset(walk.arrays))


def _walked(tree: Tree, entry: EntryMaker) -> _Walk:
    walk = _Walk(entry)
    walk.search(tree)
    walk.take_arrays()
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
    nested = [path for path in candidates if path]
    if len(nested) < len(candidates) and nested:
        loose = _weights(state_dicts[""])
        if max(_weights(state_dicts[path]) for path in nested) >= loose:
            candidates = nested
    best = candidates[0]
    if len(candidates) > 1:  # counting the elements of a large one takes time
        best = max(candidates, key=lambda path: state_dicts[path].numel)
    if "student" not in best.split("."):
        return best
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
    return isinstance(value, Opaque) and module_state(value) is not None


def module_state(value: Opaque) -> dict[Key, Tree] | None:
    """The state of a pickled module; None for another object.

    It may be an argument of a call instead: `reduce_graph_module` of torch.fx is called with the
    state of a traced module and its source, and a persistent class (StyleGAN's
    torch_utils/persistence.py) with a dict that has it as `state`.
    """
    state = value.state
    if value.name.startswith("__torch__."):
        return state if isinstance(state, dict) else None
    if _is_modules_state(state):
        return state
    for argument in value.args:
        within = argument.get("state") if isinstance(argument, dict) else None
        for candidate in (argument, within):
            if _is_modules_state(candidate):
                return candidate
    return None


def _is_modules_state(value: Tree) -> TypeGuard[dict[Key, Tree]]:
    return (
        isinstance(value, dict)
        and isinstance(value.get("_parameters"), dict)
        and isinstance(value.get("_modules"), dict)
    )


def parts_of_larger(tree: Tree) -> int:
    """The number of DTensors in the tree that contain only one rank's part of their tensor."""
    values = each_once(tree, lambda value: () if is_dtensor(value) else _children(value).values())
    return sum(
        isinstance(local := _children(value).get(LOCAL_TENSOR), InertTensor)
        and local.shape != value.shape
        for value in values
        if is_dtensor(value)
    )


def is_dtensor(value: Tree) -> TypeGuard[InertSubclass]:
    """Whether a value is a DTensor; its class has been in several modules of torch.distributed."""
    return isinstance(value, InertSubclass) and value.name.rpartition(".")[2] == "DTensor"


def tensors_in(tree: Tree) -> Iterator[InertTensor]:
    """Every tensor in the tree, each once, and the parts of tensors with a form.

    A storage that was saved by itself counts as a tensor of one dimension.
    """
    for value in each_once(tree, _searched_for_tensors):
        if isinstance(value, InertTensor):
            yield value
        elif isinstance(value, Storage):
            yield _bare(value)


def _searched_for_tensors(value: Tree) -> Iterable[Tree]:
    if isinstance(value, InertTensor):
        return _parts(value.form)
    return () if isinstance(value, Storage) else _children(value).values()


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


class _Place(NamedTuple):
    """Where a value lies: its name in the value above, and that one's place; None for the tree.

    `value` is the value there, `depth` the number of names that lead to it. `plain` says that these
    are in dicts, lists and tuples alone.
    """

    above: _Place | None
    name: str
    value: Tree
    plain: bool
    depth: int

    def path(self) -> str:
        """The names from the tree to the value, joined by dots."""
        names: list[str] = []
        place: _Place | None = self
        while place is not None and place.above is not None:
            names.append(place.name)
            place = place.above
        return ".".join(reversed(names))


class _Walk:
    """One search for state_dicts through a tree.

    Each object is searched once, so that the search ends after as many steps as the tree has
    values. `beside` has the paths of state_dicts that are side by side in a dict under names of a
    network's parts, by the path of the dict.
    """

    def __init__(self, entry: EntryMaker) -> None:
        self.entry = entry
        self.found: dict[str, StateDict] = {}
        self.beside: dict[str, list[str]] = {}
        self.work = work_left()
        self._part_of: dict[str, str] = {}
        self._names = Names()
        self._order: list[str] = []
        self._first: dict[int, tuple[_Place, int]] = {}
        self._fruitful: set[int] = set()
        self._digests = Fingerprints(MAX_KEY_BYTES)
        self._aliases = 0
        self._with_arrays: list[_Place] = []
        self.arrays: set[int] = set()

    def search(self, tree: Tree) -> None:
        """Find the state_dicts in a tree, in the order of the file."""
        rest = [_Place(None, "", tree, True, 0)]
        while rest:
            place = rest.pop()
            number = id(place.value)
            first = self._first.get(number)
            if first is None:
                self._first[number] = place, len(self._order)
                rest.extend(reversed(self._visit(place)))
            elif place.plain and number in self._fruitful:
                self._list_again(place, *first)

    def take_arrays(self) -> None:
        """Take dicts of numpy arrays as state_dicts where they are a model's weights.

        Arrays beside a model's tensors are a replay buffer, for example, or a log.
        """
        weights = any(
            _weights(state_dict) and role(path, state_dict) != "optimizer"
            for path, state_dict in self.found.items()
        )
        for place in self._with_arrays:
            own_role = role(self._path(place), StateDict(())) if weights else "model"
            if own_role in ("model", "ema") and (not weights or place.above is not None):
                tensors = _from_arrays(place.value)
                self._add(place, tensors, place.value)
                self.arrays.update(id(item) for _, item in inside(place.value) if tensors)

    def _visit(self, place: _Place) -> list[_Place]:
        """Add the state_dict that a value is, if it is one; the places in it to be searched."""
        value = place.value
        if isinstance(value, TENSORS):
            if place.above is None:
                self._add(place, dict(self.tensors("tensor", value, ())))
            return []
        if isinstance(value, Opaque) and module_state(value) is not None:
            classes: dict[str, str] = {}
            self._add(place, _keyed(self.module(value, classes)), classes=classes)
            return []
        if parameters := _named_parameters(value):
            self._add(place, _keyed(self._all_tensors(parameters)))
            return []
        if isinstance(value, Opaque):
            self.count(_length(value) >> 2)  # many objects may share one state
        # Before each container in it gets a name and a place, which take more memory than it does.
        self.count(2 * sum(type(item) in CONTAINER_TYPES for _, item in inside(value)))
        children = _children(value)
        tensors = {key: item for key, item in children.items() if type(item) is InertTensor}
        expanded = self.expanded(children) if len(tensors) < len(children) else {}
        grouped = self.grouped(value, place)
        if grouped or expanded or tensors:
            self._add(place, grouped or expanded or tensors, value)
        elif isinstance(value, dict) and any(type(item) is InertArray for item in value.values()):
            self._with_arrays.append(place)
        if grouped:
            return []
        plain = place.plain and isinstance(value, dict | list | tuple)
        return [
            _Place(place, key, item, plain, place.depth + 1)
            for key, item in children.items()
            if not isinstance(item, TENSORS)
            and not (expanded and _is_packed(key, item))
            and not (type(item) is InertArray and item.objects is None)
        ]

    def _list_again(self, place: _Place, first: _Place, since: int) -> None:
        """List the state_dicts at and below the first path to an object at another one too."""
        path, prefix = self._path(place), self._path(first)
        above = place.above
        while above is not None:
            if above is first:
                return  # the object contains itself
            above = above.above
        for known in self._order[since:]:
            rest = known[len(prefix) :]
            if not known.startswith(prefix) or (rest and not rest.startswith(".")):
                break
            if self._aliases == MAX_ALIASES:
                break
            self._aliases += 1
            state_dict = self.found[known]
            name = self._listed(path + rest)
            self.found[name] = state_dict.at(name)
            if not rest:
                self._note_part(place, name)
            elif known in self._part_of:
                self._set_beside(path + self._part_of[known][len(prefix) :], name)

    def _add(
        self,
        place: _Place,
        tensors: Mapping[str, InertTensor],
        value: Tree = None,
        classes: Mapping[str, str] | None = None,
    ) -> None:
        """Add the state_dict at a place; `value` is the object with the keys and torch's
        `_metadata`."""
        if not tensors:
            return
        # An entry takes the memory of many steps, and a file may contain the same tensors in many
        # dicts.
        versions = _versions(value)
        self.count(10 + 3 * len(tensors) + len(versions))
        make = self.entry
        entries = [make(key, tensor) for key, tensor in tensors.items()]
        path = self._listed(self._path(place))
        kinds = _key_kinds(value, tensors, self._digests)
        self.found[path] = StateDict(entries, path, versions, classes, kinds)
        self._note_part(place, path)
        above: _Place | None = place
        while above is not None and id(above.value) not in self._fruitful:
            self._fruitful.add(id(above.value))
            above = above.above

    def _path(self, place: _Place) -> str:
        self.count(1 + (place.depth >> 2))  # it takes that long to go up to the tree
        return place.path()

    def _listed(self, path: str) -> str:
        """The path itself, or another name where it is too long or taken."""
        if len(path) > MAX_PATH:
            path = f"{path[: MAX_PATH // 2]}…{path[-MAX_PATH // 2 :]}"
        name = self._names.name(path)
        self._order.append(name)
        return name

    def _note_part(self, place: _Place, path: str) -> None:
        """Note a state_dict that a dict has under the name of a network's part."""
        above = place.above
        if above is not None and isinstance(above.value, dict) and names_part(place.name):
            self._set_beside(self._path(above), path)

    def _set_beside(self, dict_path: str, path: str) -> None:
        if path.startswith(dict_path):  # of a path that is too long, the middle is missing
            self.beside.setdefault(dict_path, []).append(path)
            self._part_of[path] = dict_path

    def expanded(self, children: Mapping[str, Tree]) -> dict[str, InertTensor]:
        """The tensors of a mapping that has subclasses, bare storages or packed parameters.

        Empty where it has none of these.
        """
        if not any(
            isinstance(item, InertSubclass | Storage) or _is_packed(key, item)
            for key, item in children.items()
        ):
            return {}
        return _keyed(
            pair
            for name, item in children.items()
            if isinstance(item, TENSORS) or _is_packed(name, item)
            for pair in self.tensors(name, item, ())
        )

    def tensors(
        self, key: str, value: Tree, above: tuple[int, ...]
    ) -> Iterator[tuple[str, InertTensor]]:
        """The tensors that replace a value: itself, or all tensors in it, by their paths."""
        if isinstance(value, InertTensor):
            yield key, value
        elif isinstance(value, Storage):
            yield key, _bare(value)
        elif id(value) not in above and len(above) < MAX_DEPTH:
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

    def _all_tensors(self, pairs: Iterable[tuple[str, Tree]]) -> Iterator[tuple[str, InertTensor]]:
        for name, value in pairs:
            yield from self.tensors(name, value, ())

    def grouped(self, value: Tree, place: _Place) -> dict[str, InertTensor]:
        """The tensors of an optimizer's `state`, with keys such as `0.exp_avg`; else empty.

        Its dicts of tensors are under numbers, under the names of the parameters, as
        torch/distributed/checkpoint/state_dict.py saves it, or under the parameters themselves in
        an optimizer that was pickled whole. These get the numbers that its state_dict would have.
        """
        if not isinstance(value, dict) or not value:
            return {}
        if not all(isinstance(item, dict) for item in value.values()):
            return {}
        groups: Iterable[tuple[object, Tree]]
        if all(_is_parameter(key) for key in value):
            groups = enumerate(value.values())
        elif all(type(key) is int for key in value):
            groups = value.items()
        elif place.name == "state" and _is_optimizers(self._path(place)):
            groups = named(value.items()).items()
        else:
            return {}
        self.count(sum(len(item) for item in value.values() if isinstance(item, dict)))
        return _keyed(
            pair
            for index, group in groups
            if isinstance(group, dict)
            for name, item in named(group.items()).items()
            if isinstance(item, TENSORS)
            for pair in self.tensors(f"{index}.{name}", item, ())
        )

    def module(self, root: Opaque, classes: dict[str, str]) -> Iterator[tuple[str, InertTensor]]:
        """A module's parameters, its buffers, then those of its submodules.

        This is the order of `state_dict` (torch/nn/modules/module.py). A module that several
        others share is listed under each of its names, as there; but once if modules contain
        themselves, of which there is no state_dict. `classes` gets the class of each module.
        """
        once = _contains_itself(root)
        visited: set[int] = set()
        rest: list[tuple[str, Tree]] = [("", root)]
        while rest:
            key, value = rest.pop()
            if isinstance(value, InertTensor):
                yield key, value
            if not isinstance(value, Opaque) or id(value) in visited:
                continue
            if once:
                visited.add(id(value))
            self.count(1 + (len(key) >> 6))
            classes[key] = value.name
            prefix = f"{key}." if key else ""
            state = module_state(value)
            if state is None:
                yield from self.unusual(value, key, prefix)
                continue
            if not value.name.startswith("__torch__."):
                yield from self._own_tensors(state, prefix)
            below = _submodules(value)
            self.count(len(below))
            rest.extend((f"{prefix}{name}", item) for name, item in reversed(below))

    def _own_tensors(
        self, state: Mapping[Key, Tree], prefix: str
    ) -> Iterator[tuple[str, InertTensor]]:
        """The parameters and buffers of one module."""
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
                    yield from self.tensors(f"{prefix}{key_text(name)}", tensor, ())
        if PACKED_PARAMS in state:
            packed = state[PACKED_PARAMS]
            if isinstance(packed, Opaque) and isinstance(packed.state, tuple) and packed.state:
                packed = packed.state[0]
            yield from self.tensors(f"{prefix}{PACKED_PARAMS}", packed, ())

    def unusual(self, value: Opaque, key: str, prefix: str) -> Iterator[tuple[str, InertTensor]]:
        """The tensors of a module with its own `__getstate__` or `__reduce__`."""
        state = value.state
        if not isinstance(state, tuple) or len(state) != len(CONVOLUTION):
            yield from self.tensors(key, value, ())
            return
        for name, item in zip(CONVOLUTION, state, strict=True):
            if isinstance(item, InertTensor):
                yield f"{prefix}{name}", item

    def count(self, steps: int) -> None:
        self.work.steps -= steps
        if self.work.steps < 0:
            raise MoreThanLoupeReads(
                f"a search for tensors in it takes more than {count(STEPS)} steps"
            )


def _submodules(value: Opaque) -> list[tuple[str, Tree]]:
    """The submodules of a module by their names; of a TorchScript one, its tensors among them."""
    state = module_state(value) or {}
    if value.name.startswith("__torch__."):
        # The attributes and submodules of a TorchScript module are in one dict.
        members = [
            (name, item)
            for name, item in state.items()
            if isinstance(item, InertTensor) or is_module(item)
        ]
    else:
        modules = state.get("_modules")
        members = list(modules.items()) if isinstance(modules, dict) else []
    return [(key_text(name), item) for name, item in members]


def _contains_itself(root: Opaque) -> bool:
    """Whether a module is a submodule of itself, or one in it is."""
    entered, left = {id(root)}, set[int]()
    above = [(id(root), iter(_submodules(root)))]
    while above:
        number, members = above[-1]
        _, member = next(members, ("", None))
        if member is None:
            left.add(number)
            above.pop()
        elif isinstance(member, Opaque):
            if id(member) not in entered:
                entered.add(id(member))
                above.append((id(member), iter(_submodules(member))))
            elif id(member) not in left:
                return True
    return False


def _named_parameters(value: Tree) -> list[tuple[str, Tree]]:
    """The pairs of a list of names and tensors, as `named_parameters` gives; else empty."""
    if not isinstance(value, list | tuple):
        return []
    pairs: list[tuple[str, Tree]] = []
    for item in value:
        if not isinstance(item, list | tuple) or len(item) != 2:
            return []
        name, tensor = item
        if not isinstance(name, str) or not isinstance(tensor, TENSORS):
            return []
        pairs.append((name, tensor))
    return pairs


def _keyed(pairs: Iterable[tuple[str, InertTensor]]) -> dict[str, InertTensor]:
    """Tensors by their keys; a key that another tensor has too gets a number."""
    listed = list(pairs)
    keyed = dict(listed)
    if len(keyed) == len(listed):
        return keyed
    names = Names()
    return {names.name(key): tensor for key, tensor in listed}


def _children(value: Tree) -> dict[str, Tree]:
    """The children of a value that are tensors or may contain some, by their keys in a path."""
    if isinstance(value, dict) and _TEXT.issuperset(map(type, value)):
        return {key: item for key, item in value.items() if type(item) in _KINDS}  # type: ignore[misc]
    children = ((key, item) for key, item in inside(value) if type(item) in _KINDS)
    return named(children, value if isinstance(value, dict) else ())


TENSORS = (InertTensor, InertSubclass, Storage)
"""The types of values that are replaced by one tensor or more."""

_TEXT = frozenset({str})

_KINDS = CONTAINER_TYPES | {InertTensor, Storage}
"""The types of values that are visited in a search for tensors."""


def _is_parameter(key: Key) -> bool:
    return isinstance(key, UnusualKey) and isinstance(key.value, TENSORS)


def _is_optimizers(path: str) -> bool:
    """Whether a path leads to something in an optimizer."""
    *above, _ = path.split(".")
    return any(ROLES.get(part.lower()) == "optimizer" for part in above)


def _is_packed(key: str, value: Tree) -> bool:
    return isinstance(value, tuple) and key.rpartition(".")[2] == PACKED_PARAMS


def _from_arrays(value: Tree) -> dict[str, InertTensor]:
    """The numpy arrays of a dict as tensors; empty where it has anything else but plain values,
    such as the learning rate that a Caffe2 pickle has among its blobs."""
    if not isinstance(value, dict):
        return {}
    arrays = named(
        ((key, item) for key, item in value.items() if isinstance(item, InertArray)), value
    )
    plain = sum(map(_is_plain, value.values()))
    try:
        tensors = {
            key: array_tensor(item) for key, item in arrays.items() if isinstance(item, InertArray)
        }
    except ValueError:
        return {}
    return tensors if len(tensors) + plain == len(value) else {}


PLAIN = (str, bytes, int, float, LongNumber, type(None))
"""Values that say something of a file's arrays and contain none."""


def _is_plain(value: Tree) -> bool:
    """Whether a value is plain, or a list or a dict of plain ones, such as a vocabulary."""
    if isinstance(value, list | tuple | dict):
        items = value.values() if isinstance(value, dict) else value
        return all(isinstance(item, PLAIN) for item in items)
    return isinstance(value, PLAIN)


def _length(value: Tree) -> int:
    """The number of a value's children, without walking through them."""
    if isinstance(value, Opaque):
        return _length(value.state) + len(value.items) + len(value.elements)
    return len(value) if isinstance(value, dict | list | tuple) else 0


def _key_kinds(value: Tree, tensors: Iterable[str], digests: Fingerprints) -> dict[str, str]:
    """What each key of a state_dict is that is not text in `value`, by its name."""
    if isinstance(value, list | tuple | set):
        return dict.fromkeys(tensors, "in a list")
    if all(type(key) is str for key, _ in inside(value)):
        return {}
    if isinstance(value, dict) and all(
        (type(key) is int and says_all(key)) or _is_parameter(key) for key in value
    ):
        return dict.fromkeys(tensors, "int")  # an optimizer's parameters have numbers as names
    keys = (key for key, item in inside(value) if type(item) in _KINDS)
    of_children = {
        name: _kind(key, digests)
        for name, key in zip(_children(value), keys, strict=True)
        if type(key) is not str
    }
    kinds = {}
    for key in tensors:
        name = key
        while name and name not in of_children:  # a part of a child has its name in front
            name = name.rpartition(".")[0]
        if name:
            kinds[key] = of_children[name]
    return kinds


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


def _kind(key: Key, digests: Fingerprints) -> str:
    """What a key is, which differs for different keys of the same name."""
    if says_all(key):
        return key_kind(key)
    digest = digests.of(key.value if isinstance(key, UnusualKey) else key)
    words = key_kind(key)
    short = blake2b(digest, digest_size=DIGEST_BYTES).hexdigest()
    return words if digest == NOTHING else f"{words}, digest {short}"
