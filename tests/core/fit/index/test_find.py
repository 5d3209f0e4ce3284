"""The index that comes with Loupe is that of the tested libraries, and others take its place."""

import random
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import timm
import torchvision

from core.architectures import Architecture, catalogue, parse_architecture
from core.fit.index import find
from core.fit.index.build import make_index_in
from core.fit.index.find import SHIPPED, find_index, index_path, installed_versions
from core.fit.index.index import Index, make_index
from core.fit.index.index_file import index_versions, load_index, save_index
from core.fit.index.indexing import index_model

pytestmark = pytest.mark.slow

LOCK = Path(__file__).parents[4] / "requirements.lock"


@pytest.fixture(scope="module")
def shipped() -> Index:
    return load_index(SHIPPED)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for an index, where Loupe came with none of the installed versions."""
    monkeypatch.setattr(find, "SHIPPED", tmp_path / "shipped.npz")
    return tmp_path / "data"


def test_the_shipped_index_is_of_the_locked_versions() -> None:
    locked = dict(re.findall(r"^(torchvision|timm)==([\w.]+)", LOCK.read_text(), re.MULTILINE))
    assert index_versions(SHIPPED) == locked


def test_the_versions_are_those_of_the_libraries() -> None:
    assert installed_versions() == {
        "timm": timm.__version__,
        "torchvision": torchvision.__version__.partition("+")[0],
    }
    assert version("timm") == timm.__version__


def test_the_shipped_index_is_small() -> None:
    assert SHIPPED.stat().st_size < 3_000_000


needs_the_locked_versions = pytest.mark.skipif(
    index_versions(SHIPPED) != installed_versions(), reason="other versions than the index's"
)


@needs_the_locked_versions
def test_the_shipped_index_has_every_model(shipped: Index) -> None:
    assert shipped.architectures == catalogue()
    assert not [key for key, _ in shipped.failures if parse_architecture(key).options == ()]


@needs_the_locked_versions
@pytest.mark.parametrize("seed", range(3))
def test_the_shipped_index_is_what_is_built_now(shipped: Index, seed: int) -> None:
    for number in random.Random(seed).sample(range(len(shipped)), 8):
        model, _ = index_model(shipped.architectures[number])
        found = shipped.models[number]
        assert found == model
        assert list(found.signature) == list(model.signature)


@needs_the_locked_versions
def test_the_index_of_the_installed_versions_is_found_without_a_folder(tmp_path: Path) -> None:
    found = find_index(tmp_path / "nowhere")
    assert found is not None
    assert found.versions == installed_versions()
    assert not list(tmp_path.iterdir())


def test_without_an_index_none_is_found_and_none_is_built(elsewhere: Path) -> None:
    assert find_index(elsewhere) is None
    assert not elsewhere.exists()


def test_an_index_of_other_versions_is_not_taken_for_ours(elsewhere: Path) -> None:
    save_index(make_index({"timm": "0", "torchvision": "0"}, ()), find.SHIPPED)
    shutil.copytree(find.SHIPPED.parent, elsewhere)
    (elsewhere / "shipped.npz").rename(index_path(elsewhere, installed_versions()))
    assert find_index(elsewhere) is None


def test_a_damaged_index_counts_as_none_and_is_replaced(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resnet = Architecture("torchvision", "resnet18")
    monkeypatch.setattr("core.fit.index.build.catalogue", lambda: (resnet,))
    path = index_path(elsewhere, installed_versions())
    elsewhere.mkdir()
    path.write_bytes(b"half a fi")
    assert find_index(elsewhere) is None
    told: list[tuple[int, int, str]] = []
    made = make_index_in(elsewhere, 1, lambda *words: told.append(words))
    found = find_index(elsewhere)
    assert found is not None
    assert found.architectures == made.architectures == (resnet,)
    assert found.models[0] == made.models[0]
    assert told == [(1, 1, "resnet18")]
    assert list(elsewhere.iterdir()) == [path]
