"""Every dtype, layout and kind of tensor that torch.save writes is what torch.load gives."""

import io
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.checkpoint import Checkpoint, open_checkpoint
from core.checkpoint.entries import Cast, Nested, Quantized, Resolve, Sparse
from core.errors import CheckpointError
from core.tensors import chunks, read_tensor, read_tensor_into
from tests.core.checkpoint.same_tensors import Save, assert_same_tensors, bits, both_formats


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """torch warns of what it will take away: quantized, sparse and nested tensors."""
    with warnings.catch_warnings(action="ignore"):
        yield


def opened(tmp_path: Path, value: Any, **options: Any) -> Checkpoint:
    torch.save(value, tmp_path / "saved.pth", **options)
    return open_checkpoint(tmp_path / "saved.pth")


def torch_dtypes() -> list[torch.dtype]:
    found = {value for value in vars(torch).values() if isinstance(value, torch.dtype)}
    return sorted(found, key=str)


def of_dtype(dtype: torch.dtype) -> torch.Tensor | None:
    """A matrix of it with every byte in it; None where torch cannot make one."""
    raw = torch.arange(256, dtype=torch.uint8)
    try:
        return (raw % 2).bool() if dtype is torch.bool else raw.view(dtype).reshape(8, -1)
    except RuntimeError:
        return None


