"""What every engine promises, as plain functions: ``check_engine(lambda: MyEngine())`` in a test of your own.

Builds its own small tables; may import data and engines.base. Failures are AssertionErrors that say what broke.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.data.schema import Label
from synthgen.engines import load_engine, save_engine
from synthgen.engines.base import Engine, FitContext, class_path
from synthgen.errors import ConfigError, EngineError, SynthgenError

Factory = Callable[[], Engine]
COMMON, RARE = 180, 40
MISSING_SLACK = 0.35


def mixed_table(labels: Mapping[Label, int], *, seed: int = 0) -> TabularDataset:
    """Return a table of every kind of column with ``labels`` (label -> rows), in random order."""
    rng = np.random.default_rng(seed)
    which = rng.permutation(np.repeat(np.arange(len(labels)), list(labels.values())))
    n, shift = len(which), which.astype(float)
    names = np.array(["red", "green", "blue"])
    colours = names[(rng.random(n) * 2.99 * (1 + shift) / len(labels)).astype(int) % 3]
    hours = rng.integers(0, 24 * 365, n)
    stamps = [datetime(2024, 1, 1) + timedelta(hours=int(h)) for h in hours]
    columns = {
        "amount": pa.array(rng.lognormal(shift, 0.7).astype(np.float32), mask=rng.random(n) < 0.1),
        "balance": pa.array(np.where(rng.random(n) < 0.3, 0.0, rng.normal(shift, 1))),
        "visits": pa.array(rng.poisson(30 + 10 * shift), pa.int16()),
        "steps": pa.array(5 * rng.integers(0, 1000, n), pa.int64(), mask=rng.random(n) < 0.15),
        "grade": pa.array(rng.integers(0, 4, n), pa.uint8()),
        "vip": pa.array(rng.random(n) < 0.3 + 0.3 * (which > 0), mask=rng.random(n) < 0.1),
        "colour": pa.DictionaryArray.from_arrays(
            pa.array([["red", "green", "blue", "unused"].index(c) for c in colours], pa.int8()),
            pa.array(["red", "green", "blue", "unused"]),
        ),
        "city": pa.array(np.array(["Ulm", "Köln", "東京"])[rng.integers(0, 3, n)], mask=rng.random(n) < 0.2),
        "seen": pa.array(stamps, pa.timestamp("us")).cast(pa.timestamp("us", tz="Europe/Berlin")),
        "day": pa.array([date(2020, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 900, n)], pa.date32()),
        "source": pa.array(["web"] * n),
        "user_id": pa.array([f"u{k:06d}" for k in rng.permutation(n)]),
        "outcome": _label_array([list(labels)[k] for k in which]),
    }
    fields = [pa.field(name, column.type, metadata={"unit": name}) for name, column in columns.items()]
    schema = pa.schema(fields, metadata={"made": "by a test"})
    return from_table(pa.table(list(columns.values()), schema=schema), label="outcome")


def narrow_table(kind: str, labels: Mapping[Label, int], *, seed: int = 1) -> TabularDataset:
    """Return a table of one ``kind`` of column: "categories", "numbers", "dates" or "missing" (mostly missing)."""
    rng = np.random.default_rng(seed)
    which = rng.permutation(np.repeat(np.arange(len(labels)), list(labels.values())))
    n, shift = len(which), which.astype(float)
    if kind == "categories":
        columns = {f"c{k}": pa.array(np.array(list("abcdef"))[(rng.integers(0, 4, n) + which) % 6]) for k in range(3)}
    elif kind == "numbers":
        columns = {f"x{k}": pa.array(rng.normal(shift, 1)) for k in range(3)}
    elif kind == "dates":
        at = [datetime(2021, 3, 1) + timedelta(seconds=int(s)) for s in rng.integers(0, 10**7, n)]
        columns = {"at": pa.array(at, pa.timestamp("ns")), "for": pa.array(rng.integers(0, 10**6, n), pa.duration("s"))}
    else:
        columns = {
            "x": pa.array(rng.normal(shift, 1), mask=rng.random(n) < 0.7),
            "c": pa.array(np.array(list("abc"))[rng.integers(0, 3, n)], mask=rng.random(n) < 0.7),
        }
    columns["outcome"] = _label_array([list(labels)[k] for k in which])
    return from_table(pa.table(columns), label="outcome")


def _label_array(values: list[Label]) -> pa.Array:
    return pa.array(values, pa.int32()) if type(values[0]) is int else pa.array(values)


class Kit:
    """An engine's factory with one fit on the mixed table, shared by the checks."""

    def __init__(self, factory: Factory) -> None:
        self.factory = factory

    def make(self, labels: Mapping[Label, int], *, seed: int = 0) -> TabularDataset:
        """Return data with ``labels`` (label -> rows): the mixed table; a kit for images makes those."""
        return mixed_table(labels, seed=seed)

    @cached_property
    def data(self) -> TabularDataset:
        """Data whose rare class is called "rare"."""
        return self.make({"common": COMMON, "other": RARE + 20, "rare": RARE})

    @cached_property
    def train(self) -> TabularDataset:
        """The rows that the engine is fitted on: all, or those of the class for an unconditional engine."""
        return rows_for(self.factory(), self.data, "rare")

    @cached_property
    def fitted(self) -> Engine:
        """The engine, fitted with seed 0."""
        return self.factory().fit(self.train, seed=0)

    @cached_property
    def rows(self) -> TabularDataset:
        """A draw of 120 rows of the rare class."""
        return self.fitted.sample("rare", 120, seed=5)


