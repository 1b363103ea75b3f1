"""What the tests of the main road in process share: a quick run, and one that has begun."""

from __future__ import annotations

from pathlib import Path

import synthgen
from synthgen import pipeline
from synthgen.config import make_config
from synthgen.job import prepare


def quick(data: Path, out: Path | None = None, **options: object) -> synthgen.BalanceResult:
    """Balance ``data``: one job, no check unless it is asked for."""
    return synthgen.balance(
        data, **{"label": "fraud", "out": out, "engine": "delta", "holdout": 0, "jobs": 1, **options}
    )


def started(data: Path, folder: Path, **options: object) -> pipeline.Run:
    """Return the run that ``folder`` holds, planned."""
    config = make_config({"label": "fraud", "engine": "oversample", "holdout": 0.2, "check": "holdout", **options})
    run = pipeline.start(prepare(data, config), folder)
    pipeline.plan(run)
    return run
