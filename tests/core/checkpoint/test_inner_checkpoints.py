"""Checkpoints in the byte strings of a pickle open: their tensors are state_dicts of the file."""

import bz2
import gzip
import io
import lzma
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as safetensors
from torch import nn

from core.checkpoint import Checkpoint, open_checkpoint
from core.inspect import verify
from core.wording import count
from tests.core.checkpoint.same_tensors import assert_same_tensors
from tests.core.cli.process import loupe

WEIGHTS = {"b": torch.ones(3), "w": torch.arange(300.0)}


def saved(value: object, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


INNER = {
    "zip": saved(WEIGHTS),
    "stream": saved(WEIGHTS, zipped=False),
    "safetensors": safetensors(WEIGHTS),
    "gzip": gzip.compress(saved(WEIGHTS)),
    "zlib": zlib.compress(saved(WEIGHTS)),
}


def opened(folder: Path, value: object, **options: object) -> Checkpoint:
    torch.save(value, folder / "a.pth", **options)
    return open_checkpoint(folder / "a.pth")


@pytest.mark.parametrize("wrap", [bytes, bytearray])
@pytest.mark.parametrize("inner", INNER.values(), ids=INNER)
def test_the_tensors_in_bytes_are_a_state_dict(
    tmp_path: Path, inner: bytes, wrap: type[bytes]
) -> None:
    checkpoint = opened(tmp_path, {"model": {"x": torch.ones(2)}, "old": [{"blob": wrap(inner)}]})

    assert [*checkpoint.state_dicts] == ["model", "old.0.blob.bytes"]
    assert checkpoint.best == "model"
    assert_same_tensors(checkpoint, WEIGHTS, "old.0.blob.bytes")
    (note,) = (note for note in checkpoint.notes if "checkpoint of their own" in note)
    assert "under `old.0.blob`" in note
    assert note.endswith("its tensors are in old.0.blob.bytes.")
    assert verify(checkpoint).sound


@pytest.mark.parametrize("inner", INNER.values(), ids=INNER)
def test_a_file_that_is_only_bytes_opens(tmp_path: Path, inner: bytes) -> None:
    checkpoint = opened(tmp_path, {"policy": io.BytesIO(inner), "epoch": 3})

    (path,) = checkpoint.state_dicts
    assert path.startswith("policy.")
    assert_same_tensors(checkpoint, WEIGHTS)


def test_long_bytes_stay_in_the_file(tmp_path: Path) -> None:
    weights = {"w": torch.arange(6_000_000.0)}
    checkpoint = opened(tmp_path, {"blob": saved(weights)}, pickle_protocol=4)

    assert_same_tensors(checkpoint, weights, "blob.bytes")


def test_names_inside_are_kept(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    inner = saved({"state_dict": model.state_dict(), "ema": {"w": torch.zeros(2)}})
    checkpoint = opened(tmp_path, {"blob": inner, "rng": torch.get_rng_state()})

    assert checkpoint.best == "blob.bytes.state_dict"
    assert checkpoint.roles["blob.bytes.ema"] == "ema"


def test_bytes_in_bytes_open_up_to_three_levels(tmp_path: Path) -> None:
    value: object = {"w": torch.ones(1)}
    for _ in range(5):
        value = {"w": torch.ones(1), "blob": saved(value)}
    checkpoint = opened(tmp_path, value)

    deepest = "blob.bytes.blob.bytes.blob.bytes"
    assert [*checkpoint.state_dicts] == ["", "blob.bytes", "blob.bytes.blob.bytes", deepest]
    (note,) = (note for note in checkpoint.notes if "begin like a zip" in note)
    assert f"under `{deepest}.blob`" in note


def test_a_bomb_is_no_checkpoint(tmp_path: Path) -> None:
    bomb = gzip.compress(saved({"w": torch.zeros(70_000_000, dtype=torch.uint8)}))
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "blobs": [bomb]})

    assert [*checkpoint.state_dicts] == ["model"]
    assert any("under `blobs.0` begin like a zip" in note for note in checkpoint.notes)


def test_what_a_checkpoint_in_bytes_would_run_is_told(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self):
            return print, ("run",)

    evil = saved({"w": torch.ones(2), "x": pickle.loads(pickle.dumps(3)), "p": Payload()})
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "blob": evil})

    assert any(use.name.endswith("print") for use in checkpoint.globals)
    assert "blob.bytes" in checkpoint.state_dicts


def test_inspect_opens_them_by_their_path(tmp_path: Path) -> None:
    opened(tmp_path, {"model": {"x": torch.ones(2)}, "blob": INNER["zip"]})

    text = loupe("inspect", tmp_path / "a.pth", "--state-dict", "blob.bytes").stdout

    assert "300" in text


def test_the_files_own_state_dict_keeps_its_path(tmp_path: Path) -> None:
    own = {"w": torch.arange(300.0) + 9, "b": torch.zeros(3)}
    checkpoint = opened(tmp_path, {"a": INNER["zip"], "a.bytes": own})

    assert [*checkpoint.state_dicts] == ["a.bytes", "a.bytes (2)"]
    assert_same_tensors(checkpoint, own, "a.bytes")
    assert_same_tensors(checkpoint, WEIGHTS, "a.bytes (2)")
    assert any(note.endswith("its tensors are in a.bytes (2).") for note in checkpoint.notes)


