"""Two switches that change how fast a model runs, and nothing else about it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from core.inputs import RandomInputs
from core.progress import Report, ignore

REPEATS = 5
"""Timed passes after one warm-up; the fastest counts."""

PATIENCE = 2.0
"""Seconds of timed passes after which no further one is timed."""

CHANNELS_LAST, COMPILED = "channels_last", "torch.compile"


@dataclass(frozen=True, slots=True)
class SwitchEffect:
    """The seconds of a forward pass on random inputs `before` and `after` a switch.

    `preparing` are the seconds of the first pass after the switch. `trouble` is a sentence if the
    switch could not be thrown; then the model is as before, and the times are 0. If memory is too
    short to go back, some weights keep the new layout, with the same values.
    """

    switch: str
    before: float
    after: float
    preparing: float = 0.0
    trouble: str = ""


def throw_switches(
    model: nn.Module,
    make_inputs: Callable[[], RandomInputs],
    *,
    channels_last: bool,
    compiled: bool,
    progress: Report = ignore,
) -> tuple[SwitchEffect, ...]:
    """Throw the switches on the model in place, one after the other, and measure each.

    What the model or a compiler raises becomes the effect's `trouble`; what `progress` raises is
    raised.
    """
    switches = [
        *([(CHANNELS_LAST, _to_channels_last, _to_contiguous)] if channels_last else []),
        *([(COMPILED, _compile, _uncompile)] if compiled else []),
    ]
    if not switches:
        return ()
    effects: list[SwitchEffect] = []
    progress(1, 1, "Measuring a forward pass")
    try:
        inputs = make_inputs()
        before = _seconds(model, inputs)
    except _FAILURES as error:
        return tuple(
            SwitchEffect(
                switch, 0.0, 0.0, 0.0, _switched_off(switch, "the model does not run", error)
            )
            for switch, _, _ in switches
        )
    for switch, throw, back in switches:
        progress(1, 1, f"Measuring a forward pass with {switch}")
        trouble = ""
        try:
            throw(model)
            started = time.perf_counter()
            _run(model, inputs)
            preparing = time.perf_counter() - started
            after = _seconds(model, inputs)
        except _FAILURES as error:
            trouble = _switched_off(switch, "it fails here", error)
        if trouble:  # Outside the except block, where the error keeps the pass's tensors alive.
            effects.append(SwitchEffect(switch, 0.0, 0.0, 0.0, trouble + _undone(back, model)))
        else:
            effects.append(SwitchEffect(switch, before, after, preparing))
            before = after
    return tuple(effects)


_FAILURES = (Exception,)
"""A forward pass is other people's code, and a compiler's errors have no common type."""


def _switched_off(switch: str, reason: str, error: Exception) -> str:
    return f"{switch} was switched off, because {reason}: {_first_line(error)}"


def _undone(back: Callable[[nn.Module], None], model: nn.Module) -> str:
    """Undo a switch; returns words for the sentence if that fails, else an empty text."""
    try:
        back(model)
    except _FAILURES as error:
        return f"; not all weights are back in the layout that they had: {_first_line(error)}"
    return ""


def _to_channels_last(model: nn.Module) -> None:
    """Do what Module.to(memory_format=...) does, for 3-D convolutions too."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for tensor in model.parameters():
        if tensor.ndim in formats:
            tensor.data = tensor.data.contiguous(memory_format=formats[tensor.ndim])


def _to_contiguous(model: nn.Module) -> None:
    for tensor in model.parameters():
        tensor.data = tensor.data.contiguous()


def _compile(model: nn.Module) -> None:
    """Compile in place, so that the keys, the modules and the hooks stay the model's own."""
    model.compile()


def _uncompile(model: nn.Module) -> None:
    model._compiled_call_impl = None  # what Module.compile sets (torch/nn/modules/module.py)


def forward(model: nn.Module, inputs: torch.Tensor) -> object:
    """`model(inputs)`, without the compiler if the compiled pass fails.

    torch.compile compiles again for each new size of the input, and may run out of disk or memory.
    The next call tries it again. Raises what the model raises.
    """
    if model._compiled_call_impl is None:
        return model(inputs)
    try:
        return model(inputs)
    except _FAILURES as error:
        log = logging.getLogger("loupe")
        log.warning("A compiled forward pass failed: the plain one is run", exc_info=error)
    # What __call__ does without compile (torch/nn/modules/module.py).
    plain_call: Callable[..., object] = model._call_impl
    return plain_call(inputs)


def _seconds(model: nn.Module, inputs: RandomInputs) -> float:
    _run(model, inputs)
    times: list[float] = []
    while len(times) < REPEATS and sum(times) < PATIENCE:
        started = time.perf_counter()
        _run(model, inputs)
        times.append(time.perf_counter() - started)
    return min(times)


def _run(model: nn.Module, inputs: RandomInputs) -> None:
    with torch.inference_mode():
        model(*inputs.arguments)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
