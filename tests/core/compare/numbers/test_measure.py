"""The numbers of B against A equal those that numpy and torch give for the loaded tensors.

Each promise holds by the compiled loops, as well as by numpy alone where there is no Numba.
"""

import itertools
import math
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from benchmarks.peak_memory import peak, reset_peak
from core.checkpoint import open_checkpoint
from core.compare.measurability import comparable
from core.compare.numbers import contiguous, measure
from core.compare.numbers.measure import difference, differences
from core.compare.pairing.entry_views import rows, transposed
from core.compare.tensor_numbers import ALLCLOSE, Tolerance
from core.errors import LoupeError, SourceError
from core.progress import Cancelled, Progress
from tests.core.compare.views import cast
from tests.core.odd_tensors import ODD


@pytest.fixture(params=["compiled", "numpy"], autouse=True)
def way(request, monkeypatch):
    """Both ways for every size, in chunks that small tensors are cut into."""
    monkeypatch.setattr(measure, "WORTH_BYTES", 0)
    monkeypatch.setattr(measure, "TASK", 3000)
    monkeypatch.setattr(contiguous, "CHUNK", 4000)
    if request.param == "numpy":
        monkeypatch.setattr(measure, "load_kernel", lambda: None)
    return request.param


@pytest.fixture
def saved(tmp_path):
    """Save a tensor as torch does, and give its entry as it is read back."""
    made = itertools.count()

    def save(tensor):
        path = tmp_path / f"{next(made)}.pth"
        torch.save({"w": tensor}, path)
        return open_checkpoint(path).state_dict()["w"]

    return save


FLOATS = ["float64", "float32", "float16", "bfloat16"]
FLOATS += [f"float8_{kind}" for kind in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e8m0fnu")]
WHOLES = ["int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"]


def pair_of(dtype: str, numel: int = 100_003) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    kind = getattr(torch, dtype)
    if dtype in WHOLES:
        high = 2 if dtype == "bool" else 100
        return tuple(torch.randint(0, high, (numel,)).to(kind) for _ in "ab")
    a = torch.randn(numel, dtype=torch.float64)
    return a.to(kind), (a + 0.1 * torch.randn(numel, dtype=torch.float64)).to(kind)


def assert_told(found, a: torch.Tensor, b: torch.Tensor, tolerance=ALLCLOSE):
    """The numbers are numpy's of the whole tensors as float64."""
    x, y = (t.to(torch.float64).numpy().reshape(-1) for t in (a, b))
    finite = np.isfinite(x) & np.isfinite(y)
    nan = np.isnan(x) & np.isnan(y)
    close = torch.isclose(
        torch.from_numpy(y),
        torch.from_numpy(x),
        rtol=0,
        atol=0,
        equal_nan=True,
    )
    allowed = torch.isclose(
        torch.from_numpy(x),
        torch.from_numpy(y),
        rtol=tolerance.rtol,
        atol=tolerance.atol,
        equal_nan=True,
    )
    assert found.count == a.numel()
    assert found.changed == int((~close).sum())
    assert found.outside == int((~allowed).sum())
    assert found.sign_flips == int((np.sign(x[finite]) * np.sign(y[finite]) < 0).sum())
    assert (found.zeros_a, found.zeros_b) == tuple(int((v[finite] == 0).sum()) for v in (x, y))
    assert (found.nan_a, found.nan_b) == (int(np.isnan(x).sum()), int(np.isnan(y).sum()))
    assert (found.inf_a, found.inf_b) == (int(np.isinf(x).sum()), int(np.isinf(y).sum()))
    assert found.nan_both == int(nan.sum())
    x, y = x[finite], y[finite]
    d = np.abs(y - x)
    assert found.max_abs == (d.max() if d.size else 0)
    assert found.mean_abs == pytest.approx(d.mean() if d.size else 0, rel=1e-9)
    norms = [math.hypot(*v) for v in (x, y, d)]
    assert (found.norm_a, found.norm_b, found.norm_difference) == pytest.approx(norms, rel=1e-9)
    if norms[0]:
        assert found.relative_l2 == pytest.approx(norms[2] / norms[0], rel=1e-9)
    else:
        assert found.relative_l2 == (math.inf if norms[1] else 0)
    if norms[0] and norms[1]:
        cosine = math.fsum((x / norms[0]) * (y / norms[1]))
        assert found.cosine == pytest.approx(cosine, abs=1e-12)
    else:
        assert found.cosine is None


@pytest.mark.parametrize("dtype", FLOATS + WHOLES)
def test_the_numbers_are_those_of_numpy_in_every_dtype(saved, dtype):
    a, b = pair_of(dtype)
    assert_told(difference(saved(a), saved(b)), a, b)


@pytest.mark.parametrize("dtype", [*FLOATS[2:], "int8", "uint16", "bool"])
def test_every_value_of_a_narrow_dtype_is_told_right(saved, dtype):
    kind = getattr(torch, dtype)
    whole = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16)
    if kind.itemsize == 1:
        whole = torch.arange(256, dtype=torch.uint8) if dtype != "bool" else torch.zeros(99).char()
    a = whole.view(kind)
    b = a.view(torch.uint8).flip(0).view(kind)
    assert_told(difference(saved(a), saved(b)), a, b)


