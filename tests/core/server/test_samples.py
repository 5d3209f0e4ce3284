"""The bundled sample is what its README says."""

import re

import pytest
import torch
from PIL import Image
from torchvision.models import shufflenet_v2_x0_5

from core.server.samples import (
    DIGITS,
    FOLDER,
    SAMPLES,
    bundled_images,
    photographs,
    sample_images,
)


@pytest.mark.parametrize("name", ["early", "final"])
def test_a_sample_is_a_training_checkpoint_of_a_dataparallel_model(name):
    checkpoint = torch.load(SAMPLES[name].path, weights_only=True)
    assert set(checkpoint) >= {"epoch", "arch", "state_dict", "optimizer", "classes", "accuracy"}
    assert checkpoint["arch"] == "shufflenet_v2_x0_5"
    assert all(key.startswith("module.") for key in checkpoint["state_dict"])
    assert checkpoint["optimizer"]["state"]
    model = torch.nn.DataParallel(shufflenet_v2_x0_5(num_classes=len(checkpoint["classes"])))
    model.load_state_dict(checkpoint["state_dict"])


def test_the_final_epoch_is_better_than_the_early_one_and_the_readme_says_by_how_much():
    early, final = (torch.load(SAMPLES[name].path, weights_only=True) for name in SAMPLES)
    assert early["epoch"] < final["epoch"]
    assert early["accuracy"] + 5 < final["accuracy"]
    assert final["accuracy"] >= 97
    told = re.findall(r"([\d.]+) % of 360", (FOLDER / "README.md").read_text())
    assert [float(figure) for figure in told] == [early["accuracy"], final["accuracy"]]


def test_all_sample_files_together_stay_under_5_mb():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 5_000_000


def test_the_sample_pictures_open_and_are_named_after_a_digit():
    paths = sample_images()
    assert 6 <= len(paths) <= 8
    for path in paths:
        assert re.fullmatch(r"digit_\d_[a-h]\.png", path.name)
        with Image.open(path) as image:
            assert image.size == (128, 128)


def test_the_photographs_open_are_small_and_the_readme_names_their_source_and_licence():
    readme = (FOLDER / "README.md").read_text()
    assert len(photographs()) >= 3
    for path in photographs():
        assert path.stat().st_size <= 100_000
        with Image.open(path) as image:
            assert image.mode == "RGB"
            assert max(image.size) == 400
        (row,) = [line for line in readme.splitlines() if f"`{path.name}`" in line]
        assert "CC0" in row or "public domain" in row


@pytest.mark.parametrize("name", ["early", "final"])
def test_the_samples_classes_are_those_of_the_digits(name):
    assert tuple(torch.load(SAMPLES[name].path, weights_only=True)["classes"]) == DIGITS


def test_a_model_of_the_digits_is_shown_digits_and_another_of_colours_photographs():
    assert bundled_images([DIGITS], [3]) == sample_images()
    assert bundled_images([None, DIGITS], [3]) == sample_images()
    assert bundled_images([None], [3]) == photographs()
    assert bundled_images([("cat", "dog")], [3]) == photographs()


def test_a_model_of_other_channels_is_shown_none():
    assert bundled_images([None], [1]) == ()
    assert bundled_images([None, None], [3, 4]) == ()
