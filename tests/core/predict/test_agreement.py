"""Which classes of two models are the same, on which images they agree, and the first sentence."""

from collections.abc import Mapping, Sequence

import pytest
import torch

from core.predict import (
    Labels,
    Prediction,
    agreement,
    choose_labels,
    differing_first,
    predictions_verdict,
    shared_classes,
)
from core.predict.answers import SCORED, EmbeddingRow, HeadAnswer, ScoredRow

NAMES = Labels(("cat", "dog", "owl"), "test")
OTHER_ORDER = Labels(("owl", "cat", "dog"), "test")
NUMBERS = choose_labels(3)


def said(*tops: int | None, probability: float = 0.5) -> list[Prediction]:
    return [
        Prediction("i.png", (), (), 0.0, "The output is not finite.")
        if top is None
        else Prediction("i.png", (top,), (probability,), 0.0, classes=3)
        for top in tops
    ]


def verdict(answers: Mapping[str, tuple[Sequence[Prediction], Labels]]) -> str:
    labels = {name: each for name, (_, each) in answers.items()}
    predictions = {name: each for name, (each, _) in answers.items()}
    return predictions_verdict(predictions, labels, shared_classes(labels))


def test_one_model_on_one_image_says_what_it_sees() -> None:
    assert verdict({"A": (said(1, probability=0.967), NAMES)}) == "A says dog, 96.7\u202f%"


def test_one_model_on_several_images_is_counted() -> None:
    assert verdict({"A": (said(1, 0, None), NAMES)}) == "A predicted 2 of 3 images"


def test_names_are_compared_and_not_numbers() -> None:
    both = {"A": (said(0, 1, 2), NAMES), "B": (said(1, 2, 2), OTHER_ORDER)}
    assert verdict(both) == "A and B agree on 2 of 3 images"


def test_an_image_without_an_answer_is_no_disagreement_in_silence() -> None:
    both = {"A": (said(0, None), NAMES), "B": (said(0, 1), NAMES)}
    assert verdict(both) == "A and B agree on 1 of 2 images; 1 of 2 images could be compared"
    classes = shared_classes({"A": NAMES, "B": NAMES})
    assert agreement({"A": said(0, None), "B": said(0, 1)}, classes) == (True, None)


def test_classes_of_one_model_alone_agree_with_none() -> None:
    assert agreement({"A": said(0, 1)}, shared_classes({"A": NAMES})) == (None, None)


def test_two_classes_of_one_name_are_two() -> None:
    """ImageNet's usual list has two cranes: a bird and a machine."""
    cranes = Labels(("crane", "heron", "crane"), "test")
    classes = shared_classes({"A": cranes, "B": cranes})
    assert agreement({"A": said(0, 2), "B": said(2, 2)}, classes) == (False, True)


def test_names_that_only_one_model_has_are_told() -> None:
    more = Labels(("owl", "cat", "dog", "hen"), "test")
    classes = shared_classes({"A": NAMES, "B": more})
    assert classes.note == "Classes are compared by name: A and B have 3 names in common."
    assert agreement({"A": said(0, 0), "B": said(1, 3)}, classes) == (True, False)


def test_models_without_a_common_name_are_not_compared() -> None:
    digits = Labels(("zero", "one", "two"), "test")
    classes = shared_classes({"A": NAMES, "B": digits})
    assert classes.obstacle == "A and B have no class name in common."
    assert agreement({"A": said(0), "B": said(0)}, classes) == (None,)
    assert verdict({"A": (said(0), NAMES), "B": (said(0), digits)}) == (
        "A and B predicted 1 of 1 image; their classes cannot be compared"
    )


def test_without_the_names_of_one_model_as_many_classes_are_compared_by_index() -> None:
    classes = shared_classes({"A": NAMES, "B": NUMBERS})
    assert classes.note == "Classes are compared by index, as the names of B’s are not known."
    assert agreement({"A": said(0, 1), "B": said(0, 2)}, classes) == (True, False)
    both = shared_classes({"A": NUMBERS, "B": NUMBERS})
    assert "as the names of both are not known" in both.note


def test_numbers_of_another_count_are_not_compared() -> None:
    classes = shared_classes({"A": NAMES, "B": choose_labels(5)})
    assert classes.obstacle == "A has 3 classes and B has 5, and the names of B’s are not known."


