"""The memory of this process: how much it may come to hold, and giving back what is no longer used.

May import pyarrow inside functions; nothing of synthgen's. Reads /proc and the control group, where there are any.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def attainable_bytes() -> int | None:
    """Return the bytes that this process may come to hold: what it holds, and what the machine or its control group
    (version 2) has free. None where that is not told."""
    free = [known for known in (_free_on_machine(), _free_in_group()) if known is not None]
    return min(free) + _held_bytes() if free else None


def give_back() -> None:
    """Return freed memory to the system: the allocators of C and of Arrow keep what large arrays leave behind, several
    hundred MB after a table of 500, and what comes next is laid beside it."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the GNU C library alone
        if trim is not None:
            trim(0)


def _free_on_machine() -> int | None:
    told = _numbers(Path("/proc/meminfo"))
    return 1024 * told["MemAvailable:"] if "MemAvailable:" in told else None


def _free_in_group() -> int | None:
    try:
        most = int((_GROUP / "memory.max").read_text("ascii"))
        used = int((_GROUP / "memory.current").read_text("ascii"))
    except (OSError, ValueError):  # no control group, or one without a limit
        return None
    return max(0, most - used + _numbers(_GROUP / "memory.stat").get("inactive_file", 0))


def _held_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _numbers(path: Path) -> dict[str, int]:
    """A file of lines that each say a name and a whole number."""
    try:
        lines = [line.split() for line in path.read_text("ascii").splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdecimal()}
