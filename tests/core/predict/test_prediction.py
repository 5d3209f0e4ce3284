"""Predictions are what plain PyTorch gives on the same input, and say when they mean nothing."""

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.models import (
    ShuffleNet_V2_X0_5_Weights,
    get_model,
    get_model_weights,
    list_models,
    resnet18,
)

from core.architectures import Architecture, catalogue, signature
from core.checkpoint import open_checkpoint
from core.errors import LoadError
from core.fixes import Recipe, Step, StripPrefix
from core.images import image_workers
from core.inputs import IMAGENET, default_preprocessing, prepare
from core.load import load_model
from core.predict.answers import logits_of, told_outputs
from core.predict.image_models import require_image_model
from core.predict.labels import choose_labels
from core.predict.prediction import predict
from core.predict.whole_image import image_choices
from core.progress import Cancelled, Progress
from core.recipe import apply_recipe
from core.server import SAMPLES, sample_images
from tests.core.inputs.opened import Opened

pytestmark = pytest.mark.slow


def photos(count):
    rng = np.random.default_rng(7)
    pixels = [rng.integers(0, 256, (90, 120, 3)).astype(np.uint8) for _ in range(count)]
    return [(f"photo {index}.png", Image.fromarray(each)) for index, each in enumerate(pixels)]


def load(path: Path, architecture: Architecture, recipe=Recipe(), **options):  # noqa: B008
    state_dict = open_checkpoint(path).state_dict()
    applied = apply_recipe(recipe, state_dict, signature(architecture))
    return load_model(applied.state_dict, architecture, **options)


def saved(path, name, **options):
    torch.manual_seed(1)
    model = get_model(name, **options).eval()
    torch.save(model.state_dict(), path)
    return model


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5", "googlenet", "inception_v3"])
def test_probabilities_equal_plain_torchs_on_the_same_pictures(tmp_path, name):
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model = saved(tmp_path / "model.pth", name, num_classes=12, **options)
    architecture = Architecture("torchvision", name, (("num_classes", 12),))
    preprocessing = default_preprocessing(architecture)
    images = photos(3)

    predictions = predict(load(tmp_path / "model.pth", architecture), images, preprocessing, k=12)

    transform = get_model_weights(name).DEFAULT.transforms()
    with torch.inference_mode():
        inputs = torch.stack([transform(image) for _, image in images])
        expected = model(inputs).softmax(1)
    for prediction, (file, _), row in zip(predictions, images, expected, strict=True):
        assert prediction.name == file
        assert prediction.seconds > 0
        assert not prediction.untrained
        assert prediction.indices == tuple(row.topk(12).indices.tolist())
        assert prediction.probabilities == pytest.approx(row.topk(12).values.tolist(), rel=1e-5)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "quantized_googlenet"])
def test_imagenets_inception_is_fed_as_torchvision_feeds_it_with_its_weights(tmp_path, name):
    # torchvision switches transform_input on together with the ImageNet weights.
    model = saved(tmp_path / "model.pth", name, init_weights=True, transform_input=True)
    architecture = Architecture("torchvision", name)
    preprocessing = default_preprocessing(architecture)
    images = photos(1)
    prediction = predict(load(tmp_path / "model.pth", architecture), images, preprocessing)[0]
    with torch.inference_mode():
        inputs = get_model_weights(name).DEFAULT.transforms()(images[0][1])
        expected = model(inputs.unsqueeze(0)).softmax(1)[0].topk(5)
    assert prediction.indices == tuple(expected.indices.tolist())
    assert prediction.probabilities == pytest.approx(expected.values.tolist(), rel=1e-4)


def test_the_bundled_sample_reads_its_pictures():
    checkpoint = open_checkpoint(SAMPLES["final"].path)
    architecture = Architecture("torchvision", "shufflenet_v2_x0_5", (("num_classes", 10),))
    strip = Recipe((Step(StripPrefix("module.")),))
    loaded = load(SAMPLES["final"].path, architecture, strip)
    preprocessing = default_preprocessing(architecture, checkpoint)
    labels = choose_labels(10, checkpoint)
    images = image_workers().each((path.name, path.read_bytes()) for path in sample_images())

    predictions = predict(loaded, images, preprocessing, k=1)

    digits = {name: index for index, name in enumerate(labels.names)}
    read = {p.name: digits[labels.names[p.indices[0]]] == int(p.name[6]) for p in predictions}
    assert [name for name, is_right in read.items() if not is_right] == ["digit_2_a.png"]
    assert len(read) == len(sample_images())


