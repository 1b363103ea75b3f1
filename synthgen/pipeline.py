"""The main road: start, plan, fit, generate, check, publish over a run folder; ``balance`` is the six in order.

What the command line, the Python API and the Prefect flow all call, so that they cannot drift. Only paths and small
JSON cross from one stage to the next.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from synthgen.arms import build_arms
from synthgen.config import BalanceConfig, make_config
from synthgen.data.dataset import TabularDataset, quoted, text_of
from synthgen.data.images import ImageDataset
from synthgen.data.kinds import Dataset, modality_of
from synthgen.data.notes import notes_of
from synthgen.data.schema import Label
from synthgen.engines import load_engine, save_engine
from synthgen.engines.base import Engine, FitContext
from synthgen.engines.choose import Choice
from synthgen.errors import ConfigError
from synthgen.job import (
    Job,
    learnt_in_folds,
    other_rows,
    plan_of_check,
    planned,
    prepare,
    recipe_of,
    rehearse,
    told_of_check,
)
from synthgen.memory import give_back
from synthgen.needs import check_memory, cores, workers
from synthgen.planning import BalancePlan, FitUnit
from synthgen.publication import BalanceResult, answer, publish_run, quarantine_run
from synthgen.quality.fidelity import per_class
from synthgen.quality.gate import Gate, Verdict, assess, look
from synthgen.quality.image_fidelity import image_fidelity
from synthgen.rebalance import fit_unit, sample_label
from synthgen.report.build import write_report
from synthgen.run import (
    DRAWS,
    Purpose,
    Report,
    Run,
    RunRecord,
    save_input,
    versions,
)
from synthgen.seeding import derive
from synthgen.shards.manifest import run_id_of
from synthgen.shards.preflight import preflight
from synthgen.shards.stage import Stage, stage

if TYPE_CHECKING:
    from synthgen.data.read import Source


def _silent(stage_name: str, share: float, message: str) -> None:
    """Report nothing."""


def _unheard(share: float, message: str) -> None:
    """Report nothing."""


def part_of(report: Callable[[float, str], None], part: int, parts: int) -> Callable[[float, str], None]:
    """Return the report of one of several parts of equal length."""
    return lambda share, message: report((part + share) / parts, message)


def start(job: Job, folder: Path) -> Run:
    """Write run.json and the split to ``folder`` and return the run; a folder of the same run key is continued.

    Raises ConfigError where the folder holds another run.
    """
    if (folder / "run.json").is_file():
        run = Run.open(folder)
        if run.record.run_key != job.key:
            raise ConfigError(f"{folder} holds another run, {run.record.run_id}; choose another folder")
        return Run(folder, run.record, dataset=job.dataset, holdout=job.holdout)
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
    run = Run(folder, record, dataset=job.dataset, split=outline.split, holdout=job.holdout)
    run.write("run.json", record.model_dump(mode="json"))
    return run


def plan(run: Run) -> BalancePlan:
    """Decide how many rows each class gets and by which trainings; written to plan.json."""
    made = planned(run.shipped.counts(), run.config, modality_of(run.dataset))
    if run.record.check != "none":
        made = told_of_check(made, _plan_of_check(run, made), check=run.record.check)
    made = replace(made, notes=(*made.notes, *notes_of(run.dataset)))
    run.write("plan.json", made.to_json())
    return made


def fit(run: Run, unit: FitUnit, *, report: Callable[[float, str], None] = _unheard) -> Path:
    """Fit one unit's engine and keep it in the run folder; one that is there already is left as it is."""
    whole = run.plan
    made = {purpose: _plan_of(run, purpose) for purpose in run.purposes}
    trainings: list[tuple[Purpose, FitUnit]] = [("publish", unit)]
    # a class may have rows enough for its engine in all, but not without those set aside
    if "check" in made:
        owned = [own for own in made["check"].units if _first_of(whole, own.labels[0]) == unit]
        trainings += [("check", own) for own in owned]
    for k, (purpose, training) in enumerate(trainings):
        if not (run.model_folder(training.name, purpose) / "done").exists():
            _fit(run, made[purpose], training, purpose, report=part_of(report, k, len(trainings)))
    return run.model_folder(unit.name)


