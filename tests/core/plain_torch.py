"""What torch itself says of a model and of tensors, as Loupe's words: another way than core's."""

from collections.abc import Mapping

import torch
from torch import nn

from core.architectures import Signature, TensorSpec
from core.checkpoint import StateDict, TensorEntry


def signature_of(model: nn.Module) -> Signature:
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {
        key: TensorSpec(
            tuple(value.shape),
            str(value.dtype).removeprefix("torch."),
            "parameter" if key in parameters else "buffer",
        )
        for key, value in model.state_dict().items()
    }


def file_of(tensors: Mapping[str, torch.Tensor]) -> StateDict:
    """Entries without data."""
    return StateDict(
        TensorEntry(
            key,
            str(value.dtype).removeprefix("torch."),
            tuple(value.shape),
            value.stride(),
            0,
            None,
        )
        for key, value in tensors.items()
    )
