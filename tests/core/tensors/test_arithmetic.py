"""Tensors that are computed from others: read, copied, cut into chunks, exported as any other."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.architectures import parse_architecture, signature
from core.checkpoint import (
    Cast,
    ChosenRows,
    Filled,
    FoldedWeightNorm,
    Joined,
    Operation,
    Rows,
    StateDict,
    TensorEntry,
    Transposed,
    arrangement,
    open_checkpoint,
    parts,
)
from core.errors import CheckpointError
from core.export import export_state_dict
from core.fit import match
from core.fixes import computed
from core.load import load_model
from core.tensors.reading import chunks, read_tensor, read_tensor_into
from core.tensors.value_images import tensor_image
from core.tensors.value_statistics import statistics

TENSORS = {
    "q": torch.randn(3, 4),
    "k": torch.randn(3, 4).t().contiguous().t(),
    "g": torch.randn(3, 1).abs(),
    "wide": torch.randn(300, 70),
}


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> StateDict:
    path = tmp_path_factory.mktemp("files") / "file.pth"
    torch.save(TENSORS, path)
    return open_checkpoint(path).state_dict("")


def of(entries: StateDict, operation: Operation, names: str, *shape: int) -> TensorEntry:
    sources = tuple(entries[name] for name in names.split())
    return computed(entries["q"], operation, sources, shape)


def made(entries: StateDict) -> list[tuple[TensorEntry, torch.Tensor]]:
    q, k, wide = TENSORS["q"], TENSORS["k"], TENSORS["wide"]
    return [
        (of(entries, Joined(), "q k", 6, 4), torch.cat([q, k])),
        (of(entries, Joined(), "k", 4, 1, 3), k.reshape(4, 1, 3)),
        (of(entries, Filled(1.0), "", 5, 2), torch.ones(5, 2)),
        (of(entries, Transposed(), "wide", 70, 300), wide.t().contiguous()),
        (of(entries, Rows(1, 3), "k", 2, 4), k[1:3]),
        (
            of(entries, ChosenRows((2, -1, 2)), "q", 3, 4),
            q[[2, 0, 2]] * torch.ones(3, 1).index_fill(0, torch.tensor(1), 0),
        ),
        (of(entries, FoldedWeightNorm(0), "g k", 3, 4), torch._weight_norm(k, TENSORS["g"], 0)),
        (of(entries, Filled(0.0), "", 0, 4), torch.empty(0, 4)),
    ]


def test_it_is_read_whole_into_a_tensor_and_in_chunks(entries: StateDict) -> None:
    for entry, wanted in made(entries):
        torch.testing.assert_close(read_tensor(entry), wanted)
        assert read_tensor(entry).is_contiguous()
        for destination in (torch.empty(entry.shape), torch.empty(entry.shape).double()):
            read_tensor_into(entry, destination)
            torch.testing.assert_close(destination.float(), wanted)
        pieces = [piece.clone() for piece in chunks(entry, 64)]
        assert all(piece.dim() == 1 and piece.numel() <= 16 for piece in pieces)
        torch.testing.assert_close(torch.cat([torch.empty(0), *pieces]), wanted.reshape(-1))


def test_it_is_cast_after_it_is_computed_and_is_a_part_in_turn(entries: StateDict) -> None:
    for entry, wanted in made(entries):
        half = replace(
            entry, dtype="bfloat16", transforms=(*entry.transforms, Cast("float32", "bfloat16"))
        )
        torch.testing.assert_close(read_tensor(half), wanted.bfloat16())
        flat = computed(half, Joined(), (half, half), (2 * half.numel,))
        twice = wanted.bfloat16().reshape(-1).repeat(2)
        torch.testing.assert_close(read_tensor(flat), twice)
        pieces = [torch.empty(0).bfloat16(), *(piece.clone() for piece in chunks(flat, 1 << 20))]
        torch.testing.assert_close(torch.cat(pieces), twice)


def test_it_counts_the_bytes_of_its_result_and_the_records_of_its_parts(entries: StateDict) -> None:
    joined = of(entries, Joined(), "q k", 6, 4)
    assert (joined.nbytes, joined.record, joined.is_contiguous) == (96, None, True)
    assert joined.records == (*entries["q"].records, *entries["k"].records)
    assert of(entries, Filled(1.0), "", 5).records == ()


def test_it_is_known_by_its_parts_and_by_how_it_is_computed(entries: StateDict) -> None:
    joined = of(entries, Joined(), "q k", 6, 4)
    assert parts(joined) == (entries["q"], entries["k"])
    cast = replace(joined, dtype="float16", transforms=(Cast("float32", "float16"),))
    rows = [of(entries, ChosenRows(rows), "q", 1, 4) for rows in ((1,), (2,))]
    assert len({arrangement(entry) for entry in (joined, cast, *rows)}) == 4


@pytest.mark.parametrize("format", ["pth", "safetensors"])
def test_it_is_exported_as_a_dense_tensor(entries: StateDict, format: str, tmp_path: Path) -> None:
    found = made(entries)
    renamed = [replace(entry, key=f"t{index}") for index, (entry, _) in enumerate(found)]
    path = tmp_path / f"out.{format}"
    export_state_dict(StateDict(renamed), path, format)
    read = load_file(path) if format == "safetensors" else torch.load(path, weights_only=True)
    for index, (_, wanted) in enumerate(found):
        torch.testing.assert_close(read[f"t{index}"], wanted)


def test_it_loads_into_a_model(tmp_path: Path) -> None:
    architecture = parse_architecture("torchvision:shufflenet_v2_x0_5")
    wanted = signature(architecture)
    tensors = {key: torch.rand(spec.shape) for key, spec in wanted.items() if "fc" not in key}
    torch.save({"head": torch.randn(1024, 1000), **tensors}, tmp_path / "file.pth")
    file = dict(open_checkpoint(tmp_path / "file.pth").state_dict(""))
    head = file.pop("head")
    file["fc.weight"] = computed(
        replace(head, key="fc.weight"), Transposed(), (head,), (1000, 1024)
    )
    file["fc.bias"] = computed(replace(head, key="fc.bias"), Filled(0.5), (), (1000,))
    whole = StateDict(file.values())
    assert match(whole, wanted).fits
    model = load_model(whole, architecture).model
    stored = torch.load(tmp_path / "file.pth")["head"]
    assert torch.equal(model.get_parameter("fc.weight"), stored.t())
    assert torch.equal(model.get_parameter("fc.bias"), torch.full((1000,), 0.5))


def test_it_is_measured_and_drawn_as_any_tensor(entries: StateDict) -> None:
    for entry, wanted in made(entries):
        if not entry.numel:
            continue
        assert statistics(entry).mean == pytest.approx(float(wanted.mean()), abs=1e-6)
        drawn = tensor_image(entry)
        assert (drawn is None) == (not entry.records)
    filters = of(entries, Joined(), "wide", 100, 7, 3, 10)
    drawn = tensor_image(filters)
    assert drawn is not None
    assert drawn.caption.startswith("the first 64 of 100 filters, 3 × 10, the mean of their 7")


def test_parts_that_do_not_go_together_are_a_sentence(entries: StateDict) -> None:
    for operation, names in ((FoldedWeightNorm(0), "q wide"), (Rows(2, 9), "q")):
        with pytest.raises(CheckpointError, match="cannot be computed"):
            read_tensor(of(entries, operation, names, 7, 4))
