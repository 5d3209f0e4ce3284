"""Class names are found where people keep them, and a wrong list is refused with both numbers."""

import json
from types import SimpleNamespace

import pytest
import torch

from core.errors import LabelsError
from core.predict.labels import choose_labels, imagenet_labels, labels_in, parse_labels
from core.server import SAMPLES

PETS = ("cat", "dog", "hen")


def checkpoint(**metadata):
    return SimpleNamespace(metadata=metadata)


@pytest.mark.parametrize(
    "metadata",
    [
        {"classes": ["cat", "dog", "hen"]},
        {"class_names": ("cat", "dog", "hen")},
        {"class_to_idx": {"dog": 1, "cat": 0, "hen": 2}},
        {"idx_to_class": {"2": "hen", "0": "cat", "1": "dog"}},
        {"id2label": {0: "cat", 1: "dog", 2: "hen"}},
        {"hyper_parameters": {"data": {"label_names": ["cat", "dog", "hen"]}}},
        {"args": {"classes": 3}, "names": {"0": "cat", "1": "dog", "2": "hen"}},
        {"epoch": 3, "labels": ["cat ", " dog", "hen"]},
    ],
)
def test_names_in_a_checkpoint_are_found(metadata):
    assert labels_in(checkpoint(**metadata)) == PETS


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"classes": 3},
        {"classes": []},
        {"classes": ["cat", None]},
        {"class_to_idx": {"cat": 0, "dog": 2}},
        {"class_to_idx": {"cat": 0, "dog": 0}},
        {"labels": {"a": {"b": "c"}}},
    ],
)
def test_what_is_no_list_of_names_is_not_taken_for_one(metadata):
    assert labels_in(checkpoint(**metadata)) is None


def test_the_names_in_the_bundled_sample_are_found():
    metadata = torch.load(SAMPLES["final"].path, weights_only=True)
    labels = choose_labels(10, SimpleNamespace(metadata=metadata))
    assert labels.names[7] == "seven"
    assert labels.source == "the checkpoint's own classes"
    assert not labels.guessed


def test_imagenets_names_come_with_1000_outputs_and_are_called_a_guess():
    labels = choose_labels(1000)
    assert labels.names[:2] == ("tench", "goldfish")
    assert len(imagenet_labels()) == 1000
    assert labels.guessed


def test_ones_own_list_comes_before_the_checkpoints():
    labels = choose_labels(3, checkpoint(classes=["a", "b", "c"]), PETS, "pets.txt")
    assert labels.names == PETS
    assert labels.source == "pets.txt"


def test_a_list_of_another_length_is_refused_with_both_numbers():
    with pytest.raises(LabelsError, match=r"pets\.txt has 3 names, the model has 10 outputs"):
        choose_labels(10, uploaded=PETS, uploaded_name="pets.txt")


def test_a_checkpoints_list_of_another_length_is_passed_over_and_told():
    labels = choose_labels(5, checkpoint(classes=list(PETS)))
    assert labels.names == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert labels.source == (
        "numbers, since no names are known; "
        "the checkpoint's classes has 3 names, the model 5 outputs"
    )
    assert labels.guessed


def test_of_several_lists_the_one_with_the_right_length_is_taken():
    metadata = {"classes": ["a", "b"], "names": list(PETS)}
    assert choose_labels(3, checkpoint(**metadata)).names == PETS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pets.txt", "cat\ndog\nhen\n"),
        ("pets.txt", "\ufeffcat\r\ndog\r\n\r\nhen"),
        ("pets.txt", "0: cat\n1: dog\n2: hen"),
        ("pets.txt", "1\tcat\n2\tdog\n3\then"),
        ("pets.txt", "n02123045 cat\nn02084071 dog\nn01514668 hen"),
        ("pets.json", '["cat", "dog", "hen"]'),
        ("pets.json", '{"0": ["n02123045", "cat"], "1": ["n02084071", "dog"], "2": ["n0", "hen"]}'),
        ("pets.json", '{"cat": 0, "hen": 2, "dog": 1}'),
        ("config.json", '{"model": "x", "id2label": {"0": "cat", "1": "dog", "2": "hen"}}'),
        ("pets.csv", "cat\ndog\nhen\n"),
        ("pets.csv", "id,name\n0,cat\n1,dog\n2,hen\n"),
        ("pets.csv", "name,id\nhen,2\ncat,0\ndog,1\n"),
        ("pets.csv", "index;label\n1;cat\n2;dog\n3;hen\n"),
        ("pets.csv", '0,n02123045,"cat"\n1,n02084071,"dog"\n2,n01514668,"hen"\n'),
        ("pets.tsv", "0\tcat\n1\tdog\n2\then\n"),
        ("pets", '["cat", "dog", "hen"]'),
    ],
)
def test_a_file_of_names_is_read_in_the_forms_that_people_keep(name, text):
    assert parse_labels(text.encode(), name) == PETS


def test_names_with_numbers_and_commas_stay_whole():
    text = "great white shark, white shark\n3 toed sloth\nboeing 747"
    assert parse_labels(text.encode(), "names.txt") == tuple(text.split("\n"))


def test_names_in_utf_16_and_in_windows_letters_are_read():
    assert parse_labels("Käse\nBrot".encode("utf-16"), "n.txt") == ("Käse", "Brot")
    assert parse_labels("Käse\nBrot".encode("cp1252"), "n.txt") == ("Käse", "Brot")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("n.txt", b""),
        ("n.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("n.json", b'["cat", '),
        ("n.json", b"[" * 100_000),
        ("n.json", json.dumps({"a": {"b": 1}}).encode()),
        ("n.csv", b"\n\n"),
        ("n.txt", b"a\n" * (3 << 20)),
    ],
)
def test_a_file_that_holds_no_names_gets_a_sentence(name, data):
    with pytest.raises(LabelsError) as caught:
        parse_labels(data, name)
    assert caught.value.remedy


def test_a_number_of_more_digits_than_python_reads_is_no_index():
    long = "1" * 5000
    lines = f"{long} cat", f"{long} dog"
    assert parse_labels("\n".join(lines).encode(), "names.txt") == lines
    assert parse_labels(f"{long},cat\n{long},dog".encode(), "names.csv") == ("cat", "dog")
    with pytest.raises(LabelsError):
        parse_labels(f'{{"{long}": "cat"}}'.encode(), "names.json")
    assert labels_in(checkpoint(names={long: "cat"})) is None


def test_where_no_image_reached_the_model_a_list_of_any_length_is_accepted():
    labels = choose_labels(0, checkpoint(classes=["cat", "dog"]), PETS)
    assert (labels.names, labels.source) == ((), "none, because no image reached the model")
