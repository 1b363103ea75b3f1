"""What a report says of a run: counts, shares and curves as they are, how to make it again, and no rows."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report_kit import make_verdict
from typer.testing import CliRunner

from synthgen import cli, pipeline
from synthgen.config import BalanceConfig, make_config
from synthgen.console import commands
from synthgen.data.dataset import TabularDataset
from synthgen.engines.base import Engine, EngineInfo, FitContext
from synthgen.engines.choose import Choice, Score
from synthgen.errors import DataError
from synthgen.job import prepare
from synthgen.judge import rebuild_report
from synthgen.quality.verdict import Verdict
from synthgen.report import build, facts
from synthgen.report.build import write_report
from synthgen.report.command import command_line
from synthgen.report.facts import gather
from synthgen.run import Run

NOT_CHECKED = Verdict.not_checked("no rows were set aside (--holdout 0)")
RARE, COMMON = 40, 360


def make_table(**more: pa.Array) -> pa.Table:
    """A table of 400 rows; one rare row lives in a town of its own, and ids are unique."""
    n = RARE + COMMON
    rng = np.random.default_rng(0)
    towns = np.array(["Nice"] * n, dtype=object)
    towns[5:25], towns[7] = "Paris", "Saint-Secret"
    amount = rng.normal(50, 10, n).round(2)
    amount[3] = 987654.25  # one rare row's own value, far from all others
    return pa.table(
        {
            "customer_id": [f"C-{k:05d}" for k in range(n)],
            "town": pa.array(towns),
            "amount": pa.array(amount, mask=np.arange(n) % 10 == 0),
            "visits": pa.array(rng.integers(0, 4, n)),
            **more,
            "label": ["rare"] * RARE + ["common"] * COMMON,
        }
    )


class Repeating:
    """An engine that repeats rows, with training curves and a choice, for reports to show."""

    info = EngineInfo("repeating", "repeats <rows>", ("table",), "repeated", True, True, 1, "never")
    history = tuple(
        {"step": float(k), "earth_mover": 1.0 / k if k < 1999 else float("nan"), "rate": 0.1} for k in range(1, 2000)
    )
    choice = Choice("repeating", 0.5, "because", (Score("repeating", 0.5, 3, 0.4, 0.8, 1.0, 0.0, 0.0, "the default"),))

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext | None = None) -> Repeating:
        return self

    def sample(self, label: object, n: int, *, seed: int) -> TabularDataset:
        raise AssertionError("a report asks an engine for its facts alone")

    def save(self, folder: Path) -> None:
        raise AssertionError("a report asks an engine for its facts alone")

    @classmethod
    def load(cls, folder: Path) -> Repeating:
        return cls()


def drawn_run(folder: Path, source: pa.Table | Path, **options: object) -> Run:
    """Return a run whose rows are drawn: the first three stages with a network-free engine."""
    config = make_config({"engine": "oversample", "label": "label", "holdout": 0, "jobs": 1, **options})
    run = pipeline.start(prepare(source, config), folder)
    made = pipeline.plan(run)
    for unit in made.units:
        pipeline.fit(run, unit)
    for label in made.adds():
        pipeline.generate(run, label)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return drawn_run(tmp_path_factory.mktemp("run"), make_table(), max_ratio=3)


def test_the_counts_are_the_runs(run: Run) -> None:
    # red when the planned count stands in for the drawn one, or shipped for the whole dataset
    counts = {row.label: row for row in gather(run, NOT_CHECKED).counts}
    assert (counts["common"].real, counts["common"].added) == (COMMON, 0)
    assert (counts["rare"].real, counts["rare"].added, counts["rare"].origin) == (RARE, 3 * RARE, "repeated")
    short = run.read_rows(run.draw_path("rare", 0)).take(np.arange(11))
    before = run.draw_path("rare", 0).read_bytes()
    run.write_rows(run.draw_path("rare", 0), short)
    try:
        assert {row.label: row.added for row in gather(run, NOT_CHECKED).counts} == {"common": 0, "rare": 11}
    finally:
        run.draw_path("rare", 0).write_bytes(before)


def test_rows_set_aside_are_counted_apart(tmp_path: Path) -> None:
    # red when the rows are taken from the whole dataset under --ship train
    run = drawn_run(tmp_path, make_table(), holdout=0.25, check="holdout", ship="train")
    counts = {row.label: row for row in gather(run, NOT_CHECKED).counts}
    assert 5 <= counts["rare"].aside <= 15
    assert counts["rare"].real + counts["rare"].aside == RARE
    assert counts["rare"].added == run.plan.adds()["rare"]
    assert sum(row.real for row in counts.values()) == len(run.train)
    assert counts["common"].real + counts["common"].aside == COMMON


def test_shares_are_those_of_the_classes_own_rows(run: Run) -> None:
    # red when the real side holds all classes' rows, or missing values count as known
    (shown,) = gather(run, NOT_CHECKED).classes
    assert (shown.label, shown.n_real, shown.n_added) == ("rare", RARE, 3 * RARE)
    columns = {overlay.column: overlay for overlay in shown.columns}
    assert set(columns) == {"town", "amount", "visits"}
    rare = run.dataset.of_class("rare").table
    towns = {level.name: level.real for level in columns["town"].levels}
    assert towns["Paris"] == pytest.approx(rare.column("town").to_pylist().count("Paris") / RARE)
    assert sum(towns.values()) == pytest.approx(1)
    assert columns["amount"].missing_real == pytest.approx(rare.column("amount").null_count / RARE)
    visits = columns["visits"].bars
    assert visits is not None
    expected = np.bincount(rare.column("visits").to_numpy(), minlength=4) / RARE
    assert visits.real == pytest.approx(tuple(expected))
    assert visits.labels == ("0", "2", "3")
    added = run.read_rows(run.draw_path("rare", 0)).table.column("visits").to_numpy()
    assert visits.added == pytest.approx(tuple(np.bincount(added, minlength=4) / len(added)))


def test_no_rows_value_is_in_the_report(run: Run) -> None:
    # red with NAMED_FROM = 1, with the id column shown, or with an axis that ends at the largest value
    html = write_report(run, make_verdict()).read_text("utf-8")
    assert "Paris" in html
    assert "Saint-Secret" not in html
    assert "C-000" not in html
    assert html.count("customer_id") == 1  # in the note that it is an id
    assert not re.search(r"9876|988,|987,|1,000,000", html)
    assert str(run.folder) not in html


def test_at_most_sixty_columns_and_the_classes_with_the_most_rows(tmp_path: Path) -> None:
    # red with features[:61], and when the cut is not said
    wide = {f"x{k:02d}": pa.array(np.arange(400) * (k + 1) % 97 / 7) for k in range(70)}
    found = gather(drawn_run(tmp_path, make_table(**wide)), NOT_CHECKED)
    assert [len(group.columns) for group in found.classes] == [60]
    assert found.left_out == ("the first 60 of 73 columns are shown", "1 id-like or constant column is not shown")


def test_the_classes_that_got_the_most_rows_are_shown(tmp_path: Path) -> None:
    # red when the first twelve are taken in the classes' order
    labels = ["a"] * 60 + [f"c{k:02d}" for k in range(14) for _ in range(18 - k)]
    table = pa.table({"x": pa.array(np.arange(len(labels)) % 17), "label": labels})
    found = gather(drawn_run(tmp_path, table, max_ratio=100), NOT_CHECKED)
    assert [group.label for group in found.classes] == [f"c{k:02d}" for k in range(13, 1, -1)]
    assert found.left_out == ("the 12 classes with the most added rows of 14 are shown",)


def test_curves_choice_and_origin_come_from_the_engine(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # red when a point that is no number is kept, or the learning rate is drawn as a curve
    monkeypatch.setattr(facts, "load_engine", lambda folder, *, trusted: cast("Engine", Repeating()))
    (generator,) = gather(run, NOT_CHECKED).generators
    assert generator.choice == Repeating.choice
    (curve,) = generator.curves
    assert curve.name == "earth_mover"
    assert len(curve.steps) == facts.MAX_POINTS
    assert (curve.steps[0], curve.steps[-1], curve.values[-1]) == (1.0, 1998.0, 1 / 1998)
    assert all(value == value for value in curve.values)
    html = build.render(gather(run, NOT_CHECKED))
    assert "50 % of the planned rows" in html
    assert "repeats &lt;rows&gt;" in html


def test_a_run_whose_models_are_gone_still_has_a_report(run: Run, tmp_path: Path) -> None:
    # red when an absent engine is loaded
    copy = Run(tmp_path, run.record, dataset=run.dataset)
    for name in ("plan.json", "split.npz"):
        (tmp_path / name).write_bytes((run.folder / name).read_bytes())
    found = gather(copy, NOT_CHECKED)
    assert found.classes == ()
    assert [generator.curves for generator in found.generators] == [()]
    assert write_report(copy, NOT_CHECKED).read_text("utf-8").startswith("<!doctype html>")


def test_the_report_is_written_whole_or_not_at_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # red when the text is written to report.html itself
    path = write_report(run, NOT_CHECKED)
    before = path.read_bytes()
    assert path == run.folder / "report.html"
    assert write_report(run, NOT_CHECKED).read_bytes() == before
    assert build.render(facts.facts_from_json(run.read(facts.FACTS))).encode() == before

    def fails(self: Path, target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="no space"):
        write_report(run, make_verdict("FAIL"))
    assert path.read_bytes() == before


def test_a_run_s_report_is_made_again_in_its_folder_and_where_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    # red when the run's own is moved there
    page = write_report(run, NOT_CHECKED).read_bytes()
    run.write("quality.json", NOT_CHECKED.to_json())
    for _ in range(2):
        asked = rebuild_report(run.folder, tmp_path / "asked.html")
        assert asked.read_bytes() == (run.folder / "report.html").read_bytes() == page
    for out in (None, run.folder / "report.html"):
        assert rebuild_report(run.folder, out) == run.folder / "report.html"


def test_a_run_without_a_plan_says_so(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"plan\.json"):
        write_report(Run(tmp_path, run.record, dataset=run.dataset), NOT_CHECKED)


def test_a_table_in_memory_is_made_again_from_python(run: Run) -> None:
    # red when the run folder's copy of the input is given as the file
    command = gather(run, NOT_CHECKED).provenance.command
    assert command.startswith("synthgen.balance(table, label='label', engine='oversample', ")
    called: dict[str, object] = {}
    stub = type("Stub", (), {"balance": staticmethod(lambda table, **options: called.update(options))})
    eval(command, {"synthgen": stub, "table": None})
    assert make_config({**called, "jobs": 1}) == run.config


def test_a_file_is_named_without_its_folder(tmp_path: Path) -> None:
    # red when record.source stands for record.source_name
    path = tmp_path / "secret folder" / "my data.parquet"
    path.parent.mkdir()
    pq.write_table(make_table(), path)
    run = drawn_run(tmp_path / "run", path)
    found = gather(run, NOT_CHECKED)
    assert shlex.split(found.provenance.command)[:3] == ["synthgen", "balance", "my data.parquet"]
    assert "secret folder" not in build.render(found)


AWKWARD = {
    "plain": {},
    "lists": {"drop": ("a", "b c"), "categorical": ("it's",), "group": "g", "seed": 12},
    "budget": {"engine": "cwgan-gp", "steps": 200, "engine_options": {"width": 64, "filter": False}, "fine_tune": True},
    "numbers": {"strategy": "0.5", "max_ratio": 2.5, "holdout": 0.25, "check": "holdout", "ship": "train"},
    "counts": {"strategy": "yes=500,0=20", "metric": "cost:fn=10,fp=1", "gate": "require-pass"},
    "no check": {"holdout": 0, "max_minutes": 1.5, "small_class": "skip", "provenance_column": "origin of $it"},
}


@pytest.mark.parametrize("options", AWKWARD.values(), ids=AWKWARD.keys())
def test_the_command_makes_the_same_configuration(
    options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # red when a tuple is written as one option, or engine_options as an option that the command line lacks
    config = make_config({"label": "is fraud?", **options})
    made: list[BalanceConfig] = []
    monkeypatch.setattr(commands, "balance", lambda given: made.append(commands.config_of(given)))
    monkeypatch.chdir(tmp_path)
    command = command_line(config, source="my data.parquet", label="is fraud?")
    program, *arguments = shlex.split(command)
    result = CliRunner().invoke(cli.app, arguments)
    assert (program, result.exit_code, result.output) == ("synthgen", 0, "")
    assert made == [config.model_copy(update={"data": "my data.parquet"})]


def test_a_holdout_file_is_named_without_its_folder() -> None:
    # red when settings() gives the path as it is
    config = make_config({"label": "y", "holdout_data": "/home/someone/private/later.parquet"})
    assert "--holdout-data later.parquet" in command_line(config, source="a.parquet", label="y")
    assert replace(make_verdict(), notes=()) != make_verdict()
