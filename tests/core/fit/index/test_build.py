"""An index is built by other processes, whatever a single model does to them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from core.architectures import Architecture, parse_architecture
from core.errors import IndexFileError
from core.fit.index.build import build_index, make_index_in
from core.fit.index.index_file import load_index, save_index
from tests.core.fit.index.test_index import assert_same_models, indexed
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

VERSIONS = {"timm": "1.0"}

NAMES = ("torchvision:resnet18", "timm:test_vit", "timm:test_resnet", "torchvision:raft_small")

# Processes that index these import torchvision alone, in a second less than timm.
SMALL, OTHER_SMALL = "torchvision:squeezenet1_1", "torchvision:resnet18"

LARGE = "torchvision:efficientnet_v2_l"
"""Takes long enough to be still in work when something happens to its process."""

NOWHERE = Architecture("timm", "test_nowhere")


def architectures(*names: str) -> list[Architecture]:
    return [parse_architecture(name) for name in names]


def our_builders() -> list[int]:
    """The ids of this process's own children that build models."""
    children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    return [
        int(child)
        for child in chain.from_iterable(children)
        if b"core.fit.index.build_process" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.fixture(scope="module")
def built() -> tuple:
    told: list[tuple[int, int, str]] = []
    wanted = [*architectures(*NAMES[:2]), NOWHERE, *architectures(*NAMES[2:])]
    index = build_index(VERSIONS, 2, lambda *words: told.append(words), wanted)
    return index, told


def test_processes_find_what_this_one_finds_in_the_order_asked_for(built) -> None:
    index, _ = built
    assert_same_models(index, indexed(*NAMES))
    assert index.versions == VERSIONS
    assert not our_builders()


def test_what_cannot_be_built_is_told_and_the_rest_is_there(built) -> None:
    index, _ = built
    ((key, why),) = index.failures
    assert key == NOWHERE.key
    assert why.startswith("No architecture is called 'test_nowhere'")


def test_progress_counts_every_model_by_name(built) -> None:
    _, told = built
    assert [words[:2] for words in told] == [(done, 5) for done in range(1, 6)]
    assert {words[2] for words in told} == {name.partition(":")[2] for name in NAMES} | {
        NOWHERE.name
    }


def test_a_model_whose_process_is_killed_is_built_by_another() -> None:
    wanted = architectures(SMALL, LARGE, OTHER_SMALL)

    def kill(done: int, _total: int, _name: str) -> None:
        if done == 1:
            for process in our_builders():
                os.kill(process, signal.SIGKILL)

    index = build_index(VERSIONS, 1, kill, wanted)
    assert index.failures == ()
    assert index.architectures == tuple(wanted)


@contextlib.contextmanager
def killing() -> Iterator[None]:
    """No process that builds lives long."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.01):
            for process in our_builders():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


def test_where_no_process_lives_there_is_no_index_and_a_later_try_makes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = architectures(SMALL, OTHER_SMALL)
    monkeypatch.setattr("core.fit.index.build.catalogue", lambda: wanted)
    with killing(), pytest.raises(IndexFileError, match="ended before they were done, 2 times"):
        make_index_in(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []
    assert make_index_in(tmp_path, 1).architectures == tuple(wanted)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_progress_raises_ends_the_work_and_its_processes() -> None:
    class Cancelled(Exception):
        pass

    done: list[str] = []

    def cancel(_done: int, _total: int, name: str) -> None:
        done.append(name)
        raise Cancelled

    with pytest.raises(Cancelled):
        build_index(VERSIONS, 2, cancel, architectures(SMALL, OTHER_SMALL, *[LARGE] * 20))
    assert len(done) == 1
    assert not our_builders()


def test_a_server_that_ends_meanwhile_waits_for_no_model() -> None:
    script = (
        "import sys, threading\n"
        "from core.architectures import Architecture\n"
        "from core.fit.index.build import build_index\n"
        "begun = threading.Event()\n"
        "models = [Architecture('torchvision', name) for name in sys.argv[1:]]\n"
        "build = lambda: build_index({}, 1, lambda *_: begun.set(), models)\n"
        "threading.Thread(target=build, daemon=True).start()\n"
        "begun.wait()\n"
    )
    names = [architecture.name for architecture in architectures(SMALL, *[LARGE] * 1000)]
    subprocess.run([sys.executable, "-c", script, *names], check=True, timeout=PATIENCE)


def test_an_index_of_nothing_is_empty() -> None:
    assert len(build_index(VERSIONS, 2, architectures=())) == 0


def test_two_servers_that_write_at_once_leave_one_whole_index(built, tmp_path: Path) -> None:
    index, _ = built
    save_index(index, tmp_path / "first.npz")
    script = (
        "import sys; from pathlib import Path\n"
        "from core.fit.index.index_file import load_index, save_index\n"
        "index = load_index(Path(sys.argv[1]))\n"
        "for _ in range(20):\n"
        "    save_index(index, Path(sys.argv[2]))\n"
        "    assert len(load_index(Path(sys.argv[2]))) == 4\n"
    )
    command = [sys.executable, "-c", script, tmp_path / "first.npz", tmp_path / "index.npz"]
    servers = [subprocess.Popen(command) for _ in range(3)]
    assert [server.wait() for server in servers] == [0, 0, 0]
    assert_same_models(load_index(tmp_path / "index.npz"), tuple(index.models))
    assert {path.name for path in tmp_path.iterdir()} == {"first.npz", "index.npz"}
