"""Folders that training libraries write open as the one checkpoint that they are."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator
from accelerate.utils.constants import FSDP_MODEL_NAME, OPTIMIZER_NAME
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file
from torch import nn

from core.checkpoint import open_checkpoint
from core.errors import SourceError
from core.tensors import read_tensor

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))


def assert_weights(path: Path, where: str | None, expected: Mapping[str, torch.Tensor]) -> None:
    found = open_checkpoint(path).state_dict(where)
    assert set(found) == set(expected)
    for key, tensor in expected.items():
        assert torch.equal(read_tensor(found[key]), tensor), key


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_accelerates_saved_state_has_its_model_and_its_optimizer(
    tmp_path: Path, safe: bool
) -> None:
    accelerator = Accelerator(cpu=True)
    trained = model()
    optimizer = torch.optim.AdamW(trained.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    prepared = accelerator.prepare(trained, optimizer, schedule)
    trained(torch.randn(3, 4)).sum().backward()
    prepared[1].step()
    accelerator.save_state(str(tmp_path), safe_serialization=safe)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.best == "model"
    assert checkpoint.roles["optimizer.state"] == "optimizer"
    assert_weights(tmp_path, None, trained.state_dict())
    moments = optimizer.state_dict()["state"]
    flat = {f"{i}.{name}": value for i, group in moments.items() for name, value in group.items()}
    assert_weights(tmp_path, "optimizer.state", flat)
    assert checkpoint.metadata["scheduler"]["step_size"] == 1  # type: ignore[index,call-overload]
    assert any("random states" in note for note in checkpoint.notes)
    accelerator.free_memory()


def test_accelerates_sharded_model_is_one_state_dict(tmp_path: Path) -> None:
    trained = model()
    Accelerator(cpu=True).save_model(trained, str(tmp_path), max_shard_size=200)
    assert len(list(tmp_path.glob("*-of-*.safetensors"))) > 1
    assert_weights(tmp_path, None, trained.state_dict())


def test_a_training_folder_of_transformers_names_its_parts(tmp_path: Path) -> None:
    trained = model()
    save_torch_state_dict(trained.state_dict(), tmp_path)
    torch.save(
        torch.optim.SGD(trained.parameters(), lr=0.5).state_dict(), tmp_path / "optimizer.pt"
    )
    torch.save({"last_epoch": 3}, tmp_path / "scheduler.pt")
    torch.save({"python": (3, (1, 2), None)}, tmp_path / "rng_state.pth")
    (tmp_path / "trainer_state.json").write_text("{}")
    (tmp_path / "config.json").write_text("{}")
    checkpoint = open_checkpoint(tmp_path)
    assert_weights(tmp_path, "model", trained.state_dict())
    assert checkpoint.metadata["scheduler"] == {"last_epoch": 3}
    assert "rng_state" not in checkpoint.metadata


def test_a_model_saved_both_ways_is_read_from_safetensors(tmp_path: Path) -> None:
    trained = model()
    torch.save({"old": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    save_torch_state_dict(trained.state_dict(), tmp_path)
    assert_weights(tmp_path, "", trained.state_dict())


def test_a_pipelines_components_are_its_state_dicts(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"unet": ["diffusers", "UNet"]}))
    for part, size in (("unet", 8), ("vae", 4)):
        (tmp_path / part).mkdir()
        save_torch_state_dict(
            {"conv.weight": torch.full((size, 50), 2.0), "conv.bias": torch.ones(size)},
            tmp_path / part,
            filename_pattern="diffusion_pytorch_model{suffix}.safetensors",
            max_shard_size=1000,
        )
    checkpoint = open_checkpoint(tmp_path)
    assert set(checkpoint.state_dicts) == {"unet", "vae"}
    assert checkpoint.best == "unet"
    assert checkpoint.state_dict("vae")["conv.weight"].shape == (4, 50)


def test_a_folder_with_one_checkpoint_opens_it(tmp_path: Path) -> None:
    trained = model()
    (tmp_path / "run").mkdir()
    torch.save(trained.state_dict(), tmp_path / "run" / "best.pth")
    (tmp_path / "run" / "log.txt").write_text("loss 0.1")
    assert_weights(tmp_path / "run", "", trained.state_dict())


def test_a_folder_of_several_checkpoints_asks_to_choose_one(tmp_path: Path) -> None:
    for epoch in range(7):
        torch.save(model().state_dict(), tmp_path / f"epoch{epoch}.pth")
    with pytest.raises(SourceError, match=r"epoch0\.pth.* and 2 more") as raised:
        open_checkpoint(tmp_path)
    assert raised.value.remedy == "Choose one of them."


def test_weights_beside_the_checkpoint_are_told(tmp_path: Path) -> None:
    trained = model()
    Accelerator(cpu=True).save_model(trained, str(tmp_path), max_shard_size=200)
    save_file(trained.state_dict(), tmp_path / "consolidated.safetensors")
    assert_weights(tmp_path, "", trained.state_dict())
    notes = open_checkpoint(tmp_path).notes
    assert "Files next to the checkpoint were left out: consolidated.safetensors." in notes


def test_accelerates_sharded_state_has_its_model_and_its_optimizer(tmp_path: Path) -> None:
    """The folders and their contents are those of accelerate/utils/fsdp_utils.py."""
    trained = model()
    moments = {"0.weight": {"exp_avg": torch.ones(8, 4)}}
    dcp.save({"model": trained.state_dict()}, checkpoint_id=tmp_path / f"{FSDP_MODEL_NAME}_0")
    dcp.save({"optimizer": {"state": moments}}, checkpoint_id=tmp_path / f"{OPTIMIZER_NAME}_0")
    torch.save({"last_epoch": 3}, tmp_path / "scheduler.bin")
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.best == "model"
    assert_weights(tmp_path, None, trained.state_dict())
    assert_weights(tmp_path, "optimizer.state", {"0.weight.exp_avg": torch.ones(8, 4)})
    assert checkpoint.metadata["scheduler"] == {"last_epoch": 3}


def test_a_component_that_is_there_only_as_a_variant_is_shown(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    for part, variants in (("unet", ("", ".fp16")), ("vae", (".fp16",))):
        (tmp_path / part).mkdir()
        for variant in variants:
            dtype = torch.float16 if variant else torch.float32
            path = tmp_path / part / f"diffusion_pytorch_model{variant}.safetensors"
            save_file({"w": torch.ones(2, dtype=dtype)}, path)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.state_dict("unet")["w"].dtype == "float32"
    assert checkpoint.state_dict("vae")["w"].dtype == "float16"


@pytest.mark.parametrize("steps", [1, 2])
def test_a_folder_of_checkpoint_folders_opens_the_only_one(tmp_path: Path, steps: int) -> None:
    for step in range(steps):
        folder = tmp_path / f"checkpoint-{step}00"
        folder.mkdir()
        torch.save({"w": torch.ones(2)}, folder / "pytorch_model.bin")
        torch.save({"state": {}, "param_groups": []}, folder / "optimizer.pt")
    if steps == 1:
        assert_weights(tmp_path, "model", {"w": torch.ones(2)})
        return
    with pytest.raises(SourceError, match=r"2 checkpoints .*: checkpoint-000 and checkpoint-100"):
        open_checkpoint(tmp_path)


def test_distributed_files_without_their_metadata_say_what_is_missing(tmp_path: Path) -> None:
    dcp.save({"w": torch.ones(2)}, checkpoint_id=tmp_path / "step-1")
    assert_weights(tmp_path, "", {"w": torch.ones(2)})
    (tmp_path / "step-1" / ".metadata").unlink()
    for folder in (tmp_path, tmp_path / "step-1"):
        with pytest.raises(SourceError, match=r"no \.metadata"):
            open_checkpoint(folder)


def test_an_empty_folder_is_said_to_hold_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="contains no checkpoint"):
        open_checkpoint(tmp_path)


def test_deepspeeds_partitioned_checkpoint_names_its_converter(tmp_path: Path) -> None:
    """Failure mode 32: what ZeRO's third stage leaves in the model's own file is empty."""
    (tmp_path / "latest").write_text("global_step5")
    (tmp_path / "zero_to_fp32.py").write_text("print('never run')")
    step = tmp_path / "global_step5"
    step.mkdir()
    states = {"module": {"w": torch.empty(0), "b": torch.ones(2)}, "global_steps": 5}
    torch.save(states, step / "zero_pp_rank_0_mp_rank_00_model_states.pt")
    moments = {"optimizer_state_dict": {"fp32_flat_groups": [torch.ones(9)]}}
    torch.save(moments, step / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")
    older = tmp_path / "global_step40"
    older.mkdir()
    torch.save({"module": {"x": torch.ones(1)}}, older / "mp_rank_00_model_states.pt")
    for folder in (tmp_path, step):
        checkpoint = open_checkpoint(folder)
        assert checkpoint.best == "module"
        assert checkpoint.state_dict()["w"].shape == (0,)
        assert any("zero_to_fp32.py" in note for note in checkpoint.notes)
        assert any("no element" in note for note in checkpoint.notes)


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
"""What a repository has in place of a large file that was not downloaded."""


def notes_of(path: Path) -> str:
    return " ".join(open_checkpoint(path).notes)


def test_subfolders_with_further_weights_are_named(tmp_path: Path) -> None:
    weights = {"w": torch.ones(2)}
    for name in ("ema", "checkpoint-5", "2_Dense"):
        (tmp_path / name).mkdir()
        save_file(weights, tmp_path / name / "model.safetensors")
    torch.save({}, tmp_path / "checkpoint-5" / "optimizer.pt")
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    assert_weights(tmp_path, "", weights)
    assert (
        "Folders with further weights were left out: 2_Dense/ (1 file), checkpoint-5/ (2 files) "
        "and ema/ (1 file). Open each by itself."
    ) in notes_of(tmp_path)


def test_a_subfolder_with_a_distributed_checkpoint_is_named(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    dcp.save({"w": torch.ones(2)}, checkpoint_id=tmp_path / "dcp" / "step-1")
    assert "left out: dcp/ (1 file)" in notes_of(tmp_path)


def test_what_deepspeed_writes_beside_the_opened_file_is_named(tmp_path: Path) -> None:
    for step in ("global_step5", "global_step40"):
        (tmp_path / step).mkdir()
        torch.save({"module": {"w": torch.ones(2)}}, tmp_path / step / "mp_rank_00_model_states.pt")
        torch.save(
            {"optimizer_state_dict": {"m": torch.ones(2)}},
            tmp_path / step / "zero_pp_rank_0_mp_rank_00_optim_states.pt",
        )
    notes = notes_of(tmp_path)
    assert "left out: global_step40/zero_pp_rank_0_mp_rank_00_optim_states.pt." in notes
    assert "Folders with further weights were left out: global_step5/ (2 files)." in notes


def test_a_pipelines_own_components_come_before_other_folders(
    tmp_path: Path,
) -> None:
    index = {"_class_name": "P", "vae": ["diffusers", "V"], "unet": ["diffusers", "U"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    for part in ("2_Dense", "unet", "vae"):
        (tmp_path / part).mkdir()
        save_file({"w": torch.ones(2)}, tmp_path / part / "model.safetensors")
    checkpoint = open_checkpoint(tmp_path)
    assert list(checkpoint.state_dicts) == ["unet", "vae", "2_Dense"]
    assert checkpoint.best == "unet"


def test_an_lfs_pointer_beside_the_real_model_is_called_one(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_text(POINTER)
    assert_weights(tmp_path, "", {"w": torch.ones(2)})
    assert (
        "Git LFS pointers next to the checkpoint were left out, since the files themselves were "
        "not downloaded: pytorch_model.bin."
    ) in notes_of(tmp_path)


def test_the_file_that_was_downloaded_is_read_and_not_the_pointer(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text(POINTER)
    torch.save({"w": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    assert_weights(tmp_path, "", {"w": torch.ones(2)})
    assert "not downloaded: model.safetensors." in notes_of(tmp_path)


def test_an_optimizer_that_was_not_downloaded_leaves_the_model_readable(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "optimizer.bin").write_text(POINTER)
    assert_weights(tmp_path, None, {"w": torch.ones(2)})
    notes = notes_of(tmp_path)
    assert "optimizer was left out, since it cannot be read." in notes
    assert "Git LFS pointer" in notes
    assert "git lfs pull" in notes


@pytest.mark.parametrize("name", [".", "./", "sub/..", "sub/../."])
def test_a_folder_named_by_dots_is_shown_by_its_own_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run7" / "sub").mkdir(parents=True)
    torch.save({"w": torch.ones(2)}, tmp_path / "run7" / "m.pth")
    monkeypatch.chdir(tmp_path / "run7")
    assert open_checkpoint(Path(name)).name == "run7"
