"""What Python's pickle writes is read as Python reads it, in each protocol, and damage is said."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from core.checkpoint import Verdict, open_checkpoint
from core.errors import CheckpointError
from core.wording import count
from tests.bounds import at_most
from tests.core.checkpoint.files_by_hand import call, text, with_tensor, zip_file
from tests.core.checkpoint.pickles.python2 import python2_dumps
from tests.core.checkpoint.same_tensors import assert_same_tensors

BLOBS = {b"w": np.ones(2, np.float32), b"b": np.zeros(1, np.float32)}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_each_protocol_are_metadata(tmp_path: Path, protocol: int) -> None:
    values = {
        "numbers": [0, 255, 65_535, -1, 1 << 40, 1.5, True, False, None],
        "text": "é\n\\ü",
        "tags": [{"a"}, frozenset({"b"})],
        "empty": [(), [], {}, ""],
    }
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"w": torch.ones(1), **values}, protocol))
    assert open_checkpoint(tmp_path / "m.pkl").metadata == {
        **values,
        "tags": [["a"], ["b"]],
        "empty": [[], [], {}, ""],
    }


@pytest.mark.parametrize("protocol", range(1, 6))
@pytest.mark.parametrize("number", [(1 << 70) + 1, -(1 << 70), (1 << 2500) + 1], ids=int.bit_length)
def test_a_long_number_keeps_every_digit(tmp_path: Path, protocol: int, number: int) -> None:
    torch.save({"w": torch.ones(1), "seed": number}, tmp_path / "m.pth", pickle_protocol=protocol)
    assert open_checkpoint(tmp_path / "m.pth").metadata == {"seed": hex(number)}


def test_the_texts_of_python_2_s_first_protocol_are_read(tmp_path: Path) -> None:
    texts = {b"arch": b"alexnet", b"path": b"C:\\new\\x", b"quote": b'it\'s "it"', b"tab": b"\t\n"}
    (tmp_path / "m.pkl").write_bytes(python2_dumps({b"blobs": BLOBS, **texts}, 0))
    metadata = open_checkpoint(tmp_path / "m.pkl").metadata
    for key, value in texts.items():
        assert metadata[key.decode()] == value.decode()


def test_a_pickle_inside_of_a_text_of_python_2_is_looked_into(tmp_path: Path) -> None:
    inner = b"\x80\x02cos\nsystem\n."
    saved = {b"blobs": BLOBS, b"code": inner}
    (tmp_path / "m.pkl").write_bytes(python2_dumps(saved, 0))
    (use,) = (use for use in open_checkpoint(tmp_path / "m.pkl").globals if use.name == "os.system")
    assert use.verdict is Verdict.DANGEROUS


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"Np" + b"9" * 5000 + b"\n", "Loupe reads: a number in it has more than 4.000 digits"),
        (b"L" + b"9" * 5000 + b"x\n", "a text in it is not a number"),
        (b"Inot a number\n", "a text in it is not a number"),
        (b"Fnot a number\n", "a text in it is not a number"),
        (b"T\xff\xff\xff\xff", "a length in it is negative"),
        (b"Sno quotes\n", "a text in it is not between quotes"),
        (b"S'one quote\n", "a text in it is not between quotes"),
        (b"S'\n", "a text in it is not between quotes"),
        (b"S'odd \\x4 escape'\n", "a text in it is not between quotes"),
        (b"](" + b"".join(b"cm\nf%d\n" % i for i in range(20_001)) + b"e",
         "more than Loupe reads: it names more than 20.000 classes; the file may be sound"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value.replace(" ", "-"),
)  # fmt: skip
def test_what_python_refuses_or_no_checkpoint_contains_is_said(
    tmp_path: Path, value: bytes, words: str
) -> None:
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(value)))
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(tmp_path / "m.pth")


@pytest.mark.parametrize("protocol", [0, 1])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("digits", [5_000, 2_000_000])
def test_a_number_of_more_digits_than_python_reads_is_shown_by_its_ends(
    tmp_path: Path, protocol: int, sign: str, digits: int
) -> None:
    """Python writes one of up to 4,300 digits, and of any number where its own limit is off."""
    written = f"{sign}123456789012{'7' * (digits - 24)}098765432109"
    raw = pickle.dumps({"w": np.ones(2), "seed": 1 << 70, "text": "x" * 20_000}, protocol)
    raw = raw.replace(b"L1180591620717411303424L", f"L{written}L".encode())
    (tmp_path / "m.pkl").write_bytes(raw)
    with at_most(calls=20_000):
        metadata = open_checkpoint(tmp_path / "m.pkl").metadata
    assert metadata["text"] == "x" * 20_000
    assert metadata["seed"] == (f"{written[:12]}…098765432109 (a number of {count(digits)} digits)")


def test_a_long_number_may_be_a_key(tmp_path: Path) -> None:
    number = b"L" + b"9" * 5_000 + b"L\n"
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(b"}" + number + text("a") + b"s")))
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    (key,) = checkpoint.metadata["x"]  # type: ignore[misc, union-attr]
    assert key.startswith("999999999999…999999999999 (a number of 5")


@pytest.mark.parametrize("text_in_it", ["j" * 700_000, "g1\n" * 700_000], ids=["j", "g"])
def test_text_that_looks_like_fetches_changes_no_tensor(tmp_path: Path, text_in_it: str) -> None:
    tied = torch.arange(6.0)
    saved = {"text": text_in_it, **{f"w{i}": tied.reshape(2, 3)[i % 2] for i in range(300)}}
    torch.save(saved, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert_same_tensors(checkpoint, {key: saved[key] for key in list(saved)[1:]})  # type: ignore[misc]


def test_the_second_state_of_an_object_adds_to_the_first(tmp_path: Path) -> None:
    first, second = (b"}" + text(key) + text(key) + b"sb" for key in ("lr", "momentum"))
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(call(b"cm\nf\n") + first + second)))
    options = open_checkpoint(tmp_path / "m.pth").metadata["x"]
    assert options == {"class": "m.f", "lr": "lr", "momentum": "momentum"}


def test_a_persistent_id_of_another_program_is_an_object(tmp_path: Path) -> None:
    class Elsewhere(pickle.Pickler):
        def persistent_id(self, value: object) -> str | None:
            return "there" if isinstance(value, range) else None

    with (tmp_path / "m.pkl").open("wb") as file:
        Elsewhere(file, 4).dump({"w": torch.ones(2), "data": range(3)})
    checkpoint = open_checkpoint(tmp_path / "m.pkl")
    assert_same_tensors(checkpoint, {"w": torch.ones(2)})
    assert checkpoint.metadata == {"data": {"class": "persistent id"}}
