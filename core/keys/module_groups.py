"""The keys of a state_dict by module, for a table: `stage2`, or `blocks.0` where nearly all lies in
`blocks`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

MAX_PARTS = 32
"""Parts of a dotted key that are told apart; what lies deeper counts as one part."""

LARGE = 40
"""The most keys of a module that stays whole, however large its share of all keys is."""


@dataclass(frozen=True, slots=True)
class ModuleGroup:
    """The keys of one module, or keys that no module has in common if `path` is None."""

    path: str | None
    keys: tuple[str, ...]


@dataclass(slots=True)
class _Module:
    """A module with all keys below it, of which `own` are its own parameters."""

    path: str
    keys: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    modules: dict[str, _Module] = field(default_factory=dict)


def module_groups(keys: Iterable[str]) -> tuple[ModuleGroup, ...]:
    """The keys by their outermost modules, in the order of each module's first key.

    Modules that only wrap a single other one are passed, such as DataParallel's `module`. A module
    with more than half of the keys is replaced by the modules in it. A module with one key is no
    group: such keys stand alone, as do those outside all modules.
    """
    root = _grown(dict.fromkeys(keys))
    positions = {key: position for position, key in enumerate(root.keys)}
    groups = [group for group in _parted(_innermost(root), len(root.keys)) if group.keys]
    groups.sort(key=lambda group: positions[group.keys[0]])
    return tuple(_joined(groups))


def open_at_first(sizes: Sequence[int], room: int) -> frozenset[int]:
    """Which of the groups of so many rows are open in a table with room for so many lines: the
    smallest ones, as long as all lines have room."""
    lines = len(sizes)
    opened = set()
    for group in sorted(range(len(sizes)), key=sizes.__getitem__):
        lines += sizes[group]
        if lines > room:
            break
        opened.add(group)
    return frozenset(opened)


def _grown(keys: Collection[str]) -> _Module:
    root = _Module("")
    for key in keys:
        module = root
        module.keys.append(key)
        *parts, _leaf = key.split(".", MAX_PARTS)
        for part in parts:
            if part not in module.modules:
                path = f"{module.path}.{part}" if module is not root else part
                module.modules[part] = _Module(path)
            module = module.modules[part]
            module.keys.append(key)
        module.own.append(key)
    return root


def _innermost(root: _Module) -> _Module:
    """The module below those that only wrap a single other one with modules in it."""
    while len(root.modules) == 1 and not root.own:
        (inner,) = root.modules.values()
        if not inner.modules:
            break
        root = inner
    return root


def _parted(module: _Module, total: int) -> Iterator[ModuleGroup]:
    yield from (ModuleGroup(None, (key,)) for key in module.own)
    for inner in module.modules.values():
        if len(inner.keys) == 1:
            yield ModuleGroup(None, tuple(inner.keys))
        elif len(inner.keys) > max(LARGE, total / 2) and _has_parts(inner):
            yield from _parted(_innermost(inner), total)
        else:
            yield ModuleGroup(inner.path, tuple(inner.keys))


def _has_parts(module: _Module) -> bool:
    """Whether its modules make groups: most of them have more than one key."""
    below = _innermost(module)
    return len(below.modules) > 1 and len(below.keys) >= 2 * len(below.modules)


def _joined(groups: Sequence[ModuleGroup]) -> Iterator[ModuleGroup]:
    """The groups, with neighbouring keys without a module as one."""
    alone: list[str] = []
    for group in groups:
        if group.path is None:
            alone += group.keys
            continue
        if alone:
            yield ModuleGroup(None, tuple(alone))
            alone = []
        yield group
    if alone:
        yield ModuleGroup(None, tuple(alone))