@pytest.mark.parametrize("dtype", torch_dtypes(), ids=str)
def test_every_dtype_that_torch_saves_comes_out_bit_by_bit(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    saved = of_dtype(dtype)
    if saved is None:
        pytest.skip("torch makes no tensor of it")
    file = tmp_path / "dtype.pth"
    try:
        torch.save({"w": saved}, file)
    except KeyError:
        pytest.skip("torch.save does not write it")
    loaded = torch.load(file, weights_only=True)["w"]
    entry = open_checkpoint(file).state_dict()["w"]
    assert f"torch.{entry.dtype}" == str(loaded.dtype)
    assert entry.shape == tuple(loaded.shape)
    assert entry.nbytes == loaded.nbytes
    # Quantized dtypes are read as integers, so the bits are compared, with none of their dtypes.
    expected = loaded.untyped_storage().tolist()
    assert read_tensor(entry).untyped_storage().tolist() == expected
    assert torch.cat([bits(piece).clone() for piece in chunks(entry, 64)]).tolist() == expected


@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(getattr(torch, name, None), id=name, marks=pytest.mark.skipif(
            not hasattr(torch, name), reason="this torch has no such dtype"))
        for name in ("bits16", "float4_e2m1fn_x2", "float8_e8m0fnu", "bcomplex32", "uint64", "bool")
    ],
)  # fmt: skip
def test_a_view_of_a_dtype_that_torch_cannot_copy_is_read(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    whole = of_dtype(dtype)
    assert whole is not None
    columns = whole.reshape(8, -1).t()
    entry = opened(tmp_path, {"w": columns}).state_dict()["w"]
    assert entry.stride[-1] != 1
    width = columns.element_size()
    wide = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[width]
    expected = columns.view(wide).contiguous().view(torch.uint8).reshape(-1)
    assert torch.equal(bits(read_tensor(entry).view(torch.uint8)), expected)
    streamed = torch.cat([piece.clone().view(torch.uint8) for piece in chunks(entry, 64)])
    assert torch.equal(streamed, expected)


@pytest.mark.parametrize("bits_wide", range(1, 8))
@pytest.mark.parametrize("sign", ["", "u"])
def test_integers_of_one_to_seven_bits_keep_their_name_on_the_meta_device(
    tmp_path: Path, sign: str, bits_wide: int
) -> None:
    dtype = getattr(torch, f"{sign}int{bits_wide}")
    with torch.device("meta"):
        saved = torch.empty(3, 4, dtype=dtype)
    entry = opened(tmp_path, {"w": saved}).state_dict()["w"]
    assert (entry.dtype, entry.shape) == (f"{sign}int{bits_wide}", (3, 4))


@both_formats
def test_views_strides_scalars_and_empties_are_the_tensors_they_show(
    tmp_path: Path, save: Save, format: str
) -> None:
    """Failure mode 32, the tensors of shape [0]."""
    base = torch.arange(240.0).reshape(4, 5, 12)
    saved = {
        "transposed": base.permute(2, 0, 1),
        "sliced": base[1:3, ::2, 3:],
        "row": base[2, 1],
        "expanded": base[:1].expand(6, 5, 12),
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "hollow": torch.empty(3, 0, 2),
        "parameter": nn.Parameter(base[0].t()),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "base": base,
    }
    save(saved, tmp_path / "views.pth")
    checkpoint = open_checkpoint(tmp_path / "views.pth")
    assert_same_tensors(checkpoint, torch.load(tmp_path / "views.pth"))
    assert "2 tensors have no elements." in checkpoint.notes


def test_the_legacy_streams_own_views_of_storages_are_read(tmp_path: Path) -> None:
    whole = torch.arange(100.0)
    saved = {"whole": whole, "part": whole[20:50], "last": whole[99:]}
    torch.save(saved, tmp_path / "views.pth", _use_new_zipfile_serialization=False)
    assert_same_tensors(open_checkpoint(tmp_path / "views.pth"), saved)


@both_formats
def test_tied_weights_share_a_record_and_a_small_view_keeps_a_large_one(
    tmp_path: Path, save: Save, format: str
) -> None:
    """Failure mode 20."""
    embedding = nn.Embedding(1000, 8)
    saved = {"wte": embedding.weight, "head": embedding.weight, "row": embedding.weight[3].detach()}
    save(saved, tmp_path / "tied.pth")
    found = open_checkpoint(tmp_path / "tied.pth").state_dict()
    records = {entry.record for entry in found.values()}
    assert len(records) == 1
    assert found["row"].nbytes == 32
    assert records.pop().nbytes == 32_000


@both_formats
def test_conjugate_and_negative_views_are_resolved(tmp_path: Path, save: Save, format: str) -> None:
    numbers = torch.randn(3, 4, dtype=torch.complex64)
    others = numbers.clone()
    saved = {"conj": numbers.conj(), "neg": others.conj().imag, "plain": numbers}
    save(saved, tmp_path / "signs.pth")
    checkpoint = open_checkpoint(tmp_path / "signs.pth")
    loaded = torch.load(tmp_path / "signs.pth", weights_only=True)
    resolved = {key: value.resolve_conj().resolve_neg() for key, value in loaded.items()}
    assert_same_tensors(checkpoint, resolved)
    assert checkpoint.state_dict()["neg"].transforms == (Resolve("float32", False, True),)


def quantized_tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    matrix = torch.randn(3, 5)
    scales, zeros = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 1, 2])
    return {
        **{
            name: torch.quantize_per_tensor(matrix, 0.05, 1, getattr(torch, name))
            for name in ("qint8", "quint8", "qint32")
        },
        "channels": torch.quantize_per_channel(matrix, scales, zeros, 0, torch.qint8),
        "columns": torch.quantize_per_channel(matrix.t(), scales, zeros, 1, torch.quint8),
        "floats": torch.quantize_per_channel(matrix, scales, scales, 0, torch.quint8),
        "turned": torch.quantize_per_tensor(matrix, 0.05, 1, torch.qint8).t(),
    }


@both_formats
def test_quantized_tensors_are_their_integers_with_scales_and_zero_points_beside(
    tmp_path: Path, save: Save, format: str
) -> None:
    """Failure mode 29."""
    save(quantized_tensors(), tmp_path / "q.pth")
    checkpoint = open_checkpoint(tmp_path / "q.pth")
    for key, tensor in torch.load(tmp_path / "q.pth", weights_only=True).items():
        entry = checkpoint.state_dict()[key]
        assert torch.equal(read_tensor(entry), tensor.int_repr().contiguous()), key
        assert torch.equal(torch.cat([one.clone() for one in chunks(entry, 4)]),
                           tensor.int_repr().reshape(-1))  # fmt: skip
        form = entry.form
        assert isinstance(form, Quantized)
        assert f"torch.{form.scheme}" == str(tensor.qscheme())
        if form.axis is None:
            assert (form.scale, form.zero_point) == (tensor.q_scale(), tensor.q_zero_point())
            continue
        assert form.axis == tensor.q_per_channel_axis()
        assert torch.equal(read_tensor(form.scale), tensor.q_per_channel_scales())
        assert torch.equal(read_tensor(form.zero_point), tensor.q_per_channel_zero_points())
        assert len(entry.records) == 3
    assert any("7 tensors are quantized" in note for note in checkpoint.notes)
    assert any("a float model cannot take their integers" in note for note in checkpoint.notes)


