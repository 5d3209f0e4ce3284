"""LoRA adapters that peft itself trains, merged as peft itself does."""

from pathlib import Path

import peft
import timm
import torch

from core.fixes import MergeLora
from tests.core.fixes.files import applied, assert_tensors, saved


def test_a_network_that_peft_adapted_is_what_peft_itself_merges(tmp_path: Path) -> None:
    options = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
    network = timm.models.VisionTransformer(**options, num_classes=5)
    wrapped = peft.get_peft_model(
        network,
        peft.LoraConfig(
            r=4, lora_alpha=8, target_modules=["qkv", "fc1", "proj"], modules_to_save=["head"]
        ),
    )
    with torch.no_grad():
        for name, tensor in wrapped.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                tensor.normal_()
    state_dict = saved(tmp_path, wrapped.state_dict())
    merged = wrapped.merge_and_unload().state_dict()
    assert_tensors(applied(state_dict, MergeLora(8)).state_dict, merged)