@pytest.mark.parametrize(
    ("one", "other"),
    [("float32", "bfloat16"), ("float16", "int8"), ("float64", "float32"), ("int32", "float32")],
)
def test_two_dtypes_are_measured_against_each_other(saved, one, other):
    a, b = pair_of(one)[0], pair_of(other)[1]
    assert_told(difference(saved(a), saved(b)), a, b)


SPECIAL = (0.0, -0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e-45, 65504.0, 3e38)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    dtype=some.sampled_from(FLOATS[:6]),
    shape=some.lists(some.integers(0, 30), max_size=4),
    special=some.sampled_from([0.0, 0.0, 0.001, 0.5]),
    change=some.sampled_from([0.0, 1e-9, 1e-5, 1.0, -2.0]),
    rtol=some.sampled_from([0.0, 1e-5, 0.1]),
    atol=some.sampled_from([0.0, 1e-8, 0.5]),
    seed=some.integers(0, 1 << 30),
)
def test_any_shape_any_values_any_tolerance(saved, dtype, shape, special, change, rtol, atol, seed):
    torch.manual_seed(seed)
    kind = getattr(torch, dtype)
    both = []
    base = torch.randn(shape, dtype=torch.float64)
    for values in (base, base + change * torch.randn(shape, dtype=torch.float64)):
        odd = torch.tensor(SPECIAL, dtype=torch.float64)[torch.randint(len(SPECIAL), shape)]
        both.append(torch.where(torch.rand(shape) < special, odd, values).to(kind))
    a, b = both
    tolerance = Tolerance(rtol, atol)
    assert_told(difference(saved(a), saved(b), tolerance), a, b, tolerance)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e-80, 1e150, 1e200, 1e300])
def test_norms_and_signs_survive_where_squares_would_not(saved, size):
    torch.manual_seed(0)
    a, b = (torch.randn(5000, dtype=torch.float64) * size for _ in "ab")
    assert_told(difference(saved(a), saved(b)), a, b)


def test_a_small_part_of_tiny_numbers_counts_beside_large_ones(saved):
    a = torch.randn(9000, dtype=torch.float64)
    a[4000:] *= 1e-170
    b = a * 1.5
    b[:4000] = a[:4000]
    found = difference(saved(a), saved(b))
    assert found.norm_difference == pytest.approx(math.hypot(*(b - a).tolist()), rel=1e-9)
    assert found.changed == 5000


def test_the_cosine_holds_for_norms_far_apart(saved):
    torch.manual_seed(0)
    a, b = torch.randn(50_000, dtype=torch.float64), torch.randn(50_000, dtype=torch.float64) * 1e-9
    assert_told(difference(saved(a), saved(b)), a, b)


def test_norms_beyond_float64_are_infinite_and_have_no_cosine(saved):
    a = torch.full((1000,), 1e308, dtype=torch.float64)
    found = difference(saved(a), saved(-a))
    assert (found.max_abs, found.norm_a, found.cosine) == (math.inf, math.inf, None)
    assert found.sign_flips == 1000


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", ["complex32", "complex64", "complex128"])
def test_complex_numbers_are_measured_by_the_size_of_their_difference(saved, dtype):
    torch.manual_seed(0)
    a, b = (torch.randn(40_000, dtype=torch.complex128).to(getattr(torch, dtype)) for _ in "ab")
    found = difference(saved(a), saved(b))
    x, y = a.to(torch.complex128), b.to(torch.complex128)
    assert found.max_abs == pytest.approx(float((y - x).abs().max()), rel=1e-12)
    assert found.mean_abs == pytest.approx(float((y - x).abs().mean()), rel=1e-12)
    assert found.relative_l2 == pytest.approx(float((y - x).norm() / x.norm()), rel=1e-12)
    assert found.changed == 40_000
    assert found.sign_flips == 0
    assert found.outside == int((~torch.isclose(x, y)).sum())


