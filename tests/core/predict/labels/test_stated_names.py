"""What training scripts save about their classes is read by what it says, or refused with a reason.

Every file is written by the library that people use, and opened as a person opens it.
"""

import argparse
import json
from collections import Counter, OrderedDict, UserDict, UserList, defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from sklearn.preprocessing import LabelEncoder

from core.checkpoint import Checkpoint, open_checkpoint
from core.predict import Labels, choose_labels, label_choices, labels_in

PETS = ["cat", "dog", "hen"]
COCO_IDS = [7, 3, 90]
SYNSETS = ["n02123045", "n02084071", "n01514668"]
RECORDS = [
    {"supercategory": "bird", "id": 90, "name": "hen"},
    {"supercategory": "animal", "id": 3, "name": "cat"},
    {"supercategory": "animal", "id": 17, "name": "dog"},
]


def opened(path: Path, metadata: dict[str, object]) -> Checkpoint:
    torch.save({"state_dict": {"fc.weight": torch.ones(3, 2)}, **metadata}, path / "run.pth")
    return open_checkpoint(path / "run.pth")


def in_safetensors(path: Path, metadata: dict[str, str]) -> Checkpoint:
    save_file({"fc.weight": torch.ones(3, 2)}, path / "model.safetensors", metadata)
    return open_checkpoint(path / "model.safetensors")