def _fit(run: Run, made: BalancePlan, unit: FitUnit, purpose: Purpose, *, report: Callable[[float, str], None]) -> None:
    folder = run.model_folder(unit.name, purpose)
    rows = run.shipped if purpose == "publish" else run.train
    context = FitContext(
        report=report,
        checkpoints=folder.with_name(f"{purpose}-checkpoints"),
        base=_engine(run, made, unit.base, purpose) if unit.base else None,
        jobs=run.config.jobs or cores(),
        group=run.config.group,
    )
    give_back()
    recipe = recipe_of(run.config, modality_of(rows))
    engine = fit_unit(rows, made, unit, recipe, seed=run.config.seed, context=context)
    shutil.rmtree(folder, ignore_errors=True)
    save_engine(engine, folder)
    (folder / "done").touch()
    shutil.rmtree(folder.with_name(f"{purpose}-checkpoints"), ignore_errors=True)


def _plan_of(run: Run, purpose: Purpose) -> BalancePlan:
    """The plan of a purpose: the run's own, or that of the check's own generators."""
    return run.plan if purpose == "publish" else _plan_of_check(run, run.plan)


def _plan_of_check(run: Run, whole: BalancePlan) -> BalancePlan:
    kind, modality = run.record.check, modality_of(run.dataset)
    learnt = learnt_in_folds(run.train, run.config) if kind == "cv" else run.train.counts()
    return plan_of_check(whole, learnt, run.config, modality, check=kind)


def _first_of(whole: BalancePlan, label: Label) -> FitUnit:
    """The training beside which the check's own for a label runs."""
    return next(unit for unit in whole.units if label in unit.labels)


def generate(run: Run, label: Label) -> Path:
    """Draw a label's rows: the draw to publish, and for a holdout check nine replicas from other seeds."""
    give_back()
    jobs: list[tuple[Purpose, int, int]] = [("publish", 0, 0)]
    if run.record.check == "holdout":
        purpose: Purpose = "check" if "check" in run.purposes else "publish"
        first = DRAWS if purpose == "check" else 0
        jobs += [(purpose, draw, first + draw) for draw in range(DRAWS) if first or draw]
    engine, loaded = None, ""
    for purpose, draw, number in jobs:
        path = run.draw_path(label, number)
        if path.exists():
            continue
        made = _plan_of(run, purpose)
        if label not in made.adds():
            run.write_rows(path, run.dataset.take(np.arange(0)))
            continue
        if engine is None or loaded != purpose:
            engine, loaded = _engine(run, made, made.unit_of(label).name, purpose), purpose
        run.write_rows(path, sample_label(engine, made, label, seed=run.config.seed, draw=draw))
    return run.draw_path(label, 0).parent


def check(run: Run, *, report: Callable[[float, str], None] = _unheard) -> Verdict:
    """Judge the plan's rows on real rows that nothing was fitted on; written to quality.json and report.html."""
    config = run.config
    gate = Gate(metric=config.metric)
    give_back()
    if (run.folder / "quality.json").is_file():
        return Verdict.from_json(run.read("quality.json"))
    if run.record.check == "none":
        verdict = Verdict.not_checked("no rows were set aside (--holdout 0)")
    elif not run.plan.total:
        verdict = Verdict.not_checked("the classes are balanced as they are; nothing was added")
    elif not any(len(run.read_rows(run.draw_path(label, 0))) for label in run.plan.adds()):
        verdict = Verdict.not_checked(f"{_against(run)}; nothing was added")
    elif "check" in run.purposes and not _plan_of(run, "check").total:
        why = "without the rows set aside no class has rows enough to make more of; give a smaller --holdout"
        verdict = Verdict.not_checked(why)
    else:
        verdict = _judged(run, gate, report)
        give_back()  # what it took: a large table is read again beside it
    run.write("fidelity.json", _fidelity(run))
    run.write("quality.json", verdict.to_json())
    write_report(run, verdict)
    return verdict


def _against(run: Run) -> str:
    """Why no engine added rows, in words; by class where classes differ in it."""
    whole, classes = run.plan, dict[str, list[str]]()
    for label in whole.adds():
        unit = whole.unit_of(label)
        choice = getattr(_engine(run, whole, unit.name, "publish"), "choice", None)
        why = choice.against if isinstance(choice, Choice) else f"{unit.engine} made no rows"
        classes.setdefault(why, []).append(text_of(label))
    if len(classes) == 1:
        return next(iter(classes))
    return "; ".join(f"class {', '.join(labels)}: {why}" for why, labels in classes.items())


