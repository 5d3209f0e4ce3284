"""What a library and a file say of a model's outputs before it runs."""

from collections import Counter

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet18

from core.architectures import Architecture
from core.checkpoint import open_checkpoint
from core.predict.answers import told_outputs

TEXTS = "trained on images with their texts"


def test_51_of_timms_models_are_told_to_return_an_embedding_and_145_to_have_no_head():
    said = Counter()
    for name in timm.list_models():
        embedding = told_outputs(Architecture("timm", name)).embedding
        said["texts" if TEXTS in embedding else "headless" if embedding else "classes"] += 1
    assert said["texts"] == 51
    assert said["headless"] == 145


def test_of_all_of_timms_weights_those_with_a_set_of_classes_are_told_to_have_classes():
    classes = {1000, 11221, 11821, 19168, 21841, 21842, 21843, 115217}
    wrong = []
    for name in timm.list_models():
        for full, known in timm.models.get_arch_pretrained_cfgs(name).items():
            architecture = Architecture("timm", name, (), full.partition(".")[2])
            if bool(told_outputs(architecture).embedding) == (known.num_classes in classes):
                wrong.append(full)
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "classes", "embeds"),
    [
        ("vit_base_patch16_clip_224", 512, True),
        ("vit_base_patch16_clip_224", 1000, False),
        ("vit_base_patch16_clip_224", 37, False),
        ("resnet50_clip", 10, False),
        ("resnet50", 512, False),
        ("test_resnet", 0, True),
    ],
)
def test_the_number_of_outputs_tells_a_projection_from_a_fine_tuned_head(name, classes, embeds):
    architecture = Architecture("timm", name, (("num_classes", classes),))
    assert bool(told_outputs(architecture).embedding) == embeds


def test_a_file_that_names_a_class_for_each_number_has_classes(tmp_path):
    names = [f"species {number}" for number in range(1024)]
    torch.save({"state_dict": {"a": torch.ones(1)}, "classes": names}, tmp_path / "named.pth")
    checkpoint = open_checkpoint(tmp_path / "named.pth")
    architecture = Architecture("timm", "resnet50_clip")
    assert TEXTS in told_outputs(architecture).embedding
    assert told_outputs(architecture, None, checkpoint).embedding == ""


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"config": {"problem_type": "multi_label_classification"}}, "problem_type"),
        ({"hyper_parameters": {"loss": "BCEWithLogitsLoss"}}, "loss"),
        ({"criterion": nn.BCEWithLogitsLoss()}, "BCEWithLogitsLoss"),
        ({"hyper_parameters": {"criterion": nn.MultiLabelSoftMarginLoss()}}, "MultiLabel"),
        ({"cfg": {"model": {"head": {"type": "MultiLabelLinearClsHead"}}}}, "type"),
        ({"multilabel": True}, "multilabel"),
    ],
)
def test_a_file_that_states_several_labels_at_once_is_quoted(tmp_path, stated, said):
    torch.save({"state_dict": resnet18(num_classes=3).state_dict(), **stated}, tmp_path / "m.pth")
    told = told_outputs(
        Architecture("torchvision", "resnet18"), None, open_checkpoint(tmp_path / "m.pth")
    )
    assert told.multi_label.startswith("The file states ")
    assert said in told.multi_label


@pytest.mark.parametrize(
    "stated",
    [
        {"multilabel": False},
        {"loss": "CrossEntropyLoss"},
        {"criterion": nn.CrossEntropyLoss()},
        {"classes": ["multi-label", "single label"]},
        {"args": {"bce_loss": True, "experiment_name": "multilabel_trial"}},
        {"notes": "a multi-label head did worse than this one, so it was left out"},
        {"bce_loss": 0.31},
    ],
)
def test_other_statements_are_not_taken_for_one_on_labels(tmp_path, stated):
    torch.save({"state_dict": {"a": torch.ones(1)}, **stated}, tmp_path / "m.pth")
    told = told_outputs(
        Architecture("torchvision", "resnet18"), None, open_checkpoint(tmp_path / "m.pth")
    )
    assert told.multi_label == ""


def test_a_detectors_classes_are_those_of_its_weights_or_of_its_option():
    assert told_outputs(Architecture("torchvision", "fasterrcnn_resnet50_fpn")).objects == 91
    own = Architecture("torchvision", "fasterrcnn_resnet50_fpn", (("num_classes", 3),))
    assert told_outputs(own).objects == 3
