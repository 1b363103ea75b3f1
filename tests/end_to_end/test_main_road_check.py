"""The main road's check in process: what is set aside, who sees it, what the verdict says and what it stops."""

from __future__ import annotations

import gc

import pandas as pd
import pyarrow.parquet as pq
import pytest
from road_kit import frame
from run_kit import quick, started

import synthgen
from synthgen import pipeline
from synthgen.config import make_config
from synthgen.data.dataset import TabularDataset
from synthgen.engines import auto
from synthgen.engines.choose import Choice, Score
from synthgen.errors import DataError
from synthgen.forecast import forecast
from synthgen.job import prepare
from synthgen.judge import draw
from synthgen.shards.reader import read_shards


@pytest.mark.usefixtures("one_learner")
def test_the_holdout_is_published_beside_and_in_no_training_file(data, tmp_path):
    out = tmp_path / "out"
    quick(data, out, holdout=0.2, check="holdout", ship="train", engine="oversample", gate="report-only")
    train, test = (pd.read_parquet(out / "current" / part) for part in ("train", "test"))
    real = pd.read_parquet(out / "current" / "train" / "real-00000-of-00001.parquet")
    assert 40 <= len(test) <= 120
    assert not set(test["joined"]) & set(train["joined"])
    assert len(real) + len(test) == 400
    assert sorted(path.name.split("-")[0] for path in (out / "current" / "train").iterdir()) == ["real", "repeated"]


def test_another_holdout_is_another_run(data, tmp_path):
    """Red when a run is answered with the verdict of other holdout rows."""
    keys = set()
    for x in (0.5, 0.6):
        frame(80, 20).assign(x=x).to_parquet(tmp_path / "own.parquet")
        own = {"holdout_data": str(tmp_path / "own.parquet"), "check": None, "holdout": None}
        keys.add(prepare(data, make_config({"label": "fraud", **own})).key)
    assert len(keys) == 2


def test_only_a_holdout_takes_rows_from_the_training_rows(data, tmp_path):
    """Red when a group, or a holdout of the user's own, sets rows aside too."""
    crossed = started(data, tmp_path / "cv", check="cv", group="plan")
    assert crossed.holdout is None
    assert len(crossed.train) == 400
    frame(80, 20).assign(x=0.5).to_parquet(tmp_path / "own.parquet")
    own = started(data, tmp_path / "own", holdout_data=str(tmp_path / "own.parquet"), check=None, holdout=None)
    assert (len(own.train), len(own.holdout)) == (400, 80)
    assert own.purposes == ("publish",)


def test_plan_counts_every_training_of_the_check(data):
    """Ten where folds are cross-fitted, none where nothing is judged. Red when one is counted, or a check without."""

    def told(steps: int, **options: object) -> tuple[float, float]:
        found = forecast(
            data, make_config({"label": "fraud", "engine": "cwgan-gp", "steps": steps, "jobs": 1, **options})
        )
        return found.fit_seconds, found.check_seconds

    (fit, check), (more, again) = (told(steps, check="cv") for steps in (1000, 2000))
    assert again - check == pytest.approx(10 * (more - fit))
    assert told(1000, holdout=0)[1] == 0


@pytest.mark.parametrize("ship", ["all", "train"])
def test_the_check_s_generator_never_sees_the_holdout(data, tmp_path, ship):
    """Repeats show which rows a generator knows. Red when fit takes the shipped rows for the check as well."""
    run = started(data, tmp_path / "run", ship=ship)
    for unit in run.plan.units:
        pipeline.fit(run, unit)
    pipeline.generate(run, 1)
    added = run.check_draws()(1).table["joined"].to_pylist()
    assert len(added) == run.plan.scaled(run.train.counts()).classes[1].add
    assert not set(added) & set(run.holdout.table["joined"].to_pylist())
    published = set(run.read_rows(run.draw_path(1, 0)).table["joined"].to_pylist())
    rare = {c for c, y in zip(*(run.dataset.table[k].to_pylist() for k in ("joined", "fraud")), strict=True) if y}
    assert (published == rare) == (ship == "all")


@pytest.mark.usefixtures("one_learner")
def test_a_harmful_engine_is_quarantined_and_the_earlier_content_stays(data, tmp_path):
    out = tmp_path / "out"
    frame(600, 150).to_parquet(data)
    quick(data, out)
    head = (out / "current").resolve()
    harmful = {"engine": "road_kit:Harmful", "holdout": None, "check": "cv"}
    result = quick(data, out, **harmful)
    assert result.verdict.status == "FAIL"
    assert not result.published
    assert result.folder.parent.name == "quarantine"
    assert (result.folder / "report.html").is_file()
    assert (out / "current").resolve() == head
    again = quick(data, out, **harmful)
    assert again.answered
    assert again.verdict == result.verdict


def test_balanced_already_publishes_the_real_rows(tmp_path):
    path = tmp_path / "even.csv"
    frame(200, 100).to_csv(path, index=False)
    result = synthgen.balance(path, label="fraud", holdout=0.2, check="cv")
    assert result.published
    assert result.verdict.status == "NOT CHECKED"
    assert "balanced" in result.verdict.sentence
    assert result.out == tmp_path / "even-balanced"
    assert pq.read_table(result.folder / "train").num_rows == 200


def test_the_check_s_kind_follows_from_the_rarest_class(data, tmp_path):
    """Red when every table is cross-fitted, or one split by time is."""
    config = {"label": "fraud", "engine": "oversample"}
    assert prepare(data, make_config(config)).outline.check == "cv"
    assert prepare(data, make_config(config | {"time": "joined"})).outline.check == "holdout"
    frame(3000, 1200).to_parquet(data)
    assert prepare(data, make_config(config)).outline.check == "holdout"


