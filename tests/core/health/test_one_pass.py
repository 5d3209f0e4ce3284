"""A scan finds what plain torch finds, in every dtype and layout, however the work is split."""

import itertools
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from core.checkpoint import StateDict, open_checkpoint
from core.errors import SourceError
from core.health import Check, Health, bytes_to_scan, one_pass, scan
from core.progress import Cancelled, Progress
from tests.core.odd_tensors import ODD, in_pieces, turn_round

FLOATS = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
    *(torch.complex64, torch.complex128),
]


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[object], StateDict]:
    numbers = itertools.count()

    def open_saved(tensors: object) -> StateDict:
        path = tmp_path / f"{next(numbers)}.pth"
        torch.save(tensors, path)
        return open_checkpoint(path).state_dict()

    return open_saved


def found(health: Health, check: Check) -> dict[str, tuple[int, int]]:
    return {finding.key: (finding.count, finding.of) for finding in health.result(check).findings}


def randomly(dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    """Random numbers with everything that a check looks for among them."""
    values = torch.randn(shape, dtype=torch.float64)
    if dtype.is_complex:
        values = torch.complex(values, torch.randn(shape, dtype=torch.float64))
    values.view(-1)[::7] = 0
    values.view(-1)[3::11] = -0.0
    values.view(-1)[5::23] = torch.nan
    values.view(-1)[6::29] = 150.0
    values.view(-1)[8::31] = -torch.inf
    values.view(-1)[9::37] = -100.0
    values[1::4] = 0
    return values.to(dtype)


def expected(tensor: torch.Tensor) -> tuple[int, int, int]:
    """NaN or Inf, magnitudes above 100 and rows of zeros, by plain torch."""
    wide = tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)
    not_finite = int((~wide.isfinite()).sum())
    extreme = int(((wide.abs() > 100) & wide.isfinite()).sum())
    rows = int((wide.flatten(1) == 0).all(1).sum())
    return not_finite, extreme, rows


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("sizes", [(256, 1024, 512), (1 << 18, 16 << 20, 4 << 20)], ids=["cut", ""])
@pytest.mark.parametrize("shape", [(40, 7), (6, 5, 3, 3), (3, 900), (33, 1)])
def test_every_dtype_is_counted_as_torch_counts_it(
    opened: Callable[[object], StateDict],
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    sizes: tuple[int, int, int],
    shape: tuple[int, ...],
) -> None:
    for name, size in zip(("CHUNK", "TASK", "REPORT"), sizes, strict=True):
        monkeypatch.setattr(one_pass, name, size)
    tensor = randomly(dtype, shape)
    entries = {"fc.weight": tensor, "turned.weight": tensor.t() if len(shape) == 2 else tensor}
    health = scan(opened(entries), threads=1 if sizes[0] > 256 else 3)
    assert not health.unchecked
    for key, value in entries.items():
        not_finite, extreme, rows = expected(value)
        counts = {check: found(health, check).get(key, (0, 0))[0] for check in Check}
        assert counts[Check.NOT_FINITE] == not_finite
        assert counts[Check.EXTREME] == extreme
        assert counts[Check.DEAD] == rows
        assert not counts[Check.ZERO]
        assert not counts[Check.CONSTANT]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_zeros_and_constants_are_found_in_every_dtype(
    opened: Callable[[object], StateDict], monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(one_pass, "TASK", 512)
    zeros = torch.zeros(40, 9, dtype=torch.float64)
    zeros[::2] = -0.0
    almost = torch.zeros(40, 9)
    almost[-1, -1] = 1
    nearly = torch.full((40, 9), 0.5)
    nearly[-1, -1] = 1
    files = {"z": zeros, "almost": almost, "c": torch.full((40, 9), -0.5), "nearly": nearly}
    health = scan(opened({f"{key}.weight": value.to(dtype) for key, value in files.items()}))
    assert list(found(health, Check.ZERO)) == ["z.weight"]
    assert list(found(health, Check.CONSTANT)) == ["c.weight"]
    assert found(health, Check.DEAD) == {"z.weight": (40, 40), "almost.weight": (39, 40)}


@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", FLOATS[:4], ids=str)
def test_a_single_value_at_the_very_end_is_found(
    opened: Callable[[object], StateDict], special: float, dtype: torch.dtype
) -> None:
    tensor = torch.randn(200_003).to(dtype)
    tensor[-1] = special
    assert found(scan(opened({"w": tensor})), Check.NOT_FINITE) == {"w": (1, 200_003)}


def test_the_largest_numbers_are_finite_and_100_is_not_extreme(
    opened: Callable[[object], StateDict],
) -> None:
    entries = {}
    for dtype in FLOATS[:8]:
        name = str(dtype).removeprefix("torch.")
        entries[f"{name}.max"] = torch.tensor(
            [torch.finfo(dtype).max, 1.0], dtype=torch.float64
        ).to(dtype)
        entries[f"{name}.hundred"] = torch.tensor([96.0, -96.0, 1.0]).to(dtype)
    entries["float32.hundred"] = torch.tensor([100.0, -100.0, 1.0])
    health = scan(opened(entries))
    assert found(health, Check.NOT_FINITE) == {}
    assert set(found(health, Check.EXTREME)) == {key for key in entries if key.endswith("max")}


def test_views_pieces_and_big_endian_files_are_read(
    opened: Callable[[object], StateDict], tmp_path: Path
) -> None:
    base = torch.randn(30, 40)
    base[4] = torch.nan
    views = {
        "row": base[4],
        "column": base[:, 3],
        "steps": base[::2, ::3],
        "wide": base[:1].expand(50, 40),
    }
    health = scan(opened(views))
    counts = {key: int(value.isnan().sum()) for key, value in views.items()}
    assert found(health, Check.NOT_FINITE) == {
        key: (number, views[key].numel()) for key, number in counts.items() if number
    }
    state_dict = opened({"a": base[:10], "b": base[10:]})
    whole = in_pieces("whole.weight", {(0, 0): state_dict["a"], (10, 0): state_dict["b"]}, (30, 40))
    assert found(scan(StateDict([whole])), Check.NOT_FINITE) == {"whole.weight": (40, 1200)}
    torch.save({"w": base}, tmp_path / "little.pth")
    turn_round(tmp_path / "little.pth", tmp_path / "big.pth", 4)
    big = scan(open_checkpoint(tmp_path / "big.pth").state_dict())
    assert found(big, Check.NOT_FINITE) == {"w": (40, 1200)}


def test_a_scan_of_ordinary_tensors_imports_no_torch(tmp_path: Path) -> None:

    torch.save(
        {"w": torch.randn(30, 4), "b": torch.randn(9).bfloat16(), "v": torch.randn(8, 4).t()},
        tmp_path / "m.pth",
    )
    code = (
        "import sys; from pathlib import Path; from core.checkpoint import open_checkpoint; "
        "from core.health import scan; scan(open_checkpoint(Path(sys.argv[1])).state_dict()); "
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.pth")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_progress_counts_all_bytes_and_tied_ones_once(
    opened: Callable[[object], StateDict],
) -> None:
    shared = torch.randn(100, 10)
    state_dict = opened({"a": shared, "b": shared, "n": torch.tensor(3), "f": torch.randn(6)})
    assert bytes_to_scan(state_dict) == 4 * 1006
    reports: list[tuple[int, int]] = []
    scan(state_dict, lambda done, total, _: reports.append((done, total)))
    assert reports[-1] == (4 * 1006, 4 * 1006)
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)


