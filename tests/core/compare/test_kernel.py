"""The compiled loops take what they can measure exactly, and refuse the rest."""

import math

import numpy as np
import pytest
import torch

kernel = pytest.importorskip("core.compare.kernel")


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
