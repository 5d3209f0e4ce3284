"""A server's index: there at once where Loupe came with it, built once beside it where not."""

import threading
from pathlib import Path

import pytest

from core.architectures import Architecture
from core.errors import LoupeError
from core.fit.index import (
    Index,
    find,
    index_model,
    index_path,
    installed_versions,
    make_index,
    save_index,
)
from core.server.index_keeper import IndexKeeper
from core.server.jobs import Jobs
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

RESNET = Architecture("torchvision", "resnet18")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of a server that came with no index of the installed versions."""
    monkeypatch.setattr(find, "SHIPPED", tmp_path / "shipped.npz")
    monkeypatch.setattr("core.fit.index.build.catalogue", lambda: (RESNET,))
    return tmp_path / "data"


@pytest.fixture
def small() -> Index:
    return make_index(installed_versions(), (index_model(RESNET)[0],))


def test_an_index_on_disk_is_there_at_once_and_read_once(elsewhere: Path, small: Index) -> None:
    elsewhere.mkdir()
    path = index_path(elsewhere, installed_versions())
    save_index(small, path)
    keeper = IndexKeeper(elsewhere, Jobs(1))
    lookup = keeper.lookup()
    assert lookup is not None
    assert keeper.job is None
    path.unlink()
    assert keeper.lookup() is lookup


def test_an_index_that_is_nowhere_is_built_once_and_kept_for_the_next_server(
    elsewhere: Path,
) -> None:
    keeper = IndexKeeper(elsewhere, Jobs(2))
    assert keeper.lookup() is None
    job = keeper.job
    assert job is not None
    built = job.result()
    assert keeper.lookup() is built
    assert keeper.job is None
    assert (job.progress.done, job.progress.total) == (1, 1)
    again = IndexKeeper(elsewhere, Jobs(1))
    assert again.lookup() is not None


def test_nobody_waits_for_an_index_that_has_to_be_built(
    elsewhere: Path, small: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def make(folder: Path, workers: int, progress) -> Index:
        progress(3, 9, "resnet18")
        go.wait(20)
        return small

    monkeypatch.setattr("core.server.index_keeper.make_index_in", make)
    keeper = IndexKeeper(elsewhere, Jobs(1))
    try:
        asked = [keeper.lookup() for _ in range(3)]
        assert asked == [None, None, None]
        job = keeper.job
        assert job is not None
        assert job.unfinished
    finally:
        go.set()
    job.result()
    assert (job.progress.done, job.progress.total) == (3, 9)
    assert keeper.lookup() is not None


def test_a_folder_that_cannot_be_written_costs_this_server_nothing(
    elsewhere: Path, small: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.fit.index.build.build_index", lambda *_: small)
    elsewhere.write_text("a file where the folder should be")
    keeper = IndexKeeper(elsewhere, Jobs(1))
    wait_until(keeper.lookup)
    assert keeper.lookup() is keeper.lookup()
    assert elsewhere.read_text() == "a file where the folder should be"


def test_a_building_that_fails_is_a_sentence_to_all_and_tried_again_later(
    elsewhere: Path, small: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    asked = threading.Event()

    def make(folder: Path, workers: int, progress: object) -> Index:
        tries.append(1)
        if len(tries) == 1:
            assert asked.wait(60)
            raise ImportError("half of a library")
        return small

    monkeypatch.setattr("core.server.index_keeper.make_index_in", make)
    keeper = IndexKeeper(elsewhere, Jobs(1), retry_after=3600)
    assert keeper.lookup() is None
    job = keeper.job
    assert job is not None
    asked.set()
    with pytest.raises(LoupeError):
        job.result()
    for _ in range(2):
        with pytest.raises(LoupeError, match="ImportError"):
            keeper.lookup()
        assert keeper.job is None
    keeper.retry_after = 0
    wait_until(keeper.lookup)
    assert len(tries) == 2