def test_a_model_that_no_image_reached_is_no_obstacle() -> None:
    classes = shared_classes({"A": NAMES, "B": choose_labels(0)})
    assert (classes.obstacle, classes.note) == ("", "")
    assert agreement({"A": said(1), "B": said(None)}, classes) == (None,)


def test_images_that_differ_come_first_and_those_that_agree_last() -> None:
    assert differing_first((True, False, None, True, False)) == (1, 4, 2, 0, 3)
    assert differing_first((None, None)) == (0, 1)


def answered(name, kind, value, outputs=3):
    """A prediction of one head, as `predict` makes it."""
    head = HeadAnswer("", kind, "", outputs, value)
    row = value if isinstance(value, ScoredRow) else ScoredRow((), ())
    classes = outputs if kind in SCORED else 0
    shares = row.indices, row.probabilities
    return Prediction(name, *shares, 0.01, classes=classes, heads=(head,))


PETS = Labels(("cat", "dog", "hen"), "test")
CAT_AND_DOG = ScoredRow((0, 1, 2), (0.9, 0.8, 0.1))
CAT_AND_HEN = ScoredRow((0, 2, 1), (0.9, 0.8, 0.1))
EMBEDDING = EmbeddingRow(torch.ones(512))


def verdict_of(**rows):
    labels = dict.fromkeys(rows, PETS)
    return predictions_verdict(rows, labels, shared_classes(labels))


def test_models_that_give_labels_agree_where_all_labels_that_count_are_the_same():
    a = (answered("x", "labels", CAT_AND_DOG), answered("y", "labels", CAT_AND_DOG))
    b = (answered("x", "labels", CAT_AND_HEN), answered("y", "labels", CAT_AND_DOG))
    labels = {"A": PETS, "B": PETS}
    assert agreement({"A": a, "B": b}, shared_classes(labels)) == (False, True)
    assert verdict_of(A=a, B=b) == "A and B agree on 1 of 2 images"


def test_two_scores_agree_on_one_side_of_the_threshold():
    high, higher, low = (
        (answered("x", "score", ScoredRow((0,), (share,)), 1),) for share in (0.6, 0.9, 0.2)
    )
    classes = shared_classes({"A": Labels(("score",), ""), "B": Labels(("score",), "")})
    assert agreement({"A": high, "B": higher}, classes) == (True,)
    assert agreement({"A": high, "B": low}, classes) == (False,)


def test_answers_of_two_kinds_are_neither_the_same_nor_different():
    a, b = (answered("x", "classes", CAT_AND_DOG),), (answered("x", "labels", CAT_AND_DOG),)
    assert agreement({"A": a, "B": b}, shared_classes({"A": PETS, "B": PETS})) == (None,)
    assert verdict_of(A=a, B=b).endswith("their answers are of two kinds")


@pytest.mark.parametrize(
    ("kind", "value", "one", "several"),
    [
        ("labels", CAT_AND_DOG, "A says cat and dog", "A labels 2 of 2 images"),
        (
            *("embedding", EMBEDDING, "A gives an embedding of 512 numbers"),
            "A gives an embedding of 2 of 2 images",
        ),
        (
            *(
                "score",
                ScoredRow((0,), (0.75,), 1.1),
                "A gives cat, 75.0\u202f% (the number is 1.1)",
            ),
            "A gives a score to 2 of 2 images",
        ),
        ("tree", (), "A returns 0 tensors", "A returns tensors for 2 of 2 images"),
    ],
)
def test_the_verdict_says_classes_only_where_there_are_some(kind, value, one, several):
    prediction = answered("x", kind, value)
    assert verdict_of(A=(prediction,)) == one
    assert verdict_of(A=(prediction, prediction)) == several


def test_two_models_without_comparable_answers_are_told_one_after_the_other():
    a, b = (answered("x", "embedding", EMBEDDING),), (answered("x", "classes", CAT_AND_DOG),)
    assert verdict_of(A=a, B=a) == "A and B give an embedding of 1 of 1 image"
    assert verdict_of(A=a, B=b) == (
        "A gives an embedding of 1 of 1 image and B predicted 1 of 1 image"
    )
