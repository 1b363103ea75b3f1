"""The main road: start, plan, fit, generate, check, publish over a run folder; ``balance`` is the six in order.

What the command line, the Python API and the Prefect flow all call, so that they cannot drift. Only paths and small
JSON cross from one stage to the next.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthgen.arms import Draws, build_arms, repeated_labels
from synthgen.config import BalanceConfig, make_config
from synthgen.data.dataset import TabularDataset, text_of
from synthgen.data.read import load
from synthgen.data.schema import Label
from synthgen.data.split import Split, split_holdout
from synthgen.engines import load_engine, save_engine
from synthgen.engines.base import Engine, FitContext
from synthgen.errors import ConfigError
from synthgen.planning import BalancePlan, FitUnit, Limits, make_plan
from synthgen.publication import BalanceResult, answer, publish_run, quarantine_run
from synthgen.quality.downstream import load_estimator
from synthgen.quality.fidelity import per_class
from synthgen.quality.gate import Gate, Verdict, assess
from synthgen.rebalance import Recipe, complete, fit_unit, sample_label
from synthgen.report.build import write_report
from synthgen.run import (
    DRAWS,
    CheckKind,
    Purpose,
    Report,
    Run,
    RunRecord,
    Ship,
    cores,
    load_holdout,
    run_key,
    save_input,
    versions,
)
from synthgen.seeding import derive
from synthgen.shards.manifest import run_id_of
from synthgen.shards.preflight import preflight
from synthgen.shards.stage import Stage, stage

if TYPE_CHECKING:
    from synthgen.data.read import Source

CV_BELOW = 1_000
HOLDOUT_SHARE = 0.2


def _silent(stage_name: str, share: float, message: str) -> None:
    """Report nothing."""


def _unheard(share: float, message: str) -> None:
    """Report nothing."""


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

    dataset: TabularDataset
    holdout: TabularDataset | None
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
        return self.source.name if self.source else "the table"

    @property
    def inputs(self) -> list[Path]:
        """The files that the destination must stay clear of."""
        held = Path(self.config.holdout_data) if self.config.holdout_data else None
        return [path for path in (self.source, held) if path]


def part_of(report: Callable[[float, str], None], part: int, parts: int) -> Callable[[float, str], None]:
    """Return the report of one of several parts of equal length."""
    return lambda share, message: report((part + share) / parts, message)


def prepare(source: Source, config: BalanceConfig) -> Job:
    """Return the job of a source: read, checked, fingerprinted. Raises DataError and ConfigError; writes nothing."""
    dataset = load(source, label=config.label, drop=config.drop, categorical=config.categorical)
    holdout = load_holdout(config, dataset) if config.holdout_data else None
    key = run_key(dataset.fingerprint(), holdout.fingerprint() if holdout else None, config)
    path = Path(source).resolve() if isinstance(source, str | Path) else None
    return Job(dataset, holdout, config, path, key)


def start(job: Job, folder: Path) -> Run:
    """Write run.json and the split to ``folder`` and return the run; a folder of the same run key is continued.

    Raises ConfigError where the folder holds another run.
    """
    if (folder / "run.json").is_file():
        run = Run.open(folder)
        if run.record.run_key != job.key:
            raise ConfigError(f"{folder} holds another run, {run.record.run_id}; choose another folder")
        return Run(folder, run.record, dataset=job.dataset)
    folder.mkdir(parents=True, exist_ok=True)
    outline = job.outline
    np.savez(folder / "split.npz", train=outline.split.train, holdout=outline.split.holdout)
    record = RunRecord(
        run_id=run_id_of(job.key),
        run_key=job.key,
        config=job.config,
        source=str(job.source or save_input(folder, job.dataset)),
        source_name=job.name,
        fingerprint=job.dataset.fingerprint(),
        holdout_fingerprint=job.holdout.fingerprint() if job.holdout else None,
        label=job.dataset.label,
        check=outline.check,
        ship=outline.ship,
        notes=outline.split.notes,
        versions=versions(),
    )
    run = Run(folder, record, dataset=job.dataset)
    run.write("run.json", record.model_dump(mode="json"))
    return run


def rehearse(job: Job) -> None:
    """Raise what a later stage would raise for an option that does not fit, before a destination is touched."""
    config = job.config
    Gate(metric=config.metric)
    if config.estimator is not None:
        load_estimator(config.estimator)
    if config.provenance_column in job.dataset.table.schema.names:
        raise ConfigError(f"--provenance-column {config.provenance_column!r} is a column of the data; choose another")
    job.outline  # noqa: B018  worked out now, for its errors


def _outline(job: Job) -> Outline:
    config, rows = job.config, job.dataset
    check, ship, share = _evidence(job)
    split = Split(np.arange(len(rows)), np.empty(0, dtype=np.int64))
    if share or config.group or config.time:
        found = split_holdout(
            rows, share=share or HOLDOUT_SHARE, seed=config.seed, group=config.group, time=config.time
        )
        split = found if share else split
    codes = rows.label_codes if ship == "all" else rows.label_codes[split.train]
    counts = np.bincount(codes, minlength=len(rows.classes)).tolist()
    return Outline(check, ship, split, _planned(dict(zip(rows.classes, counts, strict=True)), config))


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
    rarest = min(n for n in job.dataset.counts().values() if n)
    check: CheckKind = config.check or ("cv" if rarest < CV_BELOW and not config.time else "holdout")
    ship: Ship = config.ship or ("all" if check == "cv" else "train")
    return check, ship, share if check == "holdout" or ship == "train" else 0.0


def plan(run: Run) -> BalancePlan:
    """Decide how many rows each class gets and by which trainings; written to plan.json."""
    made = _planned(run.shipped.counts(), run.config)
    run.write("plan.json", made.to_json())
    return made


def _planned(counts: Mapping[Label, int], config: BalanceConfig) -> BalancePlan:
    made = make_plan(counts, config.strategy, limits=Limits(config.max_ratio))
    return complete(made, recipe_of(config), small_class=config.small_class)


def recipe_of(config: BalanceConfig) -> Recipe:
    """Return the generator that a configuration asks for."""
    budget: dict[str, object] = {"threads": config.threads, "device": config.device}
    budget |= {"steps": config.steps} if config.steps else {}
    budget |= {"max_minutes": config.max_minutes} if config.max_minutes else {}
    return Recipe(config.engine, config.engine_options, budget, config.fine_tune)


def fit(run: Run, unit: FitUnit, *, report: Callable[[float, str], None] = _unheard) -> Path:
    """Fit one unit's engine and keep it in the run folder; one that is there already is left as it is."""
    purposes = run.purposes
    for k, purpose in enumerate(purposes):
        folder = run.model_folder(unit.name, purpose)
        if (folder / "done").exists():
            continue
        rows = run.shipped if purpose == "publish" else run.train
        base = _engine(run, run.plan, unit.base, purpose) if unit.base else None
        context = FitContext(
            report=part_of(report, k, len(purposes)),
            checkpoints=folder.with_name(f"{purpose}-checkpoints"),
            base=base,
            jobs=run.config.jobs or cores(),
        )
        whole = run.plan
        scaled = whole if purpose == "publish" else replace(whole, classes=whole.scaled(rows.counts()).classes)
        engine = fit_unit(rows, scaled, unit, recipe_of(run.config), seed=run.config.seed, context=context)
        shutil.rmtree(folder, ignore_errors=True)
        save_engine(engine, folder)
        (folder / "done").touch()
        shutil.rmtree(folder.with_name(f"{purpose}-checkpoints"), ignore_errors=True)
    return run.model_folder(unit.name)


