"""What a heat map costs over a bare forward and backward pass of the same image.

Run from the repository's root with `python -m benchmarks.explain`. Loupe's Grad-CAM makes a twin,
runs it for the score, traces it for the layer, and runs Captum; with a layer that is named, no
gradient is needed to find one. torchvision's ViT begins with a head of zeros: no gradient tells its
layers apart, which takes longest.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.predict import best_of, load
from core.architectures import Architecture
from core.explain import explain
from core.inputs import default_preprocessing

LAYERS = {
    "resnet18": "layer4",
    "resnet50": "layer4",
    "vit_b_16": "encoder.layers.encoder_layer_11.ln_1",
}


def main() -> None:
    for name, layer in LAYERS.items():
        architecture = Architecture("torchvision", name)
        loaded = load(architecture)
        image = torch.randn(3, *default_preprocessing(architecture).crop)
        explain(loaded, image, 0)  # imports Captum

        def bare(model: nn.Module, image: torch.Tensor) -> None:
            inputs = image[None].clone().requires_grad_()
            torch.autograd.grad(model(inputs)[0, 0], inputs)

        plain, proposed, named = best_of(
            lambda: bare(loaded.model, image),  # noqa: B023
            lambda: explain(loaded, image, 0),  # noqa: B023
            lambda: explain(loaded, image, 0, layer=layer),  # noqa: B023
        )
        print(
            f"{name:10} bare {1000 * plain:6.1f} ms, Grad-CAM {1000 * proposed:6.1f} ms, ratio "
            f"{proposed / plain:.2f}; with its layer named {1000 * named:6.1f} ms, ratio "
            f"{named / plain:.2f}"
        )


if __name__ == "__main__":
    main()