@pytest.mark.parametrize(("name", "most"), [("quint4x2", 15), ("quint2x4", 3)])
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (4, 1), (3, 8)])
def test_integers_of_half_and_quarter_bytes_are_unpacked(
    tmp_path: Path, name: str, most: int, shape: tuple[int, ...]
) -> None:
    matrix = torch.randint(0, most + 1, shape).float()
    channels = torch.ones(shape[0])
    tensor = torch.quantize_per_channel(matrix, channels, channels - 1, 0, getattr(torch, name))
    entry = opened(tmp_path, {"w": tensor}).state_dict()["w"]
    loaded = torch.load(tmp_path / "saved.pth", weights_only=True)["w"]
    assert (entry.dtype, entry.shape) == (name, shape)
    assert read_tensor(entry).dtype == torch.uint8
    assert torch.equal(read_tensor(entry).float(), loaded.dequantize())
    streamed = torch.cat([piece.clone() for piece in chunks(entry, 4)])
    assert torch.equal(streamed, read_tensor(entry).reshape(-1))
    assert entry.nbytes == loaded.int_repr().numel() + 2 * 4 * shape[0]


def test_a_quantized_tensor_is_kept_out_of_a_float_one(tmp_path: Path) -> None:
    """Failure mode 29: integers without their scale would be nonsense in it."""
    entry = opened(tmp_path, quantized_tensors()).state_dict()["qint8"]
    with pytest.raises(CheckpointError, match="quantized, and a float model cannot take"):
        read_tensor_into(entry, torch.empty(3, 5))
    integers = torch.empty(3, 5, dtype=torch.int8)
    read_tensor_into(entry, integers)
    assert torch.equal(integers, read_tensor(entry))


def sparse_tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    dense = torch.randn(4, 6) * (torch.rand(4, 6) > 0.5)
    indices = torch.tensor([[0, 1, 1], [2, 0, 0]])
    return {
        "coo": dense.to_sparse_coo(),
        "uncoalesced": torch.sparse_coo_tensor(indices, torch.ones(3), (2, 4)),
        "hybrid": torch.sparse_coo_tensor(indices, torch.randn(3, 5), (2, 4, 5)),
        "huge": torch.sparse_coo_tensor(indices, torch.ones(3), (1 << 30, 1 << 30)),
        "none": torch.sparse_coo_tensor(size=(3, 4)),
        "csr": dense.to_sparse_csr(),
        "csc": dense.to_sparse_csc(),
        "bsr": dense.to_sparse_bsr((2, 3)),
        "bsc": dense.double().to_sparse_bsc((2, 3)),
        "integers": dense.to_sparse_csr().to(torch.int64),
    }


def parts_of(tensor: torch.Tensor) -> list[torch.Tensor]:
    if tensor.layout == torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]


@both_formats
def test_a_sparse_tensor_of_each_layout_is_the_same_sparse_tensor(
    tmp_path: Path, save: Save, format: str
) -> None:
    save(sparse_tensors(), tmp_path / "sparse.pth")
    checkpoint = open_checkpoint(tmp_path / "sparse.pth")
    for key, tensor in torch.load(tmp_path / "sparse.pth", weights_only=True).items():
        entry = checkpoint.state_dict()[key]
        assert entry.shape == tuple(tensor.shape)
        assert f"torch.{entry.dtype}" == str(tensor.dtype)
        assert isinstance(entry.form, Sparse)
        assert f"torch.{entry.form.layout}" == str(tensor.layout)
        read = read_tensor(entry)
        assert (read.layout, read.shape) == (tensor.layout, tensor.shape)
        if tensor.layout == torch.sparse_coo:
            assert read.is_coalesced() == tensor.is_coalesced()
        assert all(map(torch.equal, parts_of(read), parts_of(tensor)))
        assert entry.nbytes == sum(part.nbytes for part in parts_of(tensor))
    assert any("10 tensors are sparse" in note for note in checkpoint.notes)