def rows_for(engine: Engine, data: TabularDataset, label: Label) -> TabularDataset:
    """Return what the planner would fit the engine on to make rows of ``label``."""
    return data if engine.info.conditional else data.of_class(label)


def check_info(kit: Kit) -> None:
    """The facts are complete before a fit, and still hold after it."""
    before, after = kit.factory().info, kit.fitted.info
    require(bool(before.name and before.summary and before.when), "info has an empty name, summary or when")
    require(before.min_rows >= 1, f"min_rows is {before.min_rows}, less than 1")
    require("table" in before.modalities or "image" in before.modalities, f"unknown modalities {before.modalities}")
    require(after.origin in ("synthetic", "repeated"), f"unknown origin {after.origin!r}")
    require(before.name == after.name, "fit changed the engine's name")
    require(isinstance(kit.fitted, Engine), "the engine lacks a member of the protocol")


def check_counts(kit: Kit) -> None:
    """Exactly the rows asked for, none included; a negative count is refused."""
    for n in (0, 1, 7, 53):
        got = len(kit.fitted.sample("rare", n, seed=n))
        require(got == n, f"asked for {n} rows, got {got}")
    _raises(ConfigError, lambda: kit.fitted.sample("rare", -1, seed=0), "sampling -1 rows")


def check_schema(kit: Kit) -> None:
    """The training table's Arrow schema, types and metadata, also of an empty draw."""
    want = kit.data.table.schema
    for rows in (kit.rows, kit.fitted.sample("rare", 0, seed=0)):
        got = rows.table.schema
        require(got.equals(want, check_metadata=True), f"the schema differs:\n{got}\nwanted:\n{want}")
        require(rows.schema == kit.data.schema and rows.classes == kit.data.classes, "schema or classes differ")


def check_label(kit: Kit) -> None:
    """Every row has the label that was asked for."""
    wrong = {label: n for label, n in kit.rows.counts().items() if n and label != "rare"}
    require(not wrong, f"asked for 'rare', got also {wrong}")


def check_determinism(kit: Kit) -> None:
    """The same seeds give the same rows, from a second engine too, whatever was sampled before."""
    again = kit.factory().fit(kit.train, seed=0)
    again.sample("rare", 3, seed=1)
    for seed in (5, 6):
        first, second = (engine.sample("rare", 60, seed=seed) for engine in (kit.fitted, again))
        require(first.fingerprint() == second.fingerprint(), f"two fits differ for seed {seed}")