NAMED: dict[str, dict[str, object]] = {
    "list": {"classes": PETS},
    "tuple": {"class_names": tuple(PETS)},
    "array": {"classes": np.array(PETS)},
    "array of objects": {"classes": np.array(PETS, dtype=object)},
    "array of bytes": {"labels": np.array([name.encode() for name in PETS])},
    "array of pairs": {"classes": np.array([*zip(SYNSETS, PETS, strict=True)])},
    "numpy texts": {"names": [np.str_(name) for name in PETS]},
    "bytes": {"classes": [name.encode() for name in PETS]},
    "class_to_idx": {"class_to_idx": {"dog": 1, "cat": 0, "hen": 2}},
    "class_to_idx, ordered": {"class_to_idx": OrderedDict(hen=2, cat=0, dog=1)},
    "class_to_idx, default": {"class_to_idx": defaultdict(int, hen=2, cat=0, dog=1)},
    "class_to_idx, numpy": {"class_to_idx": {"dog": np.int64(1), "cat": 0, "hen": np.int32(2)}},
    "class_to_idx from 1": {"class_to_idx": {"dog": 2, "cat": 1, "hen": 3}},
    "class_to_idx, texts": {"class_to_idx": {"dog": "1", "cat": "0", "hen": "2"}},
    "class2idx": {"class2idx": {"dog": 1, "cat": 0, "hen": 2}},
    "class_indices": {"class_indices": {"dog": 1, "cat": 0, "hen": 2}},
    "label2id": {"label2id": {"dog": 1, "cat": 0, "hen": 2}},
    "idx_to_class": {"idx_to_class": {2: "hen", 0: "cat", 1: "dog"}},
    "idx_to_class, texts": {"idx_to_class": {"2": "hen", "0": "cat", "1": "dog"}},
    "idx_to_class from 1": {"idx_to_class": {3: "hen", 1: "cat", 2: "dog"}},
    "idx2label": {"idx2label": {0: "cat", 1: "dog", 2: "hen"}},
    "idx2label, list": {"idx2label": PETS},
    "idx_to_labels": {"idx_to_labels": {0: "cat", 1: "dog", 2: "hen"}},
    "int2label": {"int2label": {0: "cat", 1: "dog", 2: "hen"}},
    "index_to_name": {"index_to_name": {"0": "cat", "1": "dog", "2": "hen"}},
    "class_to_category_dict": {"class_to_category_dict": {0: "cat", 1: "dog", 2: "hen"}},
    "ten or more, by number": {
        "idx_to_class": {str(n): f"kind {'abcdefghijkl'[n]}" for n in sorted(range(12), key=str)}
    },
    "label_map by name": {"label_map": {"dog": 1, "cat": 0, "hen": 2}},
    "labels_map by number": {"labels_map": {0: "cat", 2: "hen", 1: "dog"}},
    "class_mapping": {"class_mapping": {"0": "cat", "1": "dog", "2": "hen"}},
    "numbered keys": {"id2label": {"class_0": "cat", "class_2": "hen", "class_1": "dog"}},
    "config": {"config": {"id2label": {0: "cat", 1: "dog", 2: "hen"}, "label2id": {}}},
    "YOLO": {"nc": 3, "names": {0: "cat", 1: "dog", 2: "hen"}},
    "OpenMMLab 1": {"meta": {"CLASSES": tuple(PETS), "PALETTE": None}},
    "OpenMMLab 2": {"meta": {"dataset_meta": {"classes": tuple(PETS), "palette": [[0, 0, 1]]}}},
    "Lightning": {"hyper_parameters": {"data": {"label_names": PETS}}},
    "Namespace": {"args": argparse.Namespace(classes=PETS, lr=0.1)},
    "SimpleNamespace": {"config": SimpleNamespace(class_names=PETS)},
    "OmegaConf": {"hyper_parameters": OmegaConf.create({"classes": PETS, "lr": 0.1})},
    "OmegaConf mapping": {
        "cfg": OmegaConf.create({"id2label": {"1": "dog", "0": "cat", "2": "hen"}})
    },
    "LabelEncoder": {"label_encoder": LabelEncoder().fit(["hen", "dog", "cat"])},
    "LabelEncoder, short": {"le": LabelEncoder().fit(["hen", "dog", "cat"])},
    "LabelEncoder's array": {"classes_": LabelEncoder().fit(["hen", "dog", "cat"]).classes_},
    "UserList": {"vocab": UserList(PETS)},
    "UserDict": {"class_to_idx": UserDict(dog=1, cat=0, hen=2)},
    "vocab": {"vocab": PETS},
    "classes in a list": {"callbacks": [{"lr": 0.1}, {"class_names": PETS}]},
    "one mapping for each": {"classes": [{0: "cat"}, {1: "dog"}, {2: "hen"}]},
    "JSON in bytes": {"config": json.dumps({"classes": PETS}).encode()},
    "camel case": {"classNames": PETS},
    "capitals and spaces": {"Class Names": PETS},
    "class_id_to_name": {"class_id_to_name": {0: "cat", 1: "dog", 2: "hen"}},
    "inv_class_map": {"inv_class_map": {0: "cat", 1: "dog", 2: "hen"}},
    "synset_to_idx": {"synset_to_idx": {"hen": 2, "cat": 0, "dog": 1}},
    "label_decoder": {"label_decoder": {0: "cat", 1: "dog", 2: "hen"}},
    "a longer name": {"pets_classes": PETS},
    "records with a title": {"categories": [{"id": n, "title": PETS[n]} for n in (2, 0, 1)]},
    "timm": {"pretrained_cfg": {"num_classes": 3, "label_names": PETS}},
    "records of COCO": {"categories": RECORDS},
    "records by number": {"category_index": {n: {"id": n, "name": PETS[n - 1]} for n in (2, 1, 3)}},
    "records of label and value": {
        "classes": [
            {"label": "hen", "value": 2},
            {"label": "cat", "value": 0},
            {"label": "dog", "value": 1},
        ]
    },
    "records by name": {"classes": {"dog": {"id": 1}, "cat": {"id": 0}, "hen": {"id": 2}}},
    "pairs with numbers": {"classes": [(2, "hen"), (0, "cat"), (1, "dog")]},
    "pairs with synsets": {"class_index": {str(n): [SYNSETS[n], PETS[n]] for n in range(3)}},
    "JSON in a text": {"classes": json.dumps(PETS)},
    "document of JSON": {"config": json.dumps({"data": {"classes": PETS}})},
    "Python literal": {"class_to_idx": str({"dog": 1, "cat": 0, "hen": 2})},
    "the text of an array": {"classes": str(np.array(PETS))},
    "a list without quotes": {"classes": "[cat, dog, hen]"},
    "names between commas": {"class_names": "cat, dog,hen"},
    "names on lines": {"class_names": "cat\ndog\nhen\n"},
    "numbers between commas": {"labels": "1:dog,0:cat,2:hen"},
    "lines in bytes": {"labels": b"cat\ndog\nhen\n"},
    "one of two has the length": {"classes": ["a", "b"], "names": PETS},
    "the same twice": {"classes": PETS, "class_to_idx": {"Dog": 1, "Cat": 0, "Hen": 2}},
    "words beside ids": {"class_to_idx": {s: n for n, s in enumerate(SYNSETS)}, "classes": PETS},
    "default names beside real ones": {"id2label": {0: "LABEL_0"}, "classes": PETS},
}


