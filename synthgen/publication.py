"""From a finished run to what leaves it: shards, labels, report, models and manifest; or quarantine; or memory.

The publish stage's work, kept apart from the order of the stages. May import run, engines, shards and quality.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from synthgen.data.dataset import TabularDataset, text_of
from synthgen.data.images import ImageDataset
from synthgen.data.kinds import Dataset
from synthgen.data.schema import Label
from synthgen.engines import load_engine
from synthgen.engines.base import Engine
from synthgen.image_parts import write_image_parts
from synthgen.planning import BalancePlan
from synthgen.quality.gate import Verdict
from synthgen.report.build import REPORT
from synthgen.report.facts import FACTS
from synthgen.run import Run, write_json
from synthgen.shards.manifest import (
    ClassCounts,
    FileEntry,
    HoldoutInfo,
    InputInfo,
    LabelName,
    Manifest,
    Origin,
)
from synthgen.shards.parquet import write_shards
from synthgen.shards.publish import complete, find_published, find_quarantined, list_files, publish, quarantine
from synthgen.shards.stage import Stage

if TYPE_CHECKING:
    from pydantic import JsonValue

LABELS = "labels.json"
_QUARANTINE = "quarantine"


@dataclass(frozen=True)
class BalanceResult:
    """What a balancing came to.

    ``counts`` maps a label's text to real, synthetic and repeated rows. ``folder`` is the published data/<run_id>,
    or quarantine/<run_id> where the gate stopped it, or None for a result in memory, which is then in ``dataset``:
    the real rows in order, then the added ones. ``answered``: an earlier run had come to exactly this already.
    """

    verdict: Verdict
    plan: BalancePlan
    counts: Mapping[str, ClassCounts]
    run_id: str
    out: Path | None
    folder: Path | None
    published: bool
    answered: bool = False
    dataset: Dataset | None = None

    @property
    def report(self) -> Path | None:
        """Where report.html is."""
        return self.folder / REPORT if self.folder else None

    def to_json(self) -> dict[str, object]:
        """Return the result as JSON types, paths as text; never ``current``, always data/<run_id>."""
        return {
            "run_id": self.run_id,
            "published": self.published,
            "answered": self.answered,
            "out": str(self.out) if self.out else None,
            "folder": str(self.folder) if self.folder else None,
            "report": str(self.report) if self.report else None,
            "counts": {text: counts.model_dump() for text, counts in self.counts.items()},
            "plan": self.plan.to_json(),
            "verdict": self.verdict.to_json(),
        }


def answer(out: Path, run_key: str) -> BalanceResult | None:
    """Return what an earlier run of this key came to, published or quarantined; None where there is none."""
    if not out.exists():
        return None
    done = find_published(out, run_key=run_key) or complete(out, run_key=run_key)
    if done is not None:
        return _from_manifest(done.manifest, out, done.folder, published=True)
    stopped = find_quarantined(out, run_key=run_key)
    if stopped is not None:
        return _from_manifest(stopped, out, out / _QUARANTINE / stopped.run_id, published=False)
    return None


def _from_manifest(manifest: Manifest, out: Path, folder: Path, *, published: bool) -> BalanceResult:
    plan = BalancePlan.from_json(cast("Mapping[str, object]", manifest.training["plan"]))
    verdict = Verdict.from_json(manifest.verdict)
    return BalanceResult(verdict, plan, manifest.counts, manifest.run_id, out, folder, published, answered=True)


def publish_run(run: Run, verdict: Verdict, held: Stage | None) -> BalanceResult:
    """Write the shards and publish them under the held destination, or return the rows where there is none."""
    engines = _engines(run)
    counts = _counts(run, engines)
    if held is None:
        rows = run.shipped.concat(*_added(run, engines).values())
        return BalanceResult(verdict, run.plan, counts, run.record.run_id, None, None, False, dataset=rows)
    folder = run.folder / "publish"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    entries = _write_parts(run, engines, folder)
    _write_sides(run, folder)
    manifest = _manifest(run, verdict, engines, counts, list_files(folder, known=entries))
    plan = run.plan
    done = publish(held, manifest=manifest, folder=folder)
    held.discard()
    return BalanceResult(verdict, plan, counts, run.record.run_id, held.out, done.folder, True)


def quarantine_run(run: Run, verdict: Verdict, held: Stage | None) -> BalanceResult:
    """Move the run to quarantine: what was published before stays what readers see. In memory nothing is returned."""
    counts = _counts(run, {})
    if held is None:
        return BalanceResult(verdict, run.plan, counts, run.record.run_id, None, None, False)
    manifest = _manifest(run, verdict, {}, {}, ())
    plan = run.plan
    folder = quarantine(held, manifest=manifest)
    return BalanceResult(verdict, plan, counts, run.record.run_id, held.out, folder, False)


def _engines(run: Run) -> dict[Label, Engine]:
    plan, found = run.plan, dict[str, Engine]()
    for unit in plan.units:
        trusted = (unit.engine,) if ":" in unit.engine else ()
        found[unit.name] = load_engine(run.model_folder(unit.name), trusted=trusted)
    return {label: found[plan.unit_of(label).name] for label in plan.adds()}


def _added(run: Run, engines: Mapping[Label, Engine]) -> dict[Label, Dataset]:
    return {label: run.read_rows(run.draw_path(label, 0)) for label in engines}


def _counts(run: Run, engines: Mapping[Label, Engine]) -> dict[str, ClassCounts]:
    """Rows per class and origin, the added ones as they were drawn."""
    out = {}
    for label, real in run.shipped.counts().items():
        rows = run.read_rows(run.draw_path(label, 0)) if label in engines else None
        again = 0 if rows is None or rows.repeated is None else int(np.count_nonzero(rows.repeated))
        out[text_of(label)] = ClassCounts(real=real, repeated=again, synthetic=0 if rows is None else len(rows) - again)
    return out


def _write_parts(run: Run, engines: Mapping[Label, Engine], folder: Path) -> list[FileEntry]:
    if isinstance(run.dataset, ImageDataset):
        return write_image_parts(run, engines, folder)
    whole = cast("TabularDataset", run.dataset).base

    def write(dataset: Dataset, part: str, prefix: Literal["real", "synthetic", "repeated", "part"]) -> list[FileEntry]:
        rows = cast("TabularDataset", dataset)
        return write_shards(
            rows.base,
            folder / part,
            rows=rows.rows,
            prefix=prefix,
            seed=run.config.seed,
            run_id=run.record.run_id,
            root=folder,
            like=whole,
            provenance_column=run.config.provenance_column,
        )

    entries = write(run.shipped, "train", "real")
    new = run.shipped.take(np.arange(0)).concat(*_added(run, engines).values())
    again = np.zeros(len(new), dtype=bool) if new.repeated is None else new.repeated
    parts: tuple[tuple[Origin, np.ndarray], ...] = (("synthetic", ~again), ("repeated", again))
    for origin, rows in parts:
        if rows.any():
            entries += write(new.take(rows), "train", origin)
    if run.record.ship == "train" and run.holdout is not None:
        entries += write(run.holdout, "test", "part")
    return entries


def _write_sides(run: Run, folder: Path) -> None:
    """Labels, report and models, beside the shards."""
    write_json(folder / LABELS, [label.model_dump() for label in _labels(run)])
    for name in (REPORT, FACTS):
        shutil.copyfile(run.folder / name, folder / name)
    for unit in run.plan.units:
        ignored = shutil.ignore_patterns("done")
        shutil.copytree(run.model_folder(unit.name), folder / "model" / unit.name, ignore=ignored)


def _labels(run: Run) -> tuple[LabelName, ...]:
    return tuple(LabelName(code=k, text=text_of(label), value=label) for k, label in enumerate(run.dataset.classes))


def _manifest(
    run: Run,
    verdict: Verdict,
    engines: Mapping[Label, Engine],
    counts: Mapping[str, ClassCounts],
    files: tuple[FileEntry, ...],
) -> Manifest:
    record, config = run.record, run.config
    real = {text_of(label): n for label, n in run.shipped.counts().items()}
    after = {text: c.real + c.synthetic + c.repeated for text, c in counts.items()} or real
    chosen: dict[str, JsonValue] = {}
    for label, engine in engines.items():
        choice = getattr(engine, "choice", None)
        chosen[text_of(label)] = choice.to_json() if choice is not None else engine.info.name
    return Manifest(
        run_id=record.run_id,
        run_key=record.run_key,
        input=InputInfo(fingerprint=record.fingerprint, name=record.source_name, rows=len(run.dataset)),
        config=cast("dict[str, JsonValue]", config.key_fields()),
        seeds={"seed": config.seed},
        versions=record.versions,
        engine=config.engine,
        strategy=str(config.strategy),
        label=record.label,
        labels=_labels(run),
        counts=dict(counts),
        files=files,
        verdict=cast("dict[str, JsonValue]", verdict.to_json()),
        priors_before=_shares(real),
        priors_after=_shares(after),
        class_weights={text: sum(real.values()) / (len(real) * n) for text, n in real.items() if n},
        holdout=_holdout(run),
        training=cast(
            "dict[str, JsonValue]",
            {"plan": run.plan.to_json(), "chosen": chosen, "fidelity": run.read("fidelity.json")},
        ),
        notes=(*run.plan.notes, *record.notes),
        reproducible=config.max_minutes is None,
    )


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {text: n / total for text, n in counts.items()}


def _holdout(run: Run) -> HoldoutInfo:
    import hashlib

    held = run.holdout
    if held is None:
        return HoldoutInfo(source="cv" if run.record.check == "cv" else "none")
    digest = hashlib.sha256(held.feature_hashes().tobytes()).hexdigest()
    return HoldoutInfo(
        rows=len(held),
        source="file" if run.config.holdout_data else "split",
        published=run.record.ship == "train",
        row_hashes_sha256=digest,
    )