def test_a_model_whose_head_was_not_loaded_gives_predictions_called_untrained(tmp_path):
    weights = resnet18().state_dict()
    torch.save({k: v for k, v in weights.items() if not k.startswith("fc.")}, tmp_path / "b.pth")
    architecture = Architecture("torchvision", "resnet18", (("num_classes", 7),))
    loaded = load(tmp_path / "b.pth", architecture, strict=False)
    assert all(prediction.untrained for prediction in predict(loaded, photos(2), IMAGENET))


def test_a_model_that_lacks_only_num_batches_tracked_is_not_called_untrained(tmp_path):
    weights = resnet18(num_classes=7).state_dict()
    old = {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    architecture = Architecture("torchvision", "resnet18", (("num_classes", 7),))
    loaded = load(tmp_path / "old.pth", architecture, strict=False)
    assert not predict(loaded, photos(1), IMAGENET)[0].untrained


@pytest.mark.parametrize(
    ("name", "options", "gives"),
    [
        ("raft_small", {}, "how each pixel moves"),
        ("s3d", {"num_classes": 3}, "the classes of a video"),
    ],
)
def test_a_model_that_takes_no_single_image_says_what_it_takes(tmp_path, name, options, gives):
    model = get_model(name, weights=None, **options)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    loaded = load(tmp_path / "model.pth", Architecture("torchvision", name, tuple(options.items())))
    with pytest.raises(LoadError, match=f"torchvision {name}.* returns {gives}") as caught:
        predict(loaded, photos(1), IMAGENET)
    assert "models that take one image" in caught.value.remedy


def test_every_model_that_is_refused_takes_videos_or_two_images():
    refused = {name for name in list_models() if is_refused(name)}
    assert refused == {
        *list_models(torchvision.models.video),
        *list_models(torchvision.models.optical_flow),
    }
    assert len(refused) == 11


def is_refused(name):
    try:
        require_image_model(Architecture("torchvision", name))
    except LoadError:
        return True
    return False


@pytest.mark.parametrize("name", ["vit_tiny_patch16_dinov3_qkvb", "test_vit", "test_resnet"])
@pytest.mark.parametrize("options", [{}, {"num_classes": 0}, {"num_classes": 4}])
def test_a_model_of_timm_gives_an_embedding_where_timm_builds_it_without_a_head(name, options):
    with torch.device("meta"):
        model = timm.create_model(name, **options)
    told = told_outputs(Architecture("timm", name, tuple(options.items())))
    assert bool(told.embedding) == (model.num_classes == 0)


def test_a_quantizable_network_is_a_classifier_as_any_other(tmp_path):
    name = "quantized_shufflenet_v2_x0_5"
    model = saved(tmp_path / "model.pth", name, num_classes=4)
    architecture = Architecture("torchvision", name, (("num_classes", 4),))
    images = photos(1)
    loaded = load(tmp_path / "model.pth", architecture)
    prediction = predict(loaded, images, default_preprocessing(architecture))[0]
    with torch.inference_mode():
        inputs = ShuffleNet_V2_X0_5_Weights.DEFAULT.transforms()(images[0][1])
        expected = model(inputs.unsqueeze(0)).softmax(1)[0].topk(4)
    assert prediction.indices == tuple(expected.indices.tolist())
    assert prediction.probabilities == pytest.approx(expected.values.tolist(), rel=1e-5)


OWN = """
import torch
from torch import nn


class Takes(nn.Module):
    num_classes = 2

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)


class TakesNestedTensors(Takes):
    def forward(self, inputs):
        return self.head(inputs.tensors.mean((2, 3)))


class NeedsALookUp(Takes):
    def forward(self, inputs):
        return {}["queries"]


class GivesQueries(Takes):
    def forward(self, inputs):
        number = inputs.mean((1, 2, 3))[:, None, None] * torch.ones(1, 5, 4)
        return {"queries": number, "labels": ["cat"]}
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("TakesNestedTensors", "has no attribute 'tensors'"),
        ("NeedsALookUp", "queries"),
    ],
)
def test_an_owners_model_that_takes_no_batch_of_images_gets_a_sentence_when_it_runs(
    tmp_path, monkeypatch, name, said
):
    loaded = owners(tmp_path, monkeypatch, name)
    with pytest.raises(LoadError, match=said):
        predict(loaded, photos(1), IMAGENET)


def owners(tmp_path, monkeypatch, name):
    module = f"networks_{name.lower()}"
    (tmp_path / f"{module}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    catalogue((module,))
    torch.save(nn.ModuleDict({"head": nn.Linear(3, 2)}).state_dict(), tmp_path / "model.pth")
    return load(tmp_path / "model.pth", Architecture("own", f"{module}.{name}"))


def test_an_output_that_cannot_be_read_is_a_tree_of_each_image_alone(tmp_path, monkeypatch):
    loaded = owners(tmp_path, monkeypatch, "GivesQueries")
    images = photos(3)
    for (_, image), prediction in zip(images, predict(loaded, images, IMAGENET), strict=True):
        assert prediction.kind == "tree"
        assert prediction.classes == 0
        queries, label = prediction.answer.value
        assert (queries.name, queries.shape, label.dtype) == ("queries", (1, 5, 4), "str")
        alone = predict(loaded, [("alone", image)], IMAGENET)[0].answer.value[0]
        assert queries.mean == pytest.approx(alone.mean)


def test_a_model_without_a_head_gives_the_embedding_of_plain_torch(tmp_path):
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=0).eval()
    torch.save(model.state_dict(), tmp_path / "a.pth")
    architecture = Architecture("timm", "test_resnet", (("num_classes", 0),))
    loaded, images = load(tmp_path / "a.pth", architecture), photos(2)
    preprocessing = default_preprocessing(architecture)
    predictions = predict(loaded, images, preprocessing)
    with torch.inference_mode():
        expected = model(torch.stack([prepare(image, preprocessing) for _, image in images]))
    for prediction, row in zip(predictions, expected, strict=True):
        assert (prediction.kind, prediction.indices, prediction.classes) == ("embedding", (), 0)
        assert prediction.answer.value.values.allclose(row, atol=1e-6)


CLIPS = ["resnet50_clip", "vit_xsmall_patch16_clip_224", "fastvit_mci0"]


@pytest.mark.parametrize("name", CLIPS)
def test_the_image_tower_of_a_clip_gives_an_embedding_and_no_class(tmp_path, name):
    torch.save(timm.create_model(name).state_dict(), tmp_path / "a.pth")
    architecture = Architecture("timm", name)
    loaded = load(tmp_path / "a.pth", architecture)
    (prediction,) = predict(loaded, photos(1), default_preprocessing(architecture))
    assert prediction.kind == "embedding"
    assert "trained on images with their texts" in prediction.answer.evidence


class TestEveryTask:
    """torchvision's detectors and segmentation models give what plain torch gives."""

    @pytest.mark.parametrize(
        "name",
        [
            "ssdlite320_mobilenet_v3_large",
            "fasterrcnn_mobilenet_v3_large_320_fpn",
            "maskrcnn_resnet50_fpn",
            "keypointrcnn_resnet50_fpn",
        ],
    )
    def test_a_detector_gives_plain_torchs_boxes_on_images_of_two_sizes(self, tmp_path, name):
        torch.manual_seed(1)
        options = {"weights": None, "weights_backbone": None, "num_classes": 2}
        low = {} if name.startswith("ssd") else {"box_score_thresh": 0.0}
        model = get_model(name, **options, **low).eval()
        torch.save(model.state_dict(), tmp_path / "a.pth")
        architecture = Architecture("torchvision", name, (("num_classes", 2),))
        loaded = load(tmp_path / "a.pth", architecture)
        images = [*photos(1), ("tall.png", photos(1)[0][1].resize((64, 150)))]
        preprocessing = image_choices(architecture)[0].preprocessing
        predictions = predict(loaded, images, preprocessing)
        with torch.inference_mode():
            for (_, image), prediction in zip(images, predictions, strict=True):
                (expected,) = get_model_weights(name).DEFAULT.transforms()(image)[None]
                (plain,) = loaded.model([expected])
                found = prediction.answer.value
                assert prediction.kind == "boxes"
                assert prediction.fed == (image.height, image.width)
                assert torch.equal(found.boxes, plain["boxes"])
                assert torch.equal(found.scores, plain["scores"])
                assert len(found.masks) == (len(found.boxes) if "masks" in plain else 0)
                assert (found.keypoints is None) == ("keypoints" not in plain)

    @pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
    def test_a_segmentation_gives_plain_torchs_class_of_each_pixel(self, tmp_path, name):
        torch.manual_seed(1)
        options = {"weights": None, "weights_backbone": None, "num_classes": 5}
        model = get_model(name, **options).eval()
        torch.save(model.state_dict(), tmp_path / "a.pth")
        architecture = Architecture("torchvision", name, (("num_classes", 5),))
        loaded, images = load(tmp_path / "a.pth", architecture), photos(1)
        preprocessing = image_choices(architecture)[0].preprocessing
        (prediction,) = predict(loaded, images, preprocessing)
        recipe = get_model_weights(name).DEFAULT.transforms()
        with torch.inference_mode():
            expected = model(recipe(images[0][1])[None])["out"].argmax(1)[0]
        assert (prediction.kind, prediction.classes) == ("pixels", 5)
        assert prediction.fed == tuple(expected.shape)
        assert torch.equal(prediction.answer.value.classes.long(), expected)


HEADS = """
import torch
from torch import nn


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.colour, self.shape = nn.Linear(3, 4), nn.Linear(3, 2)

    def forward(self, inputs):
        means = inputs.mean((2, 3))
        return {"colour": self.colour(means), "shape": self.shape(means).softmax(1)}


class LooksLikeProbabilities(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, inputs):
        bright = (inputs.mean((1, 2, 3)) > 0).float()
        return torch.stack([bright * 3, 1 - bright], 1)
"""


def two_heads(tmp_path, monkeypatch, name, saved):
    module = f"heads_{name.lower()}"
    (tmp_path / f"{module}.py").write_text(HEADS)
    monkeypatch.syspath_prepend(tmp_path)
    catalogue((module,))
    torch.save(nn.ModuleDict(saved).state_dict(), tmp_path / "model.pth")
    return load(tmp_path / "model.pth", Architecture("own", f"{module}.{name}"))


def test_every_head_answers_and_another_one_can_be_told(tmp_path, monkeypatch):
    heads = {"colour": nn.Linear(3, 4), "shape": nn.Linear(3, 2)}
    loaded = two_heads(tmp_path, monkeypatch, "TwoHeads", heads)
    prediction = predict(loaded, photos(1), IMAGENET)[0]
    assert [(head.name, head.kind) for head in prediction.heads] == [
        ("colour", "classes"),
        ("shape", "probabilities"),
    ]
    assert (prediction.classes, len(prediction.indices)) == (4, 4)
    other = prediction.of_head("shape")
    assert (other.kind, other.classes) == ("probabilities", 2)
    assert sum(other.probabilities) == pytest.approx(1)
    assert prediction.of_head("none of that name") is prediction
    chosen = predict(loaded, photos(1), IMAGENET, kinds={"shape": "labels"})[0]
    assert chosen.of_head("shape").kind == "labels"


def test_values_that_only_some_batches_have_are_settled_for_all_images(tmp_path, monkeypatch):
    loaded = two_heads(tmp_path, monkeypatch, "LooksLikeProbabilities", {"head": nn.Linear(3, 2)})
    images = [("dark", Image.new("RGB", (9, 9))), ("bright", Image.new("RGB", (9, 9), "white"))]
    alone = predict(loaded, images[:1] * 2, IMAGENET, batch=1)
    assert {each.kind for each in alone} == {"probabilities"}
    both = predict(loaded, images, IMAGENET, batch=1)
    assert {each.kind for each in both} == {"classes"}
    expected = torch.tensor([0.0, 1.0]).softmax(0).max().item()
    assert both[0].probabilities[0] == pytest.approx(expected)


def test_weights_of_nan_give_a_sentence_and_no_classes(tmp_path):
    weights = resnet18(num_classes=7).state_dict()
    weights["fc.weight"][3, 3] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    architecture = Architecture("torchvision", "resnet18", (("num_classes", 7),))
    prediction = predict(load(tmp_path / "nan.pth", architecture), photos(1), IMAGENET)[0]
    assert "not a number" in prediction.trouble
    assert prediction.indices == ()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "model.pth"
    saved(path, "shufflenet_v2_x0_5", num_classes=5)
    architecture = Architecture("torchvision", "shufflenet_v2_x0_5", (("num_classes", 5),))
    return load(path, architecture)


def test_k_is_cut_to_the_number_of_classes(small):
    prediction = predict(small, photos(1), IMAGENET, k=50)[0]
    assert len(prediction.indices) == 5
    assert sum(prediction.probabilities) == pytest.approx(1)


def test_pictures_are_read_a_batch_at_a_time_and_come_back_in_order(small):
    taken, seen = [], []

    def one_by_one():
        for name, image in photos(7):
            taken.append(name)
            yield name, image

    def progress(done, total, name):
        seen.append((done, len(taken)))

    predictions = predict(small, one_by_one(), IMAGENET, progress=progress, batch=3)
    assert [prediction.name for prediction in predictions] == taken
    assert seen == [(0, 3), (3, 6), (6, 7), (7, 7)]


def test_batches_do_not_change_the_probabilities(small):
    together = predict(small, photos(5), IMAGENET, batch=5)
    alone = predict(small, photos(5), IMAGENET, batch=1)
    for one, other in zip(together, alone, strict=True):
        assert one.indices == other.indices
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-5)


