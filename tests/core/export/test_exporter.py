"""An exported file is what torch.save or safetensors would have written of the same tensors."""

import errno
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import shufflenet_v2_x0_5

from core.checkpoint import StateDict, open_checkpoint
from core.compare import State, compare
from core.errors import SourceError, StoreError
from core.export import export_state_dict
from core.export.exported import CHUNK
from core.export.pth_writer import ALIGNMENT
from core.fixes import (
    CastDtype,
    Drop,
    Fuse,
    Recipe,
    Rename,
    Split,
    Step,
    StripPrefix,
    Transpose,
    Untie,
)
from core.progress import Cancelled, Progress
from core.recipe import apply_recipe
from tests.core.odd_tensors import ODD, in_pieces, turn_round

TENSORS = {
    "float32": torch.arange(6.0).reshape(2, 3),
    "float64": torch.tensor([0.1, float("inf"), -0.0], dtype=torch.float64),
    "float16": torch.tensor([1.5, float("nan")], dtype=torch.float16),
    "bfloat16": torch.tensor([[1.5], [-2.0]], dtype=torch.bfloat16),
    "float8": torch.tensor([0.5, 2.0]).to(torch.float8_e4m3fn),
    "int64": torch.tensor(7),
    "int8": torch.tensor([-1, 3], dtype=torch.int8),
    "uint16": torch.tensor([1, 60_000], dtype=torch.uint16),
    "bool": torch.tensor([True, False, True]),
    "empty": torch.empty(0, 4),
    "transposed": torch.arange(12.0).reshape(3, 4).t(),
    "channels_last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "every_other": torch.arange(10.0)[::2],
    "expanded": torch.tensor([[4.0]]).expand(3, 5),
}


def saved(path: Path, state_dict: dict[str, torch.Tensor]) -> StateDict:
    torch.save(state_dict, path)
    return open_checkpoint(path).state_dict()


def exported(state_dict: StateDict, path: Path) -> dict[str, torch.Tensor]:
    """What the libraries read of the file; mapped and unmapped must be the same."""
    if path.suffix == ".safetensors":
        export_state_dict(state_dict, path, "safetensors")
        return load_file(path)
    export_state_dict(state_dict, path, "pth")
    plain = torch.load(path, weights_only=True)
    assert_equal_bits(torch.load(path, weights_only=True, mmap=True), plain)
    return plain


def assert_equal_bits(
    actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], ordered: bool = True
) -> None:
    assert actual.keys() == expected.keys()
    assert not ordered or list(actual) == list(expected)
    for key, tensor in expected.items():
        loaded = actual[key]
        assert (loaded.dtype, loaded.shape) == (tensor.dtype, tensor.shape), key
        assert torch.equal(as_bytes(loaded), as_bytes(tensor)), key


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


@pytest.fixture(scope="module")
def network() -> dict[str, torch.Tensor]:
    return shufflenet_v2_x0_5(num_classes=10).state_dict()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_every_dtype_and_layout_comes_out_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    state_dict = saved(tmp_path / "in.pth", TENSORS)
    actual = exported(state_dict, tmp_path / f"out{suffix}")
    assert_equal_bits(actual, TENSORS, ordered=suffix == ".pth")


def test_complex_numbers_go_into_a_pth(tmp_path: Path) -> None:
    tensors = {"z": torch.tensor([1 + 2j, -3j], dtype=torch.complex64)}
    assert_equal_bits(exported(saved(tmp_path / "in.pth", tensors), tmp_path / "out.pth"), tensors)


