"""How many channels the images of an architecture have."""

from __future__ import annotations

from core.architectures import Architecture, signature


def input_channels(architecture: Architecture) -> int:
    """The number of input channels of a model: its option's, else its library's default.

    An own model has those of its first convolution, or 3 if it has none. Raises ArchitectureError.
    """
    asked = architecture.size("in_chans")
    if asked:
        return asked
    if architecture.library == "torchvision":
        return 3
    if architecture.library == "timm":
        from timm import get_pretrained_cfg

        known = get_pretrained_cfg(architecture.tagged_name)
        return int(known.input_size[0]) if known else 3
    return next(
        (
            spec.shape[1]
            for key, spec in signature(architecture).items()
            if key.rpartition(".")[2] == "weight"
            and spec.kind == "parameter"
            and len(spec.shape) == 4
        ),
        3,
    )
