"""A safetensors header is read as the format's own library reads it, and a doubtful one refused."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from core.checkpoint import Checkpoint, open_checkpoint
from core.errors import CheckpointError
from core.tensors import read_tensor

ONE = '{"dtype":"U8","shape":[4],"data_offsets":[0,4]}'
OTHER = '{"dtype":"U8","shape":[4],"data_offsets":[4,8]}'


def opened(tmp_path: Path, header: str, payload: int = 8) -> Checkpoint:
    raw = header.encode()
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(payload))
    return open_checkpoint(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("{1: 2}", "its header is not valid JSON"),
        ('{"a":null}', "the description of a is not a JSON object"),
        (f'{{"a":{ONE},"b":{ONE}}}', "overlaps another tensor"),
        (f'{{"b":{OTHER}}}', "b follows a hole"),
        (f'{{"a":{ONE}}}', "bytes after the last tensor belong to none"),
        (
            '{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}',
            "a has more or fewer bytes than its shape and dtype need",
        ),
        ('{"a":{"dtype":"X8","shape":[8],"data_offsets":[0,8]}}', "X8"),
        (
            f'{{"a":{ONE},"b":{OTHER},"c":"' + "[" * 1_500_000 + '"}',
            "Loupe reads: its header of 1.50.MB has more parts than so many tensors need",
        ),
    ],
    ids=lambda value: value[:30],
)
def test_what_is_wrong_in_a_header_is_said(tmp_path: Path, header: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        opened(tmp_path, header)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.torch.load_file(tmp_path / "m.safetensors")


def test_a_header_beyond_the_format_s_own_limit_is_refused_before_it_is_read(
    tmp_path: Path,
) -> None:
    nbytes = 100_000_001
    with (tmp_path / "m.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", nbytes) + b"{")
        file.truncate(8 + nbytes)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        open_checkpoint(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "header",
    [
        f'{{"a":{ONE},"a":{OTHER}}}',
        f'{{"a":{ONE},"\\u0061":{OTHER}}}',
        f'{{"a":{ONE},"b":{OTHER},"__metadata__":{{"x":"1","x":"2"}}}}',
        f'{{"a":{ONE},"b":{OTHER},"__metadata__":{{}},"__metadata__":{{}}}}',
        '{"a":{"dtype":"F64","dtype":"U8","shape":[8],"data_offsets":[0,8]}}',
        '{"a":{"shape":[1],"dtype":"U8","shape":[8],"data_offsets":[0,8]}}',
        # Texts that are missing elsewhere do not make up for the one that stands twice.
        '{"a":{"shape":[1],"dtype":"U8","shape":[8],"data_offsets":[0,8]},"__metadata__":{"x":1}}',
        f'{{"a":{ONE},"b":{OTHER},"__metadata__":{{"x":"1","x":"2","y":{{}},"z":[]}}}}',
        f'{{"a":{ONE},"a":{ONE},"b":{OTHER},"__metadata__":"text"}}',
        f'{{"__metadata__":{{"x":"1","x":"2"}},"a":{ONE},"b":{OTHER}}}',
        f'{{"__metadata__":{{}},"a":{ONE},"__metadata__":{OTHER}}}',
    ],
)
def test_a_name_that_stands_twice_is_refused_wherever_it_is(tmp_path: Path, header: str) -> None:
    with pytest.raises(CheckpointError, match="not valid JSON"):
        opened(tmp_path, header)


@pytest.mark.parametrize(
    "header",
    [
        f'{{"a":{ONE},"b":{OTHER},}}',
        f'{{"a":{ONE}"b":{OTHER}}}',
        f'{{"a":{ONE},,"b":{OTHER}}}',
        f'{{,"a":{ONE},"b":{OTHER}}}',
        f'{{"a":{ONE},"b":{OTHER}}}}}',
        f'{{"a":{ONE},"b":{OTHER}}} x',
        f'{{"a":{ONE},"b":{OTHER}',
        f'{{"a\n":{ONE},"b":{OTHER}}}',
        f'{{"a":{ONE},"b":{OTHER.replace("[4]", "[04]")}}}',
        f'{{"a":{ONE},"b":{OTHER.replace("[4]", "[4,]")}}}',
        f'{{"a":{ONE},"b":{OTHER.replace("[4]", "[2,,2]")}}}',
        f'{{"a":{ONE},"b":{OTHER.replace("[4,8]", "[04,8]")}}}',
        f'{{"a":{ONE},"b":{OTHER.replace("[4,8]", "[4,8,]")}}}',
        f'{{"a":{ONE},"b":{OTHER.replace("8", "٨")}}}',
        f'{{"__metadata__":{{"x":"1"}}"a":{ONE},"b":{OTHER}}}',
        f'{{"__metadata__":{{"x":"1",}},"a":{ONE},"b":{OTHER}}}',
    ],
)
def test_a_header_that_is_nearly_json_is_refused_as_by_safetensors(
    tmp_path: Path, header: str
) -> None:
    with pytest.raises(CheckpointError, match="not valid JSON"):
        opened(tmp_path, header)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.torch.load_file(tmp_path / "m.safetensors")


@pytest.mark.parametrize("texts", ["", '"__metadata__":{"a":"b","c":"{\\"d\\":[1]}"},'])
@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_header_means_the_same_with_spaces_and_without(
    tmp_path: Path, texts: str, order: tuple[str, str]
) -> None:
    facts = {"a": ONE, "b": OTHER, "empty": ONE.replace("4", "0")}
    tensors = ",".join(f'"{key}":{facts[key]}' for key in (*order, "empty"))
    plain = f"{{{texts}{tensors}}}"
    spaced = json.dumps(json.loads(plain), indent=1)
    one, other = opened(tmp_path, plain), opened(tmp_path, spaced)
    assert one.metadata == other.metadata
    assert list(one.state_dict()) == list(other.state_dict()) == [*order, "empty"]
    for key, entry in one.state_dict().items():
        same = other.state_dict()[key]
        assert replace(entry, record=None) == replace(same, record=None)
        places = [
            (record.offset - len(header), record.nbytes)
            for header, described in ((plain, entry), (spaced, same))
            for record in described.records
        ]
        assert places[0] == places[1]


def test_spaces_escapes_and_further_facts_are_read(tmp_path: Path) -> None:
    spaced = json.dumps(
        {"__metadata__": {"é": "\"{}'"}, "ä\n\\": {**json.loads(ONE), "more": {"x": "y"}}}, indent=2
    )
    checkpoint = opened(tmp_path, spaced, 4)
    assert list(checkpoint.state_dict()) == ["ä\n\\"]
    assert checkpoint.metadata == {"__metadata__": {"é": "\"{}'"}}


NOT_TEXTS = [
    *({"k": 1}, {"k": None}, {"k": True}, {"k": 1.5}, {"k": ["x"]}, {"k": {"a": "b"}}),
    *(["x"], "x", 1, False),
]


@pytest.mark.parametrize("stated", NOT_TEXTS, ids=json.dumps)
@pytest.mark.parametrize("indent", [None, 1])
def test_metadata_that_is_not_text_is_kept_as_it_is_and_noted(
    tmp_path: Path, stated: object, indent: int | None
) -> None:
    header = {"__metadata__": stated, "a": json.loads(ONE)}
    separators = (",", ":") if indent is None else None
    checkpoint = opened(tmp_path, json.dumps(header, indent=indent, separators=separators), 4)

    assert json.dumps(checkpoint.metadata) == json.dumps({"__metadata__": stated})
    assert any("`__metadata__` in the header" in note for note in checkpoint.notes)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.torch.load_file(tmp_path / "m.safetensors")


def test_metadata_of_text_has_no_note(tmp_path: Path) -> None:
    for stated in ('{"k":"1"}', "{}", "null"):
        assert opened(tmp_path, f'{{"__metadata__":{stated},"a":{ONE}}}', 4).notes == ()
        safetensors.torch.load_file(tmp_path / "m.safetensors")


@pytest.mark.parametrize("length", ["true", "4.0", "-4", "[4]", "null", '"4"', "1e400"])
def test_a_length_is_a_whole_number_however_like_one_it_is(tmp_path: Path, length: str) -> None:
    """A tensor of the same shape, written soundly, stands before it."""
    doubtful = OTHER.replace("[4]", f"[{length}]")
    with pytest.raises(CheckpointError, match="impossible shape"):
        opened(tmp_path, f'{{"a":{ONE},"b":{doubtful}}}')
    with pytest.raises(CheckpointError, match="impossible shape"):
        opened(tmp_path, f'{{"a":{{"dtype":"U8","shape":[1],"data_offsets":[{length},8]}}}}')


@pytest.mark.skipif(not hasattr(torch, "float4_e2m1fn_x2"), reason="torch has no float4")
def test_packed_halves_of_bytes_have_the_shape_that_torch_gives_them(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    stored = torch.arange(8, dtype=torch.uint8).view(2, 4)
    safetensors.torch.save_file({"w": stored.view(torch.float4_e2m1fn_x2)}, path)
    entry = open_checkpoint(path).state_dict()["w"]
    with safetensors.safe_open(path, "pt") as file:
        expected = file.get_tensor("w")
    assert (entry.dtype, entry.shape) == ("float4_e2m1fn_x2", tuple(expected.shape))
    assert torch.equal(read_tensor(entry).view(torch.uint8), stored)


def test_half_a_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="half a byte"):
        opened(tmp_path, '{"a":{"dtype":"F4","shape":[2,3],"data_offsets":[0,3]}}', 3)