def test_what_safetensors_does_not_have_is_refused_in_a_sentence(tmp_path: Path) -> None:
    state_dict = saved(tmp_path / "in.pth", {"z": torch.zeros(2, dtype=torch.complex128)})
    with pytest.raises(StoreError, match="complex128, which safetensors does not have"):
        export_state_dict(state_dict, tmp_path / "out.safetensors", "safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


def test_a_models_pth_is_a_state_dict_as_torch_makes_it(
    tmp_path: Path, network: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "out.pth"
    actual = exported(saved(tmp_path / "in.pth", network), path)
    assert_equal_bits(actual, network)
    assert type(actual) is OrderedDict
    versions = {
        module: told["version"] for module, told in network._metadata.items() if "version" in told
    }
    assert {module: told["version"] for module, told in actual._metadata.items()} == versions
    shufflenet_v2_x0_5(num_classes=10).load_state_dict(actual)


def test_fixes_are_in_the_file(tmp_path: Path) -> None:
    tensors = {"module.a.weight": torch.randn(3, 2), "module.b": torch.ones(1), "c": torch.ones(1)}
    recipe = Recipe(
        (
            Step(StripPrefix("module.")),
            Step(Drop("c")),
            Step(Rename("^b$", "bias")),
            Step(CastDtype("float16")),
        )
    )
    fixed = apply_recipe(recipe, saved(tmp_path / "in.pth", tensors)).state_dict
    expected = {
        "a.weight": tensors["module.a.weight"].half(),
        "bias": tensors["module.b"].half(),
    }
    assert_equal_bits(exported(fixed, tmp_path / "out.pth"), expected)
    assert_equal_bits(exported(fixed, tmp_path / "out.safetensors"), expected, ordered=False)


def test_tied_weights_stay_one_storage_in_a_pth_and_are_copied_into_safetensors(
    tmp_path: Path,
) -> None:
    shared = torch.randn(100, 50)
    tensors = {"embed": shared, "head": shared, "part": shared[:10], "other": shared.clone()}
    state_dict = saved(tmp_path / "in.pth", tensors)

    actual = exported(state_dict, tmp_path / "out.pth")
    assert_equal_bits(actual, tensors)
    assert actual["embed"].data_ptr() == actual["head"].data_ptr()
    assert actual["embed"].data_ptr() != actual["other"].data_ptr()
    assert actual["part"].untyped_storage().nbytes() == actual["part"].nbytes
    assert_equal_bits(exported(state_dict, tmp_path / "out.safetensors"), tensors, ordered=False)


def test_untied_weights_have_a_storage_each(tmp_path: Path) -> None:
    shared = torch.randn(100, 50)
    tensors = {"embed": shared, "head": shared}
    tied = saved(tmp_path / "in.pth", tensors)
    actual = exported(apply_recipe(Recipe((Step(Untie()),)), tied).state_dict, tmp_path / "out.pth")
    assert_equal_bits(actual, tensors)
    assert actual["embed"].data_ptr() != actual["head"].data_ptr()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_tensors_that_fixes_compute_are_written_as_they_are_computed(
    tmp_path: Path, suffix: str
) -> None:
    tensors = {
        "a.qkv.weight": torch.randn(12, 5),
        "b.q.weight": torch.randn(3, 5).half(),
        "b.k.weight": torch.randn(3, 5).half(),
        "c.weight": torch.randn(4, 6),
    }
    recipe = Recipe(
        (
            Step(Split("qkv", ("q", "k", "v"))),
            Step(Drop("a.v.*")),
            Step(Fuse(("q", "k"), "qk")),
            Step(Transpose("c.*")),
            Step(CastDtype("bfloat16")),
        )
    )
    fixed = apply_recipe(recipe, saved(tmp_path / "in.pth", tensors)).state_dict
    expected = {
        "a.qk.weight": tensors["a.qkv.weight"][:8].bfloat16(),
        "b.qk.weight": torch.cat([tensors["b.q.weight"], tensors["b.k.weight"]]).bfloat16(),
        "c.weight": tensors["c.weight"].T.bfloat16(),
    }
    assert_equal_bits(exported(fixed, tmp_path / f"out{suffix}"), expected, ordered=False)


def test_half_byte_floats_go_into_a_safetensors_as_they_are(tmp_path: Path) -> None:
    values = torch.arange(24, dtype=torch.uint8).reshape(3, 8)
    tensors = {"w": values.view(torch.float4_e2m1fn_x2), "scale": torch.ones(3)}
    state_dict = saved(tmp_path / "in.pth", tensors)
    export_state_dict(state_dict, tmp_path / "out.safetensors", "safetensors")
    loaded = load_file(tmp_path / "out.safetensors")["w"]
    assert (loaded.dtype, loaded.shape) == (torch.float4_e2m1fn_x2, (3, 8))
    assert torch.equal(loaded.view(torch.uint8), values)


def test_a_small_view_of_a_large_storage_takes_its_own_bytes_only(tmp_path: Path) -> None:
    state_dict = saved(tmp_path / "in.pth", {"view": torch.zeros(1_000_000)[:10]})
    exported(state_dict, tmp_path / "out.pth")
    assert (tmp_path / "in.pth").stat().st_size > 4_000_000
    assert (tmp_path / "out.pth").stat().st_size < 4_000


def test_nothing_of_a_gpu_tag_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as while_saving:
        while_saving.setattr(torch.serialization, "location_tag", lambda _storage: "cuda:3")
        state_dict = saved(tmp_path / "in.pth", TENSORS)
    assert_equal_bits(exported(state_dict, tmp_path / "out.pth"), TENSORS)


@pytest.mark.parametrize("limit", [zipfile.ZIP64_LIMIT, 100])
def test_a_pths_records_are_aligned_stored_and_have_their_checksums(
    tmp_path: Path, network: dict[str, torch.Tensor], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The low limit gives every record the header that one of more than 2 GiB has."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    path = tmp_path / "out.pth"
    assert_equal_bits(exported(saved(tmp_path / "in.pth", network), path), network)
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        assert archive.testzip() is None
        for info in archive.infolist():
            file.seek(info.header_offset + 26)
            name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
            assert (info.header_offset + 30 + name + extra) % ALIGNMENT == 0
            assert info.compress_type == zipfile.ZIP_STORED


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_an_exported_file_opens_again_and_exports_to_itself(
    tmp_path: Path, network: dict[str, torch.Tensor], suffix: str
) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    exported(saved(tmp_path / "in.pth", network), first)
    again = open_checkpoint(first).state_dict()
    assert set(again) == set(network)
    exported(again, second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_progress_counts_up_to_all_bytes_written_and_read_again(
    tmp_path: Path, network: dict[str, torch.Tensor], form: str
) -> None:
    state_dict = saved(tmp_path / "in.pth", network)
    told: list[tuple[int, int]] = []
    export_state_dict(
        state_dict,
        tmp_path / "out",
        form,
        progress=lambda done, total, _: told.append((done, total)),
    )
    assert told == sorted(told)
    assert told[-1] == (2 * state_dict.nbytes, 2 * state_dict.nbytes)


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_memory_stays_bounded_whatever_the_tensors_size(tmp_path: Path, form: str) -> None:
    state_dict = saved(tmp_path / "in.pth", {"large": torch.zeros(64 << 20, dtype=torch.uint8)})
    peaks = []

    def peak(_done: int, _total: int, _key: str) -> None:
        peaks.append(resident_bytes())

    before = resident_bytes()
    tracemalloc.start()
    export_state_dict(state_dict, tmp_path / "out", form, progress=peak)
    _, python_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(peaks) >= 2 * (64 << 20) // CHUNK
    assert python_peak < 2 * CHUNK
    assert max(peaks) - before < 24 << 20


def resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(
        1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")
    )


def cancelled(progress: Progress) -> Callable[[int, int, str], None]:
    progress.cancel()
    return progress


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_a_cancelled_export_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, network: dict[str, torch.Tensor], form: str
) -> None:
    state_dict = saved(tmp_path / "in.pth", network)
    out = tmp_path / "out"
    out.write_bytes(b"an older export")
    with pytest.raises(Cancelled):
        export_state_dict(state_dict, out, form, progress=cancelled(Progress()))
    assert out.read_bytes() == b"an older export"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pth", "out"]


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_a_source_that_is_gone_leaves_nothing(
    tmp_path: Path, network: dict[str, torch.Tensor], form: str
) -> None:
    source = tmp_path / "in.pth"
    state_dict = saved(source, network)
    source.write_bytes(b"")
    with pytest.raises(SourceError):
        export_state_dict(state_dict, tmp_path / "out", form)
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, network: dict[str, torch.Tensor], form: str
) -> None:
    state_dict = saved(tmp_path / "in.pth", network)

    def full(_done: int, _total: int, _key: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreError, match=r"out cannot be written: No space left on device\. Make"):
        export_state_dict(state_dict, tmp_path / "out", form, progress=full)
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, form: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    state_dict = saved(tmp_path / "in.pth", {"w": torch.ones(2)})
    with pytest.raises(StoreError, match=r"out cannot be written: .* Check the path"):
        export_state_dict(state_dict, tmp_path / "file" / "out", form)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("name", ODD)
def test_quantized_sparse_and_nested_tensors_stay_what_they_are_in_a_pth(
    tmp_path: Path, name: str
) -> None:
    state_dict = saved(tmp_path / "in.pth", {"w": ODD[name], "dense": torch.ones(2)})
    export_state_dict(state_dict, tmp_path / "out.pth", "pth")
    loaded = torch.load(tmp_path / "out.pth", weights_only=False)["w"]
    assert (loaded.layout, loaded.dtype) == (ODD[name].layout, ODD[name].dtype)
    if name == "nested":
        assert all(map(torch.equal, loaded.unbind(), ODD[name].unbind()))
    elif ODD[name].is_quantized:
        assert torch.equal(loaded, ODD[name])
        assert torch.equal(loaded.dequantize(), ODD[name].dequantize())
    else:
        assert torch.equal(loaded.to_dense(), ODD[name].to_dense())
    again = compare(state_dict, open_checkpoint(tmp_path / "out.pth").state_dict())
    assert again.counts[State.SAME] == 2


def test_integers_of_half_a_byte_are_written_as_they_are(tmp_path: Path) -> None:
    scales, points = torch.full((3,), 0.1), torch.zeros(3)
    packed = torch.quantize_per_channel(torch.rand(3, 5), scales, points, 0, torch.quint4x2)
    state_dict = saved(tmp_path / "in.pth", {"w": packed})
    export_state_dict(state_dict, tmp_path / "out.pth", "pth")
    loaded = torch.load(tmp_path / "out.pth", weights_only=False)["w"]
    assert torch.equal(loaded.int_repr(), packed.int_repr())
    assert torch.equal(loaded.dequantize(), packed.dequantize())


@pytest.mark.parametrize(
    ("name", "words"),
    [("per_channel", "has no scales"), ("csr", r"sparse_csr.*to_dense"), ("nested", "is nested")],
)
def test_safetensors_takes_dense_tensors_only_and_says_so(
    tmp_path: Path, name: str, words: str
) -> None:
    state_dict = saved(tmp_path / "in.pth", {"w": ODD[name]})
    with pytest.raises(StoreError, match=words):
        export_state_dict(state_dict, tmp_path / "out.safetensors", "safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_integers_without_their_scales_are_refused(tmp_path: Path, form: str) -> None:
    state_dict = saved(tmp_path / "in.pth", {"q": ODD["per_tensor"]})
    bare = StateDict([replace(entry, form=None) for entry in state_dict.values()])
    with pytest.raises(StoreError, match="q is quantized"):
        export_state_dict(bare, tmp_path / "out", form)
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_tensor_in_pieces_becomes_whole(tmp_path: Path, suffix: str) -> None:
    whole = torch.arange(24.0).reshape(6, 4)
    parts = saved(tmp_path / "in.pth", {"top": whole[:3].clone(), "rest": whole[3:].clone()})
    pieces = {(0, 0): parts["top"], (3, 0): parts["rest"]}
    one = StateDict([in_pieces("w", pieces, (6, 4))])
    assert_equal_bits(exported(one, tmp_path / f"out{suffix}"), {"w": whole})


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_big_endian_machines_numbers_come_out_in_this_ones_order(
    tmp_path: Path, suffix: str
) -> None:
    tensors = {"w": torch.arange(24.0).reshape(6, 4)}
    torch.save(tensors, tmp_path / "little.pth")
    turn_round(tmp_path / "little.pth", tmp_path / "big.pth", 4)
    state_dict = open_checkpoint(tmp_path / "big.pth").state_dict()
    assert_equal_bits(exported(state_dict, tmp_path / f"out{suffix}"), tensors)


def test_a_cast_reaches_the_values_of_a_sparse_tensor(tmp_path: Path) -> None:
    state_dict = saved(tmp_path / "in.pth", {"w": ODD["csr"]})
    fixed = apply_recipe(Recipe((Step(CastDtype("float16")),)), state_dict).state_dict
    export_state_dict(fixed, tmp_path / "out.pth", "pth")
    loaded = torch.load(tmp_path / "out.pth", weights_only=False)["w"]
    assert torch.equal(loaded.to_dense(), ODD["csr"].half().to_dense())


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_of_no_tensor_there_is_no_file(tmp_path: Path, form: str) -> None:
    with pytest.raises(StoreError, match="No tensor is left to write"):
        export_state_dict(StateDict(()), tmp_path / "out", form)
    assert not list(tmp_path.iterdir())


def test_a_place_below_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "in.pth")
    state_dict = open_checkpoint(tmp_path / "in.pth").state_dict()
    with pytest.raises(StoreError, match=r"out\.pth cannot be written: "):
        export_state_dict(state_dict, tmp_path / "in.pth" / "out.pth", "pth")
