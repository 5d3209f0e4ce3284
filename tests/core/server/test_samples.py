"""The bundled sample is what its README says."""

import re

import pytest
import torch
from PIL import Image
from torchvision.models import shufflenet_v2_x0_5

from core.server.samples import FOLDER, SAMPLES, sample_images


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
