"""A file that is one piece of a checkpoint says so, and what to open instead."""

from pathlib import Path

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.errors import SourceError


@pytest.mark.parametrize(
    ("name", "contents", "said"),
    [
        (
            "zero_pp_rank_0_mp_rank_00_model_states.pt",
            {"module": {"w": torch.empty(0)}},
            "one rank's file of a DeepSpeed checkpoint",
        ),
        (
            "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt",
            {"optimizer_state_dict": {"m": torch.ones(2)}},
            "one rank's file of a DeepSpeed checkpoint",
        ),
        (
            "mp_rank_01_model_states.pt",
            {"module": {"w": torch.ones(2)}, "mp_world_size": 2},
            "model-parallel rank 1 of 2",
        ),
        ("layer_03-model_00-model_states.pt", {"w": torch.ones(2)}, "one layer of a DeepSpeed"),
        ("consolidated.00.pth", {"w": torch.ones(2)}, "such as consolidated.01.pth"),
        ("model_optim_rng.pt", {"model": {"w": torch.ones(2)}}, "Megatron writes such a file"),
        ("pytorch_model_fsdp_rank0.bin", {"w": torch.ones(2)}, "the file of one of several ranks"),
        ("pytorch_model-00001-of-00003.bin", {"w": torch.ones(2)}, "This is shard 1 of 3"),
    ],
)
def test_a_piece_says_of_what(
    tmp_path: Path, name: str, contents: dict[str, object], said: str
) -> None:
    torch.save(contents, tmp_path / name)
    assert any(said in note for note in open_checkpoint(tmp_path / name).notes)


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("mp_rank_00_model_states.pt", {"module": {"w": torch.ones(2)}, "mp_world_size": 1}),
        ("pytorch_model.bin", {"w": torch.ones(2)}),
        ("rerank.pt", {"w": torch.ones(2)}),
    ],
)
def test_a_whole_checkpoint_is_no_piece(
    tmp_path: Path, name: str, contents: dict[str, object]
) -> None:
    torch.save(contents, tmp_path / name)
    assert open_checkpoint(tmp_path / name).notes == ()


@pytest.mark.parametrize(
    "names",
    [
        ("consolidated.00.pth", "consolidated.01.pth"),
        ("mp_rank_00/model_optim_rng.pt", "mp_rank_01/model_optim_rng.pt"),
        ("iter_1/mp_rank_00_000/model_optim_rng.pt", "iter_1/mp_rank_00_001/model_optim_rng.pt"),
    ],
)
def test_a_folder_of_a_models_ranks_is_one_model_in_parts(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save({"model": {"w": torch.ones(2, 3)}}, tmp_path / name)
    with pytest.raises(SourceError) as error:
        open_checkpoint(tmp_path)
    assert "contains one model that was split across 2 ranks" in error.value.problem
    assert "Loupe does not join them" in error.value.problem
