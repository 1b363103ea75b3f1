"""The work of a check: every arm is prepared on a cell's training rows and the panel is asked about rows it never saw.

May import data, quality.downstream and quality.novelty; joblib only inside functions. Arms arrive as callables.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, cast

import numpy as np
import pyarrow as pa

from synthgen.data.dataset import TabularDataset
from synthgen.data.images import ImageDataset
from synthgen.data.kinds import Dataset
from synthgen.data.schema import Label, TableSchema
from synthgen.errors import ConfigError, DataError, EngineError
from synthgen.memory import give_back
from synthgen.quality.cnn import Loss
from synthgen.quality.downstream import Panel, one_thread, predict
from synthgen.quality.image_panel import ImagePanel, predict_images
from synthgen.seeding import derive

Drawer = Callable[[int], Dataset]
Prepare = Callable[[Dataset, int], Drawer]
Role = Literal["none", "candidate", "free", "control"]
Report = Callable[[float, str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Arm:
    """One way to train: ``prepare(train, seed)`` returns a drawer, and a drawer returns draw number i of the rows to
    add to ``train``; none for an arm that adds nothing.

    ``weighted`` arms get class weights. Of images, ``adjusted`` arms have their loss adjusted by the class shares, and
    ``augmented`` arms learn from images moved a little in every step. ``fixed`` says that the added rows were made
    beforehand and cannot be made again inside a fold.
    """

    name: str
    prepare: Prepare
    weighted: bool = False
    role: Role = "free"
    fixed: bool = False
    adjusted: bool = False
    augmented: bool = False

    @property
    def loss(self) -> Loss:
        """What the arm's learner minimises."""
        return "weighted" if self.weighted else "adjusted" if self.adjusted else "plain"


def fixed_arm(synthetic: Dataset, *, name: str = "synthetic", augmented: bool = False) -> Arm:
    """Return the candidate of rows that any tool made: draw 0 adds them all, the others a bootstrap of them."""

    def prepare(train: Dataset, seed: int) -> Drawer:  # noqa: ARG001  an arm's signature
        def draw(number: int) -> Dataset:
            if number == 0:
                return synthetic
            rng = np.random.default_rng(derive(seed, "rows", number))
            codes = synthetic.label_codes
            rows = [rng.choice(np.flatnonzero(codes == k), np.count_nonzero(codes == k)) for k in np.unique(codes)]
            return synthetic.take(np.sort(np.concatenate(rows))) if rows else synthetic

        return draw

    return Arm(name, prepare, role="candidate", fixed=True, augmented=augmented)


