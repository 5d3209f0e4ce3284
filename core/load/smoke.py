"""One forward pass on random numbers: shows that a loaded model runs, its time and its memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from core.errors import LoadError
from core.inputs import output_tensors, random_inputs
from core.load.loading import LoadedModel
from core.load.switches import COMPILED
from core.wording import count, tensors
from core.wording import shape as shape_words

MOST_PARTS = 6
"""The most parts of an output that are described."""


@dataclass(frozen=True, slots=True)
class SmokeRun:
    """A forward pass: its input and output in words, with their shapes.

    `peak_bytes` is, on a GPU, the device's own count; on the CPU, the weights plus the largest
    inputs and outputs of a layer.
    """

    seconds: float
    peak_bytes: int
    input_words: str
    output_words: str


def smoke_run(loaded: LoadedModel) -> SmokeRun:
    """Run the model once on random inputs of the kind and size that it expects.

    Raises LoadError.
    """
    inputs = random_inputs(loaded.architecture, loaded.model, loaded.device, loaded.dtype)
    input_words = f"{inputs.what} of {shape_words(inputs.shape)}"
    largest = [0]
    hooks = [
        module.register_forward_hook(lambda _module, taken, given: _note(largest, taken, given))
        for module in loaded.model.modules()
        if not any(True for _ in module.children())
    ]
    on_gpu = loaded.device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(loaded.device)
    compiled = any(effect.switch == COMPILED and not effect.trouble for effect in loaded.effects)
    try:
        with torch.inference_mode():
            if compiled:  # A compiled pass calls no hooks: they see the layers in a plain one.
                loaded.model.forward(*inputs.arguments)
            started = time.perf_counter()
            output = loaded.model(*inputs.arguments)
        if on_gpu:
            torch.cuda.synchronize(loaded.device)
        seconds = time.perf_counter() - started
    except Exception as error:  # a forward pass of another's code: whatever it raises is the cause
        raise _does_not_run(loaded, input_words, error) from error
    finally:
        for hook in hooks:
            hook.remove()
    peak = torch.cuda.max_memory_allocated(loaded.device) if on_gpu else loaded.nbytes + largest[0]
    return SmokeRun(seconds, peak, input_words, _described(output))


def _does_not_run(loaded: LoadedModel, input_words: str, error: Exception) -> LoadError:
    cause = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, torch.OutOfMemoryError):
        return LoadError(
            f"The model is loaded, but {loaded.device} has too little memory to run it on "
            f"{input_words}.",
            "Close other models there, or load it on the CPU.",
        )
    return LoadError(
        f"The model is loaded, but does not run on {input_words}: {cause}",
        "Set the size of its input on the Predict page."
        if loaded.dtype in ("float32", "float64")
        else "Load it as float32, or set the size of its input on the Predict page.",
    )


def _note(largest: list[int], taken: object, given: object) -> None:
    nbytes = sum(tensor.nbytes for part in (taken, given) for tensor in output_tensors(part))
    largest[0] = max(largest[0], nbytes)


def _described(output: object) -> str:
    """An output in words: the shape of a tensor, of each item of a dict, of each part of a list.

    Equal parts are counted: `12 tensors of 1 × 2 × 128 × 128`.
    """
    if isinstance(output, torch.Tensor):
        return shape_words(tuple(output.shape))
    if isinstance(output, Mapping):
        return ", ".join(f"{name} {_described(part)}" for name, part in output.items())
    if isinstance(output, list | tuple):
        parts = [_described(part) for part in output]
        if len(parts) > 1 and len(set(parts)) == 1:
            return f"{tensors(len(parts))} of {parts[0]}"
        more = f" and {count(len(parts) - MOST_PARTS)} more" if len(parts) > MOST_PARTS else ""
        return "; ".join(parts[:MOST_PARTS]) + more
    return f"a {type(output).__name__}"