@pytest.mark.parametrize("key", ["coo", "csr"])
def test_a_sparse_tensor_has_no_elements_in_order_and_goes_into_no_dense_one(
    tmp_path: Path, key: str
) -> None:
    entry = opened(tmp_path, sparse_tensors()).state_dict()[key]
    for act in (lambda: list(chunks(entry)), lambda: read_tensor_into(entry, torch.empty(4, 6))):
        with pytest.raises(CheckpointError, match=r"is sparse .* \.to_dense\(\)"):
            act()


@pytest.mark.parametrize("layout", ["coo", "csr", "bsc"])
def test_sparse_indices_that_reach_out_are_refused(tmp_path: Path, layout: str) -> None:
    """torch.load without checks would make a tensor that reads beyond its memory."""
    tensor = sparse_tensors()[layout]
    parts_of(tensor)[-2 if layout != "coo" else 0].fill_(1 << 40)
    entry = opened(tmp_path, {"w": tensor}).state_dict()["w"]
    with pytest.raises(CheckpointError, match="indices of the tensor w"):
        read_tensor(entry)


@both_formats
def test_of_a_cut_file_a_tensor_is_whole_where_all_its_parts_are(
    tmp_path: Path, save: Save, format: str
) -> None:
    saved = {"a": torch.randn(50), "sparse": torch.eye(400).to_sparse_csr(), "z": torch.randn(50)}
    save(saved, tmp_path / "whole.pth")
    data = (tmp_path / "whole.pth").read_bytes()
    values = data.index(torch.ones(400).numpy().tobytes())
    (tmp_path / "cut.pth").write_bytes(data[: values + 100])
    with pytest.raises(CheckpointError, match="cut off") as cut:
        open_checkpoint(tmp_path / "cut.pth")
    assert "sparse" not in cut.value.whole
    if format == "zip":  # the stream has its storages in the order of their addresses
        assert cut.value.whole == ("a",)


@pytest.mark.parametrize("kind", ["quantized", "nested"])
def test_of_a_cut_file_a_tensor_is_whole_once_its_last_part_is(tmp_path: Path, kind: str) -> None:
    if kind == "quantized":
        scales = torch.tensor([0.1, 0.2, 0.3])
        tensor = torch.quantize_per_channel(torch.randn(3, 50), scales, scales, 0, torch.quint8)
        part = tensor.q_per_channel_scales()
    else:
        tensor = torch.nested.nested_tensor([torch.randn(20, 3), torch.randn(41, 3)])
        part = tensor._nested_tensor_size()
    saved = {"a": torch.randn(50), "w": tensor, "z": torch.randn(50)}
    torch.save(saved, tmp_path / "whole.pth")
    data = (tmp_path / "whole.pth").read_bytes()
    for end, whole in (
        (data.index(part.numpy().tobytes()) + 4, ("a",)),
        (data.index(saved["z"].numpy().tobytes()) + 4, ("a", "w")),
    ):
        (tmp_path / "cut.pth").write_bytes(data[:end])
        with pytest.raises(CheckpointError, match="cut off") as cut:
            open_checkpoint(tmp_path / "cut.pth")
        assert cut.value.whole == whole


def test_a_sparse_tensor_with_more_elements_than_any_has_is_refused(tmp_path: Path) -> None:
    small = torch.sparse_coo_tensor(torch.tensor([[0], [0]]), torch.ones(1), (77, 78))
    torch.save({"w": small}, tmp_path / "small.pth")
    edited(tmp_path / "small.pth", tmp_path / "huge.pth", [
        (b"KMKN\x86", b"\x8a\x08" + b"\xff" * 7 + b"\x0f" + b"\x8a\x08" + b"\xff" * 7 + b"\x0f\x86")
    ])  # fmt: skip
    with pytest.raises(CheckpointError, match="more elements than any tensor can have"):
        open_checkpoint(tmp_path / "huge.pth")


