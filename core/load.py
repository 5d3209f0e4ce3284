"""The one place where a model's bytes are read: straight into its tensors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import torch
from torch import nn

from core.architectures import Architecture, Signature, build, signature
from core.checkpoint.entries import ITEMSIZES, StateDict, TensorEntry
from core.checkpoint.tensors import read_tensor_into, torch_dtype
from core.errors import LoadError
from core.match import Match, match
from core.random_inputs import random_inputs
from core.room import Need, require_room, running_out
from core.skeleton import UninitialisedParameters
from core.staging import Staging, fill_staged
from core.switches import Effect, throw_switches

DTYPES = ("float32", "bfloat16", "float16", "float64")

Report = Callable[[int, int, str], None]

MAX_READERS = 4
"""Threads that read at once; more do not make the disk or the memory faster."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready for inference.

    `dtype` is torch's name of its parameters' dtype, `initialised` the keys that kept the values
    of the model's own initialisation, `nbytes` the bytes of its parameters and buffers, `notes`
    sentences on what was converted. `nbytes_read` bytes of the file went to the device in
    `seconds_reading` of the `seconds`; `effects` are what the switches changed.
    """

    model: nn.Module
    architecture: Architecture
    device: str
    dtype: str
    match: Match
    initialised: tuple[str, ...]
    seconds: float
    nbytes: int
    notes: tuple[str, ...] = ()
    nbytes_read: int = 0
    seconds_reading: float = 0.0
    effects: tuple[Effect, ...] = ()

    @property
    def bytes_per_second(self) -> float:
        """How fast the file's bytes came into the device's memory; 0 where there were none."""
        return self.nbytes_read / self.seconds_reading if self.seconds_reading else 0.0


def devices() -> tuple[str, ...]:
    """Where a model can go: `cpu`, each CUDA device, Apple's GPU."""
    cuda = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    mps = ("mps",) if torch.backends.mps.is_available() else ()
    return ("cpu", *cuda, *mps)


def load_model(
    state_dict: StateDict,
    architecture: Architecture,
    *,
    device: str = "cpu",
    dtype: str | None = None,
    strict: bool = True,
    channels_last: bool = False,
    compiled: bool = False,
    progress: Report | None = None,
) -> LoadedModel:
    """Build the architecture and fill it from the file, in eval mode.

    `strict` wants every key to match, absent batch counters apart; otherwise each tensor that
    matches is loaded, and the rest keeps the model's own initialisation. `dtype` is what
    floating tensors are converted to, None for the architecture's own. `channels_last` and
    `compiled` are switches whose effect on time is measured. `progress(done, total, key)` counts
    bytes and may raise to cancel. Raises LoadError (NoRoom where memory is short),
    ArchitectureError, SourceError.
    """
    started = time.perf_counter()
    if device not in devices():
        raise LoadError(
            f"This machine has no device {device}.", f"Choose one of {', '.join(devices())}."
        )
    wanted = signature(architecture)
    found = match(state_dict, wanted)
    if strict and not found.fits:
        raise _does_not_fit(architecture, found)
    if not found.matched and any(mismatch.reason for mismatch in found.mismatched):
        raise _does_not_fit(architecture, found)
    left = (*found.missing_keys, *(mismatch.key for mismatch in found.mismatched))
    entries = [state_dict[key] for key in found.matched]
    need = Need(device, _bytes_as(wanted, dtype), _bytes_as(wanted, "bfloat16"), devices())
    require_room(need)
    with running_out(need):
        model = _built(architecture, found.matched, {wanted[key].shape for key in left})
        reading = time.perf_counter()
        _fill(model, entries, device, torch_dtype(dtype) if dtype else None, progress)
        reading = time.perf_counter() - reading
    found_dtype = _dtype_of(model)
    seconds = time.perf_counter() - started
    effects = throw_switches(
        model,
        lambda: random_inputs(architecture, model, device, found_dtype),
        channels_last=channels_last,
        compiled=compiled,
        progress=progress,
    )
    return LoadedModel(
        model=model,
        architecture=architecture,
        device=device,
        dtype=found_dtype,
        match=found,
        initialised=(*left, *found.benign),
        seconds=seconds,
        nbytes=_nbytes(model),
        notes=tuple(_notes(entries, found_dtype, device)),
        nbytes_read=sum(entry.nbytes for entry in entries),
        seconds_reading=reading,
        effects=effects,
    )


