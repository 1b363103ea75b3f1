"""What does a training step cost beside one of the ctgan library's, on the same rows, in the same run?

    OMP_NUM_THREADS=1 python benchmarks/step_speed.py adult.parquet --label target

Cuts the table to 60 rows of the rarest class and 6,000 others, then times both in turns at their own defaults on one
thread. A step is a generator step with the critic steps that belong to it (three here, one at ctgan). What a fit costs
before its first step falls out of the difference of a long and a short fit. ``--whole`` also runs each fit to its end
(ctgan: 300 epochs, minutes). Needs ctgan (pip install ctgan), of which nothing but its public class is used.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from ctgan import CTGAN

from synthgen.data.dataset import TabularDataset
from synthgen.data.read import load
from synthgen.engines.adversarial import Adversarial
from synthgen.gan.config import preset

SHORT, LONG = 20, 120  # our steps
EPOCHS = 4  # of ctgan, beside 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--label", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--whole", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows = cut(load(args.table, label=args.label))
    _ours(rows, 2)  # what is only paid once in a process
    pairs = [(_our_step(rows), _their_step(rows)) for _ in range(args.rounds)]
    for ours, theirs in pairs:
        print(f"ours {1e3 * ours:.1f} ms a step, ctgan {1e3 * theirs:.1f} ms, ratio {theirs / ours:.1f}")
    print(f"median ratio {statistics.median(theirs / ours for ours, theirs in pairs):.1f}")
    if args.whole:
        whole = _ours(rows, preset().steps)
        theirs = _theirs(rows, 300)
        print(f"whole fit: ours {whole:.1f} s, ctgan {theirs:.1f} s, ratio {theirs / whole:.0f}")


def cut(table: TabularDataset) -> TabularDataset:
    """Return 60 rows of the rarest class and 6,000 of the others."""
    rare = min((n, code) for code, n in enumerate(table.counts().values()) if n)[1]
    rng = np.random.default_rng(0)
    of_rare = table.label_codes == rare
    kept = [rng.permutation(np.flatnonzero(of_rare == side))[:n] for side, n in ((True, 60), (False, 6_000))]
    return table.take(np.concatenate(kept))


def _ours(rows: TabularDataset, steps: int) -> float:
    start = time.perf_counter()
    Adversarial("cwgan-gp", steps=steps).fit(rows, seed=0)
    return time.perf_counter() - start


def _our_step(rows: TabularDataset) -> float:
    return (_ours(rows, LONG) - _ours(rows, SHORT)) / (LONG - SHORT)


def _theirs(rows: TabularDataset, epochs: int) -> float:
    frame = rows.to_pandas()
    numeric = [column.name for column in rows.schema.columns if column.kind in ("continuous", "integer")]
    frame[numeric] = frame[numeric].fillna(frame[numeric].median())  # ctgan refuses missing numbers
    discrete = [name for name in frame if name not in numeric]
    frame[discrete] = frame[discrete].astype(str)
    start = time.perf_counter()
    CTGAN(epochs=epochs, enable_gpu=False).fit(frame, discrete)
    return time.perf_counter() - start


def _their_step(rows: TabularDataset) -> float:
    steps = (EPOCHS - 1) * max(1, len(rows) // 500)
    return (_theirs(rows, EPOCHS) - _theirs(rows, 1)) / steps


if __name__ == "__main__":
    main()
