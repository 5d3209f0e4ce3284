"""Checks whether a device has enough memory for a model, and says what to do if it has not."""

from __future__ import annotations

import gc
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import clear_frames

import torch

from core.errors import ArchitectureError, LoadError
from core.wording import size as size_words

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Need:
    """The bytes that a model takes on `device`, and would take as bfloat16.

    `devices` are all devices of the machine, which an error may suggest.
    """

    device: str
    nbytes: int
    as_bfloat16: int
    devices: tuple[str, ...] = ()


class NoRoom(LoadError):
    """A device does not have the memory that a model needs.

    `needed` and `free` are bytes; `free` is None if it is unknown, or if the device reported enough
    and still refused.
    """

    def __init__(
        self, device: str, needed: int, free: int | None, ways_out: Sequence[str] = ()
    ) -> None:
        room = "less is left" if free is None else f"{size_words(free)} are free"
        ways = ", or ".join(ways_out) or "close what else uses its memory"
        super().__init__(
            f"The model needs {size_words(needed)} of memory on {device}, where {room}.",
            f"{ways[:1].upper()}{ways[1:]}.",
        )
        self.device = device
        self.needed = needed
        self.free = free
        self.ways_out = tuple(ways_out)

    def with_models_in_use(self, models: int, nbytes: int) -> NoRoom:
        """The same error, with the remedy to close `models` other models that take `nbytes`."""
        if not models:
            return self
        which = "the other loaded model" if models == 1 else f"the {models} other loaded models"
        way = f"close {which} on {self.device}, with {size_words(nbytes)}"
        return NoRoom(self.device, self.needed, self.free, (*self.ways_out, way))


def free_bytes(device: str) -> int | None:
    """The bytes that can still be allocated on `device`; None if that is unknown.

    On the CPU it is the smallest of three: what the kernel can give without swapping (MemAvailable
    in proc(5)), and what is left of the control group's limit and of the process's own limit.
    """
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    if device == "mps" and torch.backends.mps.is_available():
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    if device != "cpu":
        return None
    limits = [
        limit for limit in (_available(), control_group_bytes(), _address_space()) if limit >= 0
    ]
    return min(limits, default=None)


def require_room(need: Need) -> None:
    """Raise NoRoom unless the device has that much free memory."""
    # Before allocating: Linux grants more memory than it has, and kills a process that uses it.
    free = free_bytes(need.device)
    if free is not None and need.nbytes > free:
        raise no_room(need)


def no_room(need: Need) -> NoRoom:
    """The error: what is needed, what is free, and each remedy that would help."""
    ways = []
    free = free_bytes(need.device)
    if need.as_bfloat16 < need.nbytes and _fits_as_bfloat16(need, free):
        ways.append(f"load it as bfloat16, which takes {size_words(need.as_bfloat16)}")
    for other in need.devices:
        room = free_bytes(other) if other != need.device else None
        if room is not None and room >= need.nbytes:
            ways.append(f"choose {other}, where {size_words(room)} are free")
    lacking = free is not None and free < need.nbytes
    return NoRoom(need.device, need.nbytes, free if lacking else None, ways)


def _fits_as_bfloat16(need: Need, free: int | None) -> bool:
    """Whether the model would fit as bfloat16."""
    # An address-space limit also counts the model as it is built, before it takes any memory.
    if need.device == "cpu" and 0 <= _address_space() < need.nbytes + need.as_bfloat16:
        return False
    return free is None or need.as_bfloat16 <= free


@contextmanager
def running_out(need: Need, passed_on: Collection[int] = ()) -> Iterator[None]:
    """Turn errors of torch inside into a LoadError: NoRoom if an allocator ran out of memory.

    Errors whose ids are in `passed_on` are raised as they are.
    """
    try:
        yield
    except (ArchitectureError, MemoryError, RuntimeError) as error:
        if id(error) in passed_on:
            raise
        if is_out_of_memory(error):
            _let_go(error)
            raise no_room(need) from error
        if isinstance(error, ArchitectureError):
            raise
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise LoadError(
            f"The model could not be loaded: {cause}",
            "Choose another device or dtype.",
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator raised the error, or the error's cause if no architecture was built."""
    cause = error.__cause__ if isinstance(error, ArchitectureError) else error
    text = str(cause)
    # The allocators of the CPU (c10/core/impl/alloc_cpu.cpp) and of MPS
    # (aten/src/ATen/mps/MPSAllocator.mm) raise a plain RuntimeError.
    return isinstance(cause, torch.OutOfMemoryError | MemoryError) or (
        isinstance(cause, RuntimeError)
        and ("can't allocate memory" in text or "out of memory" in text)
    )


def _let_go(error: BaseException) -> None:
    """Free what was built so far, which the frames of the error's traceback keep alive."""
    for raised in (error, error.__cause__):
        if raised is not None:
            clear_frames(raised.__traceback__)
    gc.collect()


def _available() -> int:
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return -1


CONTROL_GROUPS = (
    ("memory.max", "memory.current", "memory.stat", ""),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_",
    ),
)
"""The files with the limit, the memory in use and its statistics, and the prefix of the fields in
the last, for version 2 and version 1 of control groups (Documentation/admin-guide/cgroup-v2.rst and
cgroup-v1/memory.rst in the Linux source)."""

FILE_CACHE = ("active_file", "inactive_file")
"""Statistics of memory that the kernel frees before it refuses an allocation."""


def control_group_bytes(root: Path = Path("/sys/fs/cgroup")) -> int:
    """The bytes that a container may still take, -1 without a limit; its file cache counts as
    free."""
    for limit_file, used_file, stat_file, prefix in CONTROL_GROUPS:
        limit, used = _text(root / limit_file).strip(), _text(root / used_file).strip()
        if limit.isdigit() and used.isdigit():
            fields = dict(line.split() for line in _text(root / stat_file).splitlines())
            cached = sum(int(fields.get(f"{prefix}{field}", 0)) for field in FILE_CACHE)
            return max(0, int(limit) - int(used) + cached)
    return -1


def _address_space() -> int:
    if resource is None:
        return -1
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _text(Path("/proc/self/statm")).split()
    if limit == resource.RLIM_INFINITY or not pages:
        return -1
    return max(0, limit - int(pages[0]) * os.sysconf("SC_PAGE_SIZE"))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
