"""Fixtures that several rooms' tests share. One thread per library: the machine's cores belong to pytest's workers."""

# ruff: noqa: E402  the threads are counted when a library loads

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from synthgen.data.dataset import TabularDataset, from_table

MixedTable = Callable[..., pa.Table]


def _mixed_table(n: int = 200, *, seed: int = 0, share: float = 0.2) -> pa.Table:
    """Return ``n`` rows with a column of every kind, missing values among them, and the label column ``outcome``."""
    rng = np.random.default_rng(seed)
    rare = rng.random(n) < share
    day = 24 * 3600 * 1_000_000
    some = rng.random(n) < 0.1
    columns = {
        "amount": pa.array(rng.normal(size=n) + rare, mask=some),
        "visits": pa.array(rng.integers(0, 500, n), pa.int16()),
        "plan": pa.array(rng.choice(["basic", "plus", "pro"], n), mask=some),
        "region": pa.array(rng.choice(["north", "south"], n)).dictionary_encode(),
        "active": pa.array(rng.random(n) < 0.5),
        "joined": pa.array(rng.integers(0, 2_000, n) * day, pa.timestamp("us", "Europe/Berlin")),
        "born": pa.array(rng.integers(0, 15_000, n).astype(np.int32), pa.date32(), mask=some),
        "wait": pa.array(rng.integers(0, 10**6, n), pa.duration("ms")),
        "price": pa.array([Decimal(int(cents)).scaleb(-2) for cents in rng.integers(0, 10**5, n)], pa.decimal128(9, 2)),
        "country": pa.array(["DE"] * n),
        "empty": pa.nulls(n, pa.float64()),
        "customer_id": pa.array(rng.permutation(n) + 10**6),
        "outcome": pa.array(np.where(rare, "churn", "stay")),
    }
    return pa.table(columns)


@pytest.fixture
def mixed_table() -> MixedTable:
    """The maker of tables with a column of every kind: ``mixed_table(n, seed=, share=)``; the label is ``outcome``."""
    return _mixed_table


@pytest.fixture(scope="session")
def mixed() -> TabularDataset:
    """300 such rows as a dataset."""
    return from_table(_mixed_table(300), label="outcome")
