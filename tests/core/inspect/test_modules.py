"""Parameters by module path, in a tree that can be drawn."""

from collections import defaultdict

import torch
from torch import nn

from core.checkpoint import StateDict, TensorEntry, open_checkpoint
from core.inspect.modules import module_tree


def entries(shapes: dict[str, tuple[int, ...]]) -> StateDict:
    return StateDict(
        TensorEntry(key, "float32", shape, (1,) * len(shape), 0, None)
        for key, shape in shapes.items()
    )


def test_each_module_sums_up_what_is_below_it():
    tree = module_tree(entries({"conv.weight": (4, 3), "conv.bias": (4,), "fc.0.weight": (5, 2)}))
    sizes = {node.path: (node.parent, node.parameters, node.nbytes, node.tensors) for node in tree}
    assert sizes == {
        "": (None, 26, 104, 3),
        "conv": ("", 16, 64, 2),
        "conv.weight": ("conv", 12, 48, 1),
        "conv.bias": ("conv", 4, 16, 1),
        "fc": ("", 10, 40, 1),
        "fc.0": ("fc", 10, 40, 1),
        "fc.0.weight": ("fc.0", 10, 40, 1),
    }


def test_twenty_thousand_keys_become_a_bounded_tree_with_exact_totals():
    shapes = {
        f"blocks.{block}.mixer.{part}.weight": (block % 7 + 1, part + 1)
        for block in range(1000)
        for part in range(20)
    }
    tree = module_tree(entries(shapes), max_nodes=400)
    assert len(tree) <= 400
    assert tree[0].parameters == sum(rows * columns for rows, columns in shapes.values())
    assert tree[0].tensors == 20_000
    below = defaultdict(list)
    for node in tree[1:]:
        below[node.parent].append(node)
    for node in tree:
        if node.path in below:
            assert sum(child.parameters for child in below[node.path]) == node.parameters
            assert sum(child.tensors for child in below[node.path]) == node.tensors
    (others,) = [node for node in tree if node.path == "blocks.…"]
    assert others.label == "940 more"


def test_paths_stay_unique_for_odd_keys():
    tree = module_tree(entries(dict.fromkeys(["", ".", "a..b", "a.", "a", "a.b", ".x"], (2,))))
    paths = [node.path for node in tree]
    assert len(paths) == len(set(paths))
    assert tree[0].tensors == 7


def test_a_module_that_wraps_all_others_becomes_the_root():
    tree = module_tree(entries({"module.net.a.w": (2,), "module.net.b": (3,)}))
    assert [(node.path, node.parent, node.label) for node in tree] == [
        ("module.net", None, "module.net"),
        ("module.net.b", "module.net", "b"),
        ("module.net.a", "module.net", "a"),
        ("module.net.a.w", "module.net.a", "w"),
    ]
    (alone, below) = module_tree(entries({"weight": (2,)}))
    assert (alone.path, below.path) == ("", "weight")


def test_an_empty_state_dict_is_a_bare_root():
    (root,) = module_tree(StateDict([]))
    assert root.parameters == root.tensors == 0


def test_a_whole_models_classes_stand_with_its_modules(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.Linear(2, 2)))
    torch.save(model, tmp_path / "model.pth")
    tree = module_tree(open_checkpoint(tmp_path / "model.pth").state_dict())
    classes = {node.path: node.class_name.rpartition(".")[2] for node in tree}
    assert classes["0"] == "Conv2d"
    assert classes["1"] == classes[""] == "Sequential"
    assert classes["1.0"] == "Linear"
    assert classes["1.0.weight"] == ""
