"""Whatever the fixes and their order: what is read is what the entry says, what comes in chunks,
what the exported code makes, and no tensor is read before."""

from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as some

from core.checkpoint import StateDict, open_checkpoint
from core.errors import FixError
from core.fixes import (
    AdaptInput,
    AddPrefix,
    ApplyMasks,
    CastDtype,
    Dequantize,
    Fix,
    Fuse,
    MergeLora,
    Recipe,
    RenameTable,
    SelectClasses,
    Split,
    StripPrefix,
    Transpose,
    Untie,
    WeightNorm,
)
from core.recipe import apply_recipe, recipe_code
from core.tensors import chunks, read_tensor, read_tensor_into

NAMES = "qkv"

FIXES: some.SearchStrategy[Fix] = some.one_of(
    some.sampled_from(
        [
            Split("qkv", tuple(NAMES)),
            Fuse(tuple(NAMES), "qkv"),
            Fuse(("a", "b"), "q"),
            Split("q", ("a", "b")),
            Transpose("*"),
            WeightNorm(),
            ApplyMasks(),
            WeightNorm("hooked"),
            WeightNorm("parametrized"),
            MergeLora(),
            MergeLora(3.0),
            Dequantize(),
            Untie(),
            CastDtype("float16"),
            CastDtype("float32"),
            AddPrefix("m."),
            StripPrefix("m."),
            RenameTable((("q.weight", "a.weight"), ("k.weight", "b.weight"))),
        ]
    ),
    some.builds(SelectClasses, some.just("*"), some.lists(some.integers(-1, 5)).map(tuple)),
    some.builds(AdaptInput, some.just("*"), some.integers(1, 7)),
)

Tensors = dict[str, torch.Tensor]


def files() -> list[Tensors]:
    tied = torch.randn(6, 4)
    return [
        {f"{name}.weight": torch.randn(6, 4) for name in NAMES}
        | {f"{name}.bias": torch.randn(6).half() for name in NAMES},
        {"qkv.weight": torch.randn(4, 6).t(), "q.weight": tied, "k.weight": tied},
        {
            "w.weight": torch.randn(6, 4),
            "w.lora_A.weight": torch.randn(2, 4),
            "w.lora_B.weight": torch.randn(6, 2),
            "w.count": torch.tensor(3),
        },
        {"c.weight_g": torch.randn(6, 1, 1, 1), "c.weight_v": torch.randn(6, 3, 2, 2)},
        {"c.weight": torch.randn(6, 3, 2), "q.a": torch.randn(0, 3), "q.b": torch.randn(0, 3)},
    ]


@pytest.fixture(scope="module")
def saved_files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, StateDict]]:
    folder = tmp_path_factory.mktemp("files")
    found = []
    for index, tensors in enumerate(files()):
        path = folder / f"{index}.pth"
        torch.save(tensors, path)
        found.append((path, open_checkpoint(path).state_dict("")))
    return found


def assert_same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Equal, NaN too: weight norm makes some of a direction of zeros, as PyTorch's does."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=150, deadline=None)
@given(some.integers(0, len(files()) - 1), some.lists(FIXES, min_size=1, max_size=5))
def test_what_is_read_is_what_the_code_makes(
    saved_files: list[tuple[Path, StateDict]], index: int, fixes: list[Fix]
) -> None:
    path, state_dict = saved_files[index]
    recipe = Recipe.of(fixes)
    try:
        found = apply_recipe(recipe, state_dict).state_dict
    except FixError:
        assume(False)
    made: dict[str, Tensors] = {}
    exec(recipe_code(str(path), "", recipe), made)
    wanted = made["state_dict"]
    assert list(found) == list(wanted)
    for key, entry in found.items():
        tensor = read_tensor(entry)
        assert (tuple(tensor.shape), tensor.dtype) == (entry.shape, wanted[key].dtype)
        assert str(tensor.dtype).removeprefix("torch.") == entry.dtype
        torch.testing.assert_close(tensor, wanted[key], rtol=1e-6, atol=1e-6, equal_nan=True)
        into = torch.empty_like(tensor)
        read_tensor_into(entry, into)
        assert_same(into, tensor)
        pieces = [piece.clone() for piece in chunks(entry, 16)]
        assert_same(torch.cat([tensor.new_empty(0), *pieces]), tensor.reshape(-1))
        assert entry.nbytes == tensor.nbytes
        assert entry.origin or key in state_dict