def check_seeds_differ(kit: Kit) -> None:
    """Another seed gives other rows."""
    first, second = (kit.fitted.sample("rare", 60, seed=seed).fingerprint() for seed in (1, 2))
    require(first != second, "seeds 1 and 2 give the same rows")


def check_save_load(kit: Kit) -> None:
    """A loaded engine samples the same rows, bit for bit."""
    with tempfile.TemporaryDirectory() as folder:
        save_engine(kit.fitted, Path(folder) / "model")
        pickles = [p.name for p in Path(folder).rglob("*") if p.suffix in (".pkl", ".pickle", ".pt", ".joblib")]
        require(not pickles, f"save wrote pickles: {pickles}")
        loaded = load_engine(Path(folder) / "model", trusted=[class_path(kit.fitted)])
    for seed in (5, 6):
        first, second = (engine.sample("rare", 70, seed=seed) for engine in (kit.fitted, loaded))
        same = first.fingerprint() == second.fingerprint()
        require(same, f"the loaded engine differs for seed {seed}")
    require(loaded.info == kit.fitted.info, "the loaded engine states other facts")


def check_ranges(kit: Kit) -> None:
    """Numbers and dates stay within the training table's range."""
    for name in ("amount", "balance", "visits", "steps", "grade", "seen", "day"):
        real, made = (pc.min_max(data.table.column(name)).as_py() for data in (kit.data, kit.rows))
        if made["min"] is None:
            continue
        inside = real["min"] <= made["min"] and made["max"] <= real["max"]
        require(inside, f"column {name!r} leaves the range {real}: {made}")


def check_grid(kit: Kit) -> None:
    """Whole numbers stay on the values that the column's steps allow."""
    steps = kit.rows.table.column("steps").drop_null().to_numpy()
    off = steps[steps % 5 != 0]
    require(len(off) == 0, f"column 'steps' holds multiples of 5 only, got {off[:5].tolist()}")


def check_categories(kit: Kit) -> None:
    """No category that the training rows do not have."""
    for name in ("vip", "colour", "city", "grade"):
        real, made = ({*data.table.column(name).to_pylist()} for data in (kit.data, kit.rows))
        require(made <= real | {None}, f"column {name!r} has new categories {made - real}")


def check_missing(kit: Kit) -> None:
    """Missing values only where the training table has some, and about as often as in the class."""
    real = kit.data.of_class("rare").table
    for name in real.schema.names:
        all_missing = kit.data.table.column(name).null_count
        made = kit.rows.table.column(name).null_count / len(kit.rows)
        share = real.column(name).null_count / len(real)
        require(all_missing > 0 or made == 0, f"column {name!r} has no missing values, the new rows {made:.0%}")
        close = abs(made - share) <= MISSING_SLACK
        require(close or kit.fitted.info.trains, f"column {name!r}: {made:.0%} missing, {share:.0%} in the class")


def check_ids(kit: Kit) -> None:
    """Ids are new and different from each other; rows that repeat real ones repeat real ones exactly."""
    if kit.fitted.info.origin == "repeated":
        known = set(kit.data.of_class("rare").feature_hashes().tolist())
        require(set(kit.rows.feature_hashes().tolist()) <= known, "a repeated row is not a row of the class")
        return
    real, made = (data.table.column("user_id").to_pylist() for data in (kit.data, kit.rows))
    require(not set(real) & set(made), f"ids are used again: {sorted(set(real) & set(made))[:3]}")
    require(len(set(made)) == len(made), "ids occur more than once")


def check_constants(kit: Kit) -> None:
    """A constant column stays constant."""
    made = {*kit.rows.table.column("source").to_pylist()}
    require(made == {"web"}, f"column 'source' is 'web' throughout, the new rows have {made}")


def check_train_untouched(kit: Kit) -> None:
    """Fitting and sampling leave the training rows as they were."""
    data = kit.make({"common": COMMON, "other": RARE + 20, "rare": RARE})
    before = data.fingerprint()
    engine = kit.factory()
    engine.fit(rows_for(engine, data, "rare"), seed=0).sample("rare", 5, seed=0)
    require(data.fingerprint() == before, "the training rows were changed")


