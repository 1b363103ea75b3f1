"""What a run would do before it does: counts, what the check can see, time and memory. Trains nothing.

May import job, planning, data, the networks' settings and quality's cost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from synthgen.config import BalanceConfig
from synthgen.data.dataset import TabularDataset
from synthgen.data.images import ImageDataset
from synthgen.data.kinds import Dataset
from synthgen.data.notes import notes_of
from synthgen.engines import engine_info
from synthgen.engines.ctgan import BATCH, EPOCHS, MAX_ROWS
from synthgen.gan.config import DEFAULT_PRESET, PRESETS, preset
from synthgen.job import prepare, rehearse, trains_on_images
from synthgen.needs import encoded_width, memory_bytes, workers
from synthgen.planning import BalancePlan
from synthgen.quality.cost import estimate_seconds, image_seconds
from synthgen.quality.rules import Gate
from synthgen.quality.seen import most_seen
from synthgen.run import DRAWS

if TYPE_CHECKING:
    from synthgen.data.read import Source

# CPU seconds on one 2.1 GHz Xeon core; benchmarks/forecast.py measures them again
_STEP_SECONDS = 8.5e-3
_STEP_SECONDS_PER_COLUMN = 5e-5
_CTGAN_STEP_SECONDS = 8.5e-2
_CHOOSE_SECONDS = 5.0
_TOURNAMENT_SECONDS = 12.0
_DRAW_SECONDS_PER_CELL = 3e-6
_START_SECONDS = 4.0
_CELL_SECONDS = 5e-7  # read, hashed and published
_ARMS = 8


@dataclass(frozen=True)
class Forecast:
    """The plan, how it would be checked, and what that takes on this machine (seconds of wall clock, bytes)."""

    plan: BalancePlan
    check_sentence: str
    ship_sentence: str
    fit_seconds: float
    check_seconds: float
    memory_bytes: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return the forecast as JSON types."""
        return {
            "plan": self.plan.to_json(),
            "check": self.check_sentence,
            "ship": self.ship_sentence,
            "fit_seconds": round(self.fit_seconds, 1),
            "check_seconds": round(self.check_seconds, 1),
            "memory_bytes": self.memory_bytes,
            "notes": list(self.notes),
        }


def forecast(source: Source, config: BalanceConfig) -> Forecast:
    """Return what ``balance`` would do with ``source``. Raises what it would raise before training."""
    job = prepare(source, config)
    rehearse(job)
    check, ship, split, plan = job.outline.check, job.outline.ship, job.outline.split, job.outline.plan
    dataset, train, held = job.dataset, job.dataset, job.holdout
    if len(split.holdout):
        train, held = dataset.take(split.train), dataset.take(split.holdout)
    shipped = dataset if ship == "all" else train
    plan = replace(plan, notes=(*plan.notes, *notes_of(dataset)))
    jobs = workers(config, dataset, check)
    fit = fit_seconds(plan, shipped, config, n_rows=len(shipped))
    notes = (*plan.notes, *split.notes)
    if not isinstance(dataset, TabularDataset) and trains_on_images(plan):
        notes = (*notes, "what a network of images takes to train is not in these seconds")
    judged = {"cv": train, "holdout": held, "none": None}[check]
    check_seconds = 0.0
    if judged is not None and plan.total:
        n_fits = 10 if check == "cv" else 3 + ("check" in (check, ship))
        most = most_seen(len(train.classes), least=Gate().max_rows)
        again = fit_seconds(plan, shipped, config, n_rows=sum(min(n, most) for n in train.counts().values()))
        check_seconds = _panel_seconds(train, check, jobs) + n_fits * again / min(jobs, n_fits)
    return Forecast(
        plan,
        _check_sentence(check, judged, plan),
        _ship_sentence(ship, held),
        _START_SECONDS + _reading_seconds(dataset) + fit,
        check_seconds,
        memory_bytes(dataset, plan, jobs),
        notes,
    )


def _reading_seconds(dataset: Dataset) -> float:
    return len(dataset) * len(dataset.schema.columns) * _CELL_SECONDS if isinstance(dataset, TabularDataset) else 0.0


def _panel_seconds(train: Dataset, check: str, jobs: int) -> float:
    if isinstance(train, ImageDataset):
        return image_seconds(len(train), train.shape, check=check, jobs=jobs, draws=DRAWS)
    return estimate_seconds(
        n_rows=len(train),
        n_features=len(cast("TabularDataset", train).schema.features),
        n_classes=len(train.classes),
        n_arms=_ARMS,
        check=check,
        jobs=jobs,
        draws=DRAWS,
    )


def fit_seconds(plan: BalancePlan, train: Dataset, config: BalanceConfig, *, n_rows: int) -> float:
    """Return about how many seconds the plan's trainings on ``n_rows`` such rows and one draw take on one core."""
    if not isinstance(train, TabularDataset):
        return 0.0
    width = encoded_width(train)
    step = _STEP_SECONDS + _STEP_SECONDS_PER_COLUMN * width
    seconds = plan.total * width * _DRAW_SECONDS_PER_CELL
    for unit in plan.units:
        chooses = unit.engine == "auto" or plan.tuned
        competes = unit.engine == "auto" and not plan.tuned
        trains = competes or engine_info(unit.engine).trains
        # auto takes the network one time in ten
        training = step * (config.steps or _steps(unit.engine))
        if unit.engine == "ctgan":
            training = _CTGAN_STEP_SECONDS * (config.steps or EPOCHS * max(1, min(len(train), MAX_ROWS) // BATCH))
        network = (0.1 if competes else 1.0) * training * trains
        if trains and config.max_minutes:
            network = min(network, 60 * config.max_minutes)
        seconds += network + (_TOURNAMENT_SECONDS if competes else _CHOOSE_SECONDS * chooses) + n_rows * width * 2e-7
    return seconds


def _steps(engine: str) -> int:
    """What a network trains by default; auto's is cwgan-gp."""
    return preset(engine if engine in PRESETS else DEFAULT_PRESET).steps


def _check_sentence(check: str, judged: Dataset | None, plan: BalancePlan) -> str:
    if judged is None:
        return "none: --holdout 0"
    counts = judged.counts()
    least = Gate().folds if check == "cv" else 1  # a class of fewer is not judged
    judgeable = [label for label in plan.adds() if counts[label] >= least] or plan.adds() or counts
    rare = min(judgeable, key=lambda label: counts[label])
    how = f"{len(judged)} rows set aside"
    if check == "cv":
        how = "all rows cross-fitted, the generator refitted in every fold"
    absent = [label for label, n in counts.items() if not n]
    if not counts[rare] or len(counts) - len(absent) < 2:
        return f"{how}; no real row of class {absent[0]!r}, so nothing can be told"
    # the 95 % half-width of a gain in average precision is about .42 / sqrt(rare rows)
    visible = 0.42 / np.sqrt(max(1, counts[rare]))
    can = f"can show gains above about {visible:.2f} average precision"
    return f"{how}; {counts[rare]} real rows of class {rare!r} {can}"


def _ship_sentence(ship: str, held: Dataset | None) -> str:
    if ship == "all":
        return "every real row, and rows of a generator fitted on all of them after the check"
    return f"the real rows but {len(held) if held else 0} set aside, which are published beside as test/"
