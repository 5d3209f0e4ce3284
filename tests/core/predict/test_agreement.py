"""The sentence above the predictions."""

from core.predict import Labels, Prediction, predictions_verdict

NAMES = Labels(("cat", "dog", "owl"), "test")
OTHER_ORDER = Labels(("owl", "cat", "dog"), "test")


def said(*tops: int | None, probability: float = 0.5) -> list[Prediction]:
    return [
        Prediction("i.png", (), (), 0.0, "The output is not finite.")
        if top is None
        else Prediction("i.png", (top,), (probability,), 0.0, classes=3)
        for top in tops
    ]


def test_one_model_on_one_image_says_what_it_sees() -> None:
    assert predictions_verdict({"A": (said(1, probability=0.967), NAMES)}) == (
        "A says dog, 96.7\u202f%"
    )


def test_one_model_on_several_images_is_counted() -> None:
    assert predictions_verdict({"A": (said(1, 0, None), NAMES)}) == "A predicted 2 of 3 images"


def test_names_are_compared_and_not_numbers() -> None:
    both = {"A": (said(0, 1, 2), NAMES), "B": (said(1, 2, 2), OTHER_ORDER)}
    assert predictions_verdict(both) == "A and B agree on 2 of 3 images"


def test_an_image_without_an_answer_is_no_disagreement_in_silence() -> None:
    both = {"A": (said(0, None), NAMES), "B": (said(0, 1), NAMES)}
    assert predictions_verdict(both) == (
        "A and B agree on 1 of 2 images; 1 of 2 images could be compared"
    )