def check_narrow_tables(kit: Kit) -> None:
    """Only categories, only numbers, only dates, mostly missing: all work."""
    for kind in ("categories", "numbers", "dates", "missing"):
        data = narrow_table(kind, {"no": 90, "yes": 30})
        engine = kit.factory()
        rows = engine.fit(rows_for(engine, data, "yes"), seed=0).sample("yes", 40, seed=1)
        require(len(rows) == 40, f"a table of {kind} alone: {len(rows)} rows, not 40")
        require(rows.table.schema.equals(data.table.schema), f"a table of {kind} alone: the schema differs")


def check_small_class(kit: Kit) -> None:
    """A class of ``min_rows`` rows works, and so does one of two where that is allowed."""
    for n in {kit.factory().info.min_rows, max(2, kit.factory().info.min_rows)}:
        data = kit.make({"common": 100, "rare": n})
        engine = kit.factory()
        rows = engine.fit(rows_for(engine, data, "rare"), seed=0).sample("rare", 25, seed=0)
        require(rows.counts() == {"common": 0, "rare": 25}, f"a class of {n} rows: {rows.counts()}")


def check_label_types(kit: Kit) -> None:
    """Labels may be text, whole numbers or booleans, two or more of them."""
    cases: list[dict[Label, int]] = [{True: 30, False: 70}, {1: 70, 2: 30, 7: 40}, {"a": 30, "b": 70, "ü": 25}]
    for labels in cases:
        data = kit.make(labels, seed=3)
        label = min(labels, key=lambda key: labels[key])
        engine = kit.factory()
        rows = engine.fit(rows_for(engine, data, label), seed=0).sample(label, 11, seed=0)
        made = [(key, type(key), n) for key, n in rows.counts().items() if n]
        require(made == [(label, type(label), 11)], f"asked for 11 rows of {label!r}, got {made}")


def check_want(kit: Kit) -> None:
    """A fit that is told which rows will be asked for makes them."""
    want: dict[Label, int] = {"rare": 33}
    rows = kit.factory().fit(kit.train, seed=0, context=FitContext(want=want)).sample("rare", 33, seed=0)
    require(len(rows) == 33, f"asked for 33 rows, got {len(rows)}")


def check_errors(kit: Kit) -> None:
    """An engine that is not fitted, and a label that does not exist, get an error of this package."""
    _raises(EngineError, lambda: kit.factory().sample("rare", 1, seed=0), "sampling before fit")
    _raises(SynthgenError, lambda: kit.fitted.sample("no such class", 1, seed=0), "an unknown label")
    with tempfile.TemporaryDirectory() as folder:
        _raises(EngineError, lambda: kit.factory().save(Path(folder)), "saving before fit")


CHECKS: Mapping[str, Callable[[Kit], None]] = {
    name.removeprefix("check_"): cast("Callable[[Kit], None]", value)
    for name, value in list(globals().items())
    if name.startswith("check_")
}


def check_engine(factory: Factory) -> None:
    """Run every check on the engines that ``factory`` makes; raises AssertionError naming the check that failed."""
    run_checks(Kit(factory), CHECKS)


def run_checks(kit: Kit, checks: Mapping[str, Callable[[Kit], None]]) -> None:
    """Run ``checks`` in order; raises AssertionError naming the one that failed."""
    for name, check in checks.items():
        try:
            check(kit)
        except Exception as error:
            raise AssertionError(f"check_{name}: {type(error).__name__}: {error}") from error


def require(held: bool, message: str) -> None:
    """Raise AssertionError with ``message`` unless ``held``."""
    if not held:
        raise AssertionError(message)


def _raises(kind: type[Exception], call: Callable[[], object], what: str) -> None:
    try:
        call()
    except kind:
        return
    except Exception as error:
        raise AssertionError(f"{what} raised {type(error).__name__}, not {kind.__name__}: {error}") from error
    raise AssertionError(f"{what} raised nothing, not {kind.__name__}")
