"""What the index says of an architecture is what a build gives, in the same order."""

from dataclasses import replace

import pytest

from core.architectures import Architecture, catalogue, parse_architecture, signature
from core.errors import ArchitectureError
from core.fit.index import Lookup
from core.fit.index.index import Index, IndexedModel, Variation, make_index
from core.fit.index.known_signature import known_names, known_signature

pytestmark = pytest.mark.slow

STEP = 113
"""Every so many architectures are built: the index has about 1,500."""


@pytest.fixture
def index(lookup: Lookup) -> Index:
    return lookup.index


@pytest.mark.parametrize("options", [(), (("num_classes", 10),), (("num_classes", 0),)])
def test_a_sample_of_the_index_is_as_it_is_built(
    index: Index, options: tuple[tuple[str, int], ...]
) -> None:
    known = 0
    for plain in index.architectures[::STEP]:
        architecture = replace(plain, options=options)
        found = known_signature(index, architecture)
        if found is not None:
            known += 1
            assert list(found.items()) == list(signature(architecture).items()), architecture.key
    assert known > 5


@pytest.mark.parametrize(
    "key",
    [
        "torchvision:fasterrcnn_resnet50_fpn?num_classes=5",  # four rows for each class
        "torchvision:ssd300_vgg16?num_classes=5",  # a row for each anchor and class
        "timm:vit_tiny_patch16_224?img_size=448",  # a second build
        "timm:resnet18?in_chans=1",
    ],
)
def test_what_differs_from_a_classifiers_head_is_known_too(index: Index, key: str) -> None:
    architecture = parse_architecture(key)
    assert known_signature(index, architecture) == signature(architecture)


@pytest.mark.parametrize(
    "key",
    [
        "timm:resnet18?in_chans=4",  # by no build
        "timm:vit_tiny_patch16_224?img_size=240",
        "timm:resnet18?in_chans=1&num_classes=10",  # two options at once
        "timm:vit_small_patch14_dinov2?num_classes=10",  # has no head by default
        "torchvision:raft_small?num_classes=10",  # takes no such option
        "torchvision:no_such_model",
        "own:module.function",
    ],
)
def test_what_no_build_of_the_index_says_is_left_to_one(index: Index, key: str) -> None:
    library, rest = key.split(":")
    name, _, options = rest.partition("?")
    pairs = tuple(
        (each.split("=")[0], int(each.split("=")[1])) for each in options.split("&") if each
    )
    assert known_signature(index, Architecture(library, name, pairs)) is None


def test_a_number_of_classes_that_cannot_be_is_an_error_as_in_a_build(index: Index) -> None:
    architecture = Architecture("torchvision", "resnet18", (("num_classes", 0),))
    assert known_signature(index, architecture) is None
    with pytest.raises(ArchitectureError):
        signature(architecture)


def test_a_length_that_is_no_multiple_of_the_classes_is_left_to_a_build(index: Index) -> None:
    """As a head with a row for the background has 38 for 37 classes."""
    plain = Architecture("timm", "resnet18")
    model = next(each for each in index.models if each.architecture == plain)
    bias = Variation("num_classes", 1000, 37, {"fc.bias": (38,)}, (), {})
    odd = make_index({}, [IndexedModel(plain, model.signature, (bias,))])
    assert known_signature(odd, plain) == model.signature
    assert known_signature(odd, replace(plain, options=(("num_classes", 10),))) is None


def test_the_names_are_those_of_the_libraries(index: Index) -> None:
    names = known_names(index)
    known = {(library, name) for library in names for name in names[library]}
    assert known == {(each.library, each.name) for each in catalogue()}
