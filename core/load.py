"""The one place where a model's bytes are read: straight into its tensors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from core.architectures import Architecture, build, build_uninitialised, signature
from core.checkpoint.entries import StateDict, TensorEntry
from core.checkpoint.tensors import read_tensor_into, torch_dtype
from core.errors import LoadError
from core.match import Match, match

DTYPES = ("float32", "bfloat16", "float16", "float64")

Report = Callable[[int, int, str], None]

MAX_READERS = 4
"""Threads that read at once; more do not make the disk or the memory faster."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready for inference.

    `dtype` is torch's name of its parameters' dtype, `initialised` the keys that kept the values
    of the model's own initialisation, `nbytes` the bytes of its parameters and buffers, `notes`
    sentences on what was converted.
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


@dataclass(frozen=True, slots=True)
class SmokeRun:
    """One forward pass on random numbers.

    `peak_bytes` are, on a GPU, the device's own count; on the CPU the weights and the inputs and
    outputs of the layer where these are largest.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    seconds: float
    peak_bytes: int


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
    progress: Report | None = None,
) -> LoadedModel:
    """Build the architecture and fill it from the file, in eval mode.

    `strict` wants every key to match, absent batch counters apart; otherwise each tensor that
    matches is loaded, and the rest keeps the model's own initialisation. `dtype` is what
    floating tensors are converted to, None for the architecture's own. `progress(done, total,
    key)` counts bytes and may raise to cancel. Raises LoadError, ArchitectureError, SourceError.
    """
    started = time.perf_counter()
    if device not in devices():
        raise LoadError(
            f"This machine has no device {device}.", f"Choose one of {', '.join(devices())}."
        )
    found = match(state_dict, signature(architecture))
    if strict and not found.fits:
        raise _does_not_fit(architecture, found)
    if not found.matched and any(mismatch.reason for mismatch in found.mismatched):
        raise _does_not_fit(architecture, found)
    left = (*found.missing_keys, *(mismatch.key for mismatch in found.mismatched))
    entries = [state_dict[key] for key in found.matched]
    with _room(device, sum(entry.nbytes for entry in entries)):
        model = build(architecture) if left else build_uninitialised(architecture)
        _fill(model, entries, progress)
        if dtype is not None:
            model = model.to(torch_dtype(dtype))
        model = model.to(device)
    wanted = _dtype_of(model)
    return LoadedModel(
        model=model,
        architecture=architecture,
        device=device,
        dtype=wanted,
        match=found,
        initialised=(*left, *found.benign),
        seconds=time.perf_counter() - started,
        nbytes=_nbytes(model),
        notes=tuple(_notes(entries, wanted, device)),
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


def _fill(model: nn.Module, entries: Sequence[TensorEntry], progress: Report | None) -> None:
    """Read every entry into the model's own tensor of that key, several at a time."""
    tensors = model.state_dict(keep_vars=True)
    total = sum(entry.nbytes for entry in entries)
    done = 0
    readers = min(MAX_READERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(readers, thread_name_prefix="loupe-load") as pool:
        waiting = {
            pool.submit(read_tensor_into, entry, tensors[entry.key].detach()): entry
            for entry in sorted(entries, key=lambda entry: -entry.nbytes)
        }
        try:
            for future in as_completed(waiting):
                future.result()
                done += waiting[future].nbytes
                if progress is not None:
                    progress(done, total, waiting[future].key)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _room(device: str, nbytes: int) -> Iterator[None]:
    """Running out of memory becomes a sentence with the numbers."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _no_room(device, nbytes) from error
    except RuntimeError as error:
        # The CPU's allocator raises a plain RuntimeError (c10/core/impl/alloc_cpu.cpp).
        if "can't allocate memory" not in str(error):
            raise LoadError(
                f"The model could not be loaded: {str(error).splitlines()[0]}",
                "Choose another device or dtype.",
            ) from error
        raise _no_room(device, nbytes) from error


def _no_room(device: str, nbytes: int) -> LoadError:
    return LoadError(
        f"There is not enough memory on {device} for {nbytes / 1e9:.2f} GB of weights.",
        "Close other models, choose another device, or a smaller dtype such as bfloat16.",
    )


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


def smoke_run(loaded: LoadedModel) -> SmokeRun:
    """Run the model once on random numbers of the size it expects. Raises LoadError."""
    from core.preprocessing import default_preprocessing

    size = default_preprocessing(loaded.architecture)
    shape = (1, size.channels, *size.crop)
    inputs = torch.randn(shape).to(loaded.device, torch_dtype(loaded.dtype))
    largest = [0]
    hooks = [
        module.register_forward_hook(lambda _module, taken, given: _note(largest, taken, given))
        for module in loaded.model.modules()
        if not any(True for _ in module.children())
    ]
    on_gpu = loaded.device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(loaded.device)
    started = time.perf_counter()
    try:
        with torch.inference_mode():
            output = loaded.model(inputs)
        if on_gpu:
            torch.cuda.synchronize(loaded.device)
    except Exception as error:  # a forward pass of another's code: whatever it raises is the cause
        raise LoadError(
            f"The model is loaded, but does not run on an input of {' × '.join(map(str, shape))}: "
            f"{(str(error).strip() or type(error).__name__).splitlines()[0]}",
            "Set the size of its input on the Predict page.",
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(loaded.device) if on_gpu else loaded.nbytes + largest[0]
    first = next(_tensors(output), None)
    return SmokeRun(shape, tuple(first.shape) if first is not None else (), seconds, peak)


def _note(largest: list[int], taken: object, given: object) -> None:
    nbytes = sum(tensor.nbytes for part in (taken, given) for tensor in _tensors(part))
    largest[0] = max(largest[0], nbytes)


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
