"""What the tests of the main road share: a small real-looking table on disk, an engine that harms, the command."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa

from synthgen.data.dataset import TabularDataset
from synthgen.engines.base import EngineInfo, FitContext


def frame(n: int = 400, rare: int = 60) -> pd.DataFrame:
    """Return ``n`` mixed rows, ``rare`` of them of the class 1, which a model can tell apart in part."""
    rng = np.random.default_rng(5)
    label = (np.arange(n) < rare).astype(int)
    rows = pd.DataFrame(
        {
            "amount": np.where(rng.random(n) < 0.1, np.nan, (rng.lognormal(size=n) + label).round(2)),
            "calls": pd.array(rng.integers(0, 200, n), dtype="Int64"),
            "plan": pd.Categorical(rng.choice(["a", "b"], n), categories=["z", "b", "a"]),
            "joined": pd.date_range("2024-03-30", periods=n, freq="7h", tz="Europe/Berlin")[rng.permutation(n)],
            "x": rng.normal(size=n) + label,
            "fraud": label,
        }
    )
    rows.loc[:9, "calls"] = pd.NA
    return rows.sample(frac=1, random_state=0).reset_index(drop=True)


class Harmful:
    """Draws rows of the other classes and calls them the rare one's: a check that lets this pass checks nothing."""

    info = EngineInfo("harmful", "rows of the wrong class", ("table",), "synthetic", False, True, 1, "never")

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext | None = None) -> Self:
        self.train = train
        return self

    def sample(self, label: object, n: int, *, seed: int) -> TabularDataset:
        codes = self.train.label_codes
        others = np.flatnonzero(codes != self.train.classes.index(label))
        rows = self.train.take(np.random.default_rng(seed).choice(others, n))
        at = rows.table.schema.get_field_index(rows.label)
        field = rows.table.schema.field(at)
        table = rows.table.set_column(at, field, pa.array([label] * n, field.type))
        noisy = pa.array(np.random.default_rng(seed).normal(size=n) - 2, pa.float64())
        table = table.set_column(table.schema.get_field_index("x"), table.schema.field("x"), noisy)
        return TabularDataset(table, rows.schema, rows.classes)

    def save(self, folder: Path) -> None:
        (folder / "rows.arrow").write_bytes(b"")
        import pyarrow.feather as feather

        feather.write_feather(self.train.table, folder / "rows.feather")

    @classmethod
    def load(cls, folder: Path) -> Self:
        import pyarrow.feather as feather

        from synthgen.data.dataset import from_table

        engine = cls()
        engine.train = from_table(feather.read_table(folder / "rows.feather"), label="fraud")
        return engine


class Leaves(Harmful):
    """Ends the process when fitted, as if all were done."""

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext | None = None) -> Self:
        sys.exit(0)


class Closes(Harmful):
    """Closes what all of the process writes to."""

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext | None = None) -> Self:
        sys.stdout.close()
        return super().fit(train, seed=seed, context=context)


class LeavingLearner:
    """An estimator that ends the process when asked."""

    def fit(self, x: pd.DataFrame, y: np.ndarray) -> None:
        """Learn nothing."""

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        sys.exit(0)


def shards(out: Path) -> dict[str, str]:
    """Return path -> sha256 of the published files that hold rows."""
    manifest = json.loads((out / "current" / "manifest.json").read_text())
    return {entry["path"]: entry["sha256"] for entry in manifest["files"] if entry["rows"] is not None}


def command(
    *arguments: object, cwd: Path | None = None, code: int = 0, limit: tuple[int, tuple[int, int]] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``synthgen`` in a process of its own, expecting the exit code; ``limit`` as resource.setrlimit takes it."""
    here = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{Path(__file__).parent}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "synthgen", *map(str, arguments)],
        cwd=cwd or here,
        env=env,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        preexec_fn=None if limit is None else lambda: resource.setrlimit(*limit),
    )
    assert done.returncode == code, f"exit {done.returncode}, wanted {code}\n{done.stdout}\n{done.stderr}"
    return done
