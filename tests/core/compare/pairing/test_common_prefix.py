"""Prefixes that wrap one side are found by what they would pair."""

import pytest

from core.checkpoint import StateDict, TensorEntry
from core.compare.pairing.common_prefix import prefix_pairing

SHAPES = {
    "conv1.weight": (64, 3, 7, 7),
    "layer1.0.conv1.weight": (64, 64, 3, 3),
    "layer1.1.conv1.weight": (64, 64, 3, 3),
    "layer2.0.conv1.weight": (128, 64, 3, 3),
    "fc.weight": (10, 512),
    "fc.bias": (10,),
}


def state_dict(shapes: dict[str, tuple[int, ...]], prefix: str = "") -> StateDict:
    return StateDict(
        TensorEntry(prefix + key, "float32", shape, (1,) * len(shape), 0, None)
        for key, shape in shapes.items()
    )


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "net.backbone.resnet."]
)
def test_a_wrapper_of_one_side_is_found_whatever_its_name(prefix):
    plain, wrapped = state_dict(SHAPES), state_dict(SHAPES, prefix)
    left = prefix_pairing(wrapped, plain)
    assert (left.strip_a, left.strip_b, left.before, left.after) == (prefix, "", 0, 6)
    right = prefix_pairing(plain, wrapped)
    assert (right.strip_a, right.strip_b) == ("", prefix)


def test_two_different_wrappers_are_stripped_together():
    found = prefix_pairing(state_dict(SHAPES, "module."), state_dict(SHAPES, "model."))
    assert (found.strip_a, found.strip_b, found.after) == ("module.", "model.", 6)


def test_two_lone_modules_of_other_names_are_no_wrappers():
    shapes = {"wte.weight": (50, 8)}
    left, right = {**shapes, "lm_head.weight": (50, 8)}, {**shapes, "other.weight": (50, 8)}
    assert prefix_pairing(state_dict(left), state_dict(right)) is None


def test_a_wrapped_backbone_with_a_head_of_its_own_is_found():
    wrapped = {f"resnet.{key}": shape for key, shape in SHAPES.items() if key[:2] != "fc"}
    found = prefix_pairing(state_dict({**wrapped, "head.weight": (5, 9)}), state_dict(SHAPES))
    assert (found.strip_a, found.before, found.after) == ("resnet.", 0, 4)


def test_equal_keys_need_no_pairing():
    assert prefix_pairing(state_dict(SHAPES), state_dict(SHAPES)) is None
    assert prefix_pairing(state_dict(SHAPES, "module."), state_dict(SHAPES, "module.")) is None


def test_different_networks_are_not_forced_into_pairs():
    other = state_dict({"features.0.weight": (8, 3, 3, 3), "classifier.weight": (7, 8)})
    assert prefix_pairing(state_dict(SHAPES), other) is None
    assert prefix_pairing(StateDict([]), other) is None
