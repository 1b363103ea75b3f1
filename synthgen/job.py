"""What a command asks, worked out before anything is written: rows read, options held against them, split and plan.

May import run, rebalance, planning, data and the check's options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthgen.config import BalanceConfig
from synthgen.data.dataset import TabularDataset, counts_of, quoted
from synthgen.data.images import ImageDataset
from synthgen.data.kinds import Dataset, Modality, modality_of
from synthgen.data.schema import Label
from synthgen.data.split import MIN_TRAIN_ROWS, Split, row_keys, split_holdout
from synthgen.engines.image_catalog import may_train
from synthgen.errors import ConfigError, TooFewRows
from synthgen.planning import BalancePlan, Limits, make_plan
from synthgen.quality.downstream import load_estimator
from synthgen.quality.gate import Gate
from synthgen.quality.seen import fewest_learnt
from synthgen.rebalance import Recipe, check_learnable, complete
from synthgen.run import CheckKind, Ship, load_holdout, read_input, run_key
from synthgen.seeding import derive

if TYPE_CHECKING:
    from synthgen.data.read import Source

CV_BELOW = 1_000
HOLDOUT_SHARE = 0.2
_WHERE: Mapping[CheckKind, str] = {"holdout": "without the rows set aside", "cv": "in a fold of the check"}
_CALLED: Mapping[Modality, str] = {"table": "the table", "image": "the images"}


@dataclass(frozen=True)
class Outline:
    """What a run comes to before anything is trained: the check, the rows shipped, the split, and the plan."""

    check: CheckKind
    ship: Ship
    split: Split
    plan: BalancePlan


@dataclass(frozen=True)
class Job:
    """A dataset in memory with its validated configuration and the key that both give; nothing written yet."""

    dataset: Dataset
    holdout: Dataset | None
    config: BalanceConfig
    source: Path | None
    key: str

    @cached_property
    def outline(self) -> Outline:
        """What the run comes to; worked out once. Raises ConfigError and DataError for options that do not fit."""
        return _outline(self)

    @property
    def name(self) -> str:
        """What messages call the input."""
        return self.source.name if self.source else _CALLED[modality_of(self.dataset)]

    @property
    def inputs(self) -> list[Path]:
        """The files that the destination must stay clear of."""
        held = Path(self.config.holdout_data) if self.config.holdout_data else None
        return [path for path in (self.source, held) if path]


def prepare(source: Source, config: BalanceConfig) -> Job:
    """Return the job of a source: read, checked, fingerprinted. Raises DataError and ConfigError; writes nothing."""
    dataset = read_input(source, config, label=config.label)
    check_learnable(dataset, config.engine)
    holdout = load_holdout(config, dataset) if config.holdout_data else None
    key = run_key(dataset.fingerprint(), holdout.fingerprint() if holdout else None, config)
    path = Path(source).resolve() if isinstance(source, str | Path) else None
    return Job(dataset, holdout, config, path, key)


def rehearse(job: Job) -> None:
    """Raise what a later stage would raise for an option that does not fit, before a destination is touched."""
    config = job.config
    Gate(metric=config.metric)
    if config.estimator is not None:
        load_estimator(config.estimator)
    if isinstance(job.dataset, TabularDataset) and config.provenance_column in job.dataset.table.schema.names:
        raise ConfigError(f"--provenance-column {config.provenance_column!r} is a column of the data; choose another")
    made = job.outline.plan  # worked out now, for its errors
    if made.total:
        # its options are looked at where it is made
        recipe_of(config, modality_of(job.dataset)).make(config.engine, tuned=made.tuned)


def _outline(job: Job) -> Outline:
    config, rows = job.config, job.dataset
    check, ship, share = _evidence(job)
    split = Split(np.arange(len(rows)), np.empty(0, dtype=np.int64), _unused(job))
    if share or config.group or config.time:
        found = split_holdout(
            rows, share=share or HOLDOUT_SHARE, seed=config.seed, group=config.group, time=config.time
        )
        split = found if share else split
    codes = rows.label_codes if ship == "all" else rows.label_codes[split.train]
    plan = planned(counts_of(codes, rows.classes), config, modality_of(rows))
    if share and plan.total and not len(split.holdout):
        raise TooFewRows(_nothing_aside(job))
    if check == "cv" or (ship == "all" and check == "holdout" and len(split.holdout)):
        learnt: Mapping[Label, int] = counts_of(rows.label_codes[split.train], rows.classes)
        if check == "cv":
            learnt = learnt_in_folds(rows.take(split.train) if len(split.holdout) else rows, config)
        plan = told_of_check(plan, plan_of_check(plan, learnt, config, modality_of(rows), check=check), check=check)
    return Outline(check, ship, split, plan)


def _unused(job: Job) -> tuple[str, ...]:
    """A note on a share that was asked for where nothing is set aside."""
    if not job.config.holdout:
        return ()
    why = "all rows are cross-fitted; --check holdout sets that share aside"
    return (f"--holdout {job.config.holdout:g} is not used: {'--holdout-data is the holdout' if job.holdout else why}",)


def _nothing_aside(job: Job) -> str:
    """Why no row can be set aside, by the largest class, and what to do."""
    rows, group = job.dataset, job.config.group
    code = int(np.bincount(rows.label_codes).argmax())
    keys = row_keys(rows, group=group)[0][rows.label_codes == code]
    stay, what = ("equal rows", "different rows") if group is None else (f"rows of one {group!r}", "groups")
    return (
        f"nothing can be set aside, for a class keeps {MIN_TRAIN_ROWS} rows to learn from and {stay} stay together "
        f"({what} of class {quoted(rows.classes[code])}, the largest: {len(np.unique(keys))}); "
        f"{'choose another --group; ' if group else ''}--check cv --ship all sets nothing aside, --holdout 0 leaves "
        "the check out"
    )


def _evidence(job: Job) -> tuple[CheckKind, Ship, float]:
    """Which check, which rows are shipped, and the share to set aside; the defaults of the command line's help."""
    config = job.config
    if config.holdout == 0:
        return "none", config.ship or "all", 0.0
    share = config.holdout or HOLDOUT_SHARE
    if job.holdout is not None:
        if config.ship == "train":
            raise ConfigError("--ship train leaves a holdout out of DATA; with --holdout-data there is none in it")
        return "holdout", "all", 0.0
    counts = job.dataset.counts()
    folds = min(n for n in counts.values() if n) < CV_BELOW and not config.time
    if folds and isinstance(job.dataset, ImageDataset) and trains_on_images(planned(counts, config, "image")):
        folds = False  # a network of images takes minutes: in every fold again, hours
    check: CheckKind = config.check or ("cv" if folds else "holdout")
    ship: Ship = config.ship or ("all" if check == "cv" else "train")
    return check, ship, share if check == "holdout" or ship == "train" else 0.0