@pytest.mark.parametrize("shape", NAMED)
def test_names_are_read_from(shape: str, tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, NAMED[shape])
    names = [f"kind {letter}" for letter in "abcdefghijkl"] if "ten or more" in shape else PETS
    names = ["cat", "dog", "hen"] if "LabelEncoder" in shape else names
    labels = choose_labels(len(names), checkpoint)
    assert list(labels.names) == names
    assert labels.source.startswith("the checkpoint's own ")
    assert not labels.guessed
    assert label_choices(len(names), checkpoint) == ()


KEPT: dict[str, tuple[dict[str, object], list[str]]] = {
    "a background class": (
        {"class_to_idx": {"dog": 2, "__background__": 0, "cat": 1}},
        ["__background__", "cat", "dog"],
    ),
    "equal names": ({"classes": ["crane", "dog", "crane"]}, ["crane", "dog", "crane"]),
    "digits": ({"classes": [str(n) for n in range(3)]}, ["0", "1", "2"]),
    "numbers": ({"classes": np.arange(3)}, ["0", "1", "2"]),
    "folders of digits": ({"class_to_idx": {"1": 0, "10": 1, "2": 2}}, ["1", "10", "2"]),
    "names with commas": ({"classes": ["a, b", "c", "d"]}, ["a, b", "c", "d"]),
    "synsets": ({"classes": SYNSETS}, SYNSETS),
    "spaces": ({"classes": ["cat ", " big  dog", "hen\n"]}, ["cat", "big dog", "hen"]),
    "yes and no": ({"classes": ["yes", "no", "null"]}, ["yes", "no", "null"]),
    "a class called names": (
        {"class_to_idx": {"names": 0, "classes": 1, "hen": 2}},
        ["names", "classes", "hen"],
    ),
}


