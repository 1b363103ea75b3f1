"""Memory: what may be held, what is given back, how many processes check, and a refusal with figures beforehand."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthgen import memory, needs, pipeline
from synthgen.config import make_config
from synthgen.data import parquet
from synthgen.data.dataset import TabularDataset, from_table
from synthgen.data.read import load
from synthgen.errors import DataError
from synthgen.forecast import forecast
from synthgen.job import prepare
from synthgen.planning import BalancePlan, make_plan
from synthgen.run import DRAWS

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def rows(n: int = 2000) -> TabularDataset:
    """``n`` rows of two numbers and a long text column."""
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=n), "z": rng.normal(size=n), "kind": [f"{k % 7} {'long' * 10}" for k in range(n)]}
    return from_table(pa.table({**columns, "label": np.arange(n) % 10 == 0}), label="label")


def plan_of(dataset: TabularDataset) -> BalancePlan:
    return make_plan(dataset.counts())


@LINUX
def test_what_may_be_held_is_what_is_free_and_what_is_held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Mutant: leave out what is held already, or the control group's limit."""
    held = memory._held_bytes()
    assert 10e6 < held < 1e11
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    free = memory.attainable_bytes()
    assert free is not None
    assert free > held
    for name, text in {"memory.max": "900000", "memory.current": "500000", "memory.stat": "inactive_file 1000"}.items():
        (tmp_path / name).write_text(text)
    assert memory.attainable_bytes() == pytest.approx(held + 401_000, abs=20e6)
    assert memory._free_in_group() == 401_000
    (tmp_path / "memory.max").write_text("max")
    assert memory._free_in_group() is None


@LINUX
def test_freed_memory_goes_back_to_the_system() -> None:
    """Mutant: do nothing. What lies last holds all before it, as in a long-lived process."""
    before = memory._held_bytes()
    blocks = [np.ones(12_000) for _ in range(3000)]  # 96 kB each: below what the C library maps apart
    assert memory._held_bytes() > before + 200e6
    last = blocks[-1]
    del blocks
    memory.give_back()
    assert memory._held_bytes() < before + 100e6
    assert last[0] == 1


def test_a_large_table_leaves_fewer_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutants: count the cores alone; or take a process away where --jobs was given."""
    dataset = rows()
    monkeypatch.setattr(needs, "cores", lambda: 8)
    monkeypatch.setattr(needs, "attainable_bytes", lambda: None)
    assert needs.workers(make_config({}), dataset, "cv") == 8
    monkeypatch.setattr(needs, "WORKER_BYTES", dataset.base.nbytes // 3)
    assert needs.workers(make_config({}), dataset, "cv") == 5
    assert needs.workers(make_config({"jobs": 7}), dataset, "cv") == 7
    assert needs.workers(make_config({"jobs": 7}), dataset, "none") == 1
    monkeypatch.setattr(needs, "WORKER_BYTES", dataset.base.nbytes // 30)
    assert needs.workers(make_config({}), dataset, "cv") == 1


def test_little_memory_leaves_fewer_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: as many as there are cores."""
    monkeypatch.setattr(needs, "cores", lambda: 8)
    monkeypatch.setattr(needs, "attainable_bytes", lambda: 1_500_000_000)
    assert needs.workers(make_config({}), rows(), "cv") == 3


def test_memory_grows_with_the_table_and_the_processes() -> None:
    small, large = rows(200), rows(20_000)
    one, two, many = (needs.memory_bytes(small, plan_of(small), jobs) for jobs in (1, 2, 8))
    assert one < two < many
    assert needs.memory_bytes(large, plan_of(large), 1) > one + large.base.nbytes


def test_what_does_not_fit_is_refused_with_figures_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Mutants: never refuse; name the columns in the table's order."""
    data, out = tmp_path / "big.parquet", tmp_path / "out"
    pq.write_table(rows().table, data)
    monkeypatch.setattr(needs, "attainable_bytes", lambda: 300_000_000)
    with pytest.raises(DataError) as caught:
        pipeline.balance(data, out=out, label="label", engine="oversample")
    said = str(caught.value)
    assert said.startswith("big.parquet takes about 4")
    assert "MB of memory to balance and 300 MB are to be had" in said
    assert said.index("kind (") < said.index("x (") < said.index("z (")
    assert "label (" not in said
    assert "--drop" in said
    assert "\n" not in said
    assert not out.exists()
    told = forecast(data, make_config({"label": "label", "engine": "oversample"}))
    assert told.memory_bytes > 300_000_000  # plan tells, and refuses nothing


def test_processes_that_do_not_fit_are_refused_as_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data, options = tmp_path / "t.parquet", {"label": "label", "engine": "oversample", "jobs": 400}
    pq.write_table(rows().table, data)
    monkeypatch.setattr(needs, "attainable_bytes", lambda: 2_000_000_000)
    with pytest.raises(DataError, match=r"give fewer --jobs: with 400 it is so much, with one 4\d\d MB$"):
        pipeline.balance(data, out=tmp_path / "out", config=make_config(options))
    done = pipeline.balance(data, out=tmp_path / "out", config=make_config({**options, "holdout": 0}))
    assert done.published
    monkeypatch.setattr(needs, "attainable_bytes", lambda: 0)  # and what is published is only looked up
    assert pipeline.balance(data, out=tmp_path / "out", config=make_config({**options, "holdout": 0})).answered


def test_a_file_that_unfolds_past_the_memory_is_refused_unread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Mutant: read it and be killed."""
    data = tmp_path / "big.parquet"
    pq.write_table(rows().table, data)
    monkeypatch.setattr(parquet, "attainable_bytes", lambda: 30_000)
    with pytest.raises(DataError, match=r"big.parquet unfolds to 0 MB and 0 MB of memory are to be had; give fewer"):
        load(data, label="label")


def test_a_check_s_workers_are_handed_paths_and_no_table(tmp_path: Path) -> None:
    """Mutant: hand over the run, or a part of its table."""
    data = tmp_path / "rows.parquet"
    pq.write_table(rows(6000).table, data)
    config = make_config({"label": "label", "engine": "oversample", "check": "holdout"})
    run = pipeline.start(prepare(data, config), tmp_path / "run")
    made = pipeline.plan(run)
    for unit in made.units:
        pipeline.fit(run, unit)
    pipeline.generate(run, True)
    draws = run.check_draws()
    assert len(draws.paths) == DRAWS
    assert len(draws(3)) == made.adds()[True]
    assert len(pickle.dumps(draws)) < 10_000 < run.dataset.base.nbytes
