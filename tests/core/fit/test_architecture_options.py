"""The options of an architecture, and the number of classes that a file has."""

import pytest
import torch
from torchvision.models import resnet18

from core.architectures import Architecture, build_uninitialised, parse_architecture
from core.fit.architecture_options import classes_in, other_classes, with_classes, with_option

RESNET = Architecture("torchvision", "resnet18")


def test_an_option_is_set_replaced_and_left_to_its_default():
    assert with_option(RESNET, "num_classes", 10).key == "torchvision:resnet18?num_classes=10"
    ten = with_option(RESNET, "num_classes", 10)
    assert with_option(ten, "num_classes", 7).key == "torchvision:resnet18?num_classes=7"
    assert with_option(ten, "num_classes", None) == RESNET


def test_the_heads_number_of_classes_is_taken_under_a_wrapper_too(saved):
    wrapped = saved(torch.nn.DataParallel(resnet18(num_classes=10)).state_dict())
    assert with_classes(RESNET, wrapped).key == "torchvision:resnet18?num_classes=10"


def test_another_number_of_classes_is_told_only_where_it_is_another(saved):
    imagenet = saved(resnet18().state_dict())
    assert classes_in(imagenet, RESNET) == 1000
    assert other_classes(imagenet, RESNET) is None
    ten = saved(resnet18(num_classes=10).state_dict())
    assert other_classes(ten, RESNET) == 10
    assert other_classes(ten, with_option(RESNET, "num_classes", 10)) is None


def test_an_architecture_that_cannot_be_built_has_no_known_classes(saved):
    unknown = Architecture("own", "nowhere.model")
    assert classes_in(saved(resnet18().state_dict()), unknown) is None


@pytest.mark.parametrize(
    "name",
    [
        "fasterrcnn_mobilenet_v3_large_fpn",
        "retinanet_resnet50_fpn",
        "ssdlite320_mobilenet_v3_large",
        "lraspp_mobilenet_v3_large",
        "s3d",
    ],
)
def test_a_detectors_or_a_segmenters_classes_are_told_from_its_boxes_and_anchors(saved, name):
    architecture = parse_architecture(f"torchvision:{name}?num_classes=7")
    model = build_uninitialised(architecture)
    assert (
        with_classes(Architecture("torchvision", name), saved(model.state_dict())) == architecture
    )
    wrapped = saved(torch.nn.DataParallel(model).state_dict())
    assert classes_in(wrapped, architecture) == 7


def test_a_file_of_another_network_has_no_classes_for_a_detector(saved):
    detector = Architecture("torchvision", "ssdlite320_mobilenet_v3_large")
    assert classes_in(saved(resnet18().state_dict()), detector) is None


def parts(**modules: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict(torch.nn.ModuleDict(modules).state_dict())


def headless() -> torch.nn.Module:
    model = resnet18()
    model.fc = torch.nn.Identity()
    return model


def test_the_rows_of_a_projection_are_no_classes(saved):
    linear = torch.nn.Linear
    swav = parts(backbone=headless(), projection_head=linear(512, 128), prototypes=linear(128, 30))
    assert classes_in(saved(swav), RESNET) is None
    for name in ("projector", "projection", "image_projection", "proj"):
        file = parts(backbone=headless(), **{name: linear(512, 30)})
        assert classes_in(saved(file), RESNET) is None


def test_a_classifier_before_a_projection_has_the_classes(saved):
    linear = torch.nn.Linear
    file = parts(backbone=headless(), classifier=linear(512, 7), projector=linear(512, 30))
    assert classes_in(saved(file), RESNET) == 7


def test_a_last_layer_of_other_inputs_has_no_classes_for_the_model(saved):
    mlp = torch.nn.Sequential(torch.nn.Linear(512, 64), torch.nn.Linear(64, 7))
    assert classes_in(saved(parts(backbone=headless(), decoder=mlp)), RESNET) is None
