"""When two models' outputs count as the same, and when equal ones say nothing."""

import torch

from core.predict.proof.outputs import Outputs, compare_outputs


def outputs(*rows: tuple[float, ...]) -> Outputs:
    tensor = torch.tensor(rows)
    return Outputs((tensor,), tensor)


def test_rounding_is_the_same_and_more_is_not() -> None:
    source = outputs((1.0, 2.0), (3.0, 1.0))
    near = compare_outputs(source, outputs((1.0, 2.0), (3.0001, 1.0)))
    assert (near.verdict, near.agreeing, near.images) == ("same outputs", 2, 2)
    far = compare_outputs(source, outputs((1.0, 2.0), (3.001, 1.0)))
    assert far.verdict == "other outputs"


def test_a_small_tensor_does_not_hide_behind_a_large_one() -> None:
    large = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    small = torch.tensor([[0.01, 0.0], [0.0, 0.01]])
    source, target = Outputs((large, small), None), Outputs((large, small.flip(0)), None)
    assert compare_outputs(source, target).verdict == "other outputs"


def test_outputs_that_do_not_depend_on_the_image_prove_nothing() -> None:
    biases = outputs((1.0, 2.0), (1.0, 2.0))
    compared = compare_outputs(biases, biases)
    assert compared.verdict == "not compared"
    assert "hardly depend on the image" in compared.reason


def test_other_shapes_and_empty_outputs_are_not_compared() -> None:
    ten, two = Outputs((torch.zeros(2, 10),), None), Outputs((torch.zeros(2, 2),), None)
    assert "other shapes" in compare_outputs(ten, two).reason
    empty = Outputs((torch.zeros(0, 4),), None)
    assert "empty" in compare_outputs(empty, empty).reason
