"""Copies a file's bytes to a device through a ring of buffers, reading while copying."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import replace
from queue import SimpleQueue

import torch

from core.checkpoint import TensorEntry
from core.tensors import chunks, read_tensor_into, torch_dtype

BUFFER_BYTES = 64 << 20
BUFFERS = 4
"""Two would do, one to read into and one to copy from; more even out the speed of the disk."""

Done = Callable[[TensorEntry, int], None]


def staging_bytes(nbytes: int) -> int:
    """The bytes of CPU memory that copying `nbytes` bytes takes."""
    return BUFFERS * _buffer_bytes(nbytes, BUFFER_BYTES)


def _buffer_bytes(nbytes: int, most: int) -> int:
    return max(16, min(most, -(-nbytes // 16) * 16))


class Staging:
    """Buffers of pinned memory, and the CUDA stream on which they are copied to one device.

    On other devices the memory is not pinned, numbers are converted on the CPU, and each copy is
    complete when it returns; the interface is the same.
    """

    def __init__(
        self, device: str, nbytes: int, buffers: int = BUFFERS, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        """`nbytes` is the number of all bytes to copy; small models get small buffers."""
        self.device = torch.device(device)
        self.buffer_bytes = _buffer_bytes(nbytes, buffer_bytes)
        self._stream: torch.cuda.Stream | None = None
        pinned = self.device.type == "cuda"
        if pinned:
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            # The targets' memory may still be in use by work on the current stream.
            self._stream.wait_stream(torch.cuda.current_stream(self.device))
        self._free: SimpleQueue[tuple[torch.Tensor, torch.cuda.Event | None]] = SimpleQueue()
        for _ in range(buffers):
            buffer = torch.empty(self.buffer_bytes, dtype=torch.uint8, pin_memory=pinned)
            self._free.put((buffer, _event() if pinned else None))

    def copy(
        self, dtype: torch.dtype, fill: Callable[[torch.Tensor], None], target: torch.Tensor
    ) -> None:
        """Copy elements to a flat `target` on the device.

        `fill` writes them, in `dtype`, into the buffer that it is given. On CUDA they are converted
        on the device, and the copy may still run when this returns.
        """
        buffer, copied = self._free.get()
        try:
            if copied is not None:
                copied.synchronize()
            staged = buffer[: target.numel() * dtype.itemsize].view(dtype)
            fill(staged)
            with torch.no_grad(), torch.cuda.stream(self._stream) if self._stream else _nothing():
                if copied is None:
                    # Only CUDA reports when a copy is complete, and Apple's GPU has no float64.
                    target.copy_(staged.to(target.dtype))
                else:
                    if target.dtype != dtype:
                        staged = staged.to(self.device, non_blocking=True)  # converted there
                    target.copy_(staged, non_blocking=True)
                    copied.record(self._stream)
        finally:
            self._free.put((buffer, copied))

    def finish(self) -> None:
        """Wait until all copies are complete."""
        if self._stream is not None:
            self._stream.synchronize()
            torch.cuda.current_stream(self.device).wait_stream(self._stream)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]


def _nothing() -> nullcontext[None]:
    return nullcontext()


def fill_staged(
    targets: Sequence[tuple[TensorEntry, torch.Tensor]],
    staging: Staging,
    readers: int,
    done: Done | None = None,
) -> None:
    """Fill each contiguous tensor on the staging's device from its entry, several at a time.

    `done(entry, nbytes)` is called in the caller's thread as pieces are read, and may raise to
    cancel. Raises what `read_tensor` raises.
    """
    try:
        with ThreadPoolExecutor(readers, thread_name_prefix="loupe-load") as pool:
            waiting = {
                pool.submit(work): (entry, nbytes)
                for entry, target in sorted(targets, key=lambda pair: -pair[0].nbytes)
                for nbytes, work in _pieces(entry, target, staging)
            }
            try:
                for future in as_completed(waiting):
                    future.result()
                    if done is not None:
                        done(*waiting[future])
            except BaseException:  # also a cancel: no further piece is read
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        staging.finish()


def _pieces(
    entry: TensorEntry, target: torch.Tensor, staging: Staging
) -> Iterator[tuple[int, Callable[[], None]]]:
    """The pieces of one tensor: the bytes of each, and the function that copies it."""
    flat = target.detach().view(-1)
    if entry.form is None and not entry.transforms and entry.is_contiguous:
        dtype = torch_dtype(entry.dtype)
        most = max(1, staging.buffer_bytes // dtype.itemsize)
        for start in range(0, entry.numel, most):
            part = replace(
                entry,
                shape=(min(most, entry.numel - start),),
                stride=(1,),
                storage_offset=entry.storage_offset + start,
            )
            yield part.nbytes, _run(part, dtype, flat[start : start + part.numel], staging)
    elif entry.numel:
        yield entry.nbytes, _computed(entry, flat, staging)


def _run(
    part: TensorEntry, dtype: torch.dtype, target: torch.Tensor, staging: Staging
) -> Callable[[], None]:
    return lambda: staging.copy(dtype, lambda staged: read_tensor_into(part, staged), target)


def _computed(entry: TensorEntry, flat: torch.Tensor, staging: Staging) -> Callable[[], None]:
    """What is strided, derived or cast comes in chunks of its elements in order."""

    def work() -> None:
        start = 0
        for chunk in chunks(entry, staging.buffer_bytes):
            # A cast may make a chunk larger than what was read, and than the buffer.
            most = staging.buffer_bytes // chunk.dtype.itemsize
            for at in range(0, chunk.numel(), most):
                part = chunk[at : at + most]
                end = start + part.numel()
                staging.copy(part.dtype, _copier(part), flat[start:end])
                start = end

    return work


def _copier(part: torch.Tensor) -> Callable[[torch.Tensor], None]:
    def fill(staged: torch.Tensor) -> None:
        staged.copy_(part)

    return fill
