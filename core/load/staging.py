"""Bytes of a file to a device's memory: through a ring of buffers, reading while copying."""

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
"""Twice as many as are copied from at once would be enough; the rest evens out the disk."""

Done = Callable[[TensorEntry, int], None]


def staging_bytes(nbytes: int) -> int:
    """What copying so many bytes takes of the CPU's memory."""
    return BUFFERS * _buffer_bytes(nbytes, BUFFER_BYTES)


def _buffer_bytes(nbytes: int, most: int) -> int:
    return max(16, min(most, -(-nbytes // 16) * 16))


class Staging:
    """Buffers of pinned memory, and the stream on which they are copied to one device.

    On a device other than CUDA the memory is not pinned, numbers are converted before they leave
    the CPU, and each copy is over when it returns: the way is the same.
    """

    def __init__(
        self, device: str, nbytes: int, buffers: int = BUFFERS, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        """`nbytes` is what will be copied in all; small models get small buffers."""
        self.device = torch.device(device)
        self.buffer_bytes = _buffer_bytes(nbytes, buffer_bytes)
        self._stream: torch.cuda.Stream | None = None
        pinned = self.device.type == "cuda"
        if pinned:
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            # The destinations' memory may have been given back by work that still runs.
            self._stream.wait_stream(torch.cuda.current_stream(self.device))
        self._free: SimpleQueue[tuple[torch.Tensor, torch.cuda.Event | None]] = SimpleQueue()
        for _ in range(buffers):
            buffer = torch.empty(self.buffer_bytes, dtype=torch.uint8, pin_memory=pinned)
            self._free.put((buffer, _event() if pinned else None))

    def copy(
        self, dtype: torch.dtype, fill: Callable[[torch.Tensor], None], target: torch.Tensor
    ) -> None:
        """Let `fill` write the elements, in `dtype`, of a flat `target` on the device into a
        buffer, and copy them; on CUDA they are converted there, and under way when this returns."""
        buffer, copied = self._free.get()
        try:
            if copied is not None:
                copied.synchronize()
            staged = buffer[: target.numel() * dtype.itemsize].view(dtype)
            fill(staged)
            with torch.no_grad(), torch.cuda.stream(self._stream) if self._stream else _nothing():
                if copied is None:
                    # Only CUDA tells when a copy is over, and Apple's GPU takes no float64.
                    target.copy_(staged.to(target.dtype))
                else:
                    if target.dtype != dtype:
                        staged = staged.to(self.device, non_blocking=True)  # converted there
                    target.copy_(staged, non_blocking=True)
                    copied.record(self._stream)
        finally:
            self._free.put((buffer, copied))

    def finish(self) -> None:
        """Wait until all is on the device."""
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
    cancel. Raises as read_tensor does.
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
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        staging.finish()


def _pieces(
    entry: TensorEntry, target: torch.Tensor, staging: Staging
) -> Iterator[tuple[int, Callable[[], None]]]:
    """The work on one tensor, with the bytes of each piece of it."""
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
            # A cast may have made it larger than what was read.
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