def generate(run: Run, label: Label) -> Path:
    """Draw a label's rows: the draw to publish, and for a holdout check nine replicas from other seeds."""
    whole = run.plan
    unit = whole.unit_of(label).name
    jobs: list[tuple[Purpose, int, int]] = [("publish", 0, 0)]
    if run.record.check == "holdout":
        purpose: Purpose = "check" if "check" in run.purposes else "publish"
        first = DRAWS if purpose == "check" else 0
        jobs += [(purpose, draw, first + draw) for draw in range(DRAWS) if first or draw]
    for purpose, draw, number in jobs:
        path = run.draw_path(label, number)
        if path.exists():
            continue
        scaled = whole if purpose == "publish" else whole.scaled(run.train.counts())
        engine = _engine(run, whole, unit, purpose)
        run.write_rows(path, sample_label(engine, scaled, label, seed=run.config.seed, draw=draw))
    return run.draw_path(label, 0).parent


def check(run: Run, *, report: Callable[[float, str], None] = _unheard) -> Verdict:
    """Judge the plan's rows on real rows that nothing was fitted on; written to quality.json and report.html."""
    config = run.config
    gate = Gate(metric=config.metric)
    if (run.folder / "quality.json").is_file():
        return Verdict.from_json(run.read("quality.json"))
    if run.record.check == "none":
        verdict = Verdict.not_checked("no rows were set aside (--holdout 0)")
    elif not run.plan.total:
        verdict = Verdict.not_checked("the classes are balanced as they are; nothing was added")
    else:
        verdict = assess(
            run.train,
            arms=build_arms(run.plan, recipe_of(config), small_class=config.small_class),
            holdout=run.holdout if run.record.check == "holdout" else None,
            check=run.record.check,
            gate=gate,
            seed=derive(config.seed, "check"),
            jobs=config.jobs or cores(),
            draws=DRAWS,
            drawn=_drawn(run) if run.record.check == "holdout" else None,
            estimator=config.estimator,
            group=config.group,
            report=report,
        )
    run.write("fidelity.json", _fidelity(run))
    run.write("quality.json", verdict.to_json())
    write_report(run, verdict)
    return verdict