def edited(source: Path, target: Path, changes: list[tuple[bytes, bytes]]) -> None:
    """The same zip with its pickle changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("data.pkl"):
                for before, after in changes:
                    assert before in data
                    data = data.replace(before, after)
            new.writestr(name, data)


@both_formats
def test_a_nested_tensor_has_its_rows(tmp_path: Path, save: Save, format: str) -> None:
    rows = [torch.randn(2, 3), torch.randn(4, 3), torch.randn(0, 3)]
    save({"w": torch.nested.nested_tensor(rows)}, tmp_path / "nested.pth")
    checkpoint = open_checkpoint(tmp_path / "nested.pth")
    entry = checkpoint.state_dict()["w"]
    assert isinstance(entry.form, Nested)
    read = read_tensor(entry)
    assert read.is_nested
    assert all(map(torch.equal, read.unbind(), rows))
    assert len(entry.records) == 4
    with pytest.raises(CheckpointError, match=r"is nested.*\.unbind\(\)"):
        list(chunks(entry))
    assert any("1 tensor is nested" in note for note in checkpoint.notes)


def test_the_rows_of_a_nested_tensor_stay_inside_of_it(tmp_path: Path) -> None:
    tensor = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)])
    tensor._nested_tensor_storage_offsets()[1] = 1 << 40
    entry = opened(tmp_path, {"w": tensor}).state_dict()["w"]
    with pytest.raises(CheckpointError, match="rows of the tensor w"):
        read_tensor(entry)


def test_a_jagged_tensor_gives_its_values_and_offsets_in_the_same_state_dict(
    tmp_path: Path,
) -> None:
    rows = [torch.randn(2, 3), torch.randn(4, 3)]
    jagged = torch.nested.nested_tensor(rows, layout=torch.jagged)
    found = opened(tmp_path, {"a": torch.ones(1), "w": jagged, "b": torch.ones(1)}).state_dict()
    assert list(found) == ["a", "w.values", "w.offsets", "b"]
    assert torch.equal(read_tensor(found["w.values"]), jagged.values())
    assert torch.equal(read_tensor(found["w.offsets"]), jagged.offsets())


def test_a_tensor_on_the_meta_device_has_a_shape_and_no_data(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = nn.Linear(3, 4)
    checkpoint = opened(tmp_path, model.state_dict())
    entry = checkpoint.state_dict()["weight"]
    assert (entry.shape, entry.record, entry.location) == ((4, 3), None, "meta")
    assert any("meta device" in note for note in checkpoint.notes)
    with pytest.raises(CheckpointError, match="has no data"):
        read_tensor(entry)


class Pair(torch.Tensor):
    """A tensor of a class without elements of its own, as torchao's and DTensor are."""

    @staticmethod
    def __new__(cls, data: torch.Tensor, scale: torch.Tensor | None, note: str = "") -> "Pair":
        made: Pair = torch.Tensor._make_wrapper_subclass(cls, data.shape, dtype=torch.float32)
        made.data_, made.scale, made.note = data, scale, note
        return made

    @classmethod
    def __torch_dispatch__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten.detach.default:
            return Pair(args[0].data_, args[0].scale, args[0].note)
        raise NotImplementedError(func)


class Named(torch.Tensor):
    """A tensor of a class, with elements of its own."""


@both_formats
def test_a_tensor_subclass_gives_its_inner_tensors_in_place(
    tmp_path: Path, save: Save, format: str
) -> None:
    integers, scale = torch.arange(6, dtype=torch.int8).reshape(2, 3), torch.randn(2, 1)
    saved = {
        "before": torch.ones(1),
        "two": nn.Parameter(Pair(integers, scale, "int8"), requires_grad=False),
        "one": Pair(scale, None),
        "nest": Pair(Pair(scale, integers), None),
        "own": torch.randn(3).as_subclass(Named),
        "after": torch.ones(2),
    }
    save(saved, tmp_path / "subclass.pth")
    expected = {
        "before": saved["before"],
        "two.data_": integers,
        "two.scale": scale,
        "one": scale,
        "nest.data_.data_": scale,
        "nest.data_.scale": integers,
        "own": saved["own"].as_subclass(torch.Tensor),
        "after": saved["after"],
    }
    assert_same_tensors(open_checkpoint(tmp_path / "subclass.pth"), expected)


