"""What became of each tensor from A to B, on files that torch itself wrote."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from core.checkpoint import StateDict, open_checkpoint
from core.compare.comparison import Choices, Evidence, State
from core.compare.pairing.pair_entries import pair
from core.compare.rows import bytes_to_read, compare
from core.inspect import RecordChecks
from core.progress import Cancelled, Progress
from tests.core.odd_tensors import ODD, in_pieces, turn_round


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return resnet18().state_dict()


@pytest.fixture
def saved(tmp_path):
    """Save an object as torch does, and give the state_dict that is read back from it."""
    made = iter(range(100))

    def save(value, **options):
        path: Path = tmp_path / f"{next(made)}.pth"
        if options.pop("safetensors", False):
            save_file(value, path)
        else:
            torch.save(value, path, **options)
        return open_checkpoint(path).state_dict()

    return save


def changed(weights, *prefixes):
    return {
        key: value + 1 if key.startswith(prefixes) else value.clone()
        for key, value in weights.items()
    }


FORMATS = {
    "zip": ({}, Evidence.CHECKSUM),
    "legacy": ({"_use_new_zipfile_serialization": False}, Evidence.BYTES),
    "safetensors": ({"safetensors": True}, Evidence.BYTES),
}


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_changed_tensors_and_their_part_of_the_network_are_named(weights, saved, format_name):
    options, evidence = FORMATS[format_name]
    a = saved(weights, **options)
    b = saved(changed(weights, "layer4.", "fc."), **options)
    found = compare(a, b)
    differing = {key for key in weights if key.startswith(("layer4.", "fc."))}
    assert {row.key for row in found.rows if row.state is State.CHANGED} == differing
    assert [row.key for row in found.rows] == list(a)
    assert {row.evidence for row in found.rows} == {evidence}
    assert found.counts[State.CHANGED] == len(differing) == 32
    assert found.counts[State.SAME] == 90
    assert found.counts[State.ONLY_A] == 0
    assert found.sentence in {
        "B differs from A in 32 of 122 tensors, all in layer4 and fc.",
        "B differs from A in 32 of 122 tensors, all in fc and layer4.",
    }


def test_files_of_different_formats_are_compared_by_their_bytes(weights, saved):
    a, b = saved(weights), saved(changed(weights, "fc.bias"), safetensors=True)
    found = compare(a, b)
    assert found.counts[State.SAME] == 121
    assert found.sentence == "B differs from A in 1 of 122 tensors: fc.bias."


def test_equal_files_are_the_same_by_checksum_until_they_are_read(weights, saved):
    a, b = saved(weights), saved(weights)
    unread = compare(a, b)
    assert unread.sentence == (
        "Same by checksum: all 122 tensors have the same stored checksums; no byte of them was "
        "read."
    )
    assert {row.evidence for row in unread.rows} == {Evidence.CHECKSUM}
    assert bytes_to_read(pair(a, b)) == 0
    read = compare(a, b, checks=RecordChecks())
    assert read.sentence == "Identical: all 122 tensors have the same bytes."
    assert {row.evidence for row in read.rows} == {Evidence.BYTES}
    assert bytes_to_read(pair(a, b), trusted=False) == a.nbytes


def test_one_file_against_itself_reads_nothing(weights, saved):
    a = saved(weights, _use_new_zipfile_serialization=False)
    assert {row.evidence for row in compare(a, a).rows} == {Evidence.RECORD}
    assert bytes_to_read(pair(a, a)) == 0


def test_every_tensor_changed_is_said_so(weights, saved):
    found = compare(saved(weights), saved(changed(weights, "")))
    assert found.sentence == "Same names and shapes, every tensor changed."


def test_checksums_switched_off_are_not_believed(weights, saved):
    """Such files hold a made-up CRC, which may be equal where the bytes are not."""
    torch.serialization.set_crc32_options(False)
    try:
        a, b = saved(weights), saved(changed(weights, "fc."))
    finally:
        torch.serialization.set_crc32_options(True)
    found = compare(a, b)
    assert {row.evidence for row in found.rows} == {Evidence.BYTES}
    assert [row.key for row in found.rows if row.state is State.CHANGED] == ["fc.weight", "fc.bias"]


def test_a_head_of_another_size_is_reshaped_and_told_in_classes(weights, saved):
    """strict=False still raises on such a pair (FIELD 3)."""
    small = {**weights, "fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}
    found = compare(saved(weights), saved(small))
    states = {row.key: row.state for row in found.rows if row.state is not State.SAME}
    assert states == {"fc.weight": State.RESHAPED, "fc.bias": State.RESHAPED}
    assert found.sentence == (
        "B is A with a different head, from 1\u202f000 to 10 classes: fc.weight and fc.bias have "
        "another shape; the other 120 tensors are the same by checksum."
    )


def test_other_reshapes_give_both_shapes(weights, saved):
    grey = {**weights, "conv1.weight": weights["conv1.weight"].sum(1, keepdim=True)}
    found = compare(saved(weights), saved(grey))
    assert found.sentence == (
        "B differs from A in 1 of 122 tensors, reshaped: "
        "conv1.weight 64 × 3 × 7 × 7 → 64 × 1 × 7 × 7."
    )


def test_half_precision_is_recast_not_changed(weights, saved):
    floats = {key: value for key, value in weights.items() if value.is_floating_point()}
    found = compare(saved(floats), saved({key: value.half() for key, value in floats.items()}))
    assert found.counts[State.RECAST] == len(floats)
    assert {row.evidence for row in found.rows} == {Evidence.DTYPE}
    assert found.sentence == (
        "The same weights in another dtype: all 102 tensors recast from float32 to float16, equal "
        "after a cast."
    )


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [("float32", "float16"), ("float32", "bfloat16"), ("float64", "float32"), ("int64", "int16")],
)
def test_a_cast_is_told_from_a_change_by_the_bytes_whichever_side_is_wider(saved, wide, narrow):
    values = (torch.randn(500) * 100).to(getattr(torch, wide))
    cast = values.to(getattr(torch, narrow))
    other = cast.clone()
    other[77] += 1
    for key, given in {"equal": cast, "not equal": other}.items():
        for first, second in ((values, given), (given, values)):
            (row,) = compare(saved({"w": first}), saved({"w": second})).rows
            assert (row.state, row.evidence) == (State.RECAST, Evidence.DTYPE)
            assert row.note == f"{key} after a cast to {narrow}"


def test_a_cast_to_a_dtype_as_wide_is_checked_in_b_s_dtype(saved):
    values = torch.randn(50).half()
    (row,) = compare(saved({"w": values}), saved({"w": values.bfloat16()})).rows
    assert row.note == "equal after a cast to bfloat16"


def test_the_bytes_of_recast_tensors_count_as_to_be_read(saved):
    a, b = saved({"w": torch.randn(50)}), saved({"w": torch.randn(50).half()})
    assert bytes_to_read(pair(a, b)) == 200


def test_tensors_of_one_side_only_stand_where_their_file_has_them(saved):
    a = saved(OrderedDict(first=torch.ones(2), last=torch.ones(3)))
    b = saved(OrderedDict(new=torch.ones(1), first=torch.ones(2), added=torch.ones(4)))
    found = compare(a, b)
    assert [(row.key, row.state) for row in found.rows] == [
        ("new", State.ONLY_B),
        ("first", State.SAME),
        ("added", State.ONLY_B),
        ("last", State.ONLY_A),
    ]
    assert found.rows[0].key_a is None
    assert found.sentence == (
        "The one tensor in common has the same stored checksum; no byte of it was read. "
        "1 tensor only in A: last. 2 tensors only in B: new and added."
    )


def test_a_change_throughout_counts_the_modules_inside_a_wrapper(saved):
    a = {f"module.part{index}.weight": torch.zeros(2) for index in range(9)}
    a["module.part0.bias"] = torch.zeros(2)
    b = {key: value if key == "module.part3.weight" else value + 1 for key, value in a.items()}
    assert compare(saved(a), saved(b)).sentence == (
        "B differs from A in 9 of 10 tensors, in 8 of 9 modules."
    )


def test_changes_of_several_kinds_are_told_one_by_one(weights, saved):
    mixed = changed(weights, "layer4.1.conv2", "layer4.1.bn2.bias", "layer3.1.conv2.weight")
    mixed |= {"conv1.weight": weights["conv1.weight"].half()}
    mixed |= {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}
    assert compare(saved(weights), saved(mixed)).sentence == (
        "B differs from A in 6 of 122 tensors, all in conv1, layer3.1.conv2, layer4.1 and fc; "
        "the head went from 1\u202f000 to 10 classes (fc.weight and fc.bias reshaped); "
        "1 tensor recast from float32 to float16."
    )


def test_nothing_in_common_is_said_with_both_counts(saved):
    found = compare(saved({"a": torch.ones(1)}), saved({"b": torch.ones(1), "c": torch.ones(1)}))
    assert found.sentence == (
        "A and B have no key in common: 1 tensor only in A, 2 tensors only in B."
    )


def test_stripping_a_prefix_pairs_the_keys(weights, saved):
    wrapped = {f"module.{key}": value for key, value in weights.items()}
    found = compare(saved(wrapped), saved(weights))
    assert found.counts[State.SAME] == 122
    row = found.rows[0]
    assert (row.key, row.key_a, row.key_b) == ("conv1.weight", "module.conv1.weight", row.key)


def test_a_stripped_key_never_takes_the_place_of_another(saved):
    both = saved({"module.w": torch.ones(2), "w": torch.zeros(2)})
    alone = saved({"w": torch.zeros(2)})
    found = compare(both, alone, pair(both, alone, Choices(strip=("module.", ""))))
    assert {row.key: row.state for row in found.rows} == {
        "module.w": State.ONLY_A,
        "w": State.SAME,
    }


def test_views_into_equal_storages_are_compared_as_what_they_show(saved):
    storage = torch.arange(100.0)
    a = saved({"w": storage[:10], "v": storage[10:20], "t": storage.view(10, 10)})
    b = saved({"w": storage[:10], "v": storage[20:30], "t": storage.view(10, 10).T})
    states = {row.key: (row.state, row.evidence) for row in compare(a, b).rows}
    assert states["w"] == (State.SAME, Evidence.CHECKSUM)
    assert states["v"] == (State.CHANGED, Evidence.BYTES)
    assert states["t"] == (State.CHANGED, Evidence.BYTES)


def test_a_change_elsewhere_in_the_storage_is_no_change_of_the_view(saved):
    before = torch.arange(100.0)
    after = before.clone()
    after[50:] = 0
    found = compare(saved({"w": before[:10]}), saved({"w": after[:10]}))
    assert (found.rows[0].state, found.rows[0].evidence) == (State.SAME, Evidence.BYTES)


def test_the_same_values_in_another_memory_layout_are_the_same(saved):
    images = torch.randn(4, 3, 5, 5)
    a = saved({"w": images})
    b = saved({"w": images.contiguous(memory_format=torch.channels_last)})
    assert compare(a, b).rows[0].state is State.SAME


def test_channels_last_weights_are_told_apart_by_their_checksums(saved):
    images = torch.randn(4, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    found = compare(saved({"w": images}), saved({"w": images + 1}))
    assert (found.rows[0].state, found.rows[0].evidence) == (State.CHANGED, Evidence.CHECKSUM)


@pytest.mark.parametrize(
    "dtype",
    ["bfloat16", "float16", "float64", "int64", "uint8", "bool", "complex64", "float8_e4m3fn"],
)
def test_bytes_tell_one_changed_element_in_every_dtype(saved, dtype):
    before = torch.zeros(1000).to(getattr(torch, dtype))
    after = before.clone()
    after[777] = torch.ones(1).to(after.dtype)[0]
    legacy = {"_use_new_zipfile_serialization": False}
    assert compare(saved({"w": before}, **legacy), saved({"w": after}, **legacy)).sentence == (
        "Same names and shapes, the one tensor changed."
    )
    again = compare(saved({"w": before}, **legacy), saved({"w": before.clone()}, **legacy))
    assert again.rows[0].state is State.SAME


def test_nan_is_the_same_as_nan_by_its_bytes(saved):
    odd = torch.tensor([1.0, float("nan"), float("inf")])
    legacy = {"_use_new_zipfile_serialization": False}
    found = compare(saved({"w": odd}, **legacy), saved({"w": odd.clone()}, **legacy))
    assert found.rows[0].state is State.SAME


def test_empty_tensors_are_the_same(saved):
    a, b = saved({"w": torch.empty(0, 3)}), saved({"w": torch.empty(0, 3)})
    assert compare(a, b).rows[0].state is State.SAME


def test_progress_counts_the_bytes_and_a_cancel_stops_it(weights, saved):
    legacy = {"_use_new_zipfile_serialization": False}
    a, b = saved(weights, **legacy), saved(changed(weights, "layer4."), **legacy)
    progress = Progress()
    compare(a, b, progress=progress)
    assert progress.total == bytes_to_read(pair(a, b)) == a.nbytes
    progress.cancel()
    with pytest.raises(Cancelled):
        compare(a, b, progress=progress)


LEGACY = {"_use_new_zipfile_serialization": False}


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["checksums", "bytes"])
def test_tensors_of_every_layout_equal_themselves(saved, options):
    kept = {key: tensor for key, tensor in ODD.items() if key != "nested" or not options}
    found = compare(saved(kept, **options), saved(kept, **options), checks=RecordChecks())
    assert found.sentence == f"Identical: all {len(kept)} tensors have the same bytes."


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["checksums", "bytes"])
def test_other_scales_are_a_change_though_the_integers_are_the_same(saved, options):
    a = saved({key: ODD[key] for key in ("per_tensor", "per_channel")}, **options)
    integers = ODD["per_channel"].int_repr()
    scales = ODD["per_channel"].q_per_channel_scales() * 2
    points = ODD["per_channel"].q_per_channel_zero_points()
    b = saved(
        {
            "per_tensor": torch._make_per_tensor_quantized_tensor(
                ODD["per_tensor"].int_repr(), 0.03, 3
            ),
            "per_channel": torch._make_per_channel_quantized_tensor(integers, scales, points, 0),
        },
        **options,
    )
    rows = {row.key: row for row in compare(a, b).rows}
    assert rows["per_tensor"].evidence is Evidence.LAYOUT
    assert {row.state for row in rows.values()} == {State.CHANGED}


def test_one_integer_of_a_quantized_tensor_is_a_change(saved):
    other = ODD["per_tensor"].int_repr()
    other[0, 0] += 1
    other = torch._make_per_tensor_quantized_tensor(other, 0.02, 3)
    for options in ({}, LEGACY):
        found = compare(saved({"w": ODD["per_tensor"]}, **options), saved({"w": other}, **options))
        assert found.rows[0].state is State.CHANGED


def test_integers_smaller_than_a_byte_are_compared(saved):
    numbers = torch.linspace(-1, 1, 40).reshape(8, 5)
    scales, points = torch.full((8,), 0.1), torch.zeros(8)
    made = [
        torch.quantize_per_channel(each, scales, points, 0, torch.quint4x2)
        for each in (numbers, numbers.flip(1))
    ]
    a, same, other = (saved({"w": each}, **LEGACY) for each in (made[0], made[0], made[1]))
    assert compare(a, same).rows[0].state is State.SAME
    assert compare(a, other).rows[0].state is State.CHANGED


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["checksums", "bytes"])
def test_sparse_tensors_are_compared_by_their_parts(saved, options):
    moved = torch.roll(torch.eye(6), 1, 0)
    a = saved({key: ODD[key] for key in ("coo", "csr")}, **options)
    b = saved({"coo": moved.to_sparse().coalesce(), "csr": ODD["csr"] * 2}, **options)
    assert {row.state for row in compare(a, b).rows} == {State.CHANGED}


def test_a_sparse_tensor_with_more_values_or_of_another_layout_is_changed(saved):
    dense = torch.eye(6)
    dense[0, 3] = 1
    a = saved({"more": ODD["coo"], "layout": ODD["coo"], "dense": ODD["coo"]})
    b = saved({"more": dense.to_sparse(), "layout": ODD["csr"], "dense": torch.eye(6)})
    rows = compare(a, b).rows
    assert {(row.state, row.evidence) for row in rows} == {(State.CHANGED, Evidence.LAYOUT)}


def test_other_rows_of_a_nested_tensor_are_a_change(saved):
    other = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)])
    found = compare(saved({"w": ODD["nested"]}), saved({"w": other}))
    assert found.rows[0].state is State.CHANGED


def halves(state_dict, key="w", shape=(6, 4)):
    """`top` and `bottom` of a file as one tensor."""
    pieces = {(0, 0): state_dict["top"], (3, 0): state_dict["bottom"]}
    return StateDict([in_pieces(key, pieces, shape)])


def test_the_same_pieces_are_told_by_their_checksums(saved):
    whole = torch.arange(24.0).reshape(6, 4)
    a = halves(saved({"top": whole[:3].clone(), "bottom": whole[3:].clone()}))
    b = halves(saved({"top": whole[:3].clone(), "bottom": whole[3:].clone()}))
    c = halves(saved({"top": whole[:3].clone(), "bottom": whole[3:] + 1}))
    for other, state in ((b, State.SAME), (c, State.CHANGED)):
        row = compare(a, other).rows[0]
        assert (row.state, row.evidence) == (state, Evidence.CHECKSUM)
    assert bytes_to_read(pair(a, b)) == bytes_to_read(pair(a, c)) == 0


def test_a_tensor_in_pieces_and_a_whole_one_are_compared_by_their_values(saved):
    whole = torch.arange(24.0).reshape(6, 4)
    pieces = halves(saved({"top": whole[:3].clone(), "bottom": whole[3:].clone()}))
    row = compare(pieces, saved({"w": whole})).rows[0]
    assert (row.state, row.evidence) == (State.SAME, Evidence.BYTES)
    assert compare(pieces, saved({"w": whole * 2})).rows[0].state is State.CHANGED


def test_a_file_from_a_big_endian_machine_has_the_same_values(saved, tmp_path):
    whole = torch.arange(24.0).reshape(6, 4)
    torch.save({"w": whole}, tmp_path / "little.pth")
    turn_round(tmp_path / "little.pth", tmp_path / "big.pth", 4)
    big = open_checkpoint(tmp_path / "big.pth").state_dict()
    row = compare(big, saved({"w": whole})).rows[0]
    assert (row.state, row.evidence) == (State.SAME, Evidence.BYTES)
    assert compare(big, saved({"w": whole + 1})).rows[0].state is State.CHANGED


def test_a_meta_tensor_and_one_in_pieces_differ(saved):
    pieces = halves(saved({"top": torch.ones(3, 4), "bottom": torch.ones(3, 4)}))
    meta = saved({"w": torch.ones(6, 4, device="meta")})
    assert compare(pieces, meta).rows[0].state is State.CHANGED
    assert compare(meta, meta).rows[0].evidence is Evidence.NO_BYTES


def test_tensors_that_repeat_one_element_are_compared(saved):
    a, b = (saved({"mean": torch.tensor([value]).expand(300)}) for value in (1.2, 1.5))
    assert [row.state for row in compare(a, b).rows] == [State.CHANGED]
    same = saved({"mean": torch.full((300,), 1.2)})
    assert [row.state for row in compare(a, same).rows] == [State.SAME]
