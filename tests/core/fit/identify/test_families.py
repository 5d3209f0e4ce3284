"""What kind of model a file is called that no known architecture fits."""

from collections.abc import Callable

import pytest
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm
from torchvision.models import resnet18

from core.checkpoint import StateDict
from core.fit.identify.families import family

Saved = Callable[[object], StateDict]


def pruned(layer: nn.Module) -> nn.Module:
    return prune.random_unstructured(layer, "weight", 0.5)


@pytest.mark.parametrize("change", [spectral_norm, pruned, parametrizations.weight_norm])
def test_convolutions_whose_weights_are_computed_count(
    saved: Saved, change: Callable[[nn.Module], nn.Module]
) -> None:
    model = resnet18()
    for module in [*model.modules()]:
        if isinstance(module, nn.Conv2d):
            change(module)
    assert family(saved(model.state_dict())) == (
        "a ResNet-like convolutional network of 20 convolutions, up to 512 channels"
    )
