"""Which classes of two models are the same, on which images they agree, and the first sentence."""

from collections.abc import Mapping, Sequence

from core.predict import (
    Labels,
    Prediction,
    agreement,
    choose_labels,
    differing_first,
    predictions_verdict,
    shared_classes,
)

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
