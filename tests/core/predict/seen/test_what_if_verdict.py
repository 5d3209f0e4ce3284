"""The verdict names what changes the answer, and suspects a mistake only where it is much surer."""

from dataclasses import replace

import pytest
from PIL import Image

from core.predict.seen.seen_image import SeenImage, ValueRange
from core.predict.seen.usual_mistakes import UsualMistake
from core.predict.seen.what_if import MistakenAnswer, SkippedMistake, TopClass, WhatIf
from core.predict.seen.what_if_verdict import SURE, UNSURE, skipped_words, what_if_verdict
from core.wording import THIN

NAMES = ("cat", "dog", "bird")
CAT, DOG = 0, 1
SEEN = SeenImage(Image.new("L", (1, 1)), (1, 1, 1), ValueRange(0, 0, 0), ValueRange(0, 0, 0))


def answer(name, index=DOG, probability=0.6, telling=True):
    top = None if index is None else TopClass(index, probability)
    mistake = UsualMistake(name, "code", telling=telling)
    return MistakenAnswer(mistake, top, None if top is None else 0.1, index != DOG)


def found(*answers, right=TopClass(DOG, 0.6), untrained=False):  # noqa: B008
    return WhatIf(SEEN, right, answers, (), untrained)


def verdict(*answers, **others):
    return what_if_verdict(found(*answers, **others), NAMES).replace(THIN, " ")


def test_nothing_that_changes_the_answer_is_said_in_one_sentence():
    said = verdict(answer("BGR instead of RGB"), answer("squashing instead of cropping"))
    assert said == "None of the 2 usual mistakes changes the answer, `dog`."


def test_what_changes_the_answer_is_named_and_the_others_are_counted():
    squash, bgr = "squashing instead of cropping", "BGR instead of RGB"
    rest = [answer(f"mistake {number}") for number in range(5)]
    one = verdict(answer(squash, CAT), *rest)
    assert one == "Squashing instead of cropping changes the answer, `dog`; the other 5 do not."
    two = verdict(answer(bgr, CAT), answer(squash, CAT), rest[0])
    assert two == (
        "BGR instead of RGB and squashing instead of cropping change the answer, `dog`; "
        "the other one does not."
    )
    many = verdict(*[answer(f"mistake {number}", CAT) for number in range(5)], answer(bgr))
    assert many.startswith("Mistake 0, mistake 1, mistake 2 and 2 more change the answer")


def test_all_that_changes_the_answer_is_counted():
    said = verdict(answer("one", CAT), answer("two", CAT))
    assert said == "Each of the 2 usual mistakes changes the answer, `dog`."


def test_an_output_that_is_no_number_is_counted_apart():
    said = verdict(answer("leaving values at 0–255", None), answer("one"), answer("two", CAT))
    assert said == (
        "Two changes the answer, `dog`; the other one does not. "
        "Leaving values at 0–255: the output is not a number (NaN or infinite)."
    )
    assert verdict(answer("one", None)) == ("One: the output is not a number (NaN or infinite).")


def test_a_model_without_an_answer_has_no_verdict_on_mistakes():
    said = verdict(answer("one", None), right=None)
    assert said == "The model's output is not a number (NaN or infinite) under this preprocessing."


def test_a_mistake_that_is_much_surer_may_be_what_the_model_was_trained_with():
    said = verdict(answer("BGR instead of RGB", CAT, 0.98), right=TopClass(DOG, 0.31))
    assert said.endswith(
        "BGR instead of RGB gives `cat` at 98 %, this preprocessing `dog` at 31 %: the model may "
        "have been trained that way."
    )


@pytest.mark.parametrize(
    ("wrong", "right", "suspected"),
    [
        (SURE, UNSURE, True),
        (SURE - 1e-6, UNSURE, False),
        (SURE, UNSURE + 1e-6, False),
        (0.6, 0.1, False),
        (0.999, 0.9, False),
    ],
)
def test_it_is_suspected_from_90_percent_against_at_most_50(wrong, right, suspected):
    for index in (CAT, DOG):
        said = verdict(answer("BGR instead of RGB", index, wrong), right=TopClass(DOG, right))
        assert ("trained that way" in said) == suspected
    assert (SURE, UNSURE) == (0.9, 0.5)


def test_the_surest_mistake_is_suspected():
    answers = [answer("one", CAT, 0.95), answer("two", CAT, 0.99), answer("three", CAT, 0.97)]
    assert "Two gives `cat` at 99 %" in verdict(*answers, right=TopClass(DOG, 0.3))


def test_values_that_make_any_model_sure_and_untrained_models_raise_no_suspicion():
    sure = answer("leaving values at 0–255", CAT, 1.0, telling=False)
    assert "trained that way" not in verdict(sure, right=TopClass(DOG, 0.3))
    sure = replace(sure, mistake=replace(sure.mistake, telling=True))
    assert "trained that way" in verdict(sure, right=TopClass(DOG, 0.3))
    assert "trained that way" not in verdict(sure, right=TopClass(DOG, 0.3), untrained=True)


def test_what_was_not_run_is_said_with_the_reason():
    assert skipped_words(()) == ""
    said = skipped_words(
        (
            SkippedMistake("BGR instead of RGB"),
            SkippedMistake("two", same_as="one"),
            SkippedMistake("squashing instead of cropping"),
            SkippedMistake("three", too_large=True),
        )
    )
    assert said == (
        "No difference for this image: BGR instead of RGB and squashing instead of cropping. "
        "For this image, two is the same as one. The image is too long and thin for three."
    )
