"""A person's names come first, then the file's, then well-known ones, and the source says whose."""

from types import SimpleNamespace

import pytest
import torch
from timm.data import ImageNetInfo
from timm.models import get_pretrained_cfg

from core.checkpoint import open_checkpoint, surroundings
from core.errors import LabelsError
from core.predict import choose_labels, names_preview
from core.predict.labels import imagenet_labels
from core.server import SAMPLES

PETS = ("cat", "dog", "hen")


def checkpoint(**metadata):
    return SimpleNamespace(metadata=metadata)


def test_the_names_in_the_bundled_sample_are_found():
    metadata = torch.load(SAMPLES["final"].path, weights_only=True)
    labels = choose_labels(10, SimpleNamespace(metadata=metadata))
    assert labels.names[7] == "seven"
    assert labels.source == "the checkpoint's own classes"
    assert not labels.guessed


def test_the_names_in_a_configuration_beside_the_file_are_taken_where_it_has_none(tmp_path):
    """transformers' save_pretrained keeps them there."""
    path = tmp_path / "model.pth"
    (tmp_path / "config.json").write_text('{"id2label": {"0": "cat", "1": "dog", "2": "hen"}}')
    torch.save({"head.weight": torch.ones(3, 2)}, path)
    labels = choose_labels(3, open_checkpoint(path, around=surroundings(path)))
    assert (labels.names, labels.guessed) == (PETS, False)
    assert labels.source == "id2label in config.json beside the checkpoint"
    torch.save({"state_dict": {"w": torch.ones(3)}, "classes": ["a", "b", "c"]}, path)
    labels = choose_labels(3, open_checkpoint(path, around=surroundings(path)))
    assert labels.source == "the checkpoint's own classes"


def test_imagenets_names_come_with_1000_outputs_and_are_called_a_guess():
    labels = choose_labels(1000)
    assert labels.names[:2] == ("tench", "goldfish")
    assert len(imagenet_labels()) == 1000
    assert labels.guessed


def test_1001_outputs_are_guessed_to_have_a_background_first_and_the_source_says_so():
    labels = choose_labels(1001)
    assert labels.names[:2] == ("background", "tench")
    assert labels.source == (
        "guessed: a background class, then ImageNet's names, as there are 1,001 outputs"
    )


@pytest.mark.parametrize(
    ("model", "subset"),
    [
        ("mobilenetv3_large_100.miil_in21k", "imagenet-21k-miil"),
        ("coatnet_2_rw_224.sw_in12k", "imagenet-12k"),
        ("beit_base_patch16_224.in22k_ft_in22k", "imagenet-22k"),
        ("focalnet_huge_fl3.ms_in22k", "imagenet-22k-ms"),
        ("flexivit_base.300ep_in21k", "imagenet-21k-goog"),
    ],
)
def test_the_large_heads_of_timm_have_timms_names(model, subset):
    outputs = get_pretrained_cfg(model).num_classes
    labels = choose_labels(outputs)
    assert list(labels.names) == ImageNetInfo(subset).label_descriptions()
    assert labels.source == f"guessed: timm's names of {subset}, as there are {outputs:,} outputs"
    assert labels.guessed
    assert not labels.numbered


def test_ones_own_list_comes_before_the_checkpoints():
    labels = choose_labels(3, checkpoint(classes=["a", "b", "c"]), PETS, "pets.txt")
    assert labels.names == PETS
    assert labels.source == "pets.txt"


def test_a_list_of_another_length_is_refused_with_both_numbers():
    with pytest.raises(LabelsError, match=r"pets\.txt has 3 names, the model has 10 outputs"):
        choose_labels(10, uploaded=PETS, uploaded_name="pets.txt")


def test_a_list_without_the_background_is_not_shifted_but_refused_with_what_to_do():
    with pytest.raises(LabelsError, match=r"has 3 names, .* 4 outputs.*may be a background class"):
        choose_labels(4, uploaded=PETS, uploaded_name="pets.txt")


def test_a_checkpoints_list_of_another_length_is_passed_over_and_told():
    labels = choose_labels(5, checkpoint(classes=list(PETS)))
    assert labels.names == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert labels.source == (
        "numbers, since no names are known; "
        "the checkpoint's classes has 3 names, the model 5 outputs"
    )
    assert labels.guessed


def test_what_the_checkpoint_says_is_told_beside_a_guess():
    defaults = {str(index): f"LABEL_{index}" for index in range(1000)}
    labels = choose_labels(1000, checkpoint(id2label=defaults))
    assert labels.names[0] == "tench"
    assert labels.source == (
        "guessed: ImageNet's names, as there are 1,000 outputs; "
        "the checkpoint's id2label only numbers the classes, as in LABEL_0"
    )


def test_a_list_that_is_not_there_cannot_be_chosen():
    both = checkpoint(classes=list(PETS), names=["Katze", "Hund", "Huhn"])
    with pytest.raises(LabelsError, match=r"in labels\. Its lists for them are: classes and names"):
        choose_labels(3, both, stated="labels")


def test_where_no_image_reached_the_model_a_list_of_any_length_is_accepted():
    labels = choose_labels(0, checkpoint(classes=["cat", "dog"]), PETS)
    assert (labels.names, labels.source) == ((), "none, because no image reached the model")


def test_a_preview_has_the_first_names():
    assert names_preview(PETS) == "cat, dog, hen"
    assert names_preview((*PETS, "owl")) == "cat, dog, hen, …"
