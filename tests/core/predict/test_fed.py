"""The line above the predictions: what the models were fed, their classes, and who says so."""

from dataclasses import replace

from core.architectures import parse_architecture
from core.checkpoint import open_checkpoint
from core.inputs import IMAGENET, default_preprocessing
from core.predict import Labels, choose_labels, fed_sentence, fed_size
from core.server import SAMPLES

RESNET = parse_architecture("torchvision:resnet18")
DIGITS = parse_architecture("torchvision:shufflenet_v2_x0_5?num_classes=10")


def sample(name):
    checkpoint = open_checkpoint(SAMPLES[name].path)
    return default_preprocessing(DIGITS, checkpoint), choose_labels(10, checkpoint)


def spaced(text):
    return text.replace("\u202f", " ")


def test_what_all_checkpoints_state_is_said_once():
    words = "64 px, bilinear, mean/std 0.5, classes `zero` … `nine`, all from the checkpoint"
    assert spaced(fed_sentence({"A": sample("final")})) == f"{words}."
    both = {"A": sample("early"), "B": sample("final")}
    assert spaced(fed_sentence(both)) == f"{words}s."


def test_a_guess_is_called_one():
    fed = default_preprocessing(RESNET), choose_labels(1000)
    assert spaced(fed_sentence({"A": fed})) == (
        "224 px cropped from 256, bilinear, ImageNet mean/std "
        "(torchvision's own recipe for ResNet18_Weights.IMAGENET1K_V1). "
        "Classes `tench` … `toilet tissue` (guessed: ImageNet's names, as there are 1,000 outputs)."
    )
    assert "(guessed: ImageNet's usual values" in fed_sentence({"A": (IMAGENET, choose_labels(7))})
    assert "7 classes (numbers, since no names are known)" in fed_sentence(
        {"A": (IMAGENET, choose_labels(7))}
    )


def test_two_models_that_are_fed_otherwise_are_told_apart_and_their_classes_once():
    fed, labels = sample("final")
    grey = replace(
        fed, crop=(32, 48), resize=(32, 48), channels=1, mean=(0.0,), std=(1.0,), fit="squash"
    )
    told = spaced(fed_sentence({"A": (fed, labels), "B": (grey, labels)}))
    assert "A: 64 px, bilinear, mean/std 0.5 (" in told
    assert "B: 48 × 32 px, squashed, grey, bilinear, mean 0, std 1 (" in told
    assert told.count("lasses `zero` … `nine`") == 1


def test_a_model_that_no_image_reached_has_no_classes_to_tell():
    assert "lass" not in fed_sentence({"A": (IMAGENET, choose_labels(0))})


def test_two_classes_are_both_named():
    assert "Classes `cat` and `dog` (pets.txt)." in fed_sentence(
        {"A": (IMAGENET, Labels(("cat", "dog"), "pets.txt"))}
    )


def test_an_image_is_told_with_what_each_model_was_fed_of_it():
    fed, _ = sample("final")
    assert fed_size((128, 100), {"A": fed, "B": fed}) == "128 × 100, fed 64 × 64"
    assert fed_size((128, 100), {"A": fed, "B": IMAGENET}) == (
        "128 × 100, fed 64 × 64 to A and 224 × 224 to B"
    )


def test_what_is_stated_and_not_done_is_named_once():
    fed, labels = sample("final")
    fed = replace(fed, not_understood=("crop_mode zoom", "do_solarize True"))
    said = "Stated, but not done: `crop_mode zoom` and `do_solarize True`."
    assert fed_sentence({"A": (fed, labels)}).endswith(f"all from the checkpoint. {said}")
    other = replace(fed, not_understood=())
    told = fed_sentence({"A": (fed, labels), "B": (other, labels)})
    assert told.endswith(f" A: {said}")


def test_blue_first_and_no_resizing_are_told():
    fed, labels = sample("final")
    fed = replace(fed, bgr=True, fit="keep", source="here")
    assert "64 px, not resized, BGR, mean/std 0.5 (here)" in spaced(
        fed_sentence({"A": (fed, labels)})
    )
