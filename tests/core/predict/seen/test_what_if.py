"""A model's answers under the usual mistakes are those of plain PyTorch that makes them."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model, shufflenet_v2_x0_5
from torchvision.transforms import v2

from core.architectures import Architecture, signature
from core.checkpoint import open_checkpoint
from core.errors import ImageError, LoadError
from core.fixes import Recipe, Step, StripPrefix
from core.inputs import IMAGENET, default_preprocessing, prepare
from core.load import load_model
from core.predict.prediction import predict
from core.predict.seen.what_if import what_if
from core.progress import Cancelled, Progress
from core.recipe import apply_recipe
from core.server import SAMPLES, photographs, sample_images

pytestmark = pytest.mark.slow

DIGITS = Architecture("torchvision", "shufflenet_v2_x0_5", (("num_classes", 10),))


@cache
def digits(**options):
    """The sample's model of digits as Loupe loads it, and its preprocessing."""
    checkpoint = open_checkpoint(SAMPLES["final"].path)
    strip = Recipe((Step(StripPrefix("module.")),))
    applied = apply_recipe(strip, checkpoint.state_dict(), signature(DIGITS))
    loaded = load_model(applied.state_dict, DIGITS, **options)
    return loaded, default_preprocessing(DIGITS, checkpoint)


def plain_digits():
    """The same model as plain PyTorch loads it."""
    checkpoint = torch.load(SAMPLES["final"].path, weights_only=True)
    model = shufflenet_v2_x0_5(num_classes=10).eval()
    model.load_state_dict(
        {key.removeprefix("module."): value for key, value in checkpoint["state_dict"].items()}
    )
    return model


def opened(path):
    return Image.open(path).convert("RGB")


def saved_resnet(path, **options):
    torch.manual_seed(4)
    model = get_model("resnet18", **options).eval()
    torch.nn.init.normal_(model.fc.weight, std=0.3)  # so that its answers are not all alike
    torch.save(model.state_dict(), path)
    return model


@pytest.mark.parametrize("path", sample_images()[:3], ids=lambda path: path.name)
def test_the_digits_are_answered_as_plain_torch_answers_them(path):
    loaded, preprocessing = digits()
    found = what_if(loaded, opened(path), preprocessing)

    image = Image.open(path).convert("RGB")
    pixels = v2.functional.pil_to_tensor(v2.CenterCrop(64)(v2.Resize(64)(image)))
    values = pixels.float() / 255
    imagenet = v2.Normalize(IMAGENET.mean, IMAGENET.std)
    halves = v2.Normalize([0.5] * 3, [0.5] * 3)
    bicubic = v2.Resize(64, v2.InterpolationMode.BICUBIC)(image)
    wrong = {
        "leaving values at 0–255": halves(pixels.float()),
        "leaving out mean/std": values,
        "ImageNet mean/std": imagenet(values),
        "bicubic instead of bilinear": halves(v2.functional.pil_to_tensor(bicubic).float() / 255),
    }
    model = plain_digits()
    with torch.inference_mode():
        expected = model(halves(values)[None]).softmax(1)[0]
    right = int(expected.argmax())
    assert found.right is not None
    assert found.right.index == right
    assert found.right.probability == pytest.approx(expected[right].item(), rel=1e-4)
    answers = {answer.mistake.name: answer for answer in found.answers}
    for name, inputs in wrong.items():
        with torch.inference_mode():
            row = model(inputs[None]).softmax(1)[0]
        answer = answers[name]
        assert answer.top.index == int(row.argmax())
        assert answer.top.probability == pytest.approx(row.max().item(), rel=1e-4)
        assert answer.of_right == pytest.approx(row[right].item(), rel=1e-4, abs=1e-12)
        assert answer.changes == (int(row.argmax()) != right)


@pytest.mark.parametrize("path", photographs(), ids=lambda path: path.name)
def test_photographs_are_answered_as_plain_torch_answers_them(tmp_path, path):
    model = saved_resnet(tmp_path / "model.pth", num_classes=20)
    architecture = Architecture("torchvision", "resnet18", (("num_classes", 20),))
    loaded = load_model(open_checkpoint(tmp_path / "model.pth").state_dict(), architecture)
    image = opened(path)
    found = what_if(loaded, image, default_preprocessing(architecture))

    to_floats = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    last = [v2.CenterCrop(224), *to_floats, v2.Normalize(IMAGENET.mean, IMAGENET.std)]
    bgr = Image.fromarray(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))
    wrong = {
        "BGR instead of RGB": v2.Compose([v2.Resize(256), *last])(bgr),
        "squashing instead of cropping": v2.Compose([v2.Resize((224, 224)), *last])(image),
        "resizing to 224 instead of 256": v2.Compose([v2.Resize(224), *last])(image),
    }
    answers = {answer.mistake.name: answer for answer in found.answers}
    skipped = {each.name: each for each in found.skipped}
    for name, inputs in wrong.items():
        if name in skipped:
            same = wrong.get(skipped[name].same_as, prepare(image, IMAGENET))
            assert torch.allclose(inputs, same, atol=1e-6)
            continue
        with torch.inference_mode():
            row = model(inputs[None]).softmax(1)[0]
        assert answers[name].top.index == int(row.argmax())
        assert answers[name].top.probability == pytest.approx(row.max().item(), rel=1e-4)
        assert answers[name].of_right == pytest.approx(row[found.right.index].item(), rel=1e-4)


def test_what_makes_no_difference_is_not_run_and_said():
    loaded, preprocessing = digits()
    grey_and_square = opened(sample_images()[0])
    found = what_if(loaded, grey_and_square, preprocessing)
    none = {each.name for each in found.skipped if not each.same_as}
    assert none == {"BGR instead of RGB", "squashing instead of cropping"}
    coloured = Image.merge(
        "RGB", [grey_and_square.getchannel(0), *[Image.new("L", (128, 128))] * 2]
    )
    names = {each.name for each in what_if(loaded, coloured, preprocessing).skipped}
    assert names == {"squashing instead of cropping"}