def _judged(run: Run, gate: Gate, report: Callable[[float, str], None]) -> Verdict:
    config, kind, seed = run.config, run.record.check, derive(run.config.seed, "check")
    aside = kind == "holdout"
    recipe = recipe_of(config, modality_of(run.dataset))
    arms = build_arms(run.plan, recipe, small_class=config.small_class, group=config.group)
    drawn, jobs = run.check_draws() if aside else None, workers(config, run.dataset, kind)
    unjudged = tuple(other_rows(run.plan, _plan_of_check(run, run.plan)))
    real = look(run.train, run.holdout if aside else None, gate=gate, seed=seed)
    if real.thinned:  # a large table
        run.release()
        give_back()
    return assess(
        real,
        arms=arms,
        check=kind,
        gate=gate,
        seed=seed,
        jobs=jobs,
        draws=DRAWS,
        drawn=drawn,
        unjudged=unjudged,
        estimator=config.estimator,
        group=config.group,
        flips=config.flips,
        report=report,
    )


def _fidelity(run: Run) -> dict[str, object]:
    """How well a forest tells the published draw from real rows of its class (C2ST), beside two sets of real rows.

    Against rows set aside where there are any, else against the training rows themselves.
    """
    unseen, seen = run.holdout or run.shipped, run.train if run.holdout is not None else None
    seed = derive(run.config.seed, "fidelity")
    if isinstance(unseen, ImageDataset):
        return _image_fidelity(run, seed)
    found: dict[str, object] = {}
    for label in run.plan.adds():
        rows = run.read_rows(run.draw_path(label, 0))
        if rows.repeated is not None and not rows.repeated.all():
            rows = rows.take(~rows.repeated)
        tables = (cast("TabularDataset", each) for each in (rows, unseen))
        told = per_class(*tables, seen=cast("TabularDataset | None", seen), seed=seed).get(label)
        if told is not None:
            found[text_of(label)] = {
                "c2st": told.auc.to_json(),
                "real_versus_real": told.floor.to_json(),
                "rows": told.n_rows,
                "note": told.note,
                "against": "rows set aside" if run.holdout is not None else "training rows",
            }
    return found


def _image_fidelity(run: Run, seed: int) -> dict[str, object]:
    """Figures of the published draw of images by class and origin, beside real images against real ones."""
    drawn = [run.read_rows(run.draw_path(label, 0)) for label in run.plan.adds()]
    if not drawn:
        return {}
    real, added = (cast("ImageDataset", each) for each in (run.shipped, drawn[0].concat(*drawn[1:])))
    apart = run.config.holdout_data or run.record.ship == "train"  # of what is published the generator has seen all
    unseen = cast("ImageDataset | None", run.holdout if apart else None)
    found = image_fidelity(added, real, unseen=unseen, flips=run.config.flips, seed=seed)
    return {
        text_of(label): {origin: figures.to_json() for origin, figures in each.items()} for label, each in found.items()
    }


def _engine(run: Run, made: BalancePlan, unit: str, purpose: Purpose) -> Engine[Dataset]:
    name = next(known.engine for known in made.units if known.name == unit)
    loaded = load_engine(run.model_folder(unit, purpose), trusted=(name,) if ":" in name else ())
    return cast("Engine[Dataset]", loaded)


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
            _check_memory(job)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="synthgen-")))
            return _stages(start(job, folder), None, report)
        rehearse(job)
        destination = preflight(destination, inputs=job.inputs, need_bytes=3 * job.dataset.size_bytes)
        answered = answer(destination, job.key)
        if answered is not None:
            return answered
        _check_memory(job)
        held = stack.enter_context(stage(destination, run_id=run_id_of(job.key)))

        def alive(name: str, share: float, message: str) -> None:
            held.beat()
            report(name, share, message)

        run = start(job, held.folder)
        del job  # the check of a large table lets go of the rows
        return _stages(run, held, alive)


def _check_memory(job: Job) -> None:
    check_memory(job.dataset, job.outline.plan, workers(job.config, job.dataset, job.outline.check), name=job.name)


def _stages(run: Run, held: Stage | None, report: Report) -> BalanceResult:
    report("plan", 0.0, "planning")
    made = plan(run)
    for k, unit in enumerate(made.units):
        report("fit", k / len(made.units), f"fitting {unit.name}")
        fit(run, unit, report=part_of(partial(report, "fit"), k, len(made.units)))
    for k, label in enumerate(made.adds()):
        report("generate", k / len(made.adds()), f"drawing rows of {quoted(label)}")
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
    give_back()
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