def test_a_dtensor_gives_its_local_tensor(tmp_path: Path) -> None:
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, distribute_tensor

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        weights = torch.randn(3, 4)
        checkpoint = opened(
            tmp_path,
            {
                "model": {"w": nn.Parameter(distribute_tensor(weights, mesh, [Replicate()]))},
                "optim": {"state": {0: {"exp_avg": distribute_tensor(weights, mesh)}}},
            },
        )
    finally:
        dist.destroy_process_group()
    assert torch.equal(read_tensor(checkpoint.state_dict("model")["w"]), weights)
    assert torch.equal(read_tensor(checkpoint.state_dict("optim.state")["0.exp_avg"]), weights)


def test_a_dtensor_of_several_ranks_is_said_to_be_a_part(tmp_path: Path) -> None:
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        local = torch.randn(2, 4)
        part = DTensor.from_local(local, mesh, [Shard(0)], shape=torch.Size([8, 4]), stride=(4, 1))
        checkpoint = opened(tmp_path, {"w": part})
    finally:
        dist.destroy_process_group()
    assert torch.equal(read_tensor(checkpoint.state_dict()["w"]), local)
    assert any("1 tensor is one rank's part" in note for note in checkpoint.notes)


def test_attributes_on_tensors_and_parameters_change_nothing(tmp_path: Path) -> None:
    tensor, parameter, buffer = torch.randn(2), nn.Parameter(torch.randn(3)), None
    tensor.note, parameter.group = "x", {"lr": 0.1}  # type: ignore[attr-defined]
    saved = {"tensor": tensor, "parameter": parameter}
    if hasattr(nn, "Buffer"):
        buffer = nn.Buffer(torch.randn(4))
        saved["buffer"] = buffer
    assert_same_tensors(opened(tmp_path, saved), saved)


def test_an_uninitialized_parameter_is_there_and_empty(tmp_path: Path) -> None:
    saved = {"w": nn.UninitializedParameter(), "b": nn.UninitializedBuffer(), "x": torch.ones(1)}
    checkpoint = opened(tmp_path, saved)
    assert list(checkpoint.state_dict()) == ["w", "b", "x"]
    assert checkpoint.state_dict()["w"].shape == (0,)
    assert checkpoint.state_dict()["w"].requires_grad
    assert any("2 tensors have no elements" in note for note in checkpoint.notes)


class Rebuilt:
    """Pickled as a call of one of torch's own functions."""

    def __init__(self, name: str, *args: object) -> None:
        self.name, self.args = name, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return getattr(torch._utils, self.name), self.args


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, np.int64, np.int8, np.uint8, np.complex64, bool]
)
@pytest.mark.parametrize("name", ["_rebuild_device_tensor_from_numpy", "_rebuild_xla_tensor"])
def test_a_device_tensor_that_was_saved_as_an_array_is_read_from_the_pickle(
    tmp_path: Path, name: str, dtype: type
) -> None:
    array = np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype))
    tensor = torch.from_numpy(array)
    saved = {"w": Rebuilt(name, array, tensor.dtype, "cpu", False)}
    assert_same_tensors(opened(tmp_path, saved), {"w": tensor})


def test_a_device_tensor_that_was_saved_from_the_cpu_takes_its_own_dtype_and_device(
    tmp_path: Path,
) -> None:
    data = torch.randn(2, 3)
    name = "_rebuild_device_tensor_from_cpu_tensor"
    saved = {"w": Rebuilt(name, data, torch.bfloat16, "xla:1", True)}
    entry = opened(tmp_path, saved).state_dict()["w"]
    assert (entry.location, entry.requires_grad) == ("xla:1", True)
    assert entry.transforms == (Cast("float32", "bfloat16"),)
    assert torch.equal(read_tensor(entry), data.bfloat16())


