"""The map of modules: areas are parameters, and no tile lies over another."""

import pytest

from core.inspect import lies_below, module_map, module_tree
from tests.core.inspect.test_modules import entries

RATIO, STRIP, GAP = 2.5, 0.1, 0.01

NETWORK = {
    **{
        f"net.stage{stage}.{block}.weight": (16 * stage, 8)
        for stage in (1, 2, 3)
        for block in (0, 1)
    },
    "net.head.weight": (40, 10),
    "net.head.bias": (10,),
}


def mapped(shapes):
    return module_map(module_tree(entries(shapes)), RATIO, STRIP, GAP)


def outer(tiles):
    return [tile for tile in tiles if tile.node.parent == tiles[0].node.parent]


def test_the_areas_of_modules_are_their_shares_of_all_parameters():
    tiles = outer(mapped(NETWORK))
    assert {tile.node.path for tile in tiles} == {
        *("net.stage1", "net.stage2", "net.stage3", "net.head")
    }
    for tile in tiles:
        assert tile.width * tile.height == pytest.approx(tile.share)
    assert sum(tile.share for tile in tiles) == pytest.approx(1)


def overlap(one, other):
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    return max(0, width) * max(0, height)


def test_no_tile_lies_over_another_of_its_level():
    tiles = mapped(NETWORK)
    for level in (outer(tiles), [tile for tile in tiles if tile not in outer(tiles)]):
        for at, tile in enumerate(level):
            assert all(overlap(tile, other) < 1e-9 for other in level[at + 1 :])


def test_submodules_lie_inside_their_module_below_its_label():
    tiles = mapped(NETWORK)
    by_path = {tile.node.path: tile for tile in tiles}
    inner = [tile for tile in tiles if tile.node.parent in by_path]
    assert inner
    for tile in inner:
        around = by_path[tile.node.parent]
        assert around.is_outer
        assert tile.left >= around.left
        assert tile.top >= around.top + STRIP - 1e-9
        assert tile.left + tile.width <= around.left + around.width + 1e-9
        assert tile.top + tile.height <= around.top + around.height + 1e-9


def test_a_single_tensor_fills_the_map():
    (tile,) = mapped({"w": (3, 4)})
    assert (tile.left, tile.top, tile.width, tile.height) == pytest.approx((0, 0, 1, 1))


def test_a_state_dict_without_parameters_has_no_map():
    assert mapped({"w": (0, 4)}) == ()


@pytest.mark.parametrize(
    ("key", "path", "inside"),
    [
        ("net.fc.weight", "net.fc", True),
        ("net.fc.weight", "net.fc.weight", True),
        ("net.fc2.weight", "net.fc", False),
        ("net.fc.weight", "", True),
        ("a..w", "a.(empty)", True),
    ],
)
def test_a_tensor_is_in_the_modules_on_its_path(key, path, inside):
    assert lies_below(key, path) is inside
