"""The tensors in a model's output, each with its name, and which of them is the main one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from core.errors import LoadError
from core.wording import shape as shape_words

MAIN_NAMES = ("logits", "out", "output", "pred", "prediction")
"""Names of the main output in models that return several."""

MOST_PARTS, DEPTH = 200, 8
"""Parts of an output, and levels of it, that are named."""


@dataclass(frozen=True, slots=True, eq=False)
class OutputPart:
    """A part of an output that has no further parts: a tensor, or another value.

    `name` is the way to it, such as `aux` or `hidden_states.3`; empty if it is the whole output.
    """

    name: str
    value: object


def output_parts(output: object) -> tuple[OutputPart, ...]:
    """The parts of an output: of dicts, tuples, and objects with fields, such as a ModelOutput."""
    return tuple(islice(_parts("", output, DEPTH), MOST_PARTS))


def _parts(name: str, value: object, depth: int) -> Iterator[OutputPart]:
    fields = _fields(value) if depth else None
    if fields is None:
        if value is not None:
            yield OutputPart(name, value)
        return
    for field, part in fields:
        yield from _parts(f"{name}.{field}" if name else field, part, depth - 1)


def _fields(value: object) -> Sequence[tuple[str, object]] | None:
    """The named parts of a value; None if it has none."""
    if isinstance(value, torch.Tensor | str | bytes):
        return None
    if isinstance(value, Mapping):
        return [(str(name), part) for name, part in value.items()]
    if isinstance(value, list | tuple):
        names = getattr(value, "_fields", None) or map(str, range(len(value)))
        return list(zip(names, value, strict=True))
    attributes = getattr(value, "__dict__", None)
    return list(attributes.items()) if attributes else None


def main_part(output: object) -> OutputPart | None:
    """The tensor that is the model's answer where it returns several; None if nothing says which.

    That is the output itself, the field of a usual name, or the first of a tuple or a list.
    """
    if isinstance(output, torch.Tensor):
        return OutputPart("", output)
    for name in MAIN_NAMES:
        part = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(part, torch.Tensor):
            return OutputPart(name, part)
    if isinstance(output, list | tuple) and output and isinstance(output[0], torch.Tensor):
        return OutputPart((getattr(output, "_fields", None) or ("0",))[0], output[0])
    return None


def logits_of(output: object, batch: int, head: str = "") -> torch.Tensor:
    """The tensor [N, classes] in a model's output, for `batch` images (N).

    The output is that tensor itself, or a dict, a tuple, a namedtuple or an object with a field
    `logits`, as models with auxiliary heads return. `head` is the name of another part of it.
    Raises LoadError.
    """
    named = (part for part in output_parts(output) if part.name == head)
    part = next(named, None) if head else main_part(output)
    logits = part.value if part is not None else None
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != batch:
        raise LoadError(
            "The model's output is not one score for each class: it returns "
            f"{described_output(output)}.",
            "Run it on Predict or with `loupe predict`, which show what else a model returns.",
        )
    return logits


def dense(tensor: torch.Tensor) -> torch.Tensor | None:
    """A sparse or a quantized tensor as a plain one, another as it is; None for a nested one, whose
    rows have different lengths."""
    if tensor.is_nested:
        return None
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def described_output(output: object) -> str:
    """What a model returns, in few words: `a tensor of shape 1 × 3 × 8 × 8`."""
    if isinstance(output, torch.Tensor) and output.is_nested:
        return "a nested tensor, whose rows have different lengths"
    if isinstance(output, torch.Tensor):
        return f"a tensor of shape {shape_words(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict of {', '.join(map(str, output)) or 'nothing'}"
    if isinstance(output, list | tuple) and output:
        return f"a {type(output).__name__} that begins with {described_output(output[0])}"
    return f"a {type(output).__name__}"