@pytest.mark.usefixtures("one_learner")
def test_a_user_s_own_holdout_is_checked_and_must_fit(data, tmp_path):
    own = tmp_path / "own.parquet"
    frame(300, 80).to_parquet(own)
    result = quick(data, tmp_path / "out", holdout=None, holdout_data=str(own), engine="oversample")
    assert result.verdict.check == "holdout"
    assert pq.read_table(result.folder / "train" / "real-00000-of-00001.parquet").num_rows == 400
    frame().drop(columns="x").to_parquet(own)
    with pytest.raises(DataError, match="'x' is only in the input"):
        quick(data, tmp_path / "out2", holdout=None, holdout_data=str(own))


@pytest.mark.parametrize(
    ("rare", "says"),
    [
        (100, "could not be judged (no wanted class is rarer than 25% of the largest, up to which rows are added)"),
        (8, "could not be judged (no wanted class has rows enough to be judged on inner splits)"),
    ],
    ids=["not rare", "few rows"],
)
def test_nothing_added_by_tuned_is_published_without_a_check(data, tmp_path, rare, says):
    """Red when 0 rows are judged, or splits are said to have spoken where there were none."""
    frame(400, rare).to_parquet(data)
    result = quick(data, tmp_path / "out", engine="auto", strategy="tuned", holdout=None, check="cv")
    assert result.published
    assert result.verdict.status == "NOT CHECKED"
    assert result.verdict.sentence == f"Not checked: whether added rows help {says}; nothing was added"
    assert result.counts["1"].synthetic == 0


def test_what_splits_said_of_one_class_is_not_told_of_another(data, tmp_path, monkeypatch):
    """Red when one class's reason stands for all, or no split is said to have spoken where one has."""
    tried = Choice("delta", 0.0, "worse", (Score("delta", 1.0, 2, 0.5, 0.5, None, -0.1, 0.01, "worse"),))
    choose = auto.choose
    monkeypatch.setattr(auto, "choose", lambda *a, **k: tried if k["candidates"] == ("delta",) else choose(*a, **k))
    spoke = "inner splits of the training rows spoke against adding rows"
    options = {"engine": "delta", "strategy": "tuned", "holdout": None, "check": "cv"}
    assert quick(data, **options).verdict.sentence == f"Not checked: {spoke}; nothing was added"
    rows = frame()
    rows.loc[rows.index[rows["fraud"] == 0][:1], "fraud"] = 2  # too few for delta: a training of its own
    rows.to_parquet(data)
    sentence = quick(data, tmp_path / "two", **options).verdict.sentence
    assert sentence.startswith(f"Not checked: class 1: {spoke}; class 2: whether added rows help could not be judged (")
    assert sentence.endswith("; nothing was added")


@pytest.mark.usefixtures("one_learner")
def test_what_tuned_adds_is_told_apart_by_origin(data, tmp_path, monkeypatch):
    """Half of it are real rows again. Red when they are counted, written or checked as generated ones."""
    chosen = Choice("delta", 1.0, "told to", per_row=2)
    monkeypatch.setattr("synthgen.engines.auto.tune", lambda *_, **__: chosen)
    out = tmp_path / "out"
    result = quick(data, out, engine="auto", strategy="tuned", holdout=0.3, check="holdout", gate="report-only")
    assert result.counts["1"].synthetic > 5
    assert abs(result.counts["1"].synthetic - result.counts["1"].repeated) <= 1
    rows = {
        origin: pq.read_table(next((out / "current" / "train").glob(f"{origin}-*"))).to_pandas()
        for origin in ("real", "synthetic", "repeated")
    }
    assert rows["repeated"]["joined"].isin(rows["real"]["joined"]).all()
    assert not rows["synthetic"]["x"].isin(rows["real"]["x"]).any()
    assert {origin: len(part) for origin, part in rows.items() if origin != "real"} == {
        "synthetic": result.counts["1"].synthetic,
        "repeated": result.counts["1"].repeated,
    }
    assert result.verdict.copies.share.value == 0
    more = draw(out, "1", 20, seed=0, out=tmp_path / "more.parquet")
    assert len(more) == 20
    assert not pd.read_parquet(tmp_path / "more.parquet")["x"].isin(rows["real"]["x"]).any()


@pytest.mark.usefixtures("one_learner")
@pytest.mark.parametrize("check", ["cv", "holdout"])
def test_a_large_table_is_not_held_in_memory_while_it_is_checked(data, tmp_path, monkeypatch, check):
    """Red when the run keeps its rows, what a check works with is a view of them, or the job outlives the start."""
    held = []
    frame(437).to_parquet(data)

    def assess(*arguments, **options):
        gc.collect()  # other tests may hold tables too: none of so many rows
        found = [each for each in gc.get_objects() if type(each) is TabularDataset and each.base.num_rows == 437]
        held.append(len(found))
        return judge(*arguments, **options)

    judge = pipeline.assess
    monkeypatch.setattr(pipeline, "assess", assess)
    monkeypatch.setattr("synthgen.quality.seen.most_seen", lambda n_classes, *, least: 100)
    out = tmp_path / "out"
    options = {"engine": "oversample", "holdout": 0.25 if check == "holdout" else None, "check": check}
    result = quick(data, out, gate="report-only", **options)
    assert held == [0]
    assert any("thinned" in note for note in result.verdict.notes)
    assert len(read_shards(out).train) >= 300


def test_a_holdout_out_of_the_table_itself_is_refused(data, tmp_path):
    # red when run.untouched returns without a look
    own = tmp_path / "own.parquet"
    frame().iloc[300:].to_parquet(own)
    with pytest.raises(DataError, match="also in the table that is trained on"):
        quick(data, tmp_path / "out", holdout=None, holdout_data=str(own))
    assert not (tmp_path / "out").exists()
