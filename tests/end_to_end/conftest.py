"""Fixtures of the main road: its table on disk, and a quick check."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from road_kit import frame

from synthgen import pipeline
from synthgen.quality.rules import Gate


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small table on disk."""
    path = tmp_path / "fraud.parquet"
    frame().to_parquet(path)
    return path


@pytest.fixture
def one_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check by one learner in one repeat, where it is not the figures that matter."""
    monkeypatch.setattr(pipeline, "Gate", partial(Gate, learners=("logistic",), repeats=1, resamples=400))
