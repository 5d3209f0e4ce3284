"""Two models that say the same class may still be far apart: |Δp| and KL as torch has them."""

import math

import pytest
import torch

from core.predict import Labels, Prediction, probability_change, shared_classes
from core.predict.answers import HeadAnswer, OutputHead, answers_of


def predicted(probabilities, k=None):
    shares = torch.tensor(probabilities, dtype=torch.float64)
    top = shares.topk(k or len(shares))
    return Prediction(
        "x", tuple(top.indices.tolist()), tuple(top.values.tolist()), 0.0, classes=len(shares)
    )


def change(a, b, names_b=("cat", "dog", "owl"), **options):
    labels = {"A": Labels(("cat", "dog", "owl"), ""), "B": Labels(names_b, "")}
    both = {"A": predicted(a, **options), "B": predicted(b)}
    return probability_change(both, shared_classes(labels))


def test_the_largest_difference_and_the_divergence_are_those_of_torch():
    a, b = [0.7, 0.2, 0.1], [0.5, 0.15, 0.35]
    found = change(a, b)
    assert (found.largest, found.index) == (pytest.approx(0.25), 2)
    first, second = (torch.tensor(each, dtype=torch.float64) for each in (a, b))
    nats = torch.nn.functional.kl_div(second.log(), first, reduction="sum").item()
    assert found.divergence == pytest.approx(nats / math.log(2))


def test_classes_in_another_order_are_compared_by_name():
    same = change([0.7, 0.2, 0.1], [0.1, 0.7, 0.2], names_b=("owl", "cat", "dog"))
    assert (same.largest, same.divergence) == (0.0, 0.0)


def test_what_the_second_excludes_and_the_first_does_not_is_infinitely_far():
    assert change([0.5, 0.5, 0.0], [1.0, 0.0, 0.0]).divergence == math.inf
    assert change([1.0, 0.0, 0.0], [0.5, 0.5, 0.0]).divergence == pytest.approx(1.0)


def test_nothing_is_said_of_a_part_of_the_classes_or_of_other_classes():
    assert change([0.7, 0.2, 0.1], [0.5, 0.3, 0.2], k=2) is None
    assert change([0.7, 0.2, 0.1], [0.5, 0.3, 0.2], names_b=("cat", "dog", "hen")) is None
    labels = {"A": Labels(("cat", "dog"), "")}
    assert probability_change({"A": predicted([0.6, 0.4])}, shared_classes(labels)) is None


def test_the_entropy_is_that_of_all_classes_and_the_margin_that_of_the_first_two():
    head = OutputHead("", "classes", "", torch.tensor([[2.0, 1.0, 0.0, -1.0]]), 4)
    answer: HeadAnswer = answers_of(head, 2)[0]
    shares = head.values.softmax(1)[0]
    entropy = torch.distributions.Categorical(shares).entropy().item() / math.log(2)
    assert answer.value.entropy == pytest.approx(entropy, rel=1e-5)
    assert answer.value.margin == pytest.approx(float(shares[0] - shares[1]))
    labels = OutputHead("", "labels", "", torch.tensor([[2.0, 1.0]]), 2)
    assert answers_of(labels, 2)[0].value.entropy is None
    assert answers_of(labels, 2)[0].value.margin is None
