"""The main road in process: what is published, twice the same, answered, resumed, quarantined."""

from __future__ import annotations

import gc
import json
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from road_kit import frame, shards

import synthgen
from synthgen import pipeline
from synthgen.config import make_config
from synthgen.data.dataset import TabularDataset
from synthgen.engines import tournament
from synthgen.engines.choose import Choice
from synthgen.errors import ConfigError, DataError, PublishError
from synthgen.forecast import forecast
from synthgen.job import prepare
from synthgen.judge import draw
from synthgen.quality.rules import Gate
from synthgen.shards.reader import read_shards, verify


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "fraud.parquet"
    frame().to_parquet(path)
    return path


@pytest.fixture
def one_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check by one learner in one repeat, where it is not the figures that matter."""
    monkeypatch.setattr(pipeline, "Gate", partial(Gate, learners=("logistic",), repeats=1, resamples=400))


def quick(data: Path, out: Path | None = None, **options: object) -> synthgen.BalanceResult:
    return synthgen.balance(
        data, **{"label": "fraud", "out": out, "engine": "delta", "holdout": 0, "jobs": 1, **options}
    )


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


def started(data: Path, folder: Path, **options: object) -> pipeline.Run:
    config = make_config({"label": "fraud", "engine": "oversample", "holdout": 0.2, "check": "holdout", **options})
    run = pipeline.start(prepare(data, config), folder)
    pipeline.plan(run)
    return run


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
@pytest.mark.parametrize("check", ["cv", "holdout"])
def test_groups_stay_together_wherever_an_engine_is_chosen(data, monkeypatch, check):
    """Red when a fit, or an arm of the check, is not told the column."""
    heard, deal = [], tournament.folds
    monkeypatch.setattr(tournament, "folds", lambda *a, **k: heard.append(k["group"]) or deal(*a, **k))
    monkeypatch.setattr("synthgen.rebalance.AMOUNTS", (1.0,))  # never nothing, so that there is a check
    rows = frame(240, 60).assign(who=lambda rows: [f"u{k % 40}" for k in range(len(rows))])
    options = {"engine": "oversample", "strategy": "tuned", "group": "who", "holdout": 0.25, "gate": "report-only"}
    quick(rows, **options, check=check, ship="all")
    assert len(heard) > 5  # the published fit, the check's own and what it is compared with
    assert set(heard) == {"who"}


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


def test_a_frame_stays_in_memory(data):
    rows = frame()
    result = synthgen.balance(rows, label="fraud", engine="copula", holdout=0)
    assert not result.published
    balanced = result.dataset.to_pandas()
    pd.testing.assert_frame_equal(balanced.iloc[: len(rows)], rows)
    assert balanced["fraud"].value_counts().to_dict() == {0: 340, 1: 340}


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


def test_nothing_added_by_tuned_is_published_without_a_check(data, tmp_path):
    """The rare class is less rare than a quarter: tuned adds nothing. Red when 0 rows are judged."""
    frame(200, 80).to_parquet(data)
    result = synthgen.balance(data, label="fraud", strategy="tuned", out=tmp_path / "out", check="holdout", jobs=1)
    assert result.published
    assert result.verdict.status == "NOT CHECKED"
    assert "nothing was added" in result.verdict.sentence
    assert result.counts["1"].synthetic == 0


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


def test_labels_are_told_apart_by_value(tmp_path):
    out = tmp_path / "out"
    rows = frame().assign(fraud=lambda rows: rows["fraud"].map({0: "no", 1: "yes"}))
    path = tmp_path / "words.parquet"
    rows.to_parquet(path)
    synthgen.balance(path, label="fraud", engine="delta", holdout=0, out=out, strategy="yes=100")
    labels = json.loads((out / "current" / "labels.json").read_text())
    assert [(label["code"], label["value"]) for label in labels] == [(0, "no"), (1, "yes")]
    assert pa.parquet.read_table(out / "current" / "train")["fraud"].to_pylist().count("yes") == 100


def test_a_holdout_out_of_the_table_itself_is_refused(data, tmp_path):
    # red when run.untouched returns without a look
    own = tmp_path / "own.parquet"
    frame().iloc[300:].to_parquet(own)
    with pytest.raises(DataError, match="also in the table that is trained on"):
        quick(data, tmp_path / "out", holdout=None, holdout_data=str(own))
    assert not (tmp_path / "out").exists()


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
