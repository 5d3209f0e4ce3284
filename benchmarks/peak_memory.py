"""How much memory a process has taken, now and at most (Linux, proc(5)), in bytes."""

import os
from pathlib import Path


def reset_peak() -> int:
    """Forget this process's peak so far; the bytes that are resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident()


def peak() -> int:
    """The most that was resident at once since `reset_peak`."""
    return _status(os.getpid(), "VmHWM")


def resident(process: int | None = None) -> int:
    """What a process holds now, this one unless another is given."""
    return _status(process or os.getpid(), "VmRSS")


def _status(process: int, field: str) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise LookupError(field)