def test_the_rebuild_functions_of_older_files_are_known(tmp_path: Path) -> None:
    whole = torch.arange(12.0)
    scales = [0.1, 0.2, 0.3]
    channels = (torch.per_channel_affine, scales, [0, 1, 2], 0)
    integers = torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 0, torch.qint8)
    lists = (integers.storage(), 0, (3, 4), (4, 1))
    saved = {
        "plain": Rebuilt("_rebuild_tensor", whole.storage(), 2, (2, 3), (3, 1)),
        "lists": Rebuilt("_rebuild_qtensor", *lists, channels, False, {}),
    }
    found = opened(tmp_path, saved).state_dict()
    loaded = torch.load(tmp_path / "saved.pth", weights_only=True)
    assert torch.equal(read_tensor(found["plain"]), loaded["plain"])
    form = found["lists"].form
    assert isinstance(form, Quantized)
    assert torch.equal(read_tensor(found["lists"]), loaded["lists"].int_repr())
    assert torch.equal(read_tensor(form.scale), loaded["lists"].q_per_channel_scales())
    assert torch.equal(read_tensor(form.zero_point), loaded["lists"].q_per_channel_zero_points())


def test_every_function_by_which_torch_rebuilds_a_tensor_is_ours_too() -> None:
    from core.checkpoint.pickles.constructors import CONSTRUCTORS

    names = [name for name in vars(torch._utils) if name.startswith("_rebuild_")]
    assert len(names) >= 13
    assert [name for name in names if f"torch._utils.{name}" not in CONSTRUCTORS] == []


@both_formats
def test_storages_that_were_saved_bare_are_tensors_of_one_dimension(
    tmp_path: Path, save: Save, format: str
) -> None:
    with warnings.catch_warnings(action="ignore"):
        typed = torch.arange(5.0).storage()
    save({"typed": typed, "w": torch.ones(2)}, tmp_path / "storage.pth")
    found = open_checkpoint(tmp_path / "storage.pth")
    expected = {"typed": torch.arange(5.0), "w": torch.ones(2)}
    assert_same_tensors(found, expected)
    save(typed, tmp_path / "alone.pth")
    assert_same_tensors(open_checkpoint(tmp_path / "alone.pth"), {"tensor": torch.arange(5.0)})


def test_an_untyped_storage_is_its_bytes(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, torch.arange(5.0).untyped_storage())
    assert torch.equal(read_tensor(checkpoint.state_dict()["tensor"]), bits(torch.arange(5.0)))


@pytest.mark.parametrize("location", ["cuda:0", "cuda:7", "mps", "xla:0", "privateuseone:0"])
def test_a_file_from_another_device_always_opens(
    tmp_path: Path, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failure modes 15 and 16."""
    saved = {"w": torch.randn(4)}
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _storage: location)
    checkpoint = opened(tmp_path, saved)
    assert checkpoint.state_dict()["w"].location == location
    assert_same_tensors(checkpoint, saved)


def test_bfloat16_is_read_as_it_is_and_upcast_where_it_is_asked_for(tmp_path: Path) -> None:
    """Failure mode 30."""
    saved = {"w": torch.randn(5, 7).bfloat16()}
    entry = opened(tmp_path, saved).state_dict()["w"]
    floats = torch.empty(5, 7)
    read_tensor_into(entry, floats)
    assert (floats.numpy() == saved["w"].float().numpy()).all()


def test_a_fake_tensor_has_a_shape_and_no_data(tmp_path: Path) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.empty(3, 4, dtype=torch.float16)
    buffer = io.BytesIO()
    with torch.serialization.skip_data(materialize_fake_tensors=True):
        torch.save({"w": fake}, buffer)
    (tmp_path / "fake.pth").write_bytes(buffer.getvalue())
    entry = open_checkpoint(tmp_path / "fake.pth").state_dict()["w"]
    assert (entry.dtype, entry.shape) == ("float16", (3, 4))
