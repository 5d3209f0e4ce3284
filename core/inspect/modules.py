"""The parameters of a state_dict by module path, as a tree small enough to draw."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from core.checkpoint import StateDict, TensorEntry

EMPTY = "(empty)"
"""What the tree calls a step of a path without a name."""

REST = "…"
"""The last step of the path of a node that stands for several small siblings."""


@dataclass(frozen=True, slots=True)
class ModuleNode:
    """One module, or one tensor, of the tree.

    `path` is unique, and `parent` is the path of the node above. At the root, `parent` is None and
    `path` is `""`, or the path of the module that wraps all others. A node with `tensors` > 1 and
    no children stands for that many tensors. A node whose path ends in `…` stands for the smaller
    siblings that are not drawn individually. `class_name` is the module's qualified class, empty
    where the file does not state it.
    """

    path: str
    parent: str | None
    label: str
    parameters: int
    nbytes: int
    tensors: int
    class_name: str = ""

    @property
    def is_rest(self) -> bool:
        """Whether the node stands for several small siblings, and so has no path of its own."""
        return self.path.rpartition(".")[2] == REST


@dataclass(slots=True)
class _Branch:
    path: str
    label: str
    parameters: int = 0
    nbytes: int = 0
    tensors: int = 0
    children: dict[str, _Branch] = field(default_factory=dict)


def module_tree(
    entries: StateDict, max_nodes: int = 600, max_children: int = 60
) -> tuple[ModuleNode, ...]:
    """Parameters (elements), bytes and tensors by module path, parents before children.

    The largest modules are expanded first, until there are `max_nodes` nodes. A node that is not
    expanded includes everything below it, so the totals are exact for any number of keys. A node
    with more than `max_children` children shows the largest, and one more node sums up the others.
    """
    root = _innermost(_grow(entries))
    classes = entries.classes
    nodes = [_node(root, None, classes)]
    waiting = [(-root.parameters, 0, root)]
    pushed = 0
    while waiting:
        _, _, branch = heapq.heappop(waiting)
        shown, rest = _largest(branch.children.values(), max_children)
        if not shown or len(nodes) + len(shown) + bool(rest) > max(max_nodes, max_children + 2):
            continue
        for child in shown:
            nodes.append(_node(child, branch.path, classes))
            pushed += 1
            heapq.heappush(waiting, (-child.parameters, pushed, child))
        if rest:
            nodes.append(_others(branch, rest))
    return tuple(nodes)


def _grow(entries: StateDict) -> _Branch:
    root = _Branch("", "all")
    for key, entry in entries.items():
        branch = root
        _count(branch, entry)
        for part in key.split("."):
            label = part or EMPTY
            if label not in branch.children:
                path = f"{branch.path}.{label}" if branch.path else label
                branch.children[label] = _Branch(path, label)
            branch = branch.children[label]
            _count(branch, entry)
    return root


def _innermost(root: _Branch) -> _Branch:
    """The module below all modules that only wrap a single other one, such as `module`."""
    while len(root.children) == 1:
        (child,) = root.children.values()
        if not child.children:
            break
        root = child
        root.label = root.path
    return root


def _count(branch: _Branch, entry: TensorEntry) -> None:
    branch.parameters += entry.numel
    branch.nbytes += entry.nbytes
    branch.tensors += 1


def _largest(children: Iterable[_Branch], limit: int) -> tuple[list[_Branch], list[_Branch]]:
    ranked = sorted(children, key=lambda child: -child.parameters)
    return (ranked, []) if len(ranked) <= limit + 1 else (ranked[:limit], ranked[limit:])


def _node(branch: _Branch, parent: str | None, classes: Mapping[str, str]) -> ModuleNode:
    return ModuleNode(
        branch.path,
        parent,
        branch.label,
        branch.parameters,
        branch.nbytes,
        branch.tensors,
        classes.get(branch.path, ""),
    )


def _others(branch: _Branch, rest: list[_Branch]) -> ModuleNode:
    return ModuleNode(
        f"{branch.path}.{REST}" if branch.path else REST,
        branch.path,
        f"{len(rest)} more",
        sum(child.parameters for child in rest),
        sum(child.nbytes for child in rest),
        sum(child.tensors for child in rest),
    )


def lies_below(key: str, path: str) -> bool:
    """Whether a tensor with this key is in the node of a `module_tree` that has this path."""
    place = ".".join(part or EMPTY for part in key.split("."))
    return not path or place == path or place.startswith(f"{path}.")
