"""What memory a run takes, how many processes that leaves room for, and a refusal where it is not to be had.

May import data, planning, config and memory. Figures are of this project's machine; benchmarks/memory.py measures them.
"""

from __future__ import annotations

import os

from synthgen.config import BalanceConfig
from synthgen.data.dataset import TabularDataset
from synthgen.data.kinds import Dataset
from synthgen.data.physical import is_number
from synthgen.data.schema import shown
from synthgen.errors import DataError
from synthgen.memory import attainable_bytes
from synthgen.planning import BalancePlan
from synthgen.quality.rules import Gate

PROCESS_BYTES = 450_000_000
WORKER_BYTES = 300_000_000
_TABLES = 1.6
_BYTES_PER_ROW = 60  # hashes, positions and codes, and what sorting them takes
_MATRICES = 6
_PICTURES = 4
_NAMED = 3


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers(config: BalanceConfig, dataset: Dataset, check: str) -> int:
    """Return how many processes check side by side: one where there is no check; as many as asked; else as there are
    cores, less one for each 300 MB of rows, about what one takes, so that a large table needs hardly more memory in all
    than a small one; and no more than the memory that is left has room for."""
    if check == "none":
        return 1
    if config.jobs is not None:
        return config.jobs
    size = dataset.size_bytes
    room, n_cores = attainable_bytes(), cores() - size // WORKER_BYTES
    if room is not None:
        n_cores = min(n_cores, int(room - PROCESS_BYTES - _TABLES * size) // WORKER_BYTES)
    return max(1, int(n_cores))


def memory_bytes(dataset: Dataset, plan: BalancePlan, jobs: int) -> int:
    """Return about how many bytes a run comes to hold at most, all its processes together, libraries included; right
    within a factor of two."""
    if not isinstance(dataset, TabularDataset):
        pixels = dataset.size_bytes * (len(dataset) + plan.total) // max(1, len(dataset))
        return PROCESS_BYTES * (1 + jobs) + _PICTURES * pixels
    n, width, gate = len(dataset), encoded_width(dataset), Gate()
    learned = min(n + plan.total, gate.max_rows * len(dataset.classes))
    matrices = _MATRICES * 4 * learned * width
    beside = jobs if jobs > 1 else 0  # one alone works in the process that is there
    rows = _TABLES * dataset.base.nbytes * (1 + plan.total / max(1, n)) + _BYTES_PER_ROW * n
    return int(PROCESS_BYTES + rows + beside * WORKER_BYTES + max(1, beside) * matrices)


def encoded_width(dataset: TabularDataset) -> int:
    """Return about how wide an encoded row is: 1 a number, a category's levels up to 50."""
    width = 0
    for column in dataset.schema.features:
        values = dataset.column(column.name)
        if column.kind in ("categorical", "boolean") or not is_number(column.type):
            width += min(50, len(values.slice(0, 10_000).unique()))
        else:
            width += 1
    return width


def check_memory(dataset: Dataset, plan: BalancePlan, jobs: int, *, name: str) -> None:
    """Raise DataError, with the figures and the three largest columns, where a run takes more memory than there is."""
    need, room = memory_bytes(dataset, plan, jobs), attainable_bytes()
    if room is None or need <= room:
        return
    told = f"{name} takes about {need / 1e6:,.0f} MB of memory to balance and {room / 1e6:,.0f} MB are to be had"
    if not isinstance(dataset, TabularDataset):
        raise DataError(f"{told}; give fewer --jobs, a smaller --size, fewer images, or more memory")
    alone = memory_bytes(dataset, plan, 1)
    if alone <= room:
        raise DataError(f"{told}; give fewer --jobs: with {jobs} it is so much, with one {alone / 1e6:,.0f} MB")
    sizes = {column: dataset.base.column(column).nbytes for column in dataset.schema.arrow.names}
    largest = sorted(sizes, key=lambda column: -sizes[column])[:_NAMED]
    listed = ", ".join(f"{shown(column)} ({sizes[column] / 1e6:,.0f} MB)" for column in largest)
    raise DataError(
        f"{told}; its largest columns are {listed}: leave some out with --drop, give fewer rows, or more memory"
    )
