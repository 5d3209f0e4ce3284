"""The compiled loops take what they can measure exactly, and refuse the rest."""

import math
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

kernel = pytest.importorskip("core.compare.numbers.kernel")


def gathered(a, b):
    floats, counts = np.zeros(5), np.zeros(5, np.int64)
    taken = kernel.measure(a, b, 1e-5, 1e-8, floats, counts)
    return taken, floats.tolist(), counts.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("numel", [0, 1, 15, 4095, 4096, 4097, 20_000])
def test_sums_are_those_of_numpy_at_every_length(dtype, numel):
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(numel).astype(dtype) for _ in "ab")
    a[::3], b[::7] = 0, -0.0
    taken, floats, counts = gathered(a, b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    d = np.abs(y - x)
    wanted = [d.sum(), (d * d).sum(), (x * x).sum(), (y * y).sum(), d.max(initial=0)]
    assert taken
    assert floats == pytest.approx(wanted, rel=1e-12)
    assert counts == [
        np.count_nonzero(d),
        np.count_nonzero(d > 1e-8 + 1e-5 * np.abs(y)),
        np.count_nonzero(np.sign(x) * np.sign(y) < 0),
        np.count_nonzero(x),
        np.count_nonzero(y),
    ]


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 5000, 9999])
@pytest.mark.parametrize("side", [0, 1, 2])
def test_a_chunk_with_an_odd_number_adds_nothing(odd, place, side):
    a, b = np.ones(10_000, np.float32), np.ones(10_000, np.float32)
    if side != 1:
        a[place] = odd
    if side != 0:
        b[place] = odd
    assert gathered(a, b) == (False, [0.0] * 5, [0] * 5)


@pytest.mark.parametrize("size", [1e-160, 1e-200, 1e160, 1e300])
def test_numbers_whose_squares_are_lost_add_nothing(size):
    a = np.full(100, size)
    assert not gathered(a, a)[0]
    assert not gathered(np.zeros(100), a)[0]


def test_every_float16_becomes_the_float32_that_torch_makes_of_it():
    every = np.arange(1 << 16, dtype=np.uint16)
    found = np.empty(1 << 16, np.float32)
    table = np.zeros(256, np.float32)
    kernel.widen(kernel.FLOAT16, every.view(np.uint8), table, found)
    wanted = torch.from_numpy(every).view(torch.float16).to(torch.float32).numpy()
    nan = np.isnan(wanted)
    assert (found.view(np.uint32)[~nan] == wanted.view(np.uint32)[~nan]).all()
    assert np.isnan(found[nan]).all()


def test_loops_compile_where_nothing_can_be_kept_on_disk():
    from_nowhere: dict = {}
    exec("def double(x):\n    return 2 * x", from_nowhere)
    assert kernel._compiled(from_nowhere["double"])(21) == 42


def saved_in(folder):
    for name, value in (("a", 1.0), ("b", 0.0)):
        torch.save({"w": torch.full((8,), value)}, folder / f"{name}.pth")
    return folder / "a.pth", folder / "b.pth"


@pytest.fixture
def files(tmp_path):
    return saved_in(tmp_path)


MEASURED = """
import resource, sys
from pathlib import Path
from core.checkpoint import open_checkpoint
from core.compare.numbers.measure import differences
least, *names = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(least), int(least)))
a, b = (open_checkpoint(Path(name)).state_dict()["w"] for name in names)
found = list(differences([(a, b)] * 1000))
assert [numbers.norm_a for _, numbers in found] == [8**0.5] * 1000
"""


def measured_anew(folder, *files, largest_file=1 << 30):
    """Measure in a process of its own, whose compiled loops are kept in a folder."""
    environ = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    words = [sys.executable, "-c", MEASURED, str(largest_file), *map(str, files)]
    return subprocess.run(words, check=True, env=environ, capture_output=True, text=True).stderr


@pytest.fixture(scope="module")
def compiled_together(tmp_path_factory):
    """A folder of compiled loops that two processes made at the same time, and what each said."""
    folder = tmp_path_factory.mktemp("together")
    files = saved_in(folder)
    with ThreadPoolExecutor(2) as threads:
        told = list(threads.map(lambda _: measured_anew(folder / "compiled", *files), range(2)))
    return folder / "compiled", told


@pytest.mark.slow
def test_processes_that_compile_at_the_same_time_are_in_nobodys_way(compiled_together):
    _, told = compiled_together
    assert told == ["", ""]


@pytest.mark.slow
def test_compiled_loops_that_are_damaged_are_compiled_anew(compiled_together, files, tmp_path):
    folder = tmp_path / "compiled"
    shutil.copytree(compiled_together[0], folder)
    kept = [path for path in folder.rglob("*") if path.is_file()]
    sizes = {path.suffix: path.stat().st_size for path in kept}
    assert sizes.keys() == {".nbi", ".nbc"}
    for path in kept:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cannot be used" in measured_anew(folder, *files)
    assert measured_anew(folder, *files) == ""


@pytest.mark.slow
def test_compiled_loops_that_find_no_room_on_the_disk_leave_the_work_to_torch(files, tmp_path):
    told = measured_anew(tmp_path / "compiled", *files, largest_file=100)
    assert "File too large" in told