def test_a_cancel_ends_the_scan(opened: Callable[[object], StateDict]) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        scan(opened({"w": torch.randn(1000, 100)}), progress)


def test_bytes_that_are_gone_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({"w": torch.randn(5000)}, path)
    state_dict = open_checkpoint(path).state_dict()
    with path.open("r+b") as file:
        file.truncate(3000)
    with pytest.raises(SourceError):
        scan(state_dict)


def test_a_large_tensor_takes_little_memory(opened: Callable[[object], StateDict]) -> None:
    state_dict = opened({"w": torch.randn(4000, 2000), "t": torch.randn(10)})
    scan(state_dict)
    tracemalloc.start()
    scan(state_dict)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_scan_reads_each_byte_once(
    opened: Callable[[object], StateDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    state_dict = opened({f"{n}.weight": torch.randn(300, 1000) for n in range(5)})
    source = type(next(iter(state_dict.values())).record.source)  # type: ignore[union-attr]
    read = 0
    into = source.read_into

    def counted(self: object, offset: int, buffer: memoryview) -> None:
        nonlocal read
        read += len(buffer)
        into(self, offset, buffer)

    monkeypatch.setattr(source, "read_into", counted)
    scan(state_dict)
    assert read == 5 * 300 * 1000 * 4


def test_odd_layouts_are_checked_or_named(opened: Callable[[object], StateDict]) -> None:
    health = scan(opened({**ODD, "meta": torch.empty(3, device="meta")}))
    assert {left.key: left.reason for left in health.unchecked} == {
        "coo": "sparse (sparse_coo)",
        "csr": "sparse (sparse_csr)",
        "bsr": "sparse (sparse_bsr)",
        "nested": "nested",
        "meta": "on the meta device, without data",
    }
    assert health.checked == 3
    assert not health.is_complete


def test_a_quantized_tensor_is_checked_with_its_scales(
    opened: Callable[[object], StateDict],
) -> None:
    def quantized(*scales: float) -> torch.Tensor:
        return torch._make_per_channel_quantized_tensor(
            torch.full((3, 4), 2, dtype=torch.int8),
            torch.tensor(scales, dtype=torch.float64),
            torch.zeros(3, dtype=torch.int64),
            0,
        )

    broken, sound = quantized(0.1, torch.nan, 90.0), quantized(0.1, 1.0, 2.0)
    zeros = torch.quantize_per_tensor(torch.zeros(2, 4), 0.1, 3, torch.quint8)
    health = scan(opened({"sound": sound, "broken": broken, "zeros": zeros}))
    assert found(health, Check.NOT_FINITE) == {"broken": (4, 12)}
    assert found(health, Check.EXTREME) == {"broken": (4, 12)}
    assert list(found(health, Check.ZERO)) == ["zeros"]


def test_a_networks_own_state_dict_has_the_counts_of_its_modules(
    opened: Callable[[object], StateDict],
) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 1), nn.Flatten(), nn.Linear(6, 4)
    )
    with torch.no_grad():
        network[0].weight[[1, 5]] = 0
        network[1].running_var[2] = 0
        network[1].running_var[3] = -1e-3
    health = scan(opened(network.state_dict()))
    assert found(health, Check.DEAD) == {"0.weight": (2, 8)}
    assert health.result(Check.DEAD).of == 18
    assert found(health, Check.VARIANCE) == {"1.running_var": (2, 8)}
    assert [left.key for left in health.exempt] == ["1.num_batches_tracked"]
