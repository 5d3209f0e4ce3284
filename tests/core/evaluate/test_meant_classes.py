"""Labels of images are the model's classes by name, and never by a guess."""

import pytest
from timm.data import ImageNetInfo

from core.evaluate.meant_classes import map_classes
from core.predict.labels import Labels, imagenet_labels

IMAGENET = Labels(imagenet_labels(), "ImageNet's names", guessed=True)


def labels(*names: str) -> Labels:
    return Labels(names, "the file")


def test_a_label_is_the_class_of_its_name_whatever_the_case_and_the_separators() -> None:
    found = ["Fire_Truck", "cat", "tabby-cat", "dog"]
    mapped = map_classes(found, labels("cat", "fire truck", "Tabby  Cat"))
    assert mapped.indices == {"cat": 0, "Fire_Truck": 1, "tabby-cat": 2}
    assert mapped.unmapped == ("dog",)
    assert mapped.note == ""


def test_an_exact_name_goes_before_an_alike_one() -> None:
    assert map_classes(["Cat"], labels("cat", "Cat")).indices == {"Cat": 1}


def test_a_name_of_two_classes_is_none_of_them() -> None:
    mapped = map_classes(["crane", "cat"], labels("crane", "cat", "crane"))
    assert mapped.indices == {"cat": 1}
    assert mapped.unmapped == ("crane",)
    assert mapped.note == "1 label is the name of several classes."


def test_wordnet_ids_are_imagenets_classes_in_its_order() -> None:
    ids = ImageNetInfo().label_names()
    mapped = map_classes([ids[0], ids[999]], IMAGENET)
    assert mapped.indices == {ids[0]: 0, ids[999]: 999}
    assert "WordNet" in mapped.note
    with_background = labels("background", *imagenet_labels())
    assert map_classes([ids[0]], with_background).indices == {ids[0]: 1}
    assert map_classes([ids[0], "n99999999"], IMAGENET).unmapped == ("n99999999",)


def test_timms_longer_names_in_the_same_order_are_imagenets_too() -> None:
    info = ImageNetInfo()
    names = labels(*info.label_descriptions(detailed=False))
    assert map_classes(info.label_names()[5:6], names).indices == {info.label_names()[5]: 5}


@pytest.mark.parametrize(
    "names",
    [
        labels("cat", "dog"),
        labels(*reversed(imagenet_labels())),
        labels(*(f"class {index}" for index in range(1_000))),
    ],
)
def test_wordnet_ids_are_no_classes_of_a_model_without_imagenets_names(names: Labels) -> None:
    mapped = map_classes(["n01440764"], names)
    assert not mapped.indices
    assert mapped.unmapped == ("n01440764",)
    assert "not ImageNet's 1,000" in mapped.note


def test_numbers_are_indexes_only_where_all_are_and_fit() -> None:
    three = labels("cat", "dog", "cow")
    mapped = map_classes(["0", "2", "01"], three)
    assert mapped.indices == {"0": 0, "2": 2, "01": 1}
    assert "taken as the indexes" in mapped.note
    counted_from_one = map_classes(["1", "2", "3"], three)
    assert not counted_from_one.indices
    assert "they are no indexes of it" in counted_from_one.note
    assert not map_classes(["0", "horse"], three).indices
    assert map_classes(["1", "0"], labels("1", "0")).indices == {"1": 0, "0": 1}