def test_a_cancel_stops_before_the_next_batch(small):
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        predict(small, photos(2), IMAGENET, progress=progress)


def test_a_size_for_which_nothing_can_be_compiled_is_run_as_it_is(small):
    def broken(*_):
        raise OSError("no room for what is compiled")

    wanted = predict(small, photos(2), IMAGENET)
    small.model.compile(backend=broken)
    try:
        found = predict(small, photos(2), IMAGENET)
    finally:
        small.model._compiled_call_impl = None
    for one, other in zip(found, wanted, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-5)


def test_no_pictures_give_no_predictions(small):
    assert predict(small, [], IMAGENET) == ()


def test_one_picture_that_cannot_be_prepared_does_not_spoil_the_others(small):
    thin = ("thin.png", Image.new("RGB", (400_000, 1)))
    first, second, third = photos(2)[0], thin, photos(2)[1]
    predictions = predict(small, [first, second, third], IMAGENET)
    assert [bool(prediction.trouble) for prediction in predictions] == [False, True, False]
    alone = predict(small, [third], IMAGENET)[0]
    assert predictions[2].indices == alone.indices


def test_a_size_that_the_model_does_not_take_gets_a_sentence(tmp_path):
    saved(tmp_path / "vit.pth", "vit_b_32", num_classes=3)
    architecture = Architecture("torchvision", "vit_b_32", (("num_classes", 3),))
    loaded = load(tmp_path / "vit.pth", architecture)
    wrong = default_preprocessing(architecture, Opened({"preprocessing": {"size": 96}}))
    with pytest.raises(LoadError, match="does not take an input of shape 1 × 3 × 96 × 96"):
        predict(loaded, photos(1), wrong)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_a_model_of_another_dtype_is_fed_its_own(tmp_path, dtype):
    saved(tmp_path / "model.pth", "shufflenet_v2_x0_5", num_classes=5)
    architecture = Architecture("torchvision", "shufflenet_v2_x0_5", (("num_classes", 5),))
    loaded = load(tmp_path / "model.pth", architecture, dtype=dtype)
    prediction = predict(loaded, photos(1), IMAGENET, k=5)[0]
    assert sum(prediction.probabilities) == pytest.approx(1, rel=1e-5)