def _fidelity(run: Run) -> dict[str, object]:
    """How well a forest tells the published draw from real rows of its class (C2ST), beside two sets of real rows.

    Against rows set aside where there are any, else against the training rows themselves.
    """
    unseen = run.holdout or run.shipped
    found: dict[str, object] = {}
    for label in run.plan.adds():
        rows = run.read_rows(run.draw_path(label, 0))
        seen = run.train if run.holdout is not None else None
        told = per_class(rows, unseen, seen=seen, seed=derive(run.config.seed, "fidelity")).get(label)
        if told is not None:
            found[text_of(label)] = {
                "c2st": told.auc.to_json(),
                "real_versus_real": told.floor.to_json(),
                "rows": told.n_rows,
                "note": told.note,
                "against": "rows set aside" if run.holdout is not None else "training rows",
            }
    return found


def _drawn(run: Run) -> Draws:
    """The check's draws as ``generate`` wrote them."""
    purpose: Purpose = "check" if "check" in run.purposes else "publish"
    engines = {unit.name: _engine(run, run.plan, unit.name, purpose) for unit in run.plan.units}
    return Draws(run.check_draw, repeated_labels(engines, run.plan))


def _engine(run: Run, whole: BalancePlan, unit: str, purpose: Purpose) -> Engine:
    name = next(known.engine for known in whole.units if known.name == unit)
    return load_engine(run.model_folder(unit, purpose), trusted=(name,) if ":" in name else ())


def balance(
    source: Source,
    *,
    out: str | Path | None = None,
    config: BalanceConfig | None = None,
    report: Report = _silent,
    **options: object,
) -> BalanceResult:
    """Balance a table and return what it came to: the six stages in order.

    ``source`` is a path, a DataFrame or an Arrow table; ``options`` are BalanceConfig's fields (label, engine,
    strategy, seed ...) where no ``config`` is given. A path is published to ``out`` (default: its stem plus
    "-balanced" beside it); a table without ``out`` stays in memory, in ``result.dataset``. Interrupted and given
    again, it resumes. Raises ConfigError, DataError, PublishError or EngineError; a FAIL is a verdict, not an error.
    """
    if config is not None and options:
        raise ConfigError(f"give a config or single options, not both (got {', '.join(sorted(options))})")
    config = config or make_config(options)
    report("read", 0.0, "reading")
    job = prepare(source, config)
    destination = _destination(job, out or config.out)
    with ExitStack() as stack:
        if destination is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="synthgen-")))
            return _stages(start(job, folder), None, report)
        rehearse(job)
        destination = preflight(destination, inputs=job.inputs, need_bytes=3 * job.dataset.table.nbytes)
        answered = answer(destination, job.key)
        if answered is not None:
            return answered
        held = stack.enter_context(stage(destination, run_id=run_id_of(job.key)))

        def alive(name: str, share: float, message: str) -> None:
            held.beat()
            report(name, share, message)

        return _stages(start(job, held.folder), held, alive)


def _stages(run: Run, held: Stage | None, report: Report) -> BalanceResult:
    report("plan", 0.0, "planning")
    made = plan(run)
    for k, unit in enumerate(made.units):
        report("fit", k / len(made.units), f"fitting {unit.name}")
        fit(run, unit, report=part_of(partial(report, "fit"), k, len(made.units)))
    for k, label in enumerate(made.adds()):
        report("generate", k / len(made.adds()), f"drawing rows of {label!r}")
        generate(run, label)
    report("check", 0.0, "checking on rows set aside")
    check(run, report=partial(report, "check"))
    report("publish", 0.0, "publishing")
    result = publish(run, held)
    report("publish", 1.0, "done")
    return result


def publish(run: Run, held: Stage | None) -> BalanceResult:
    """Publish the run's rows to the held destination, or move the run to quarantine where the gate stops it.

    Without a destination the rows come back in ``result.dataset``.
    """
    verdict = Verdict.from_json(run.read("quality.json"))
    if verdict.blocks(run.config.gate):
        return quarantine_run(run, verdict, held)
    return publish_run(run, verdict, held)


def _destination(job: Job, out: str | Path | None) -> Path | None:
    if out is not None:
        return Path(out)
    if job.source is None:
        return None
    stem = job.source.name.split(".")[0] or job.source.name
    return job.source.with_name(f"{stem}-balanced")
