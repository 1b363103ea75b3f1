"""Rows 57 to 71: column names, width and length, repeats, groups, leaks, holdouts of another shape."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_kit import QUICK, command, frame, handled, noted, refused, stored, table

import synthgen
from synthgen.config import BalanceConfig
from synthgen.data.read import load
from synthgen.errors import ConfigError
from synthgen.job import prepare
from synthgen.pipeline import start

HOSTILE = ("<script>alert(1)</script>", "=1+1", "../../x", "\x1b[31mred", "[bold]x[/bold]", "@SUM(A1)", "a\tb")


def test_r57_duplicate_column_names_are_refused_with_the_list(place: Path) -> None:
    rows = pa.Table.from_arrays([pa.array([1, 2])] * 2 + [pa.array([0, 1])], names=["a", "a", "label"])
    refused(place, stored(place, rows), "more than once: 'a'", "rename")
    text = place / "rows.csv"
    text.write_text("a,a,label\n1,2,0\n3,4,1\n")
    refused(place, text, "more than once: 'a'", "rename")
    refused(place, rows.to_pandas(), "more than once: 'a'", "rename")


def test_r58_multi_index_columns_are_refused(place: Path) -> None:
    columns = pd.MultiIndex.from_tuples([("a", "b"), ("a", "label")])
    refused(place, pd.DataFrame([[1, 0], [2, 1]], columns=columns), "MultiIndex", "flatten")


def test_r59_integer_column_names_are_handled_and_come_back(place: Path) -> None:
    given = pd.DataFrame({0: np.arange(40.0), 1: ["u", "v"] * 20, 2: [0, 0, 0, 1] * 10})
    handled(place, given, label="2")
    assert list(synthgen.read_shards(place / "out").to_pandas().columns) == [0, 1, 2]


@pytest.mark.parametrize("name", ["", "a.b", "x.component", "a\x00b", "  ", "ünï", "label "])
def test_r60_odd_column_names_are_handled(place: Path, name: str) -> None:
    handled(place, stored(place, table(**{name: np.arange(40.0)})))


@pytest.mark.parametrize("name", ["is_synthetic", "sample_weight", "Is_Synthetic"])
def test_r61_columns_of_origin_or_weight_are_refused_unless_dropped(place: Path, name: str) -> None:
    path = stored(place, table(**{name: np.ones(40)}))
    refused(place, path, f"column {name!r}", f"--drop {name}", "or rename it")
    assert command("plan", path, "--drop", name).code == 0


def test_r62_a_duplicate_index_is_handled(place: Path) -> None:
    given = frame().set_axis([7] * 40, axis=0)
    handled(place, given)
    given.to_parquet(place / "rows.parquet")
    handled(place, place / "rows.parquet")


@pytest.mark.parametrize("name", HOSTILE)
def test_r63_hostile_column_names_are_handled_and_stay_inert(place: Path, name: str) -> None:
    path = stored(place, table(**{name: np.arange(40) + 0.5}))
    manifest = handled(place, path, options=("--engine", "delta", "--holdout", 0))
    page = (place / "out" / "data" / manifest.run_id / "report.html").read_text()
    assert "<script" not in page
    assert "\x1b" not in page
    done = command("balance", path, "--label", name, "--out", place / "other")
    assert done.code == 3
    done = command("plan", path, "--label", "labell")
    assert done.code == 3
    assert "\x1b" not in done.err + done.out


def test_r64_five_thousand_columns_go_on_with_a_note_and_ten_thousand_are_refused(place: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(5_001, 20))
    wide = {f"n{k}": numbers[k] for k in range(5_000)}
    rows = pa.table({**wide, "label": [0, 1, 1, 1] * 5})
    done = command("plan", stored(place, rows), *QUICK, "--json")
    assert done.code == 0
    assert any("5,000 columns" in note and "--drop" in note for note in done.json["notes"])
    wide = {f"n{k}": numbers[0] for k in range(10_001)}
    refused(place, pa.table({**wide, "label": [0, 1] * 10}), "10,002 columns", "10,000")


def test_r65_many_rows_are_planned_in_bounded_memory(place: Path) -> None:
    rng, n = np.random.default_rng(0), 500_000
    with pq.ParquetWriter(place / "rows.parquet", table(10).schema) as writer:
        for _ in range(10):
            rows = {"x": rng.normal(size=n // 10), "c": np.resize(["u", "v"], n // 10)}
            writer.write_table(pa.table({**rows, "label": (rng.random(n // 10) < 0.002).astype(int)}))
    script = (
        "import sys\nfrom synthgen.cli import main\n"
        "sys.argv = ['synthgen', 'plan', 'rows.parquet', '--json']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        # its own peak; ru_maxrss would begin with that of the process it was forked from
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    here = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(here)},
    )
    peak_bytes = 1024 * int(done.stdout.splitlines()[-1])
    assert peak_bytes < 400_000_000  # the libraries alone are some 130 MB


def test_r66_repeated_rows_are_noted_and_stay_on_one_side_where_they_can(place: Path) -> None:
    rows = table(200, 40)
    manifest = handled(place, stored(place, pa.concat_tables([rows, rows])))
    noted(manifest, "50% of the rows have the features of another row", "--group")


def test_r67_a_group_across_classes_stays_on_one_side(place: Path) -> None:
    groups = np.arange(200) // 2
    rows = table(200, 60, who=groups)
    rows = rows.take(pa.array(np.random.default_rng(0).permutation(200)))
    run = start(prepare(stored(place, rows), BalanceConfig(check="holdout", group="who")), place / "run")
    assert run.holdout is not None
    sides = [set(part.table.column("who").to_pylist()) for part in (run.train, run.holdout)]
    assert len(sides[1]) > 10
    assert not sides[0] & sides[1]
    refused(
        place, place / "rows.parquet", "--group names 'whom'", kind=ConfigError, options=(*QUICK, "--group", "whom")
    )


def test_r68_a_feature_that_gives_the_label_away_is_noted(place: Path) -> None:
    rng = np.random.default_rng(0)
    label = (np.arange(200) < 40).astype(int)
    rows = table(200, 40, after=5.0 * label + rng.normal(size=200) / 9, code=np.where(label, "refunded", "paid"))
    manifest = handled(place, stored(place, rows))
    noted(manifest, "column 'after' alone tells class '1' apart", "--drop")
    noted(manifest, "column 'code' alone")
    assert not any("'x'" in note or "'c'" in note for note in manifest.notes)


def test_r69_few_combinations_are_noted(place: Path) -> None:
    rows = table(200, 40, d=np.resize(["p", "q", "r"], 200)).drop_columns("x")
    noted(
        handled(place, stored(place, rows)), "all features are categories and take 6 combinations in 200 rows", "copies"
    )


def test_r70_a_label_alone_is_refused(place: Path) -> None:
    refused(place, stored(place, table().select(["label"])), "only the label column 'label'")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.drop_columns("c"), "column 'c' is only in the input"),
        (lambda rows: rows.append_column("q", pa.nulls(len(rows), pa.int8())), "column 'q' is only in held.parquet"),
        (
            lambda rows: rows.set_column(0, "x", pa.array(["a"] * len(rows))),
            "column 'x' is double in the input and string in held.parquet: text cannot stand for a number",
        ),
        (
            lambda rows: rows.set_column(2, "label", pa.array([0, 5] * (len(rows) // 2))),
            "held.parquet has class 5, which the input has not",
        ),
    ],
)
def test_r71_a_holdout_of_another_shape_is_refused_with_the_difference(place: Path, change, says: str) -> None:
    held = stored(place, change(table(60, 20)), "held.parquet")
    path = stored(place, table(80, 20))
    refused(place, path, says, options=("--engine", "oversample", "--holdout-data", held))


def test_r71_a_holdout_that_only_names_its_types_otherwise_is_handled(place: Path) -> None:
    held = table(60, 20)
    assert load(held).schema.arrow.field("x").type == pa.float64()
    held = held.set_column(0, "x", held.column("x").cast(pa.float32())).set_column(
        1, "c", held.column("c").dictionary_encode()
    )
    path = stored(place, table(80, 20))
    done = command("plan", path, "--holdout-data", stored(place, held, "held.parquet"))
    assert done.code == 0, done
    assert command("plan", path, *QUICK).code == 0
