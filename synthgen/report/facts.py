"""What a report says, gathered from a run folder: counts, verdict, columns as shares, curves, provenance; no rows, but
a few images.

May import run and what it works with. Nothing is computed that another room has computed already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
from pydantic import TypeAdapter

from synthgen.data.dataset import TabularDataset, text_of
from synthgen.data.images import ImageDataset
from synthgen.data.kinds import Dataset
from synthgen.data.schema import Label
from synthgen.engines import load_engine
from synthgen.engines.base import Engine
from synthgen.engines.choose import Choice
from synthgen.planning import BalancePlan, FitUnit
from synthgen.quality.verdict import Verdict
from synthgen.report.command import command_line, python_call, settings
from synthgen.report.overlays import Overlay, overlay
from synthgen.report.sheets import Sheet, sheets
from synthgen.run import Run

Origin = Literal["synthetic", "repeated"]

FACTS = "report.json"
MAX_COLUMNS = 60
MAX_CLASSES = 12
MAX_PANELS = 480
MAX_POINTS = 300
_NOT_CURVES = frozenset({"step", "seconds", "rate"})
_NONE = Verdict.not_checked("")


@dataclass(frozen=True)
class ClassCount:
    """Rows of one class: real ones in the train part, rows added and where they come from, rows set aside.

    ``repeats`` of the added ones are real again where ``origin`` is synthetic, as with images.
    """

    label: str
    real: int
    added: int
    aside: int = 0
    origin: Origin = "synthetic"
    repeats: int = 0


@dataclass(frozen=True)
class ClassColumns:
    """The columns of one class that got rows."""

    label: str
    n_real: int
    n_added: int
    origin: Origin
    columns: tuple[Overlay, ...]


@dataclass(frozen=True)
class Curve:
    """One figure of a training over its steps."""

    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Generator:
    """One fitted engine: for which labels, what it is, why ``auto`` chose it, its training curves."""

    unit: str
    engine: str
    labels: tuple[str, ...]
    summary: str = ""
    choice: Choice | None = None
    curves: tuple[Curve, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """What the run was made from and how to make it again. ``command`` is for a shell, or Python for a table."""

    run_id: str
    run_key: str
    fingerprint: str
    seed: int
    ship: str
    command: str
    versions: Mapping[str, str]
    settings: Mapping[str, str]


@dataclass(frozen=True)
class ReportFacts:
    """Everything that a report shows. The same facts give the same bytes. ``shape`` is an image's height, width and
    channels, empty for a table."""

    name: str
    label: str
    n_rows: int
    n_columns: int
    verdict: Verdict
    counts: tuple[ClassCount, ...]
    provenance: Provenance
    classes: tuple[ClassColumns, ...] = ()
    generators: tuple[Generator, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = field(default=())
    shape: tuple[int, ...] = ()
    sheets: tuple[Sheet, ...] = ()


def gather(run: Run, verdict: Verdict) -> ReportFacts:
    """Return the facts of a run whose rows are drawn; a class or engine that is not there yet is left out."""
    plan = run.plan
    engines = {unit.name: _engine(run, unit) for unit in plan.units}
    drawn = {label: rows for label in plan.adds() if (rows := _drawn(run, label)) is not None}
    origins: dict[Label, Origin] = {}
    for label in plan.adds():
        engine = engines.get(plan.unit_of(label).name)
        origins[label] = engine.info.origin if engine else "synthetic"
    classes, left_out = _columns(run, drawn, origins)
    record, dataset = run.record, run.dataset
    return ReportFacts(
        name=record.source_name,
        label=record.label,
        n_rows=len(run.dataset),
        n_columns=len(dataset.schema.columns) if isinstance(dataset, TabularDataset) else 0,
        verdict=verdict,
        counts=_counts(run, drawn, origins),
        provenance=_provenance(run),
        classes=classes,
        generators=tuple(_generator(unit, engines[unit.name]) for unit in plan.units),
        notes=_notes(plan, record.notes, verdict),
        left_out=left_out,
        shape=dataset.shape if isinstance(dataset, ImageDataset) else (),
        sheets=_sheets(run, drawn),
    )


def _engine(run: Run, unit: FitUnit) -> Engine | None:
    folder = run.model_folder(unit.name)
    if not (folder / "done").exists():
        return None
    return load_engine(folder, trusted=(unit.engine,) if ":" in unit.engine else ())


def _drawn(run: Run, label: Label) -> Dataset | None:
    path: Path = run.draw_path(label, 0)
    return run.read_rows(path) if path.exists() else None


def _counts(run: Run, drawn: Mapping[Label, Dataset], origins: Mapping[Label, Origin]) -> tuple[ClassCount, ...]:
    held = run.holdout if run.record.ship == "train" and not run.config.holdout_data else None
    aside = held.counts() if held is not None else {}
    return tuple(
        ClassCount(
            text_of(label),
            n,
            len(drawn[label]) if label in drawn else 0,
            aside.get(label, 0),
            origins.get(label, "synthetic"),
            _repeats(drawn.get(label)) if origins.get(label) == "synthetic" else 0,
        )
        for label, n in run.shipped.counts().items()
    )


def _repeats(rows: Dataset | None) -> int:
    return 0 if rows is None or rows.repeated is None else int(np.count_nonzero(rows.repeated))


def _sheets(run: Run, drawn: Mapping[Label, Dataset]) -> tuple[Sheet, ...]:
    if not isinstance(run.shipped, ImageDataset) or not drawn:
        return ()
    return sheets(run.shipped, cast("Mapping[Label, ImageDataset]", drawn), run.read("fidelity.json"))


def _columns(
    run: Run, drawn: Mapping[Label, Dataset], origins: Mapping[Label, Origin]
) -> tuple[tuple[ClassColumns, ...], tuple[str, ...]]:
    """The first columns of the classes that got the most rows, and what was left out in words; of images none."""
    if not isinstance(run.dataset, TabularDataset):
        return (), ()
    features = run.dataset.schema.features
    shown = features[:MAX_COLUMNS]
    got = sorted((label for label, rows in drawn.items() if len(rows)), key=lambda label: -len(drawn[label]))
    chosen = got[: min(MAX_CLASSES, MAX_PANELS // max(1, len(shown)))]
    left_out = []
    if len(features) > len(shown):
        left_out.append(f"the first {len(shown)} of {len(features)} columns are shown")
    if len(got) > len(chosen):
        left_out.append(f"the {len(chosen)} classes with the most added rows of {len(got)} are shown")
    if hidden := len(run.dataset.schema.columns) - len(features):
        left_out.append(f"{hidden} id-like or constant column{'s are' if hidden > 1 else ' is'} not shown")
    classes = []
    for label in chosen:
        real = cast("TabularDataset", run.shipped.of_class(label))
        panels = overlay(real, cast("TabularDataset", drawn[label]), shown)
        classes.append(ClassColumns(text_of(label), len(real), len(drawn[label]), origins[label], panels))
    return tuple(classes), tuple(left_out)


def _generator(unit: FitUnit, engine: Engine | None) -> Generator:
    labels = tuple(text_of(label) for label in unit.labels)
    if engine is None:
        return Generator(unit.name, unit.engine, labels)
    choice = getattr(engine, "choice", None)
    history = cast("list[dict[str, float]]", getattr(engine, "history", None) or [])
    return Generator(
        unit.name,
        unit.engine,
        labels,
        engine.info.summary,
        choice if isinstance(choice, Choice) else None,
        _curves(history),
    )


def _curves(history: Sequence[Mapping[str, float]]) -> tuple[Curve, ...]:
    """The figures of a history, the earth-mover estimate first; at most 300 evenly spaced points that are numbers."""
    names = dict.fromkeys(name for row in history for name in row if name not in _NOT_CURVES)
    curves = []
    for name in sorted(names, key=lambda name: name != "earth_mover"):
        points = [
            (float(row.get("step", k)), float(row[name]))
            for k, row in enumerate(history)
            if isinstance(row.get(name), int | float) and math.isfinite(row[name])
        ]
        if len(points) > MAX_POINTS:
            points = [points[k] for k in np.linspace(0, len(points) - 1, MAX_POINTS).astype(int)]
        if points:
            curves.append(Curve(name, *(tuple(column) for column in zip(*points, strict=True))))
    return tuple(curves)


def _notes(plan: BalancePlan, noted: Sequence[str], verdict: Verdict) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*plan.notes, *noted, *verdict.notes)))


def _provenance(run: Run) -> Provenance:
    record, config = run.record, run.config
    in_memory = Path(record.source).parent == run.folder
    if in_memory:
        command = python_call(config, label=record.label)
    else:
        command = command_line(config, source=record.source_name, label=record.label)
    return Provenance(
        run_id=record.run_id,
        run_key=record.run_key,
        fingerprint=record.fingerprint,
        seed=config.seed,
        ship=record.ship,
        command=command,
        versions=record.versions,
        settings={name: str(value) for name, value in settings(config).items()},
    )


def facts_to_json(facts: ReportFacts) -> dict[str, object]:
    """Return the facts as JSON types; ``facts_from_json`` reads them back."""
    plain = cast("dict[str, object]", TypeAdapter(ReportFacts).dump_python(replace(facts, verdict=_NONE), mode="json"))
    return {**plain, "verdict": facts.verdict.to_json()}


def facts_from_json(data: Mapping[str, object]) -> ReportFacts:
    """Return the facts that ``facts_to_json`` wrote."""
    verdict = Verdict.from_json(cast("Mapping[str, object]", data["verdict"]))
    rest = {name: value for name, value in data.items() if name != "verdict"}
    facts = TypeAdapter(ReportFacts).validate_python({**rest, "verdict": _NONE})
    return replace(facts, verdict=verdict)
