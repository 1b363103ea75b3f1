"""Every example runs as a user would run it, in a process of its own and in any folder, and stays short."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import synthgen
from synthgen.engines.contract import CHECKS, Kit

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ROWS = 1_600
SCRIPTS = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py"))


def run(script: str, *arguments: object, cwd: Path, fails: bool = False) -> str:
    """Run an example as a script, return what it printed."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_is_short_and_listed(script: str) -> None:
    lines = (EXAMPLES / script).read_text(encoding="utf-8").splitlines()
    assert len(lines) < 80
    assert f"({script})" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", SCRIPTS)
def test_explains_itself(script: str, tmp_path: Path) -> None:
    assert "usage:" in run(script, "--help", cwd=tmp_path)


def test_own_engine_takes_under_forty_lines() -> None:
    text = (EXAMPLES / "own_engine.py").read_text(encoding="utf-8")
    assert len(text.partition("def main()")[0].strip().splitlines()) < 40


def test_churn_script_writes_where_it_is_told(tmp_path: Path) -> None:
    run("data/make_churn.py", "--out", tmp_path / "again.parquet", cwd=tmp_path)
    assert pq.read_table(tmp_path / "again.parquet").equals(pq.read_table(EXAMPLES / "data" / "churn.parquet"))


@pytest.mark.parametrize("check", CHECKS)
def test_own_engine_keeps_every_promise(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    CHECKS[check](Kit(lambda: synthgen.make_engine("own_engine:Jitter", noise=0.2)))


@pytest.mark.parametrize("cls_path", ["own_engine:Jitter", "examples.own_engine:Jitter"])
def test_own_engine_is_found_by_either_name(cls_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES if cls_path.startswith("own") else ROOT))
    frame = pd.DataFrame({"x": range(60), "c": list("abc") * 20})
    balanced, labels = synthgen.Balancer(engine=cls_path, random_state=0).fit_resample(frame, [0] * 48 + [1] * 12)
    assert balanced.iloc[:60].equals(frame)
    assert (len(balanced), sum(labels)) == (96, 48)


def test_breast_cancer_prints_every_arm(tmp_path: Path) -> None:
    printed = run("balance_breast_cancer.py", "--folds", 3, cwd=tmp_path)
    assert "387 rows, 30 malignant" in printed
    assert re.findall(r"^ *(\S.*?)  0\.\d{3} ± 0\.\d{3}$", printed, re.M) == [
        "alone",
        "class weights",
        "Balancer(delta)",
    ]


@pytest.mark.slow
def test_breast_cancer_with_a_network(tmp_path: Path) -> None:
    printed = run("balance_breast_cancer.py", "--folds", 2, "--engine", "cwgan-gp", "--steps", 20, cwd=tmp_path)
    assert re.search(r"Balancer\(cwgan-gp\)  0\.\d{3}", printed)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What the main job published from a part of the churn table, and what it printed."""
    folder = tmp_path_factory.mktemp("main-job")
    printed = run("balance_from_python.py", "--rows", ROWS, "--gate", "report-only", "--out", "here", cwd=folder)
    return folder / "here", printed


@pytest.mark.slow
def test_main_job_publishes_what_it_says(shards: tuple[Path, str]) -> None:
    out, printed = shards
    published = synthgen.read_shards(out)
    train, test = published.to_pandas(), published.test.to_pandas()
    for label, counts in published.manifest.counts.items():
        assert f"churned = {label}: {counts.real:,} real rows, {counts.synthetic:,} synthetic" in printed
    assert counts.synthetic > 0
    assert len(train[train["customer_id"].isin(test["customer_id"])]) == 0
    churn = pd.read_parquet(EXAMPLES / "data" / "churn.parquet")
    assert test["customer_id"].isin(churn["customer_id"]).all()
    assert len(published.train.origin("real")) + len(test) == ROWS
    assert re.search(rf"^{published.manifest.status}: ", printed, re.M)


@pytest.mark.slow
def test_training_prints_scores_before_and_after(shards: tuple[Path, str]) -> None:
    out, _ = shards
    printed = run("train_on_shards.py", out.name, cwd=out.parent)
    published = synthgen.read_shards(out)
    assert f"scored on {len(published.test)} real rows set aside" in printed
    before, after = re.findall(r"average precision (0\.\d{3}), ROC AUC (0\.\d{3}), trained on ([\d,]+) rows", printed)
    assert int(before[2].replace(",", "")) == len(published.train.origin("real"))
    assert int(after[2].replace(",", "")) == len(published.train)
    assert min(float(before[1]), float(after[1])) > 0.6


@pytest.mark.slow
def test_training_takes_a_holdout_of_ones_own(shards: tuple[Path, str]) -> None:
    out, _ = shards
    churn = EXAMPLES / "data" / "churn.parquet"
    assert "scored on 10,000 real rows" in run("train_on_shards.py", out, "--test", churn, cwd=out.parent)


@pytest.mark.slow
def test_own_engine_runs_the_whole_road(tmp_path: Path) -> None:
    printed = run("own_engine.py", "--rows", 1_500, cwd=tmp_path)
    assert f"jitter keeps all {len(CHECKS)} promises" in printed
    assert re.search(r"^[1-9]\d* rows made$", printed, re.M)
    assert re.search(r"^(PASS|NO LIFT|FAIL|INCONCLUSIVE): \S", printed, re.M)