def test_a_network_in_parts_keeps_its_path(tmp_path: Path) -> None:
    parts = {"encoder": {"w": torch.ones(2)}, "decoder": {"w": torch.zeros(2)}}
    checkpoint = opened(tmp_path, {"a": INNER["zip"], "a.bytes": parts})

    assert [*checkpoint.joined] == ["a.bytes"]
    assert_same_tensors(checkpoint, WEIGHTS, "a.bytes (2)")
    assert len(checkpoint.state_dict("a.bytes")) == 2


def test_each_of_two_at_one_path_is_compared_and_fixed(tmp_path: Path) -> None:
    for name, more in (("one.pth", 1), ("two.pth", 2)):
        own = {"w": torch.arange(300.0) + more, "b": torch.ones(3)}
        torch.save({"a": INNER["zip"], "a.bytes": own}, tmp_path / name)
    one, two = tmp_path / "one.pth", tmp_path / "two.pth"

    assert loupe("compare", one, two, "--state-dict", "a.bytes").returncode == 1
    assert loupe("compare", one, two, "--state-dict", "a.bytes (2)").returncode == 0
    for path, first in (("a.bytes", 2.0), ("a.bytes (2)", 0.0)):
        done = loupe("fix", two, tmp_path / "out.pth", "--force", "--state-dict", path)
        assert done.returncode == 0, done.stderr
        assert torch.load(tmp_path / "out.pth")["w"][0] == first


def notes_on(checkpoint: Checkpoint, path: str) -> list[str]:
    return [note for note in checkpoint.notes if f"under `{path}`" in note]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_those_beyond_the_first_are_told_each_by_its_place(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    policies = {f"p{at}": pack(saved({"w": torch.ones(at + 1)})) for at in range(12)}
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "policies": policies})

    assert len(checkpoint.state_dicts) == 9
    for name in policies:
        (note,) = notes_on(checkpoint, f"policies.{name}")
        is_open = f"policies.{name}.bytes" in checkpoint.state_dicts
        assert ("checkpoint of their own" if is_open else "begin like a") in note


def test_very_many_are_counted(tmp_path: Path) -> None:
    policies = [bytes(bytearray(INNER["gzip"])) for _ in range(1_100)]
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "policies": policies})

    told = "more byte strings with such a beginning are not opened: Loupe opens 8 of a file."
    assert checkpoint.notes[-1] == f"{count(1_076)} {told}"
    assert len(checkpoint.notes) < 30


COMPRESSIONS = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_packed_one_that_is_cut_off_is_told(tmp_path: Path, name: str, share: float) -> None:
    whole = COMPRESSIONS[name](INNER["zip"])
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "p": whole[: int(len(whole) * share)]})

    (note,) = notes_on(checkpoint, "p")
    assert f"packed by {name}: write them to a file of their own" in note


def test_a_packed_one_with_another_checksum_is_told(tmp_path: Path) -> None:
    whole = bytearray(INNER["gzip"])
    whole[-8] ^= 1
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "p": bytes(whole)})

    (note,) = notes_on(checkpoint, "p")
    assert "begin like a zip archive, which torch.save writes, packed by gzip" in note


def test_a_packed_one_that_is_packed_again_is_told(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "p": gzip.compress(INNER["gzip"])})

    assert "begin like a file packed by gzip, packed by gzip" in notes_on(checkpoint, "p")[0]


@pytest.mark.parametrize(
    "value", [gzip.compress(b"loss 2.0"), b"x^2 + 1", b"BZh!"], ids=["gzip", "zlib", "bzip2"]
)
def test_what_is_packed_and_no_checkpoint_is_not_told(tmp_path: Path, value: bytes) -> None:
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "log": value})

    assert not notes_on(checkpoint, "log")


def test_a_space_in_the_header_of_a_safetensors_hides_nothing(tmp_path: Path) -> None:
    inner = safetensors(WEIGHTS)
    header = int.from_bytes(inner[:8], "little")
    text = b"{ \n" + inner[9 : 8 + header]
    spaced = len(text).to_bytes(8, "little") + text + inner[8 + header :]
    checkpoint = opened(tmp_path, {"model": {"x": torch.ones(2)}, "p": spaced})

    assert_same_tensors(checkpoint, WEIGHTS, "p.bytes")


def test_what_is_in_the_bytes_of_bytes_has_its_whole_path(tmp_path: Path) -> None:
    inner = saved({"w": torch.ones(2), "q": INNER["zip"][:200], "r": INNER["gzip"]})
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "p": inner})

    assert "begin like a zip" in notes_on(checkpoint, "p.bytes.q")[0]
    assert "checkpoint of their own" in notes_on(checkpoint, "p.bytes.r")[0]


def test_one_that_only_has_others_is_not_told_to_be_unopened(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "p": saved({"q": INNER["zip"]})})

    assert not notes_on(checkpoint, "p")
    assert_same_tensors(checkpoint, WEIGHTS, "p.bytes.q.bytes")
    assert not any("did not load" in note for note in checkpoint.notes)


def test_bytes_that_many_values_share_are_opened_once(tmp_path: Path) -> None:
    shared = saved(WEIGHTS)
    checkpoint = opened(tmp_path, {"model": WEIGHTS, "a": shared, "b": [shared, shared]})
    assert [path for path in checkpoint.choices if path.endswith(".bytes")] == ["a.bytes"]
    assert len([note for note in checkpoint.notes if "a checkpoint of their own" in note]) == 1