@dataclass(frozen=True)
class Task:
    """One arm in one cell: ``fit`` and ``judge`` are rows of train, None for all of train and for the holdout.

    ``draws`` are the draws to make; the learners' seeds come from ``seed`` and the draw, so that arms are paired.
    ``hashed`` asks for the hashes of the rows that the arm adds.
    """

    arm: Arm
    seed: int
    fit: np.ndarray | None
    judge: np.ndarray | None
    draws: tuple[int, ...]
    panel: Panel | ImagePanel
    drawn: Drawer | None = None
    hashed: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a task gave: for each draw every learner's probabilities (N, K), rows added per class (K,), and the added
    rows' ``hashes`` where they were asked for, those left out that are meant to repeat real rows.

    ``failed`` has the reason where the arm could not be prepared.
    """

    arm: str
    proba: tuple[dict[str, np.ndarray], ...] = ()
    added: np.ndarray | None = None
    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    failed: str | None = None


@dataclass(frozen=True)
class Tables:
    """The rows of a check: arms see ``train`` (or a part of it) and nothing else; each of its rows stands for
    ``scale`` (K,) rows of its class."""

    train: Dataset
    scale: np.ndarray
    holdout: Dataset | None = None


def run_task(task: Task, tables: Tables) -> Outcome:
    """Prepare the arm, fit the panel on each draw and return its predictions for the judged rows."""
    train = tables.train if task.fit is None else tables.train.take(task.fit)
    judged = tables.holdout if task.judge is None else tables.train.take(task.judge)
    if judged is None:
        raise ConfigError("a check on a holdout needs the holdout")
    proba: list[dict[str, np.ndarray]] = []
    added = np.zeros(len(train.classes), dtype=np.int64)
    hashes: list[np.ndarray] = []
    drawer = task.drawn
    for number in task.draws:
        try:
            with one_thread():
                drawer = drawer or task.arm.prepare(train, derive(task.seed, "prepare", task.arm.name))
                new = drawer(number)
        except (DataError, EngineError) as error:
            return Outcome(task.arm.name, failed=str(error))
        if new.classes != train.classes:
            raise EngineError(f"arm {task.arm.name!r} drew rows of other classes than the training rows have")
        seed = derive(task.seed, "learners", number)
        added += np.bincount(new.label_codes, minlength=len(added))
        if task.hashed:  # real rows again are no copies
            own = new if new.repeated is None else new.take(~new.repeated)
            hashes.append(own.feature_hashes())
        if task.drawn or task.arm.fixed:  # as many as all training rows call for: thinned as those were
            lot = np.random.default_rng(derive(seed, "lot")).random(len(new))
            new = new.take(lot * tables.scale[new.label_codes] < 1)
        proba.append(_ask(task, train, new, judged, scale=tables.scale, seed=seed))
    give_back()
    return Outcome(task.arm.name, tuple(proba), added, np.concatenate([*hashes, np.empty(0, dtype=np.uint64)]))


def _ask(
    task: Task, real: Dataset, added: Dataset, judged: Dataset, *, scale: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    panel, arm = task.panel, task.arm
    if isinstance(panel, ImagePanel):
        images = (cast("ImageDataset", each) for each in (real, added, judged))
        return predict_images(*images, panel=panel, loss=arm.loss, augmented=arm.augmented, seed=seed)
    rows = (cast("TabularDataset", each) for each in (real, added, judged))
    return predict(*rows, panel=panel, weighted=arm.weighted, seed=seed, scale=scale)


@dataclass(frozen=True)
class _Shipped:
    """Tables as files that every worker maps into memory, so that no task carries the rows."""

    folder: str
    schema: TableSchema
    classes: tuple[Label, ...]
    scale: np.ndarray
    holdout: bool

    def load(self) -> Tables:
        train, holdout = (self._read(name) for name in ("train", "holdout"))
        if train is None:
            raise FileNotFoundError(self.folder)
        return Tables(train, self.scale, holdout)

    def _read(self, name: str) -> TabularDataset | None:
        if name == "holdout" and not self.holdout:
            return None
        with pa.memory_map(str(Path(self.folder) / name)) as source:
            return TabularDataset(pa.ipc.open_file(source).read_all(), self.schema, self.classes)


@contextmanager
def _shipped(tables: Tables) -> Iterator[_Shipped | Tables]:
    if not isinstance(tables.train, TabularDataset):
        yield tables  # joblib maps large arrays by itself
        return
    with tempfile.TemporaryDirectory(prefix="synthgen-check-", ignore_cleanup_errors=True) as folder:
        for name, dataset in (("train", tables.train), ("holdout", tables.holdout)):
            if isinstance(dataset, TabularDataset):
                table = dataset.table.unify_dictionaries()
                with pa.OSFile(f"{folder}/{name}", "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                    writer.write_table(table)
        train = tables.train
        yield _Shipped(folder, train.schema, train.classes, tables.scale, tables.holdout is not None)


def _run_shipped(number: int, task: Task, shipped: _Shipped | Tables) -> tuple[int, Outcome]:
    return number, run_task(task, shipped if isinstance(shipped, Tables) else shipped.load())


def run_tasks(tasks: Sequence[Task], tables: Tables, *, jobs: int, report: Report) -> list[Outcome]:
    """Return every task's outcome in the order of ``tasks``, up to ``jobs`` of them side by side in processes."""
    outcomes: list[Outcome | None] = [None] * len(tasks)
    # the candidate trains a generator: begun first, it does not finish alone
    order = sorted(range(len(tasks)), key=lambda i: tasks[i].arm.role != "candidate")
    for done, (number, outcome) in enumerate(_each(order, tasks, tables, jobs), start=1):
        outcomes[number] = outcome
        report(done / len(tasks), f"{outcome.arm}: {done} of {len(tasks)} parts of the check")
    return [outcome for outcome in outcomes if outcome is not None]


def _each(order: list[int], tasks: Sequence[Task], tables: Tables, jobs: int) -> Iterator[tuple[int, Outcome]]:
    if jobs <= 1 or len(tasks) < 2:
        for number in order:
            yield number, run_task(tasks[number], tables)
        return
    from joblib import Parallel, delayed

    with _shipped(tables) as shipped:
        give_back()
        parallel = Parallel(n_jobs=jobs, backend="loky", batch_size=1, return_as="generator_unordered")
        yield from parallel(delayed(_run_shipped)(i, tasks[i], shipped) for i in order)


def spread(function: Callable[..., T], arguments: Sequence[tuple[object, ...]], *, jobs: int) -> list[T]:
    """Return ``function(*each)`` in order, side by side where that pays."""
    if jobs <= 1 or len(arguments) < 2:
        return [function(*each) for each in arguments]
    from joblib import Parallel, delayed

    return list(Parallel(n_jobs=jobs, backend="loky", batch_size=1)(delayed(function)(*each) for each in arguments))