@pytest.mark.parametrize("shape", KEPT)
def test_names_are_kept_as_they_are_with(shape: str, tmp_path: Path) -> None:
    metadata, names = KEPT[shape]
    assert list(choose_labels(3, opened(tmp_path, metadata)).names) == names


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "set": ({"classes": {*PETS}}, "classes is a set, and a set has no order"),
    "frozenset": ({"classes": frozenset(PETS)}, "classes is a set, and a set has no order"),
    "set in a text": ({"classes": "{'cat', 'dog', 'hen'}"}, "classes is a set"),
    "counts": ({"classes": {"cat": 120, "dog": 80, "hen": 95}}, "do not count from 0 or 1: 80, 95"),
    "Counter": ({"classes": Counter(cat=12, dog=8, hen=9)}, "do not count from 0 or 1"),
    "colours": ({"classes": {n: [9, 9, 9] for n in PETS}}, "maps names to what is no number"),
    "weights": (
        {"classes": {"cat": 0.2, "dog": 0.3, "hen": 0.5}},
        "maps names to what is no number",
    ),
    "flags": ({"classes": dict.fromkeys(PETS, True)}, "maps names to what is no number"),
    "texts": ({"classes": {"cat": "Katze", "dog": "Hund", "hen": "Huhn"}}, "what is no number"),
    "groups": ({"classes": {"mammal": ["cat", "dog"], "bird": ["hen"]}}, "what is no number"),
    "a class to ignore": ({"idx_to_class": {-1: "none", 0: "a", 1: "b"}}, ": -1, 0 and 1"),
    "not a number": ({"classes": {"cat": float("nan"), "dog": float("inf")}}, "is no number"),
    "a text of many MB": ({"classes": "cat," * (1 << 20)}, "is too long for a list of names"),
    "gaps": ({"class_to_idx": {"cat": 0, "dog": 2, "hen": 4}}, "count from 0 or 1: 0, 2 and 4"),
    "two of one number": (
        {"class_to_idx": {"cat": 0, "kitty": 0, "dog": 1}},
        "gives the number 0 to 2",
    ),
    "tensors": ({"class_to_idx": {"cat": torch.tensor(0), "dog": torch.tensor(1)}}, "is no number"),
    "an empty name": ({"classes": ["cat", "", "hen"]}, "classes has an empty name at 1"),
    "None": ({"classes": ["cat", None, "hen"]}, "has something other than a name at 1"),
    "empty": ({"classes": []}, "classes is empty"),
    "default names": (
        {"id2label": {n: f"LABEL_{n}" for n in range(3)}},
        "only numbers the classes",
    ),
    "numbers to numbers": ({"label_map": {0: 2, 1: 0, 2: 1}}, "maps numbers to numbers"),
    "too short": ({"classes": ["cat", "dog"]}, "so one may be a background class"),
    "too long": ({"classes": [*PETS, "owl"]}, "classes has 4 names, the model 3 outputs"),
    "counting from 1 beside a background": ({"id2label": {1: "cat", 2: "dog"}}, "background class"),
}


@pytest.mark.parametrize("shape", REFUSED)
def test_what_has_no_order_gives_numbers_and_the_reason(shape: str, tmp_path: Path) -> None:
    metadata, reason = REFUSED[shape]
    labels = choose_labels(3, opened(tmp_path, metadata))
    assert labels.names == ("class 0", "class 1", "class 2")
    assert labels.numbered
    assert reason in labels.source


SILENT = {
    "nothing": {},
    "a number": {"classes": 3, "num_classes": 3},
    "a path": {"classes": "data/pets.names", "names": "pets"},
    "the label of each image": {"labels": [0, 1, 1, 0, 2]},
    "the same as an array": {"train_labels": np.array([0, 1, 1, 0, 2])},
    "the same, each once": {"labels": np.array([2, 0, 1])},
    "a mapping of settings": {"mapping": {"lr": "cosine", "wd": "none"}},
    "losses": {"labels": [0.1, 0.2, float("nan")]},
    "the name of each image": {"val": {"labels": ["cat", "cat", "cat", "dog", "dog"]}},
    "a plot's": {"plot": {"labels": ["loss", "acc", "lr"]}},
    "the splits": {"label_set": ["train", "val", "test"]},
    "classes that are not those of the model": {
        "ignore_classes": PETS,
        "exclude_labels": PETS,
        "old_classes": PETS,
        "superclasses": PETS,
        "teacher": {"classes": PETS},
        "hparams": {"previous": {"class_to_idx": {"cat": 0, "dog": 1, "hen": 2}}},
    },
}


@pytest.mark.parametrize("shape", SILENT)
def test_what_is_no_list_of_names_is_not_mentioned(shape: str, tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, SILENT[shape])
    assert choose_labels(3, checkpoint).source == "numbers, since no names are known"
    assert labels_in(checkpoint) is None


