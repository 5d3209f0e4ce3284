"""An index survives as one file, and a damaged file is told from a whole one."""

import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.errors import IndexFileError
from core.fit.index.index import Index, make_index
from core.fit.index.index_file import index_versions, load_index, save_index
from tests.core.fit.index.test_index import NAMES, assert_same_models, indexed

VERSIONS = {"timm": "1.0", "torchvision": "0.2"}


@pytest.fixture(scope="module")
def index() -> Index:
    return make_index(VERSIONS, indexed(*NAMES), [("timm:broken", "It is “broken”.\nTruly.")])


@pytest.fixture
def saved(index: Index, tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "index.npz"
    save_index(index, path)
    return path


def test_a_file_gives_back_the_whole_index(index: Index, saved: Path) -> None:
    found = load_index(saved)
    assert_same_models(found, tuple(index.models))
    assert found.versions == index_versions(saved) == VERSIONS
    assert found.failures == index.failures
    assert (found.keys, found.shapes, found.kinds) == (index.keys, index.shapes, index.kinds)


def test_an_empty_index_survives_too(tmp_path: Path) -> None:
    save_index(make_index({}, ()), tmp_path / "empty.npz")
    assert len(load_index(tmp_path / "empty.npz")) == 0


def test_the_same_index_gives_the_same_bytes(index: Index, saved: Path, tmp_path: Path) -> None:
    save_index(load_index(saved), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


def test_a_file_is_replaced_and_nothing_is_left_beside_it(saved: Path) -> None:
    save_index(make_index({"timm": "2"}, ()), saved)
    assert index_versions(saved) == {"timm": "2"}
    assert list(saved.parent.iterdir()) == [saved]


def test_a_folder_that_cannot_be_made_is_a_sentence(index: Index, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexFileError, match="cannot be written") as caught:
        save_index(index, tmp_path / "file" / "index.npz")
    assert caught.value.remedy


def test_every_kind_of_damage_is_a_sentence_or_harmless(
    index: Index, saved: Path, tmp_path: Path
) -> None:
    whole, damaged = saved.read_bytes(), tmp_path / "damaged.npz"
    chance = random.Random(7)
    refused: list[IndexFileError] = []
    for _ in range(150):
        content = bytearray(whole)
        at = chance.randrange(len(content))
        match chance.randrange(3):
            case 0:
                content[at] ^= 1 << chance.randrange(8)
            case 1:
                del content[at:]
            case _:
                content[at : at + 20] = chance.randbytes(20)
        damaged.write_bytes(content)
        try:
            found = load_index(damaged)
        except IndexFileError as error:
            refused.append(error)
        else:
            assert tuple(found.models) == tuple(index.models)
    assert len(refused) > 75
    assert all(error.remedy for error in refused)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18), b"\x93NUMPY"])
def test_what_is_no_index_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "index.npz").write_bytes(content)
    for read in (load_index, index_versions):
        with pytest.raises(IndexFileError, match="missing or damaged"):
            read(tmp_path / "index.npz")


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(saved: Path) -> None:
    with np.load(saved) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(saved, **arrays, padding=np.zeros(257 << 20, np.uint8))
    assert saved.stat().st_size < 1 << 20
    with pytest.raises(IndexFileError, match="missing or damaged"):
        load_index(saved)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match="missing or damaged"):
        load_index(tmp_path / "nowhere.npz")


def rewritten(path: Path, **changes: object) -> Path:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name, change in changes.items():
        arrays[name] = change(arrays[name])  # type: ignore[operator]  # each is a function
    np.savez(path, **arrays)
    return path


def header(**changes: object):
    def change(array: np.ndarray) -> np.ndarray:
        content = json.loads(array.tobytes()) | changes
        return np.frombuffer(json.dumps(content).encode(), np.uint8)

    return change


@pytest.mark.parametrize(
    "changes",
    [
        {"signature_keys": lambda array: array * 9},
        {"signature_keys": lambda array: array - 1},
        {"signature_keys": lambda array: array[:-1]},
        {"signature_shapes": lambda array: array.astype(np.float64)},
        {"signature_shapes": lambda array: array.astype(np.int32) + 10_000},
        {"signature_kinds": lambda array: array.astype(np.int64) - 1},
        {"signature_lengths": lambda array: array + 1},
        {"model_signatures": lambda array: array + 100},
        {"model_signatures": lambda array: array[1:]},
        {"shape_sizes": lambda array: array - 5},
        {"shape_ranks": lambda array: array[:-1]},
        {"changed_keys": lambda array: array.astype(np.int32) + 100_000},
        {"gone_lengths": lambda array: array[::-1][1:]},
        {"variations": lambda array: array + 1_000},
        {"variations": lambda array: array[:, :3]},
        {"variation_counts": lambda array: array[:-1]},
        {"architectures": lambda array: array[9:]},
        {"keys": lambda array: array.astype(np.int64)},
        {"keys": lambda array: array | 0x80},
        {"header": header(format=0)},
        {"header": header(kinds=[["float32", "weight"]])},
        {"header": header(kinds=3)},
        {"header": header(versions=["timm"])},
        {"header": header(failures=[["timm:x"]])},
        {"header": lambda array: array[:-1]},
    ],
)
def test_arrays_that_do_not_go_together_are_refused(saved: Path, changes: dict) -> None:
    with pytest.raises(IndexFileError, match="missing or damaged"):
        load_index(rewritten(saved, **changes))


def test_a_pickled_array_is_refused_and_not_run(saved: Path) -> None:
    class Loud:
        def __reduce__(self):
            return (Path(saved.parent / "ran").touch, ())

    loud = np.empty(1, dtype=object)
    loud[0] = Loud()
    rewritten(saved, keys=lambda _: loud)
    with pytest.raises(IndexFileError):
        load_index(saved)
    assert not (saved.parent / "ran").exists()


def test_a_file_without_one_of_its_arrays_is_refused(saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as whole:
        names = whole.namelist()
        for left_out in names:
            with zipfile.ZipFile(tmp_path / "less.npz", "w") as less:
                for name in names:
                    if name != left_out:
                        less.writestr(name, whole.read(name))
            with pytest.raises(IndexFileError):
                load_index(tmp_path / "less.npz")