Outputs = namedtuple("Outputs", ["logits", "aux_logits"])
LOGITS = torch.tensor([[1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        {"out": LOGITS, "aux": -LOGITS},
        {"aux": -LOGITS, "logits": LOGITS},
        (LOGITS, -LOGITS),
        [LOGITS],
        Outputs(LOGITS, -LOGITS),
        SimpleNamespace(logits=LOGITS, hidden_states=None),
    ],
)
def test_of_a_model_with_several_outputs_the_main_one_is_read(output):
    assert torch.equal(logits_of(output, 1), LOGITS)


@pytest.mark.parametrize(
    ("output", "what"),
    [
        (torch.zeros(1, 3, 8, 8), "a tensor of shape 1 × 3 × 8 × 8"),
        ({"boxes": torch.zeros(4, 4)}, "a dict of boxes"),
        ([{"boxes": torch.zeros(4, 4)}], "a list that begins with a dict of boxes"),
        ([], "a list"),
        (torch.zeros(4, 3), "a tensor of shape 4 × 3"),
        ("text", "a str"),
    ],
)
def test_a_model_that_is_no_classifier_gets_a_sentence(output, what):
    with pytest.raises(LoadError, match=f"not one score for each class: it returns {what}"):
        logits_of(output, 1)


def test_the_model_is_run_in_eval_mode_and_without_gradients(small):
    small.model.train()
    first, second = predict(small, photos(1) * 2, IMAGENET, batch=1)
    assert first.probabilities == second.probabilities
    assert all(parameter.grad is None for parameter in small.model.parameters())
    assert not any(isinstance(m, nn.Module) and m.training for m in small.model.modules())
