"""What cwgan-gp costs: beside the ctgan library, on rows by the million, and as tables grow. One thread, one process.

    OMP_NUM_THREADS=1 python benchmarks/speed.py step fit    # paired with ctgan, which needs minutes for "fit"
    OMP_NUM_THREADS=1 python benchmarks/speed.py encode write grow wide

Seconds are of CPU, so that what else the machine does matters little; on a quiet machine they are the clock's. Each
part is a process of its own, so that its peak memory is its own. Tables are made by tables.py. Of ctgan nothing
but its public class is used, at its defaults, on the same rows (its missing numbers filled: it refuses them).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import OrdinalEncoder
from tables import mixed

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.encode.tabular import TabularCodec
from synthgen.engines import make_engine
from synthgen.engines.base import Engine, FitContext
from synthgen.errors import SynthgenError
from synthgen.gan.config import preset

T = TypeVar("T")
ROWS = 6_060  # of which 61 are rare
USEFUL = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parts = parser.parse_args().parts
    if len(parts) > 1:
        for part in parts:
            subprocess.run([sys.executable, __file__, part], check=True)
        return
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    print(f"== {parts[0]}", flush=True)
    PARTS[parts[0]]()
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB", flush=True)


def step() -> None:
    """Time a generator step with the critic steps that belong to it (three here, one at ctgan), in turns: the seconds
    between two reports of a fit's progress. The least are what a step costs where nothing else disturbs it."""
    rows = mixed(ROWS)
    ours, theirs = [], []
    for _ in range(2):
        ours += _steps(make_engine("cwgan-gp"), rows, each=preset().log_every)
        theirs += _steps(make_engine("ctgan", epochs=7), rows, each=ROWS // 500)
    for name, take in (("median", statistics.median), ("least", min)):
        print(f"{name}: ours {1e3 * take(ours):.1f} ms a step, ctgan {1e3 * take(theirs):.1f} ms, ", end="")
        print(f"ratio {take(theirs) / take(ours):.1f}")


def fit() -> None:
    """Time both fits to their ends (ctgan: 300 epochs), and tell their rare rows from ones that neither has seen."""
    rows = mixed(ROWS)
    _ours(rows, 2)
    engine, ours = _ours(rows, None)
    model, theirs = _theirs(rows, 300)
    print(f"fit: ours {ours:.1f} s, ctgan {theirs:.1f} s, ratio {theirs / ours:.0f}")
    unseen = mixed(100_000, part=1).of_class("yes").to_pandas()
    made, seconds = _timed(lambda: engine.sample("yes", USEFUL, seed=0))
    drawn, useful, took = _conditional(model)
    print(f"useful rows/s: ours {USEFUL / seconds:,.0f}, ctgan {len(useful) / took:,.0f} ({len(useful)} of {drawn})")
    print(f"C2ST against unseen rare rows: ours {_c2st(made.to_pandas(), unseen):.3f}, {_c2st(useful, unseen):.3f}")


def encode() -> None:
    """Time fit and encode of the codec."""
    rows = mixed(20_000, 15)
    for _ in range(3):
        codec, fitted = _timed(lambda: TabularCodec().fit(rows))
        encoded = _timed(lambda: codec.encode(rows, seed=0))[1]  # noqa: B023
        print(f"20,000 x 15: fit {fitted:.3f} s, encode {encoded:.3f} s")


def write() -> None:
    """Time a million rows, sampled and written."""
    engine = make_engine("cwgan-gp", steps=50).fit(mixed(ROWS, 15), seed=0)
    _memory("after the fit")
    with tempfile.TemporaryDirectory() as folder:
        made, sampled = _timed(lambda: engine.sample("yes", 1_000_000, seed=0))
        path = Path(folder) / "rows.parquet"
        written = _timed(lambda: pq.write_table(made.table, path))[1]
        size = path.stat().st_size
    print(f"1,000,000 x 15: sampled in {sampled:.1f} s, written in {written:.1f} s, {size / 1e6:.0f} MB of parquet")


def grow() -> None:
    """Time a whole fit on ever larger tables."""
    for n_rows in (10_000, 100_000, 1_000_000):
        rows = mixed(n_rows, 20)
        seconds = _timed(lambda: make_engine("cwgan-gp").fit(rows, seed=0))[1]  # noqa: B023
        _memory(f"{n_rows:,} x 20: fit in {seconds:.1f} s, {1e6 * seconds / n_rows:.0f} us a row")


def wide() -> None:
    """Fit and sample with a column of 100,000 categories, ten rows each."""
    table = mixed(1_000_000, 6).table
    towns = np.random.default_rng(0).permutation(1_000_000) % 100_000
    table = table.append_column("town", pa.array(towns).cast(pa.string()))
    rows = from_table(table, label="label")
    for name in ("cwgan-gp", "ctgan"):
        engine = make_engine(name)
        try:
            seconds = _timed(lambda: engine.fit(rows, seed=0).sample("yes", 10_000, seed=0))[1]  # noqa: B023
        except SynthgenError as error:
            print(f"{name} refuses: {error}")
        else:
            _memory(f"{name}: {seconds:.1f} s")


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.process_time()
    return work(), time.process_time() - start


def _memory(what: str) -> None:
    print(f"{what}; peak so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB", flush=True)


def _steps(engine: Engine, rows: TabularDataset, *, each: int) -> list[float]:
    """Return the seconds of a step in each stretch of a fit of ``each`` steps."""
    marks: list[float] = []
    engine.fit(rows, seed=0, context=FitContext(report=lambda *_: marks.append(time.process_time())))
    return [float(seconds) / each for seconds in np.diff(marks[1:])]


def _ours(rows: TabularDataset, steps: int | None) -> tuple[Engine, float]:
    engine = make_engine("cwgan-gp", **({"steps": steps} if steps else {}))
    return engine, _timed(lambda: engine.fit(rows, seed=0))[1]


def _theirs(rows: TabularDataset, epochs: int) -> tuple[object, float]:
    from ctgan import CTGAN

    frame = rows.to_pandas()
    numeric = [column.name for column in rows.schema.features if column.kind in ("continuous", "integer")]
    frame[numeric] = frame[numeric].fillna(frame[numeric].median())
    discrete = [name for name in frame if name not in numeric]
    frame = frame[[rows.label, *frame.columns.drop(rows.label)]]  # its condition is right for the first alone
    model = CTGAN(epochs=epochs, enable_gpu=False)
    with joblib.parallel_config(backend="sequential"):  # else it encodes in further processes
        return model, _timed(lambda: model.fit(frame, discrete))[1]


def _conditional(model: object) -> tuple[int, pd.DataFrame, float]:
    """Return rows drawn with ctgan's condition on the rare class, those that are of it, and the seconds."""
    drawn, kept, start = 0, [], time.process_time()
    while sum(map(len, kept)) < USEFUL and drawn < 40 * USEFUL:
        rows = model.sample(USEFUL, "label", "yes")  # type: ignore[attr-defined]
        drawn, kept = drawn + len(rows), [*kept, rows[rows["label"] == "yes"]]
    return drawn, pd.concat(kept).head(USEFUL), time.process_time() - start


def _c2st(made: pd.DataFrame, unseen: pd.DataFrame) -> float:
    n = min(len(made), len(unseen))
    both = pd.concat([made.head(n), unseen.head(n)])[unseen.columns].drop(columns="label")
    both = both.fillna(both.median(numeric_only=True))  # ctgan never saw a missing number
    side = np.repeat([1, 0], n)
    texts = both.select_dtypes("object").columns
    both[texts] = OrdinalEncoder().fit_transform(both[texts])
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=0)
    return float(roc_auc_score(side, cross_val_predict(forest, both, side, cv=3, method="predict_proba")[:, 1]))


PARTS = {part.__name__: part for part in (step, fit, encode, write, grow, wide)}

if __name__ == "__main__":
    main()
