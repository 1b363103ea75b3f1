"""Around the main road: judge rows that any tool made, draw more rows from a published model, rebuild a report.

What the commands of those names do; may import everything below the edges.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow.parquet as pq

from synthgen.arms import fixed_arms
from synthgen.config import BalanceConfig
from synthgen.data.dataset import TabularDataset, text_of
from synthgen.data.images import ImageDataset
from synthgen.data.kinds import Dataset
from synthgen.data.parquet import FOOTER_KEY
from synthgen.data.read import cleaned, read_table
from synthgen.data.schema import find_label
from synthgen.engines import load_engine, own_engine
from synthgen.engines.base import Engine, Informed, class_path
from synthgen.engines.chooser import WINNER, Chooser
from synthgen.engines.mixed import GENERATOR, Mixed
from synthgen.errors import ConfigError, DataError, PublishError
from synthgen.image_parts import drawn_table
from synthgen.memory import attainable_bytes
from synthgen.needs import workers
from synthgen.planning import BalancePlan, match_label
from synthgen.quality.gate import Gate, Verdict, assess
from synthgen.report.build import MARK, REPORT, render, write_report
from synthgen.report.facts import FACTS, facts_from_json
from synthgen.run import Report, Run, aligned, read_input, untouched
from synthgen.seeding import derive
from synthgen.shards.preflight import write_errors
from synthgen.shards.reader import is_published, read_shards

_FEW = 1_000
_HEAD = 2_000  # bytes of a file that may hold its mark
_COPIES = 3  # of the rows, while they are made and written


def judge(real: Path, synthetic: Path, holdout: Path, config: BalanceConfig, report: Report) -> Verdict:
    """Return the verdict on ``synthetic`` rows as additions to ``real`` ones, scored on ``holdout``.

    There is one draw, so the interval is over the holdout's rows and the synthetic ones. Raises DataError where the
    three tables do not have the same columns and types.
    """
    report("read", 0.0, "reading")
    train = read_input(real, config, label=config.label)
    made = aligned(_same_label(synthetic, train, config, real=False), train, name=synthetic.name)
    held = aligned(_same_label(holdout, train, config), train, name=holdout.name)
    held = untouched(held, train, name=holdout.name)
    report("check", 0.0, "checking on the holdout")
    return assess(
        train,
        arms=fixed_arms(train, made, flips=config.flips),
        holdout=held,
        check="holdout",
        gate=Gate(metric=config.metric),
        seed=derive(config.seed, "check"),
        jobs=workers(config, train, "holdout"),
        estimator=config.estimator,
        flips=config.flips,
        report=lambda share, message: report("check", share, message),
    )


def _same_label(path: Path, like: Dataset, config: BalanceConfig, *, real: bool = True) -> Dataset:
    if not isinstance(like, TabularDataset):
        return read_input(path, config, label=like.label, like=like, real=real)
    table = read_table(path, label=like.label, real=real)
    find_label(table.schema.names, like.label, source=path.name)
    names = [name for name in table.schema.names if name not in config.drop]
    table, _ = cleaned(table.select(names), label=like.label, drop_unlabelled=config.drop_unlabelled, inf=config.inf)
    return TabularDataset(table, like.schema, like.classes)


def draw(model: Path, label: str, n: int, *, seed: int, out: Path, trusted: tuple[str, ...] = ()) -> Dataset:
    """Write ``n`` rows of ``label`` from a published model to the new parquet file ``out`` and return them.

    A model that adds real rows again beside generated ones gives generated ones alone. Images are written as the rows
    that parquet shards have; their ``model`` is the folder of what generates. The file's footer says, as a shard's
    does, that its rows are not real.

    ``model`` is OUT, a data/<run_id> folder of it, or the model/ folder in that. Raises DataError where there is no
    model, or more rows are asked for than there is memory; ConfigError where none makes rows of the label; PublishError
    where ``out`` cannot be written, is there already, or lies where the run published.
    """
    _writable(out, source=model)
    if out.suffix.lower() not in (".parquet", ".pq"):
        raise ConfigError(f"--out {out} is written as parquet; name a file that ends in .parquet")
    if n < 0:
        raise ConfigError(f"-n must be 0 or more, got {n}")
    folder = model.parent if model.name == "model" and model.is_dir() else model
    shards = read_shards(folder)
    plan = BalancePlan.from_json(cast("Mapping[str, object]", shards.manifest.training["plan"]))
    known = match_label(label, {name.value: name.code for name in shards.manifest.labels})
    if known not in plan.adds():
        made = ", ".join(map(str, plan.adds())) or "none"
        raise ConfigError(f"no model makes rows of class {label!r}; there are models for: {made}")
    saved, drawn = shards.folder / "model" / plan.unit_of(known).name, derive(seed, "sample", text_of(known))
    generator, saved = _generator(load_engine(saved, trusted=trusted), saved)
    with own_engine(class_path(generator)):
        _check_room(generator.sample(known, min(n, _FEW), seed=drawn), n)
        rows = generator.sample(known, n, seed=drawn)
    table = drawn_table(rows, saved, seed=drawn) if isinstance(rows, ImageDataset) else rows.to_arrow()
    with _whole(out) as partial, pq.ParquetWriter(partial, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({FOOTER_KEY: json.dumps({"origin": generator.info.origin})})
    return rows


def _check_room(few: Dataset, n: int) -> None:
    """Raise DataError where ``n`` rows such as ``few`` take more memory than there is. What one row takes is what more
    of them do: a category's levels are there once."""
    if len(few) < _FEW:
        return
    each = (few.size_bytes - few.take(np.arange(1)).size_bytes) / (len(few) - 1)
    need, room = _COPIES * (few.size_bytes + each * n), attainable_bytes()
    if room is not None and need > room:
        raise DataError(
            f"-n {n} rows take about {need / 1e6:,.0f} MB of memory and {room / 1e6:,.0f} MB are to be had; draw "
            "fewer at a time, each time with another --seed"
        )