def test_nan_and_inf_are_counted_and_left_out_of_the_rest(saved):
    nan, inf = math.nan, math.inf
    a = torch.tensor([1.0, nan, nan, inf, inf, 2.0, 3.0, -inf])
    b = torch.tensor([1.5, nan, 1.0, inf, -inf, nan, 3.0, -inf])
    found = difference(saved(a), saved(b))
    assert (found.nan_a, found.nan_b, found.inf_a, found.inf_b) == (2, 2, 3, 3)
    assert found.max_abs == 0.5
    assert found.mean_abs == 0.25
    assert found.changed == 4
    assert found.relative_l2 == pytest.approx(0.5 / math.sqrt(10))


def test_nothing_but_nan_has_no_distance(saved):
    found = difference(saved(torch.full((9,), math.nan)), saved(torch.full((9,), math.nan)))
    assert (found.nan_a, found.max_abs, found.changed, found.cosine) == (9, 0.0, 0, None)


def test_equal_tensors_are_at_no_distance(saved):
    a = torch.randn(70_000)
    found = difference(saved(a), saved(a.clone()))
    assert (found.max_abs, found.mean_abs, found.relative_l2, found.changed) == (0, 0, 0, 0)
    assert found.cosine == pytest.approx(1)


def test_away_from_zeros_the_relative_distance_is_infinite(saved):
    found = difference(saved(torch.zeros(3)), saved(torch.ones(3)))
    assert found.relative_l2 == math.inf
    assert found.cosine is None


def test_half_precision_is_measured_against_full(saved):
    a = torch.randn(50_000)
    found = difference(saved(a), saved(a.half()))
    assert found.max_abs == float((a.half().double() - a.double()).abs().max())
    assert 0 < found.relative_l2 < 1e-3


def test_large_integers_keep_their_last_digit(saved):
    a = torch.tensor([2**60, 2**62, -(2**63)])
    b = torch.tensor([2**60 + 1, 2**62, 2**63 - 1])
    found = difference(saved(a[:2].clone()), saved(b[:2].clone()))
    assert (found.max_abs, found.changed) == (1.0, 1)
    assert difference(saved(a), saved(b)).max_abs == 2.0**64


def test_a_strided_view_is_measured_as_what_it_shows(saved):
    a = torch.randn(300, 200)
    found = difference(saved(a.T), saved(a.T.contiguous() + 1))
    assert found.max_abs == pytest.approx(1, rel=1e-6)
    assert found.count == 60_000


def test_a_tiny_difference_does_not_vanish(saved):
    a = torch.full((1000,), 1e-30)
    found = difference(saved(a), saved(a * 2))
    assert found.relative_l2 == pytest.approx(1, rel=1e-6)


def test_tensors_of_different_shapes_have_no_numbers(saved):
    a, b = saved(torch.ones(3)), saved(torch.ones(4))
    assert not comparable(a, b)
    assert not comparable(a, None)
    with pytest.raises(LoupeError, match="their shapes differ"):
        difference(a, b)


def test_a_cancel_keeps_the_rows_that_are_done(saved):
    pairs = [(saved(torch.ones(10)), saved(torch.zeros(10))) for _ in range(3)]
    progress = Progress()
    done = {}

    def take():
        for index, numbers in differences(pairs, progress=progress):
            done[index] = numbers
            if index == 1:
                progress.cancel()

    with pytest.raises(Cancelled):
        take()
    assert list(done) == [0, 1]
    assert progress.total == 30


def measuring() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "loupe-measure"]


@pytest.mark.parametrize("stop", ["cancel", "leave"])
def test_all_threads_stop_at_once(saved, stop):
    large = saved(torch.zeros(1000, 1000))
    pairs = [(saved(torch.ones(10)), saved(torch.ones(10))), *[(large, large)] * 200]
    progress = Progress()
    found = differences(pairs, progress=progress, threads=3)
    next(found)
    assert measuring()
    if stop == "cancel":
        progress.cancel()
        with pytest.raises(Cancelled):
            next(found)
    else:
        found.close()
    assert not measuring()
    assert progress.done < progress.total