def _does_not_fit(architecture: Architecture, found: Match) -> LoadError:
    refused = [mismatch for mismatch in found.mismatched if mismatch.reason]
    if refused:
        more = f", and {len(refused) - 1:,} more like it" if len(refused) > 1 else ""
        return LoadError(
            f"The state_dict does not fit {architecture.title}: {refused[0].key} is "
            f"{refused[0].reason}{more}.",
            "Save it again as dense floats, with .dequantize() or .to_dense(), from the program "
            "that made it.",
        )
    counts = (
        ("missing_keys", len(found.missing_keys)),
        ("unexpected_keys", len(found.unexpected_keys)),
        ("mismatched shapes", len(found.mismatched)),
    )
    told = ", ".join(f"{number:,} {name}" for name, number in counts if number)
    return LoadError(
        f"The state_dict does not fit {architecture.title}: {told}.",
        "Mend the keys, or load partially what matches.",
    )


def _bytes_as(wanted: Signature, dtype: str | None) -> int:
    """Bytes of a model whose floating tensors are of `dtype`."""
    return sum(
        spec.numel * ITEMSIZES[dtype if dtype and "float" in spec.dtype else spec.dtype]
        for spec in wanted.values()
    )


def _built(
    architecture: Architecture, filled: Collection[str], left: Collection[tuple[int, ...]]
) -> nn.Module:
    """The model on the CPU, initialised where its shape is one of `left`: more than what is
    missing, since a constructor does not know keys, but little."""
    mode = UninitialisedParameters(left)
    with mode:
        model = build(architecture)
    return model if mode.vouches_for(model, set(filled)) else build(architecture)


def _fill(
    model: nn.Module,
    entries: Sequence[TensorEntry],
    device: str,
    dtype: torch.dtype | None,
    progress: Report | None,
) -> None:
    """Read every entry into the model's own tensor of that key, several at a time, on the device
    and in the dtype that it is to have; the other tensors are moved there."""
    tensors = model.state_dict(keep_vars=True)
    filled = {id(tensors[entry.key]) for entry in entries}
    for tensor in {id(each): each for each in (*model.parameters(), *model.buffers())}.values():
        target = dtype if dtype and tensor.is_floating_point() else tensor.dtype
        if id(tensor) not in filled:
            tensor.data = tensor.data.to(device, target)
        elif target != tensor.dtype or device != "cpu":
            tensor.data = torch.empty(tensor.shape, dtype=target, device=device)
    total = sum(entry.nbytes for entry in entries)
    done = 0

    def report(entry: TensorEntry, nbytes: int) -> None:
        nonlocal done
        done += nbytes
        if progress is not None:
            progress(done, total, entry.key)

    readers = min(MAX_READERS, os.cpu_count() or 1)
    targets = [(entry, tensors[entry.key].detach()) for entry in entries]
    if device == "cpu":
        _fill_straight(targets, readers, report)
    else:
        fill_staged(targets, Staging(device, total), readers, report)


def _fill_straight(
    targets: Sequence[tuple[TensorEntry, torch.Tensor]],
    readers: int,
    report: Callable[[TensorEntry, int], None],
) -> None:
    with ThreadPoolExecutor(readers, thread_name_prefix="loupe-load") as pool:
        waiting = {
            pool.submit(read_tensor_into, entry, tensor): entry
            for entry, tensor in sorted(targets, key=lambda pair: -pair[0].nbytes)
        }
        try:
            for future in as_completed(waiting):
                future.result()
                report(waiting[future], waiting[future].nbytes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _dtype_of(model: nn.Module) -> str:
    floating = (p.dtype for p in model.parameters() if p.dtype.is_floating_point)
    return str(next(floating, torch.float32)).removeprefix("torch.")


def _nbytes(model: nn.Module) -> int:
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in (*model.parameters(), *model.buffers())
    }
    return sum(storages.values())


def _notes(entries: Sequence[TensorEntry], dtype: str, device: str) -> Iterator[str]:
    stored = {entry.dtype for entry in entries if "float" in entry.dtype}
    others = sorted(stored - {dtype})
    if others:
        yield f"The file's {', '.join(others)} tensors were converted to {dtype}."
    if device == "cpu" and dtype in ("float16", "bfloat16"):
        yield f"{dtype} is slow on most CPUs; float32 is the usual choice there."