IN_SAFETENSORS = {
    "a list of JSON": {"classes": json.dumps(PETS)},
    "a mapping of JSON": {"id2label": json.dumps({"0": "cat", "2": "hen", "1": "dog"})},
    "a whole document": {"metadata": json.dumps({"epoch": 3, "class_names": PETS})},
    "a nested document": {
        "config": json.dumps({"model": {"config": {"label2id": {"cat": 0, "dog": 1, "hen": 2}}}})
    },
    "a document in a document": {"run": json.dumps({"config": json.dumps({"classes": PETS})})},
    "the last of many documents": {
        **{f"run {n}": json.dumps({"class": {"weights": [n, 1]}}) for n in range(50)},
        "summary": json.dumps({"class_names": PETS}),
    },
    "commas": {"classes": "cat,dog,hen"},
    "lines": {"labels": "cat\ndog\nhen"},
    "a Python list": {"names": str(PETS)},
    "a Python mapping": {"names": str(dict(enumerate(PETS)))},
    "a Python tuple": {"CLASSES": str(tuple(PETS))},
    "a mapping between commas": {"classes": "0=cat, 1=dog, 2=hen"},
}


@pytest.mark.parametrize("shape", IN_SAFETENSORS)
def test_the_texts_of_a_safetensors_file_are_read(shape: str, tmp_path: Path) -> None:
    checkpoint = in_safetensors(tmp_path, IN_SAFETENSORS[shape])
    labels = choose_labels(3, checkpoint)
    assert list(labels.names) == PETS
    assert labels.source.startswith("the checkpoint's own __metadata__.")


def test_categories_are_in_the_order_of_their_ids_and_the_source_says_so(tmp_path: Path) -> None:
    labels = choose_labels(3, opened(tmp_path, {"categories": RECORDS}))
    assert labels.source == "the checkpoint's own categories by its ids"


def test_a_model_saved_whole_has_its_names_as_attributes(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 3)
    model.names = dict(enumerate(PETS))
    torch.save(model, tmp_path / "whole.pt")
    labels = choose_labels(3, open_checkpoint(tmp_path / "whole.pt"))
    assert list(labels.names) == PETS


def test_a_list_longer_than_the_metadata_shows_is_whole(tmp_path: Path) -> None:
    names = [f"kind {n}, {'x' * 30}" for n in range(21_843)]
    for value in (
        names,
        json.dumps(names),
        [{"id": n, "name": name} for n, name in enumerate(names)],
    ):
        assert list(choose_labels(21_843, opened(tmp_path, {"classes": value})).names) == names


CONFLICTS = {
    "other names": {"classes": PETS, "label_names": ["Katze", "Hund", "Huhn"]},
    "another order": {"classes": PETS, "class_to_idx": {"hen": 0, "dog": 1, "cat": 2}},
    "columns": {"classes": [("cat", "Katze"), ("dog", "Hund"), ("hen", "Huhn")]},
    "two places": {"train": {"classes": PETS}, "model": {"classes": ["a", "b", "c"]}},
}


@pytest.mark.parametrize("shape", CONFLICTS)
def test_where_lists_differ_the_person_chooses(shape: str, tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, CONFLICTS[shape])
    labels = choose_labels(3, checkpoint)
    assert labels.numbered
    assert labels.source.endswith(" differ: choose one")
    choices = label_choices(3, checkpoint)
    assert len(choices) == 2
    for choice in choices:
        assert choice.path in labels.source
        assert choose_labels(3, checkpoint, stated=choice.path) == Labels(
            choice.names, f"the checkpoint's own {choice.path}"
        )


def test_a_hostile_text_ends_the_search_in_bounds(tmp_path: Path) -> None:
    deep = "[" * 100_000
    many = "[" + "1," * 400_000 + "]"
    for text in (deep, f"{{'classes': {deep}", many, "(" * 5000 + ")" * 5000, "-" * 100_000 + "1"):
        assert labels_in(opened(tmp_path, {"classes": text, "config": text})) in (None, ())
