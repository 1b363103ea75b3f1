"""The main road in process: what is published, twice the same, answered, resumed, refused."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from road_kit import frame, shards
from run_kit import quick, started

import synthgen
from synthgen import pipeline
from synthgen.config import make_config
from synthgen.errors import ConfigError, DataError, PublishError
from synthgen.forecast import forecast
from synthgen.job import prepare
from synthgen.judge import draw
from synthgen.shards.reader import verify


def test_every_input_row_is_published_as_it_was_and_counts_are_the_plan(data, tmp_path):
    out = tmp_path / "out"
    result = quick(data, out)
    assert result.published
    train = pd.read_parquet(out / "current" / "train")
    whole = pd.read_parquet(data)
    pd.testing.assert_series_equal(train.dtypes, whole.dtypes)
    assert train["fraud"].value_counts().to_dict() == {0: 340, 1: 340}
    real = pq.read_table(out / "current" / "train" / "real-00000-of-00001.parquet")
    assert real.schema.remove_metadata().equals(pq.read_schema(data).remove_metadata(), check_metadata=True)
    assert real.schema.pandas_metadata == pq.read_schema(data).pandas_metadata
    keys = ["joined"]
    pd.testing.assert_frame_equal(
        real.to_pandas().sort_values(keys).reset_index(drop=True), whole.sort_values(keys).reset_index(drop=True)
    )
    assert verify(out).ok
    assert result.counts["1"].model_dump() == {"real": 60, "synthetic": 280, "repeated": 0}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(data, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        quick(data, tmp_path / name, seed=seed, engine="cwgan-gp", steps=20)
    a, b, c = (shards(tmp_path / name) for name in "abc")
    assert a == b
    assert all(a[path] != c[path] for path in a)
    order = [pd.read_parquet(tmp_path / name / "current" / "train").query("fraud == 0")["joined"] for name in "ac"]
    assert order[0].tolist() != order[1].tolist()
    assert sorted(order[0]) == sorted(order[1])


def test_given_again_nothing_new_is_published(data, tmp_path):
    out = tmp_path / "out"
    first = quick(data, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = quick(data, out)
    assert again.answered
    assert again.published
    assert again.run_id == first.run_id
    assert again.counts == first.counts
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_another_seed_is_another_commit_on_top(data, tmp_path):
    out = tmp_path / "out"
    quick(data, out)
    quick(data, out, seed=1)
    assert sorted(path.name for path in (out / "commits").iterdir()) == ["00000001.json", "00000002.json"]
    assert len(list((out / "data").iterdir())) == 2


@pytest.mark.parametrize("stage", ["fit", "generate", "check", "publish"])
def test_an_interrupted_run_resumes_to_the_same_bytes(data, tmp_path, monkeypatch, stage):
    quick(data, tmp_path / "whole", engine="cwgan-gp", steps=20)
    with monkeypatch.context() as patch:

        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(pipeline, stage, stop)
        with pytest.raises(KeyboardInterrupt):
            quick(data, tmp_path / "out", engine="cwgan-gp", steps=20)
    assert not (tmp_path / "out" / "current").exists()
    quick(data, tmp_path / "out", engine="cwgan-gp", steps=20)
    assert shards(tmp_path / "out") == shards(tmp_path / "whole")


@pytest.mark.parametrize("stage", ["fit", "generate"])
def test_what_a_stage_has_done_is_not_done_again(data, tmp_path, monkeypatch, stage):
    # red when fit forgets "done", or generate the drawn rows
    run = started(data, tmp_path / "run")
    pipeline.fit(run, run.plan.units[0])
    pipeline.generate(run, 1)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}

    def never(*_: object, **__: object) -> None:
        raise AssertionError(stage)

    monkeypatch.setattr(pipeline, {"fit": "fit_unit", "generate": "sample_label"}[stage], never)
    pipeline.fit(run, run.plan.units[0]) if stage == "fit" else pipeline.generate(run, 1)
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_folder_is_continued_by_the_same_run_alone(data, tmp_path):
    run = started(data, tmp_path / "run")
    before = (tmp_path / "run" / "run.json").stat().st_mtime_ns
    assert started(data, tmp_path / "run").record == run.record
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="holds another run"):
        started(data, tmp_path / "run", seed=1)


def test_an_input_that_changed_since_the_run_began_is_refused(data, tmp_path):
    """Red when a stage takes whatever the file holds by then."""
    started(data, tmp_path / "run")
    assert len(pipeline.Run.open(tmp_path / "run").dataset) == 400
    frame(401).to_parquet(data)
    with pytest.raises(DataError, match="changed since run"):
        _ = pipeline.Run.open(tmp_path / "run").dataset


def test_another_version_is_another_run(data, monkeypatch):
    """Red when what an older version published answers for this one."""
    config = make_config({"label": "fraud"})
    before = prepare(data, config).key
    monkeypatch.setattr(synthgen, "__version__", "0.0.0")
    assert prepare(data, config).key != before


def test_draws_follow_from_seed_and_number(data, tmp_path):
    """Red when replicas are one draw again, or a published model draws the same rows whatever the seed."""
    run = started(data, tmp_path / "run", engine="delta")
    pipeline.fit(run, run.plan.units[0])
    pipeline.generate(run, 1)
    replicas = [run.read_rows(run.draw_path(1, number)).table for number in (0, 1, 2)]
    assert replicas[0] != replicas[1]
    assert replicas[1] != replicas[2]
    quick(data, tmp_path / "out")
    drawn = []
    for k, seed in enumerate((1, 1, 2)):
        draw(tmp_path / "out", "1", 20, seed=seed, out=tmp_path / f"{k}.parquet")
        drawn.append(pq.read_table(tmp_path / f"{k}.parquet"))
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_plan_tells_the_counts_that_balance_makes(data, tmp_path):
    """Red when plan counts the rows that will be set aside."""
    config = make_config({"label": "fraud", "engine": "oversample", "check": "holdout", "ship": "train"})
    made = forecast(data, config).plan
    assert made.to_json() == started(data, tmp_path / "run", ship="train").plan.to_json()
    assert made.classes[0].have < 340


def test_a_frame_stays_in_memory(data):
    rows = frame()
    result = synthgen.balance(rows, label="fraud", engine="copula", holdout=0)
    assert not result.published
    balanced = result.dataset.to_pandas()
    pd.testing.assert_frame_equal(balanced.iloc[: len(rows)], rows)
    assert balanced["fraud"].value_counts().to_dict() == {0: 340, 1: 340}


def test_the_manifest_says_what_was_done(data, tmp_path):
    out = tmp_path / "out"
    quick(data, out, engine="cwgan-gp", steps=20)
    manifest = synthgen.read_shards(out).manifest
    assert manifest.class_weights == {"0": pytest.approx(400 / 680), "1": pytest.approx(400 / 120)}
    assert manifest.privacy.guarantee == "none"
    assert manifest.priors_before["1"] == pytest.approx(0.15)
    assert manifest.priors_after["1"] == pytest.approx(0.5)
    assert {entry.digital_source_type for entry in manifest.files if entry.origin == "synthetic"} == {
        "trainedAlgorithmicMedia"
    }
    assert manifest.versions["torch"]
    assert str(tmp_path) not in manifest.model_dump_json()


def test_the_manifest_says_whether_the_run_can_be_repeated(data, tmp_path):
    """A budget of minutes ends where the clock says. Red when the manifest says that every run can be repeated."""
    for name, budget in (("steps", {"steps": 5}), ("clock", {"max_minutes": 0.01})):
        quick(data, tmp_path / name, engine="cwgan-gp", **budget)
    told = {name: synthgen.read_shards(tmp_path / name).manifest.reproducible for name in ("steps", "clock")}
    assert told == {"steps": True, "clock": False}


def test_the_plan_s_notes_are_in_the_manifest(data, tmp_path):
    notes = quick(data, tmp_path / "out", max_ratio=2).plan.notes
    assert notes
    assert synthgen.read_shards(tmp_path / "out").manifest.notes == notes


def test_a_small_class_takes_the_ladder_and_says_so(tmp_path):
    rows = frame(300, 40)
    rows.loc[rows.index[rows["fraud"] == 0][:3], "fraud"] = 2
    rows.loc[rows.index[rows["fraud"] == 0][:1], "fraud"] = 3
    result = synthgen.balance(rows, label="fraud", engine="cwgan-gp", steps=5, holdout=0)
    notes = " ".join(result.plan.notes)
    assert "class 2 has 3 rows" in notes
    assert "come from smote" in notes
    assert "come from oversample" in notes
    assert result.counts["3"].repeated == 10
    with pytest.raises(DataError, match="small-class"):
        synthgen.balance(rows, label="fraud", engine="cwgan-gp", steps=5, holdout=0, small_class="error")


def test_unusable_destinations_are_refused_before_anything_is_written(data, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    with pytest.raises(PublishError, match="not synthgen's"):
        quick(data, tmp_path / "notes")
    with pytest.raises(PublishError, match="inside --out"):
        quick(data, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fraud.parquet", "notes"]


def test_options_and_config_are_not_mixed():
    with pytest.raises(ConfigError, match="not both"):
        synthgen.balance(frame(), config=synthgen.BalanceConfig(), label="fraud")


def test_labels_are_told_apart_by_value(tmp_path):
    out = tmp_path / "out"
    rows = frame().assign(fraud=lambda rows: rows["fraud"].map({0: "no", 1: "yes"}))
    path = tmp_path / "words.parquet"
    rows.to_parquet(path)
    synthgen.balance(path, label="fraud", engine="delta", holdout=0, out=out, strategy="yes=100")
    labels = json.loads((out / "current" / "labels.json").read_text())
    assert [(label["code"], label["value"]) for label in labels] == [(0, "no"), (1, "yes")]
    assert pa.parquet.read_table(out / "current" / "train")["fraud"].to_pylist().count("yes") == 100


@pytest.mark.parametrize(
    "options",
    [
        {"metric": "accuracy"},
        {"estimator": "nope.mod:make"},
        {"strategy": "7=500"},
        {"group": "nope"},
        {"provenance_column": "x"},
        {"holdout_data": "own.parquet"},
    ],
)
def test_options_that_do_not_fit_leave_the_destination_alone(data, tmp_path, options):
    # red when balance stages before it rehearses
    with pytest.raises(ConfigError):
        quick(data, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_manifest_tells_how_real_the_rows_look_beside_real_ones(data, tmp_path):
    out = tmp_path / "out"
    frame(900, 250).to_parquet(data)
    quick(data, out)
    told = synthgen.read_shards(out).manifest.training["fidelity"]["1"]
    assert told["against"] == "training rows"
    assert 0.4 <= told["c2st"]["value"] <= 1
    assert 0.3 <= told["real_versus_real"]["value"] <= 0.7
