"""Over-generate, keep what a classifier trained on the real rows believes, drop copies of real rows: around any engine.

May import data, encode and its own room; scikit-learn only inside functions.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthgen.data.dataset import TabularDataset
from synthgen.data.images import ImageDataset
from synthgen.data.physical import sorted_unique
from synthgen.data.schema import Label
from synthgen.engines import load_engine, make_raw, save_engine
from synthgen.engines.base import (
    Engine,
    EngineInfo,
    FitContext,
    check_count,
    class_path,
    fitted,
    read_state,
    reading,
    write_state,
)
from synthgen.engines.belief import Belief
from synthgen.engines.catalog import CATALOG
from synthgen.engines.renew import FreshIds
from synthgen.errors import ConfigError
from synthgen.seeding import derive, numpy_rng

CHUNK = 50_000
REDRAWS = 5
MAX_VALUES = 10


def build(*, inner: str, name: str | None = None, overdraw: float = 1.0, keep: float = 1.0) -> Filtered:
    """Return a generator of the catalogue behind a filter; for the registry."""
    return Filtered(make_raw(inner), overdraw=overdraw, keep=keep, name=name)


class Filtered:
    """An engine whose rows are over-generated ``overdraw`` times and kept by belief, without copies of real rows.

    ``keep`` is the share of the rows taken by belief alone; the rest is drawn at random from what is left.
    ``overdraw=1`` only drops the copies. Copies count where the table has continuous columns; there an equal row is
    the row of a person, not a value of the population.
    """

    def __init__(self, engine: Engine, *, overdraw: float = 3.0, keep: float = 1.0, name: str | None = None) -> None:
        if isinstance(overdraw, bool) or not 1.0 <= overdraw <= 100.0:
            raise ConfigError(f"overdraw must lie between 1 and 100, got {overdraw!r}")
        if isinstance(keep, bool) or not 0.0 <= keep <= 1.0:
            raise ConfigError(f"keep must lie between 0 and 1, got {keep!r}")
        self._inner, self._overdraw, self._keep = engine, float(overdraw), float(keep)
        base = engine.info.name
        self._name = name or (f"{base}-filter" if f"{base}-filter" in CATALOG and overdraw > 1 else base)
        self._belief: Belief | None = None
        self._seen: np.ndarray | None = None
        self._ids: FreshIds | None = None

    @property
    def info(self) -> EngineInfo:
        """The facts of the engine inside, under this one's name."""
        known = CATALOG.get(self._name)
        facts = replace(self._inner.info, name=self._name)
        return replace(facts, summary=known.info.summary, when=known.info.when) if known else facts

    @property
    def inner(self) -> Engine:
        """The engine inside."""
        return self._inner

    @property
    def history(self) -> list[dict[str, float]]:
        """The training curves of a network inside; empty for others."""
        return list(getattr(self._inner, "history", []))

    def fit(
        self,
        train: TabularDataset | ImageDataset,
        *,
        seed: int,
        context: FitContext = FitContext(),  # noqa: B008
    ) -> Self:
        """Fit the engine inside and, where rows are chosen, the classifier on the same real rows.

        Rows of one class alone leave nothing to tell apart, and images are not chosen: then only copies are dropped.
        """
        base = context.base
        inner = replace(context, base=base.inner if isinstance(base, Filtered) else base)
        self._inner.fit(cast("TabularDataset", train), seed=derive(seed, "inner"), context=inner)
        if isinstance(train, ImageDataset):
            return self.equip(belief=None, seen=sorted_unique(train.feature_hashes()), ids=None)
        belief = None
        if self._overdraw > 1 and len(np.unique(train.label_codes)) > 1:
            belief = Belief.fit(train, context.wanted(train.counts()), seed=derive(seed, "belief"))
        elif self._overdraw > 1 and isinstance(base, Filtered):
            belief = base._belief  # a fine-tune sees one class; what its trunk knows of the others still holds
        return self.equip(belief=belief, seen=seen_rows(train), ids=FreshIds.fit(train))

    def equip(self, *, belief: Belief | None, seen: np.ndarray, ids: FreshIds | None) -> Self:
        """Take a fitted classifier and what is known of the real rows; the engine inside must be fitted."""
        self._belief, self._seen, self._ids = belief, seen, ids
        return self

    def sample(self, label: Label, n: int, *, seed: int) -> TabularDataset:
        """Return ``n`` rows of ``label``, made in chunks of 50,000; copies of real rows only where redrawing gave
        nothing else."""
        n = check_count(n)
        fitted(self._seen, self)
        sizes = [min(CHUNK, n - at) for at in range(0, n, CHUNK)] or [0]
        drawn = [self._chunk(label, size, derive(seed, "chunk", k)) for k, size in enumerate(sizes)]
        rows = drawn[0].concat(*drawn[1:]) if len(drawn) > 1 else drawn[0]
        return self._ids.renew(rows, label, seed=derive(seed, "ids")) if self._ids else rows

    def _chunk(self, label: Label, n: int, seed: int) -> TabularDataset:
        overdraw = self._overdraw if self._belief else 1.0
        rows = self._inner.sample(label, math.ceil(n * overdraw), seed=derive(seed, "round", 0))
        copies = self._copies(rows)
        fresh, spare = rows.take(np.flatnonzero(~copies)), rows.take(np.flatnonzero(copies))
        for k in range(1, REDRAWS + 1):
            if len(fresh) >= n:
                break
            more = self._inner.sample(label, math.ceil(1.5 * (n - len(fresh))) + 8, seed=derive(seed, "round", k))
            copies = self._copies(more)
            fresh = fresh.concat(more.take(np.flatnonzero(~copies)))
            spare = spare.concat(more.take(np.flatnonzero(copies)))
        if len(fresh) < n:
            fresh = fresh.concat(spare.take(np.arange(n - len(fresh))))
        return fresh.take(self._chosen(fresh, label, n, seed))

    def _chosen(self, rows: TabularDataset, label: Label, n: int, seed: int) -> np.ndarray:
        """Return the positions of ``n`` rows in random order, so that any part of them is a fair sample."""
        rng = numpy_rng(seed, "chosen")
        if self._belief is None or n == 0:
            return np.arange(n)
        belief = self._belief.of(rows, label, seed=derive(seed, "encode"))
        order = np.argsort(-belief, kind="stable")
        best = round(self._keep * n)
        others = rng.permutation(order[best:])[: n - best]
        return rng.permutation(np.concatenate([order[:best], others]))

    def _copies(self, rows: TabularDataset) -> np.ndarray:
        if self._seen is None or len(self._seen) == 0 or self._inner.info.origin == "repeated":
            return np.zeros(len(rows), dtype=bool)
        hashes = rows.feature_hashes()
        at = np.minimum(np.searchsorted(self._seen, hashes), len(self._seen) - 1)
        return np.asarray(self._seen[at] == hashes)

    def save(self, folder: Path) -> None:
        """Write engine.json, the engine inside, the classifier's rows and the hashes of real rows."""
        seen = fitted(self._seen, self)
        state = {
            "name": self._name,
            "overdraw": self._overdraw,
            "keep": self._keep,
            "inner": class_path(self._inner),
            "belief": self._belief is not None,
            "ids": self._ids is not None,
        }
        write_state(folder, self, state)
        save_engine(self._inner, folder / "inner")
        np.savez_compressed(folder / "seen.npz", seen=seen)
        if self._belief:
            self._belief.save(folder / "belief")
        if self._ids:
            self._ids.save(folder / "ids")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the filter that ``save`` wrote, around an engine of this package."""
        state = read_state(folder)
        inner = load_engine(folder / "inner")
        with reading(folder):
            overdraw, keep = float(str(state["overdraw"])), float(str(state["keep"]))
            engine = cls(inner, overdraw=overdraw, keep=keep, name=str(state["name"]))
            with np.load(folder / "seen.npz", allow_pickle=False) as arrays:
                seen = arrays["seen"]
            belief = Belief.load(folder / "belief") if state["belief"] else None
            ids = FreshIds.load(folder / "ids") if state["ids"] else None
        return engine.equip(belief=belief, seen=seen, ids=ids)


def seen_rows(train: TabularDataset) -> np.ndarray:
    """Return sorted uint64 hashes of the rows that count as copies: all, or none where no number tells rows apart.

    A number tells rows apart where it is a date, a duration or a number of more than 10 values; without one, an
    equal row is a value of the population, not a copy of a person.
    """
    if not any(_tells(train, column.name, column.kind) for column in train.schema.features):
        return np.zeros(0, dtype=np.uint64)
    return sorted_unique(train.feature_hashes())


def _tells(train: TabularDataset, name: str, kind: str) -> bool:
    if kind not in ("continuous", "integer", "datetime", "timedelta"):
        return False
    column, found = train.column(name), pa.chunked_array([], train.schema.arrow.field(name).type)
    for start in range(0, len(column), CHUNK):  # a hash table of all values of a large column is larger than the column
        found = pc.unique(pa.chunked_array([*found.chunks, *column.slice(start, CHUNK).chunks], found.type))
        found = pa.chunked_array([found])
        if len(found) - found.null_count > MAX_VALUES:
            return True
    return False
