"""Finding tensors by what a person types."""

import pytest

from core.checkpoint import StateDict, TensorEntry
from core.errors import FilterError
from core.keys.filter import filter_entries


def entry(key: str, dtype: str = "float32", shape: tuple[int, ...] = (4,)) -> TensorEntry:
    return TensorEntry(key, dtype, shape, (1,) * len(shape), 0, None)


RESNET = StateDict(
    [
        entry("conv1.weight"),
        entry("bn1.weight"),
        entry("bn1.num_batches_tracked", "int64"),
        entry("layer1.0.conv1.weight"),
        entry("layer1.10.conv1.weight"),
        entry("fc.weight", "float16"),
        entry("fc.bias", "float16"),
    ]
)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", list(RESNET)),
        ("   ", list(RESNET)),
        ("CONV1", ["conv1.weight", "layer1.0.conv1.weight", "layer1.10.conv1.weight"]),
        ("layer1 conv", ["layer1.0.conv1.weight", "layer1.10.conv1.weight"]),
        ("fc.*", ["fc.weight", "fc.bias"]),
        ("*.conv1.weight", ["layer1.0.conv1.weight", "layer1.10.conv1.weight"]),
        ("fc.[bw]ias", ["fc.bias"]),
        (r"/^layer1\.\d\./", ["layer1.0.conv1.weight"]),
        ("/bias$/", ["fc.bias"]),
        ("no such thing", []),
    ],
)
def test_words_globs_and_regular_expressions_find_keys_in_file_order(text, keys):
    assert [found.key for found in filter_entries(RESNET, text)] == keys


def test_dtypes_narrow_what_the_text_found():
    found = filter_entries(RESNET, "bn1", dtypes=["int64"])
    assert [each.key for each in found] == ["bn1.num_batches_tracked"]
    assert len(filter_entries(RESNET, dtypes=["float16", "int64"])) == 3


def test_a_wrong_regular_expression_is_told_with_its_remedy():
    with pytest.raises(FilterError, match="not a regular expression") as raised:
        filter_entries(RESNET, "/layer(/")
    assert "slashes" in raised.value.remedy