def _generator(engine: Informed, folder: Path) -> tuple[Engine[Dataset], Path]:
    """What generates in an engine, and its own folder within the engine's."""
    if isinstance(engine, Chooser):
        engine, folder = engine.winner, folder / WINNER
    if isinstance(engine, Mixed):
        engine, folder = engine.generator, folder / GENERATOR
    return cast("Engine[Dataset]", engine), folder


def _writable(out: Path, *, source: Path, over: bytes = b"") -> None:
    """Refuse what is no place for a new file: also where a run published, and ``source`` that is read. A file
    that begins with the mark ``over`` may be written over."""
    with write_errors(out):
        if out.is_dir():
            raise ConfigError(f"--out {out} is a folder; name a file")
        if not out.absolute().parent.is_dir():
            raise PublishError(f"--out {out} cannot be written: there is no folder {out.parent}; make it first")
        places, read = Path(os.path.realpath(out)).parents, Path(os.path.realpath(source))
        if published := next((place for place in places if place == read or is_published(place)), None):
            raise PublishError(f"{out} lies in {published}, which holds a run's files; name a file elsewhere by --out")
        if os.path.lexists(out) and not (over and out.is_file() and over in _head(out)):
            raise PublishError(f"{out} is there already; name another file by --out, or move it away")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Give a path to write to; what is written there comes to be ``out``, whole or not at all, also where that is a
    link, and with the rights of the file that it takes the place of."""
    target = Path(os.path.realpath(out))
    partial = target.with_name(f".synthgen-{os.getpid()}.part")
    with write_errors(out):
        try:
            yield partial
            if target.exists():
                shutil.copymode(target, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def rebuild_report(folder: Path, out: Path | None) -> Path:
    """Write the report of a run folder, or of a published data/<run_id> folder, again; return where it is.

    A run folder's own report.html is replaced; that of a published run, whose bytes are fixed, is written to ``out``
    (default: <run_id>-report.html in the working folder). Raises PublishError where that cannot be written, is there
    and no report, or lies where the run published.
    """
    if (folder / "run.json").is_file():
        run = Run.open(folder)
        if out is not None and os.path.realpath(out) == os.path.realpath(folder / REPORT):
            out = None
        if out is not None:
            _writable(out, source=folder, over=MARK)
        path = write_report(run, Verdict.from_json(run.read("quality.json")))
        return path if out is None else _write(out, path.read_text("utf-8"))
    shards = read_shards(folder)
    facts = json.loads((shards.folder / FACTS).read_text("utf-8"))
    target = out or Path(f"{shards.manifest.run_id}-report.html")
    _writable(target, source=folder, over=MARK)
    return _write(target, render(facts_from_json(facts)))


def _write(out: Path, page: str) -> Path:
    with _whole(out) as partial:
        partial.write_text(page, "utf-8", newline="\n")
    return out
