"""kill -9 of a real process at random moments, then the same command: the bytes of a run that was never interrupted."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from road_kit import command, frame, shards

from synthgen.shards.reader import verify

ARGUMENTS = [
    *("balance", "fraud.parquet", "--label", "fraud", "--engine", "cwgan-gp", "--steps", "300", "--jobs", "1"),
    *("--check", "holdout", "--gate", "report-only"),
]


@pytest.mark.slow
def test_runs_killed_at_random_moments_resume_to_the_same_bytes(tmp_path: Path) -> None:
    """Red when any state of the training is left out of a checkpoint, or a stage trusts a half-written file."""
    frame().to_parquet(tmp_path / "fraud.parquet")
    began = time.monotonic()
    command(*ARGUMENTS, "--out", "whole", cwd=tmp_path)
    whole, seconds = shards(tmp_path / "whole"), time.monotonic() - began
    moments = random.Random(0)
    for k in range(5):
        out, moment = tmp_path / f"out{k}", moments.uniform(0.1, 0.95) * seconds
        killed(tmp_path, out, moment)
        command(*ARGUMENTS, "--out", out, cwd=tmp_path)
        assert shards(out) == whole, f"killed after {moment:.1f} s of {seconds:.1f}"
        assert verify(out).ok


def killed(folder: Path, out: Path, seconds: float) -> None:
    """Begin the command, and kill it after ``seconds``. Nothing torn is ever published."""
    process = subprocess.Popen(
        [sys.executable, "-m", "synthgen", *ARGUMENTS, "--out", str(out)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        if (out / "current").exists():
            assert verify(out).ok
