"""However many files are open, the process keeps descriptors for everything else."""

import gzip
import json
import resource
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

from core.checkpoint import open_checkpoint
from core.checkpoint.containers.descriptors import most_open_files, open_files, raise_limit
from core.checkpoint.containers.sources import LocalFile
from core.compare.numbers import differences
from core.errors import SourceError
from core.tensors import read_tensor
from tests.waiting import PATIENCE

REPOSITORY = Path(__file__).parents[4]


def sharded(folder: Path, count: int, scale: float = 1.0, numel: int = 8) -> Path:
    """A checkpoint in so many safetensors files, `layer0.w` and so on."""
    folder.mkdir()
    names = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    for number, name in enumerate(names):
        tensor = torch.arange(number, number + numel, dtype=torch.float32) * scale
        safetensors.torch.save_file({f"layer{number}.w": tensor}, folder / name)
    index = {"weight_map": {f"layer{number}.w": name for number, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def few_allowed() -> Iterator[Callable[[int], None]]:
    """Sets how many files this process may keep open for checkpoints: half of its soft limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def allow(files: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * files, before[1]))
        assert most_open_files() == files

    yield allow
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


AT_THE_LIMIT = """
import resource, socket, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
from core.checkpoint import open_checkpoint
from core.checkpoint.containers.descriptors import open_files
from core.tensors.reading import read_tensor
from core.compare.numbers.measure import differences
large, small = (open_checkpoint(Path(path)) for path in sys.argv[1:])
assert (large.files, small.files) == (901, 301)
assert open_files() <= 512
server = socket.create_server(("127.0.0.1", 0))
held = []
for _ in range(150):
    held += [socket.create_connection(server.getsockname()), server.accept()[0]]
a, b = large.state_dict(), small.state_dict()
for number in range(900):
    assert read_tensor(a[f"layer{number}.w"])[0] == number
pairs = [(a[key], b[key]) for key in b]
found = dict(differences(pairs))
assert all(found[i].changed == (7 if i == 0 else 8) for i in range(300)), found
assert open_files() <= 512
print("usable")
"""


def test_checkpoints_of_900_and_300_files_stay_usable_and_leave_room(tmp_path: Path) -> None:
    large, small = sharded(tmp_path / "a", 900), sharded(tmp_path / "b", 300, 2.0)
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_LIMIT, str(large), str(small)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("usable\n", 0), done.stderr


def test_the_soft_limit_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    script = (
        "import resource\n"
        "from core.checkpoint.containers.descriptors import raise_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2000))\n"
        "raise_limit()\n"
        "raise_limit()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.stdout == "(2000, 2000)\n", done.stderr
    raise_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard


def test_the_compiled_loops_and_eight_threads_read_while_files_are_closed(
    tmp_path: Path, few_allowed: Callable[[int], None]
) -> None:
    """1,000 pairs and more go through the loops that read by the descriptor's number."""
    a, b = sharded(tmp_path / "a", 60, numel=40_000), sharded(tmp_path / "b", 60, 2.0, 40_000)
    few_allowed(64)
    one, other = open_checkpoint(a).state_dict(), open_checkpoint(b).state_dict()
    keys = [f"layer{number}.w" for number in range(60)] * 20
    wrong: list[object] = []

    def measure() -> None:
        try:
            found = dict(differences([(one[key], other[key]) for key in keys], threads=4))
            for index, key in enumerate(keys):
                number = int(key.removeprefix("layer").removesuffix(".w"))
                if found[index].max_abs != number + 39_999:
                    wrong.append((key, found[index]))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=measure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert open_files() <= 64 + 2 * 8  # two for each thread that read when room was made


def test_a_file_that_was_closed_and_replaced_is_not_read(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * 100)
    first = LocalFile(tmp_path / "a")
    assert first.let_go()
    (tmp_path / "b").replace(tmp_path / "a")
    with pytest.raises(SourceError, match=r"^a changed while it was open"):
        first.read(0, 1)
    with pytest.raises(SourceError, match=r"^a changed while it was open"):
        first.read_into(0, memoryview(bytearray(1)))


def test_a_file_that_is_deleted_while_it_is_open_stays_readable(
    tmp_path: Path, few_allowed: Callable[[int], None]
) -> None:
    (tmp_path / "gone").write_bytes(b"still here")
    for number in range(100):
        (tmp_path / str(number)).write_bytes(b"%03d" % number)
    gone = LocalFile(tmp_path / "gone")
    (tmp_path / "gone").unlink()
    few_allowed(60)
    files = [LocalFile(tmp_path / str(number)) for number in range(100)]
    assert open_files() <= most_open_files()
    assert [file.read(0, 3) for file in files] == [b"%03d" % number for number in range(100)]
    assert gone.read(0, 20) == b"still here"


def test_where_no_file_may_be_closed_one_more_is_refused_in_a_sentence(
    tmp_path: Path, few_allowed: Callable[[int], None]
) -> None:
    few_allowed(60)
    files: list[LocalFile] = []

    def open_another() -> None:
        path = tmp_path / str(len(files))
        path.write_bytes(b"x")
        files.append(LocalFile(path))
        path.unlink()

    while open_files() < 60:
        open_another()
    with pytest.raises(SourceError, match="none of them can be closed"):
        open_another()
    socket.socket().close()
    files.clear()
    (tmp_path / "again").write_bytes(b"x")
    assert LocalFile(tmp_path / "again").read(0, 1) == b"x"


def test_descriptors_are_given_back_with_the_checkpoint(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "a", 20)
    before = open_files()
    checkpoint = open_checkpoint(folder)
    assert open_files() == before + 20
    del checkpoint
    assert open_files() == before


def test_all_that_is_packed_in_one_archive_takes_one_descriptor_more(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "a", 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    before = open_files()
    checkpoint = open_checkpoint(tmp_path / "a.zip")
    assert open_files() == before + 2
    for number in range(20):
        assert read_tensor(checkpoint.state_dict()[f"layer{number}.w"])[1] == number + 1


def test_what_is_unpacked_is_read_after_its_archive_is_closed(
    tmp_path: Path, few_allowed: Callable[[int], None]
) -> None:
    folder = sharded(tmp_path / "a", 60)
    (tmp_path / "m.gz").write_bytes(gzip.compress(next(folder.glob("*00001-*")).read_bytes()))
    packed = open_checkpoint(tmp_path / "m.gz")
    few_allowed(30)
    open_checkpoint(folder)
    assert read_tensor(packed.state_dict()["layer0.w"])[3] == 3
