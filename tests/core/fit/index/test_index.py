"""An index holds models' signatures and what their options change, each once."""

import pytest
import timm
import torch
from torchvision.models import get_model

from core.architectures import SIMPLE, Value, parse_architecture, signature, signature_of
from core.fit.index.index import Index, IndexedModel, Variation, make_index, variation, with_models
from core.fit.index.indexing import index_model

pytestmark = pytest.mark.slow

NAMES = (
    "torchvision:resnet18",
    "torchvision:quantized_resnet18",
    "torchvision:googlenet",
    "torchvision:fcn_resnet50",
    "torchvision:vit_b_32",
    "torchvision:raft_small",
    "torchvision:retinanet_resnet50_fpn",
    "timm:test_vit",
    "timm:test_resnet",
    "timm:vit_small_patch14_dinov2",
)


def indexed(*names: str) -> tuple[IndexedModel, ...]:
    return tuple(index_model(parse_architecture(name))[0] for name in names)


def variations(name: str) -> dict[tuple[str, Value, Value], Variation]:
    (model,) = indexed(name)
    return {(each.option, each.default, each.value): each for each in model.variations}


def assert_same_models(index: Index, models: tuple[IndexedModel, ...]) -> None:
    assert tuple(index.models) == models
    for found, model in zip(index.models, models, strict=True):
        assert list(found.signature) == list(model.signature)
        for ours, theirs in zip(found.variations, model.variations, strict=True):
            assert list(ours.shapes) == list(theirs.shapes)
            assert list(ours.added) == list(theirs.added)


def test_an_index_gives_back_the_models_that_it_was_made_of() -> None:
    models = indexed(*NAMES)
    index = make_index({"timm": "1"}, models, [("timm:broken", "It is broken.")])
    assert_same_models(index, models)
    assert index.models[-1] == models[-1]
    assert index.models[1:3] == list(models[1:3])
    assert index.versions == {"timm": "1"}
    assert index.failures == (("timm:broken", "It is broken."),)


def test_the_tables_numbers_lead_to_keys_shapes_and_kinds() -> None:
    index = make_index({}, indexed("torchvision:resnet18"))
    packed = index.signatures[0]
    real = get_model("resnet18").state_dict()
    assert [index.keys[key] for key in packed.key_ids] == list(real)
    assert [index.shapes[shape] for shape in packed.shape_ids] == [
        tuple(tensor.shape) for tensor in real.values()
    ]
    assert index.kinds[packed.kind_ids[5]] == ("int64", "buffer")
    assert len(set(index.keys)) == len(index.keys)
    assert len(set(index.shapes)) == len(index.shapes)


def test_models_of_the_same_signature_share_it() -> None:
    names = ("torchvision:resnet50", "torchvision:resnet18", "timm:resnet50", "timm:resnet50c")
    index = make_index({}, indexed(*names))
    first, _, same, other = index.signature_ids.tolist()
    assert first == same != other
    assert len(index.signatures) == 3


def test_more_models_come_after_an_indexs_own_and_share_what_it_has() -> None:
    models = indexed(*NAMES, "torchvision:resnet18")
    some = make_index({"timm": "1"}, models[:4], [("timm:broken", "It is broken.")])
    more = with_models(some, models[4:])
    assert_same_models(more, models)
    assert more.signature_ids[0] == more.signature_ids[-1]
    assert (more.versions, more.failures) == (some.versions, some.failures)
    assert_same_models(some, models[:4])


def test_an_empty_index_is_one() -> None:
    index = make_index({}, ())
    assert len(index) == len(index.models) == 0


def test_classes_and_channels_vary_what_a_second_real_model_has_other() -> None:
    found = variations("timm:test_resnet")
    assert {place for place in found if place[0] in SIMPLE} == {
        ("num_classes", 1000, 37),
        ("num_classes", 1000, 0),
        ("in_chans", 3, 1),
    }
    assert found["num_classes", 1000, 0].gone == ("fc.weight", "fc.bias")
    for (option, _, value), difference in found.items():
        real = timm.create_model("test_resnet", **{option: value}).state_dict()
        base = dict(signature(parse_architecture("timm:test_resnet")))
        assert set(real) == (base.keys() - set(difference.gone)) | difference.added.keys()
        for key, tensor in real.items():
            spec = difference.added.get(key) or base[key]
            assert tuple(tensor.shape) == difference.shapes.get(key, spec.shape)


def test_image_sizes_vary_the_positions_at_two_other_sizes() -> None:
    for name, option in (("timm:test_vit", "img_size"), ("torchvision:vit_b_32", "image_size")):
        sizes = [each for each in indexed(name)[0].variations if each.option == option]
        assert len(sizes) == 2
        for each in sizes:
            (positions,) = each.shapes.values()
            patch = {"img_size": 16, "image_size": 32}[option]
            assert positions[1] == (each.value // patch) ** 2 + 1


def test_a_size_that_changes_no_shape_is_no_variation() -> None:
    assert not [each for each in variations("timm:swin_tiny_patch4_window7_224") if "size" in each]


def test_auxiliary_heads_are_switched() -> None:
    fcn = variations("torchvision:fcn_resnet50")
    assert {key.split(".")[0] for key in fcn["aux_loss", 0, 1].added} == {"aux_classifier"}
    googlenet = variations("torchvision:googlenet")
    assert {key.split(".")[0] for key in googlenet["aux_logits", 1, 0].gone} == {"aux1", "aux2"}


def test_the_number_of_classes_that_a_model_has_by_itself_is_known() -> None:
    assert ("num_classes", 0, 37) in variations("timm:vit_small_patch14_dinov2")
    assert ("num_classes", 21, 37) in variations("torchvision:fcn_resnet50")
    assert ("num_classes", 91, 37) in variations("torchvision:retinanet_resnet50_fpn")
    assert variations("torchvision:raft_small") == {}


def test_a_key_of_another_dtype_is_gone_and_added() -> None:
    base = signature_of(torch.nn.BatchNorm1d(3))
    other = signature_of(torch.nn.BatchNorm1d(4).half())
    found = variation("width", 3, 4, base, other)
    assert found.gone == ("weight", "bias", "running_mean", "running_var")
    assert tuple(found.added) == found.gone
    assert not found.shapes
