"""Loads a model: builds the architecture and reads the file's bytes straight into its tensors."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from core.architectures import (
    Architecture,
    Shape,
    Signature,
    TensorSpec,
    blueprint,
    build,
    signature,
    uninitialised_parameters,
)
from core.checkpoint import ITEMSIZES, StateDict, TensorEntry, is_float_dtype
from core.errors import LoadError
from core.fit import Match, match
from core.inputs import random_inputs
from core.load.filling import fill, targets_of, temporary_bytes
from core.load.placing import move_empty
from core.load.room import Need, require_room, running_out
from core.load.staging import staging_bytes
from core.load.switches import SwitchEffect, throw_switches
from core.progress import Report, ignore
from core.tensors import torch_dtype
from core.wording import count, listed

DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready for inference.

    `dtype` is torch's name of its parameters' dtype. `initialised` are the keys that were not
    loaded and keep the model's initialisation. `nbytes` are the bytes of its parameters and
    buffers. `notes` are sentences on what was converted or left out. `nbytes_read` bytes of the
    file were read to the device in `seconds_reading`, a part of `seconds`. `effects` are what the
    switches changed.
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
    effects: tuple[SwitchEffect, ...] = ()

    @property
    def bytes_per_second(self) -> float:
        """How fast the file's bytes were read to the device; 0 if there were none."""
        return self.nbytes_read / self.seconds_reading if self.seconds_reading else 0.0


def devices() -> tuple[str, ...]:
    """The devices of this machine: `cpu`, each CUDA device, Apple's GPU (`mps`)."""
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
    progress: Report = ignore,
) -> LoadedModel:
    """Build the architecture and fill it from the file, in eval mode.

    `strict` requires that every key matches; benign keys may be absent. Otherwise each tensor that
    matches is loaded, and the rest keeps the model's initialisation. `dtype` is that of the
    floating-point tensors, None for the architecture's own. `channels_last` and `compiled` are
    switches whose effect on speed is measured. `progress(done, total, key)` counts bytes, and may
    raise to cancel. Raises LoadError (NoRoom if memory is short), ArchitectureError, SourceError.
    """
    started = time.perf_counter()
    if device not in devices():
        raise LoadError(
            f"This machine has no device {device}.", f"Choose one of {', '.join(devices())}."
        )
    if dtype not in (None, *DTYPES):
        raise LoadError(f"A model cannot be loaded as {dtype}.", f"Choose {listed([*DTYPES], 4)}.")
    wanted = signature(architecture)
    matched = match(state_dict, wanted)
    if strict and not matched.fits:
        raise _does_not_fit(architecture, matched)
    if not matched.matched and any(mismatch.reason for mismatch in matched.mismatched):
        raise _does_not_fit(architecture, matched)
    unloaded_keys = (*matched.missing_keys, *(mismatch.key for mismatch in matched.mismatched))
    entries = [state_dict[key] for key in matched.matched]
    initialised_shapes = {wanted[key].shape for key in unloaded_keys}
    need = _need(wanted, entries, initialised_shapes, device, dtype)
    require_room(need)
    if device != "cpu":
        require_room(_need_on_cpu(wanted, entries, initialised_shapes))
    counter = _ByteCounter(progress)
    with running_out(need, counter.raised):
        model, filled, reading = _filled(
            architecture,
            entries,
            initialised_shapes,
            device,
            torch_dtype(dtype) if dtype else None,
            counter,
        )
    loaded_dtype = str(parameter_dtype(model)).removeprefix("torch.")
    seconds = time.perf_counter() - started
    effects = throw_switches(
        model,
        lambda: random_inputs(architecture, model, device, loaded_dtype),
        channels_last=channels_last,
        compiled=compiled,
        progress=progress,
    )
    return LoadedModel(
        model=model,
        architecture=architecture,
        device=device,
        dtype=loaded_dtype,
        match=matched,
        initialised=tuple(key for key in wanted if key not in filled),
        seconds=seconds,
        nbytes=_nbytes(model),
        notes=tuple(_notes(entries, filled, loaded_dtype, device)),
        nbytes_read=counter.done,
        seconds_reading=reading,
        effects=effects,
    )


def _does_not_fit(architecture: Architecture, match: Match) -> LoadError:
    refused = [mismatch for mismatch in match.mismatched if mismatch.reason]
    if refused:
        more = f", and so are {count(len(refused) - 1)} more" if len(refused) > 1 else ""
        return LoadError(
            f"The state_dict does not fit {architecture.title}: {refused[0].key} is "
            f"{refused[0].reason}{more}.",
            "Save it again as dense floats, with .dequantize() or .to_dense(), from the program "
            "that made it.",
        )
    counts = (
        ("missing_keys", len(match.missing_keys)),
        ("unexpected_keys", len(match.unexpected_keys)),
        ("mismatched shapes", len(match.mismatched)),
    )
    problems = ", ".join(f"{count(number)} {name}" for name, number in counts if number)
    return LoadError(
        f"The state_dict does not fit {architecture.title}: {problems}.",
        "Repair the keys, or load partially what matches.",
    )


