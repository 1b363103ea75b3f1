"""Small tables and arms that the tests of this room share. Arms are module-level, so that worker processes get them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.errors import TooFewRows
from synthgen.quality.gate import Arm, Drawer, Gate

QUICK = Gate(learners=("logistic",), resamples=400)


def table(n: int, n_rare: int, *, seed: int = 0, width: int = 4, gap: float = 0.8) -> TabularDataset:
    """Classes 0 and 1 (rare) whose first three numbers differ by ``gap``; a category, missing numbers in x1."""
    rng = np.random.default_rng(seed)
    label = np.zeros(n, dtype=np.int64)
    label[rng.choice(n, n_rare, replace=False)] = 1
    x = rng.normal(size=(n, width))
    x[:, :3] += gap * label[:, None]
    columns = {f"x{j}": pa.array(x[:, j], mask=rng.random(n) < (0.05 if j == 1 else 0)) for j in range(width)}
    columns["plan"] = pa.array(rng.choice(["a", "b", "c"], n))
    return from_table(pa.table({**columns, "label": label}), label="label")


def several(counts: tuple[int, ...], *, seed: int = 0) -> TabularDataset:
    """As many classes as ``counts`` has numbers, at different places."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(counts)), counts)
    x = rng.normal(size=(len(label), 3)) + label[:, None] * np.array([1.0, -0.5, 0.0])
    names = np.array(["amber", "blue", "cyan", "dun", "ecru", "fawn"])[label]
    return from_table(pa.table({**{f"x{j}": x[:, j] for j in range(3)}, "label": names}), label="label")


def keep(train: TabularDataset, seed: int) -> Drawer:
    """Nothing is added."""
    none = train.take(np.arange(0))
    return lambda draw: none


def need(train: TabularDataset) -> tuple[object, int]:
    """The rarest class and how many rows would even it."""
    counts = train.counts()
    rare = min(counts, key=lambda label: counts[label])
    return rare, max(counts.values()) - counts[rare]


def repeated(train: TabularDataset, seed: int) -> Drawer:
    """Random oversampling of the rarest class."""
    rare, n = need(train)
    own = train.of_class(rare)  # type: ignore[arg-type]
    if not len(own):
        raise TooFewRows(f"class {rare!r} has no rows to repeat")
    return lambda draw: own.take(np.random.default_rng([seed % 2**32, draw]).integers(0, len(own), n))


def independent(train: TabularDataset, seed: int) -> Drawer:
    """Each column of the rarest class drawn by itself."""
    rare, n = need(train)
    own = train.of_class(rare)  # type: ignore[arg-type]

    def draw(number: int) -> TabularDataset:
        rng = np.random.default_rng([seed % 2**32, number, 1])
        columns = [
            own.table.column(name).take(pa.array(rng.integers(0, len(own), n))) for name in own.table.schema.names
        ]
        return TabularDataset(pa.table(columns, schema=own.table.schema), train.schema, train.classes)

    return draw


def wrong_class(train: TabularDataset, seed: int) -> Drawer:
    """Rows of the commonest class under the rarest one's label: a generator that learned nothing but the table."""
    rare, n = need(train)
    other = next(label for label in train.classes if label != rare)
    own = train.of_class(other)

    def draw(number: int) -> TabularDataset:
        rows = own.take(np.random.default_rng([seed % 2**32, number]).integers(0, len(own), n)).table
        at = rows.schema.get_field_index(train.label)
        labels = pa.array([rare] * n, rows.schema.field(at).type)
        changed = rows.set_column(at, rows.schema.field(at), labels)
        return TabularDataset(changed, train.schema, train.classes)

    return draw


def meant(name: str, prepare: Callable[[TabularDataset, int], Drawer]) -> Arm:
    """A candidate whose copies are no fault of it: its rows say that they are real ones again."""

    def prepared(train: TabularDataset, seed: int) -> Drawer:
        draw = prepare(train, seed)
        return lambda number: replace(rows := draw(number), repeated=np.ones(len(rows), dtype=bool))

    return Arm(name, prepared, role="candidate")


def real_rows(pool: TabularDataset) -> Arm:
    """The arm that adds true rows of the rare class: what a perfect generator would give."""

    def prepare(train: TabularDataset, seed: int) -> Drawer:
        return lambda draw: pool

    return Arm("synthetic", prepare, role="candidate")


NONE = Arm("none", keep, role="none")
WEIGHTS = Arm("class weights", keep, weighted=True)
CONTROL = Arm("independent", independent, role="control")
REPEATED = meant("synthetic", repeated)


def arms(candidate: Arm, *others: Arm) -> list[Arm]:
    """The candidate beside doing nothing and class weights."""
    return [NONE, candidate, WEIGHTS, *others]