def test_progress_counts_every_element_once_in_small_steps(saved):
    steps = []

    class Watched(Progress):
        def __call__(self, done, total, what=""):
            steps.append((done, what))
            super().__call__(done, total, what)

    pair = saved(torch.zeros(100, 1000)), saved(torch.ones(100, 1000))
    view = transposed(pair[0]), saved(torch.zeros(1000, 100))
    found = dict(differences([pair, view], progress=Watched(), threads=2))
    assert [found[index].mean_abs for index in (0, 1)] == [1, 0]
    counts = [done for done, _ in steps]
    assert counts == sorted(counts)
    assert counts[-1] == 200_000
    assert len(counts) > 30
    assert {what for _, what in steps} == {"w"}


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_pairs_of_all_sizes_have_the_numbers_of_each_by_itself(saved, threads):
    torch.manual_seed(0)
    pairs = []
    for numel in (0, 1, 7, 999, 1000, 1001, 3000, 40_000, 5, 2999):
        a = torch.randn(numel)
        pairs.append((saved(a), saved(a + torch.randn(numel))))
    found = dict(differences(pairs, threads=threads))
    assert sorted(found) == list(range(len(pairs)))
    for index, (a, b) in enumerate(pairs):
        alone = difference(a, b)
        assert found[index].count == a.numel
        assert found[index].changed == alone.changed
        assert found[index].norm_difference == pytest.approx(alone.norm_difference, rel=1e-12)


def test_no_pairs_have_no_numbers():
    assert list(differences([])) == []


def test_a_file_that_changes_meanwhile_is_an_error(saved, tmp_path):
    a, b = saved(torch.zeros(50_000)), saved(torch.ones(50_000))
    (tmp_path / "1.pth").write_bytes(b"shorter")
    with pytest.raises(SourceError, match="changed while it was open"):
        difference(a, b)
    assert not measuring()


def test_views_parts_and_casts_are_measured_as_what_they_show(saved):
    a, b = torch.randn(300, 40), torch.randn(40, 300)
    x, y = saved(a), saved(b)
    assert_told(difference(transposed(x), y), a.T, b)
    part = difference(rows(x, 100, 140), replace(rows(transposed(y), 7, 47)))
    assert_told(part, a[100:140], b.T[7:47])
    assert_told(difference(cast(transposed(x), "float16"), y), a.T.half(), b)
    assert_told(difference(rows(x, 3, 203), rows(x, 1, 201)), a[3:203], a[1:201])


@pytest.mark.parametrize("way", ["compiled"], indirect=True)  # it is undone: both would be the same
def test_a_large_pair_takes_little_memory(saved, monkeypatch):
    monkeypatch.undo()
    a, b = (saved(torch.full((60_000_000,), value)) for value in (0.0, 1.0))
    small = rows(a, 0, 20_000_000), rows(b, 0, 20_000_000)
    assert difference(*small).mean_abs == 1  # the loops are compiled
    before = reset_peak()
    assert difference(a, b).mean_abs == 1
    assert peak() - before < 64 << 20


@pytest.mark.slow
@pytest.mark.parametrize("way", ["torch"], indirect=True)  # a process of its own has its own way
def test_without_numba_the_numbers_are_the_same(saved, tmp_path):
    a, b = saved(torch.ones(8)), saved(torch.zeros(8))
    program = """
import sys
sys.modules["numba"] = None
from pathlib import Path
from core.checkpoint import open_checkpoint
from core.compare.numbers.measure import differences
a, b = (open_checkpoint(Path(name)).state_dict()["w"] for name in sys.argv[1:])
found = list(differences([(a, b)] * 1000))
assert [numbers.norm_a for _, numbers in found] == [8**0.5] * 1000
assert "core.compare.numbers.kernel" not in sys.modules
"""
    files = [str(tmp_path / f"{index}.pth") for index in range(2)]
    subprocess.run([sys.executable, "-c", program, *files], check=True)
    assert difference(a, b).norm_a == 8**0.5


def test_quantized_tensors_differ_by_what_their_scales_give(saved):
    """FIELD 29: the same integers under other scales are other numbers."""
    doubled = torch._make_per_tensor_quantized_tensor(ODD["per_tensor"].int_repr(), 0.04, 3)
    found = difference(saved(ODD["per_tensor"]), saved(doubled))
    far = (doubled.dequantize() - ODD["per_tensor"].dequantize()).abs().max()
    assert found.max_abs == pytest.approx(float(far), rel=1e-6)


def test_a_quantized_tensor_is_measured_against_the_floats_that_it_came_from(saved):
    floats = torch.linspace(-1, 1, 40).reshape(8, 5)
    found = difference(saved(floats), saved(ODD["per_tensor"]))
    assert 0 < found.max_abs <= 0.011


@pytest.mark.parametrize("name", ["coo", "csr", "nested"])
def test_tensors_whose_elements_have_no_fixed_places_have_no_numbers(saved, name):
    entry = saved(ODD[name])
    assert not comparable(entry, entry)
    with pytest.raises(LoupeError, match="sparse or nested"):
        difference(entry, entry)
