"""The contract suite catches engines that break a promise: one broken engine for each check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pytest

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.engines import make_engine
from synthgen.engines.base import EngineInfo, FitContext
from synthgen.engines.contract import CHECKS, Kit, check_engine

Break = Callable[[TabularDataset, TabularDataset, int], TabularDataset]


class Broken:
    """Delta whose rows pass through ``spoil(rows, train, seed)``."""

    def __init__(self, spoil: Break | None = None) -> None:
        self.engine, self.spoil, self.train = make_engine("delta"), spoil, None

    @property
    def info(self) -> EngineInfo:
        return self.engine.info

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        self.engine.fit(train, seed=seed, context=context)
        self.train = train
        return self

    def sample(self, label: Label, n: int, *, seed: int) -> TabularDataset:
        rows = self.engine.sample(label, n, seed=seed)
        return self.spoil(rows, self.train, seed) if self.spoil and self.train is not None else rows

    def save(self, folder: Path) -> None:
        self.engine.save(folder / "inside")

    @classmethod
    def load(cls, folder: Path) -> Self:
        broken = cls()
        broken.engine = type(make_engine("delta")).load(folder / "inside")
        return broken


def replaced(rows: TabularDataset, name: str, values: pa.Array) -> TabularDataset:
    at = rows.table.schema.get_field_index(name)
    table = rows.table.set_column(at, rows.table.schema.field(name), values)
    return TabularDataset(table, rows.schema, rows.classes)


def column(rows: TabularDataset, name: str) -> pa.Array:
    return rows.table.column(name).combine_chunks()


def filled(rows: TabularDataset, name: str, value: object) -> TabularDataset:
    return replaced(rows, name, pa.array([value] * len(rows), rows.table.schema.field(name).type))


def relabelled(rows: TabularDataset, train: TabularDataset, seed: int) -> TabularDataset:
    return replaced(rows, "outcome", pa.array(["common"] * len(rows), pa.string()))


def without_metadata(rows: TabularDataset, train: TabularDataset, seed: int) -> TabularDataset:
    return TabularDataset(rows.table.replace_schema_metadata(None), rows.schema, rows.classes)


def unseeded(rows: TabularDataset, train: TabularDataset, seed: int) -> TabularDataset:
    return rows.take(np.random.default_rng().permutation(len(rows)))


def reused_ids(rows: TabularDataset, train: TabularDataset, seed: int) -> TabularDataset:
    return replaced(rows, "user_id", column(train, "user_id").take(pa.array([0] * len(rows))))


def colour(rows: TabularDataset, train: TabularDataset, seed: int) -> TabularDataset:
    names, codes = column(rows, "colour").dictionary, pa.array([3] * len(rows), pa.int8())
    return replaced(rows, "colour", pa.DictionaryArray.from_arrays(codes, names))


BROKEN: dict[str, Break] = {
    "counts": lambda rows, train, seed: rows.take(np.arange(max(0, len(rows) - 1))),
    "schema": without_metadata,
    "label": relabelled,
    "determinism": unseeded,
    "seeds_differ": lambda rows, train, seed: train.take(np.arange(len(rows)) % 5),
    "save_load": lambda rows, train, seed: rows.take(np.arange(len(rows))[::-1]),
    "ranges": lambda rows, train, seed: filled(rows, "visits", 9_999),
    "grid": lambda rows, train, seed: filled(rows, "steps", 17),
    "categories": colour,
    "missing": lambda rows, train, seed: filled(rows, "city", None),
    "ids": reused_ids,
    "constants": lambda rows, train, seed: filled(rows, "source", "shop"),
    "small_class": lambda rows, train, seed: rows if train.counts()["rare"] > 5 else rows.take(np.arange(1)),
    "label_types": lambda rows, train, seed: rows.take(np.arange(1)) if len(rows) == 11 else rows,
    "narrow_tables": lambda rows, train, seed: rows.take(np.arange(1)) if len(rows) == 40 else rows,
    "want": lambda rows, train, seed: rows.take(np.arange(1)) if len(rows) == 33 else rows,
}


@pytest.mark.parametrize("check", BROKEN)
def test_broken_engine_is_caught(check: str) -> None:
    with pytest.raises(AssertionError):
        CHECKS[check](Kit(lambda: Broken(BROKEN[check])))


def test_changed_training_rows_are_caught() -> None:
    class Writes(Broken):
        def fit(self, train: TabularDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
            rows = super().fit(train, seed=seed, context=context)
            train.__dict__["table"] = train.table.slice(1)
            return rows

    with pytest.raises(AssertionError, match="changed"):
        CHECKS["train_untouched"](Kit(Writes))


def test_wrong_errors_are_caught() -> None:
    class Silent(Broken):
        def sample(self, label: Label, n: int, *, seed: int) -> TabularDataset:
            try:
                return super().sample(label, n, seed=seed)
            except Exception as error:
                raise RuntimeError from error

    with pytest.raises(AssertionError, match="RuntimeError"):
        CHECKS["errors"](Kit(Silent))


def test_incomplete_facts_are_caught() -> None:
    class Nameless(Broken):
        @property
        def info(self) -> EngineInfo:
            return EngineInfo("", "", ("table",), "synthetic", False, True, 1, "")

    with pytest.raises(AssertionError, match="empty"):
        CHECKS["info"](Kit(Nameless))


def test_sound_engine_passes_as_a_whole() -> None:
    check_engine(Broken)


def test_failure_names_the_check() -> None:
    with pytest.raises(AssertionError, match="check_label"):
        check_engine(lambda: Broken(relabelled))