def _need(
    wanted: Signature,
    entries: Sequence[TensorEntry],
    initialised_shapes: Collection[Shape],
    device: str,
    dtype: str | None,
) -> Need:
    """The most memory that the model takes on its device while it is loaded.

    On the CPU its tensors are initialised in their own dtype and converted one by one, and reading
    takes temporary memory.
    """

    def peak_bytes(dtype: str | None) -> int:
        nbytes = _bytes_as(wanted.values(), dtype)
        if device != "cpu":
            return nbytes
        temporary = temporary_bytes(
            (entry, _dtype_as(wanted[entry.key], dtype)) for entry in entries
        )
        initialised = _initialised(wanted, initialised_shapes)
        converted = max((_bytes_as([spec], dtype) for spec in initialised if dtype), default=0)
        return max(nbytes + temporary, _bytes_as(initialised) + converted)

    return Need(device, peak_bytes(dtype), peak_bytes("bfloat16"), devices())


def _need_on_cpu(
    wanted: Signature, entries: Sequence[TensorEntry], initialised_shapes: Collection[Shape]
) -> Need:
    """What a model for another device takes on the CPU: initialised tensors, staging buffers."""
    nbytes = _bytes_as(_initialised(wanted, initialised_shapes)) + staging_bytes(
        sum(entry.nbytes for entry in entries)
    )
    return Need("cpu", nbytes, nbytes)


def _initialised(wanted: Signature, shapes: Collection[Shape]) -> list[TensorSpec]:
    return [spec for spec in wanted.values() if spec.shape in shapes]


def _bytes_as(specs: Iterable[TensorSpec], dtype: str | None = None) -> int:
    """The bytes of tensors whose floating-point ones are of `dtype`; None for their own."""
    return sum(spec.numel * ITEMSIZES[_dtype_as(spec, dtype)] for spec in specs)


def _dtype_as(spec: TensorSpec, dtype: str | None) -> str:
    return dtype if dtype and is_float_dtype(spec.dtype) else spec.dtype


class _ByteCounter:
    """Counts the bytes for `progress`.

    `raised` are the ids of the errors that `progress` raised: they are the caller's own, such as a
    cancel, and must not be reported as a failure to load.
    """

    def __init__(self, progress: Report) -> None:
        self.raised: set[int] = set()
        self.done = self.total = 0
        self._progress = progress

    def __call__(self, entry: TensorEntry, nbytes: int) -> None:
        """Count `nbytes` bytes of the entry as read."""
        self.done += nbytes
        try:
            self._progress(self.done, self.total, entry.key)
        except Exception as error:  # whatever the caller's own function raises
            self.raised.add(id(error))
            raise


def _filled(
    architecture: Architecture,
    entries: Sequence[TensorEntry],
    initialised_shapes: Collection[Shape],
    device: str,
    dtype: torch.dtype | None,
    counter: _ByteCounter,
) -> tuple[nn.Module, Collection[str], float]:
    """The model with its weights, the keys that the file filled, and the seconds of reading."""
    keys = {entry.key for entry in entries}
    model = _built(architecture, keys, initialised_shapes)
    started = time.perf_counter()
    move_empty(model, keys, device, dtype)
    targets, filled = targets_of(model, entries)
    counter.total = sum(entry.nbytes for entry, _ in targets)
    fill(targets, device, counter)
    return model, filled, time.perf_counter() - started


def _built(
    architecture: Architecture, filled: Collection[str], initialised_shapes: Collection[Shape]
) -> nn.Module:
    """The model on the CPU, with the tensors of `initialised_shapes` initialised."""
    # By shapes rather than keys, since a constructor does not know keys: a few more tensors than
    # are missing get values, and most of a large model still gets none.
    cached_blueprint = blueprint(architecture)
    if cached_blueprint is not None and cached_blueprint.serves(filled):
        return cached_blueprint.model()
    mode = uninitialised_parameters(initialised_shapes)
    with mode:
        model = build(architecture)
    if mode.vouches_for(model, filled):
        return model
    need = Need("cpu", _nbytes(model), _nbytes(model))
    del mode, model
    require_room(need)
    return build(architecture)


def parameter_dtype(model: nn.Module) -> torch.dtype:
    """The dtype of the model's first floating-point parameter; float32 if it has none."""
    floating = (p.dtype for p in model.parameters() if p.dtype.is_floating_point)
    return next(floating, torch.float32)


def _nbytes(model: nn.Module) -> int:
    storages = {
        storage.data_ptr(): storage.nbytes()
        for storage in map(torch.Tensor.untyped_storage, (*model.parameters(), *model.buffers()))
    }
    return sum(storages.values())


def _notes(
    entries: Sequence[TensorEntry], filled: Collection[str], dtype: str, device: str
) -> Iterator[str]:
    stored = {entry.dtype for entry in entries if is_float_dtype(entry.dtype)}
    others = sorted(stored - {dtype})
    if others:
        yield f"The file's {', '.join(others)} tensors were converted to {dtype}."
    for entry in entries:
        if entry.key not in filled:
            yield (
                f"{entry.key} was left out: only the model's own code (set_extra_state) could load "
                "it, and Loupe runs no such code on a file's contents."
            )
    if device == "cpu" and dtype in ("float16", "bfloat16"):
        yield f"{dtype} is slow on most CPUs; float32 is the usual choice there."
