"""The modules of a state_dict as tiles of a map, whose areas are their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.inspect.modules import ModuleNode

SMALLEST = 0.0004
"""The share of the map below which a tile is left out: it would be a few pixels."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A module's place in the map, in parts of its width and height. `share` is that of all
    parameters. A tile with `is_outer` has its label in a strip on top, and its submodules below."""

    node: ModuleNode
    share: float
    left: float
    top: float
    width: float
    height: float
    is_outer: bool


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    width: float
    height: float


def module_map(
    nodes: Sequence[ModuleNode], ratio: float, strip: float, gap: float
) -> tuple[Tile, ...]:
    """The two levels below the root, outer tiles before their inner ones.

    `nodes` are those of a module_tree. `ratio` is the map's width over its height, `strip` the
    height of a label's strip, and `gap` the space around a tile, both in parts of the map's height.
    """
    children: dict[str, list[ModuleNode]] = {}
    for node in nodes:
        if node.parent is not None:
            children.setdefault(node.parent, []).append(node)
    root = nodes[0]
    total = root.parameters
    if not total:
        return ()
    tiles: list[Tile] = []
    for node, box in _placed(children.get(root.path, [root]), _Box(0, 0, ratio, 1), total):
        inner = children.get(node.path, []) if node is not root else []
        inside = _Box(
            box.left + gap, box.top + strip, box.width - 2 * gap, box.height - strip - gap
        )
        has_room = len(inner) > 1 and inside.width > 2 * gap and inside.height > 2 * gap
        tiles.append(_tile(node, box, total, ratio, is_outer=has_room))
        if has_room:
            for child, own in _placed(inner, inside, total):
                tiles.append(_tile(child, own, total, ratio, is_outer=False))
    return tuple(tiles)


def _tile(node: ModuleNode, box: _Box, total: int, ratio: float, *, is_outer: bool) -> Tile:
    share = node.parameters / total
    return Tile(
        node, share, box.left / ratio, box.top, box.width / ratio, box.height, is_outer=is_outer
    )


def _placed(
    nodes: Sequence[ModuleNode], box: _Box, total: int
) -> Iterator[tuple[ModuleNode, _Box]]:
    """The nodes in rows and columns of tiles that are as square as possible (Bruls, Huizing and
    van Wijk, Squarified Treemaps, 2000)."""
    shown = sorted(
        (node for node in nodes if node.parameters >= SMALLEST * total),
        key=lambda node: -node.parameters,
    )
    whole = sum(node.parameters for node in shown)
    scale = box.width * box.height / whole if whole else 0.0
    at = 0
    while at < len(shown):
        side = min(box.width, box.height)
        end = at + 1
        areas = [shown[at].parameters * scale]
        while end < len(shown):
            longer = [*areas, shown[end].parameters * scale]
            if _worst(longer, side) > _worst(areas, side):
                break
            areas, end = longer, end + 1
        placed, box = _row(areas, box)
        yield from zip(shown[at:end], placed, strict=True)
        at = end


def _worst(areas: Sequence[float], side: float) -> float:
    """The largest ratio of the sides of tiles in one row along a side."""
    row = sum(areas)
    return max(side**2 * max(areas) / row**2, row**2 / (side**2 * min(areas)))


def _row(areas: Sequence[float], box: _Box) -> tuple[list[_Box], _Box]:
    """The tiles of one row along the shorter side, and the box that is left."""
    whole = sum(areas)
    tiles = []
    if box.width >= box.height:
        width, top = whole / box.height, box.top
        for area in areas:
            tiles.append(_Box(box.left, top, width, area / width))
            top += area / width
        return tiles, _Box(box.left + width, box.top, box.width - width, box.height)
    height, left = whole / box.width, box.left
    for area in areas:
        tiles.append(_Box(left, box.top, area / height, height))
        left += area / height
    return tiles, _Box(box.left, box.top + height, box.width, box.height - height)
