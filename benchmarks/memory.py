"""How much memory a run takes: the peak of all its processes together, by stage, on a table that is made up here.

    python benchmarks/memory.py 5e6          # rows; further options go to synthgen balance (--jobs 1, --holdout 0)

The table has 14 columns and a class of 0.2 %, to which 50,000 rows are added. MB are the processes' proportional shares
of memory (PSS: what several share counts once), looked at twenty times a second; Linux only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PART = 1_000_000


def main() -> None:
    n_rows, options = int(float(sys.argv[1])), sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "table.parquet"
        write_table(n_rows, data)
        wanted = ["--label", "y", "--strategy", f"1={n_rows // 500 * 4 // 5 + 50_000}", "--max-ratio", "100"]
        command = [sys.executable, "-m", "synthgen", "balance", str(data), *wanted]
        watch([*command, "--out", f"{folder}/out", "--gate", "report-only", *options])


def write_table(n_rows: int, path: Path) -> None:
    """Write ``n_rows`` rows, a million at a time."""
    writer = None
    for k, start in enumerate(range(0, n_rows, PART)):
        n, rng = min(PART, n_rows - start), np.random.default_rng(k)
        y = (rng.random(n) < 0.002).astype(np.int64)
        columns: dict[str, object] = {f"x{j}": rng.normal(size=n) + y * (j < 3) for j in range(6)}
        columns["amount"] = pa.array(np.round(np.exp(rng.normal(3, 1, n)), 2), mask=rng.random(n) < 0.05)
        columns["count"] = rng.poisson(3, n).astype(np.int32)
        columns["age"] = rng.integers(18, 90, n).astype(np.int16)
        columns["plan"] = np.array(["basic", "plus", "pro", "team"])[rng.integers(0, 4, n)]
        columns["region"] = np.array([f"region {i:02d}" for i in range(40)])[rng.integers(0, 40, n)]
        columns["since"] = np.datetime64("2015-01-01") + rng.integers(0, 4000, n).astype("timedelta64[D]")
        columns["active"] = rng.random(n) < 0.7
        table = pa.table({**columns, "y": y})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=PART // 4)
    if writer is not None:
        writer.close()


def watch(command: list[str]) -> None:
    """Run a command and print the peak of each stage as it ends."""
    began, peaks, stage = time.perf_counter(), dict[str, float](), ["start"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def look() -> None:
        while process.poll() is None:
            peaks[stage[0]] = max(peaks.get(stage[0], 0.0), sum(map(share, tree(process.pid))))
            time.sleep(0.05)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    for line in process.stderr or ():
        named = line.partition("]")[2].split()[:1] if line.startswith("[") else []
        if named and named[0] != stage[0]:
            print(
                f"{time.perf_counter() - began:7.1f} s  {stage[0]:<9} {peaks.get(stage[0], 0.0):7,.0f} MB", flush=True
            )
            stage[0] = named[0]
    watcher.join()
    took = time.perf_counter() - began
    print(f"{took:7.1f} s  {stage[0]:<9} {peaks.get(stage[0], 0.0):7,.0f} MB; exit {process.wait()}")
    print(f"peak {max(peaks.values()):,.0f} MB in {took:.0f} s")


def tree(pid: int) -> list[int]:
    """Return the process and all that come from it."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [each for child in children.read_text().split() for each in tree(int(child))]
        except OSError:
            continue
    return found


def share(pid: int) -> float:
    """Return a process's share of memory in MB; 0 where it has gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