def test_mistakes_that_give_the_same_tensor_are_run_once():
    loaded, _ = digits()
    square = opened(photographs()[0]).crop((0, 0, 200, 200))
    found = what_if(loaded, square, IMAGENET)
    same = {each.name: each.same_as for each in found.skipped if each.same_as}
    assert same == {"resizing to 224 instead of 256": "squashing instead of cropping"}


def test_all_mistakes_go_through_the_model_in_one_batch_and_leave_it_as_it_was():
    loaded, preprocessing = digits()
    batches = []
    before = {key: value.clone() for key, value in loaded.model.state_dict().items()}
    hook = loaded.model.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    found = what_if(loaded, opened(sample_images()[0]), preprocessing)
    hook.remove()
    assert batches == [1 + len(found.answers)]
    after = loaded.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert not any(module.training for module in loaded.model.modules())
    assert not any(module._forward_hooks for module in loaded.model.modules())
    assert all(parameter.grad is None for parameter in loaded.model.parameters())


def test_the_right_answer_is_that_of_predict():
    loaded, preprocessing = digits()
    for path in sample_images():
        found = what_if(loaded, opened(path), preprocessing)
        prediction = predict(loaded, [(path.name, opened(path))], preprocessing)[0]
        assert found.right.index == prediction.indices[0]
        assert found.right.probability == pytest.approx(prediction.probabilities[0], rel=1e-4)


def test_an_output_that_overflows_under_one_mistake_alone_is_no_answer(tmp_path):
    # In float16 the first layer overflows where values are 255 times as large.
    model = saved_resnet(tmp_path / "unused.pth", num_classes=5)
    with torch.no_grad():
        model.conv1.weight.mul_(200)
        model.bn1.running_var.mul_(40_000)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    architecture = Architecture("torchvision", "resnet18", (("num_classes", 5),))
    state_dict = open_checkpoint(tmp_path / "model.pth").state_dict()
    loaded = load_model(state_dict, architecture, dtype="float16")
    found = what_if(loaded, opened(photographs()[1]), IMAGENET)
    assert found.right is not None
    endless = {answer.mistake.name for answer in found.answers if answer.top is None}
    assert endless == {"leaving values at 0–255"}
    assert all(answer.changes for answer in found.answers if answer.top is None)
    assert all((answer.of_right is None) == (answer.top is None) for answer in found.answers)


def test_a_model_with_a_nan_has_no_answer_at_all(tmp_path):
    model = saved_resnet(tmp_path / "unused.pth", num_classes=5)
    with torch.no_grad():
        model.fc.weight[1, 1] = float("nan")
    torch.save(model.state_dict(), tmp_path / "model.pth")
    architecture = Architecture("torchvision", "resnet18", (("num_classes", 5),))
    loaded = load_model(open_checkpoint(tmp_path / "model.pth").state_dict(), architecture)
    found = what_if(loaded, opened(photographs()[0]), IMAGENET)
    assert found.right is None
    assert not any(answer.changes or answer.top for answer in found.answers)


def test_an_image_that_is_too_thin_is_refused_and_a_mistake_that_makes_it_so_is_left_out():
    loaded, preprocessing = digits()
    thin = Image.new("RGB", (60_000, 1), "red")
    with pytest.raises(ImageError, match="too long and thin"):
        what_if(loaded, thin, replace(preprocessing, resize=(64, 64), crop=(64, 64)))
    squashed = replace(preprocessing, fit="squash", resize=(64, 64), crop=(64, 64))
    too_large = [each.name for each in what_if(loaded, thin, squashed).skipped if each.too_large]
    assert too_large == ["cropping instead of squashing"]


def test_a_model_whose_answer_names_no_class_is_refused(tmp_path):
    model = get_model("lraspp_mobilenet_v3_large", weights_backbone=None, num_classes=3)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    architecture = Architecture("torchvision", "lraspp_mobilenet_v3_large", (("num_classes", 3),))
    loaded = load_model(open_checkpoint(tmp_path / "model.pth").state_dict(), architecture)
    with pytest.raises(LoadError, match="it is read as pixels"):
        what_if(loaded, opened(photographs()[0]), IMAGENET)


def test_it_can_be_cancelled_before_the_model_runs():
    loaded, preprocessing = digits()
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        what_if(loaded, opened(sample_images()[0]), preprocessing, progress)


def test_of_several_labels_an_answer_changes_where_others_are_found(tmp_path):
    """The most probable label is the same under each mistake, but no longer found."""
    architecture = Architecture("torchvision", "resnet18", (("num_classes", 2),))
    image = opened(photographs()[0])
    model = saved_resnet(tmp_path / "two.pth", num_classes=2)
    with torch.no_grad():
        score = model(prepare(image, IMAGENET)[None])[0, 0]
        model.fc.bias -= torch.tensor([score - 0.001, 1000])
    torch.save(model.state_dict(), tmp_path / "two.pth")
    loaded = load_model(open_checkpoint(tmp_path / "two.pth").state_dict(), architecture)
    found = what_if(loaded, image, IMAGENET, kinds={"": "labels"})
    assert found.right.probability >= 0.5
    assert {each.top.index for each in found.answers} == {found.right.index}
    lost = [each for each in found.answers if each.of_right < 0.5]
    assert lost
    assert all(each.changes for each in lost)
    as_classes = what_if(loaded, image, IMAGENET)
    assert not any(each.changes for each in as_classes.answers)