def planned(counts: Mapping[Label, int], config: BalanceConfig, modality: Modality) -> BalancePlan:
    """Return the plan of a configuration for classes of these sizes."""
    made = make_plan(counts, config.strategy, limits=Limits(config.max_ratio))
    return complete(made, recipe_of(config, modality), small_class=config.small_class)


def learnt_in_folds(train: Dataset, config: BalanceConfig) -> dict[Label, int]:
    """Return how many rows of each class the check's generators learn from, in the cross-fit's fold with the fewest."""
    gate = Gate(metric=config.metric)
    return fewest_learnt(train, gate, seed=derive(config.seed, "check"), group=config.group)


def plan_of_check(
    plan: BalancePlan, learnt: Mapping[Label, int], config: BalanceConfig, modality: Modality, *, check: CheckKind
) -> BalancePlan:
    """Return the plan of a check's own generators, of so many rows a class that they learn from: ``plan``'s share.

    The trainings are those that so many rows allow. Raises TooFewRows where ``small_class`` is "error".
    """
    try:
        return complete(plan.scaled(learnt), recipe_of(config, modality), small_class=config.small_class)
    except TooFewRows as error:
        less = "--holdout 0" if check == "cv" else "a smaller --holdout"
        raise TooFewRows(f"{_WHERE[check]} {error}, or {less}") from None


def other_rows(plan: BalancePlan, own: BalancePlan) -> dict[Label, str]:
    """Return the classes of which a check's ``own`` plan has other rows than ``plan``: the engine, or "" for none."""
    engines = {label: own.unit_of(label).engine if own.classes[label].add else "" for label in plan.adds()}
    return {label: engine for label, engine in engines.items() if engine != plan.unit_of(label).engine}


def told_of_check(plan: BalancePlan, own: BalancePlan, *, check: CheckKind) -> BalancePlan:
    """Return ``plan`` with a note on each class of which the check has rows of another engine, or none."""
    notes = [
        f"class {quoted(label)} has {own.classes[label].have} rows {_WHERE[check]}: "
        + (f"the check has rows of {engine} in place of its own" if engine else "the check adds no rows of it")
        for label, engine in other_rows(plan, own).items()
    ]
    return replace(plan, notes=(*plan.notes, *notes))


def trains_on_images(plan: BalancePlan) -> bool:
    """Return whether one of the plan's trainings may be that of a network of images."""
    sizes = {unit: max(plan.classes[label].have for label in unit.labels) for unit in plan.units}
    return any(may_train(unit.engine, images) for unit, images in sizes.items())


def recipe_of(config: BalanceConfig, modality: Modality) -> Recipe:
    """Return the generator that a configuration asks for."""
    budget: dict[str, object] = {"threads": config.threads, "device": config.device}
    budget |= {"steps": config.steps} if config.steps else {}
    budget |= {"max_minutes": config.max_minutes} if config.max_minutes else {}
    return Recipe(config.engine, config.engine_options, budget, config.fine_tune, modality, config.flips)
