"""A network of each kind in timm, loaded, has the tensors, the buffers that no file holds, and the
outputs of the plain way."""

from pathlib import Path

import pytest
import torch

from benchmarks.plain_outputs import difference
from core.architectures import build, parse_architecture

pytestmark = pytest.mark.slow

NETWORKS = (
    "vit_tiny_patch16_224",
    "deit3_small_patch16_224",
    "beit_base_patch16_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "convnextv2_atto",
    "efficientnet_b0",
    "maxvit_rmlp_pico_rw_256",
    "resnet26d",
    "mixer_s32_224",
    "xcit_nano_12_p16_224",
    "levit_128s",
    "eva02_tiny_patch14_224",
    "vit_relpos_small_patch16_224",
    "coat_tiny",
    "edgenext_xx_small",
    "mobilevit_xxs",
    "nfnet_l0",
)

WITH_BUFFERS = ("beit_base_patch16_224", "levit_128s", "eva02_tiny_patch14_224")
"""Relative positions, attention biases, rotary embeddings: buffers that no file holds."""


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_timm_is_what_plain_torch_makes_of_the_file(tmp_path: Path, name: str) -> None:
    architecture = parse_architecture(f"timm:{name}?num_classes=5")
    assert difference(architecture, tmp_path / "model.pth") == ""


@pytest.mark.parametrize("name", WITH_BUFFERS)
def test_the_sample_has_networks_whose_buffers_no_file_holds(name: str) -> None:
    model = build(parse_architecture(f"timm:{name}?num_classes=5"))
    assert dict(model.named_buffers()).keys() - model.state_dict().keys()
    assert not any(isinstance(each, torch.nn.Parameter) for each in model.buffers())
