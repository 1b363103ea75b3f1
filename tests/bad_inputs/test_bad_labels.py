"""Rows 1 to 22: too few rows, labels that are none, strategies that cannot be."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from bad_kit import QUICK, SECRET, added, command, frame, handled, noted, refused, state, stored, table

import synthgen
from synthgen.errors import ConfigError, TooFewRows


def test_r01_no_rows_is_refused(place: Path) -> None:
    refused(place, stored(place, table().slice(0, 0)), "the dataset is empty: 0 rows")


def test_r02_one_row_is_refused(place: Path) -> None:
    refused(place, stored(place, table().slice(0, 1)), "label column 'label'", "one class only", "another --label")


def test_r03_a_class_of_one_row_is_repeated_with_a_note(place: Path) -> None:
    path = stored(place, table(rare=1))
    options = ("--engine", "delta", "--holdout", 0)
    manifest = handled(place, path, options=options)
    noted(manifest, "class 1 has 1 rows, delta needs 2", "come from oversample")
    assert manifest.counts["1"].model_dump() == {"real": 1, "synthetic": 0, "repeated": 10}
    text = refused(
        place,
        path,
        "class 1 has 1 rows",
        "--small-class",
        kind=TooFewRows,
        options=(*options, "--small-class", "error"),
    )
    assert "ladder or skip" in text


@pytest.mark.parametrize("rare", [2, 3, 4, 5])
def test_r04_a_class_of_two_to_five_rows_names_what_was_used(place: Path, rare: int) -> None:
    options = ("--engine", "copula", "--holdout", 0)
    path = stored(place, table(rare=rare))
    manifest = handled(place, path, options=options)
    noted(manifest, f"class 1 has {rare} rows", "smote" if rare < 5 else "copula")
    assert manifest.counts["1"].synthetic == min(40 - 2 * rare, 10 * rare)
    if rare < 5:
        refused(place, path, f"class 1 has {rare} rows", kind=TooFewRows, options=(*options, "--small-class", "error"))
        skipped = handled(place, path, options=(*options, "--small-class", "skip"))
        noted(skipped, "nothing added")
        assert skipped.counts["1"].synthetic == 0


def test_r05_a_class_smaller_than_the_batch_is_handled(place: Path) -> None:
    options = ("--engine", "cwgan-gp", "--steps", 2, "--holdout", 0)
    manifest = handled(place, stored(place, table(120, 25)), options=options)
    assert manifest.counts["1"].synthetic == 70


def test_r06_a_label_of_one_class_is_refused_by_name(place: Path) -> None:
    path = stored(place, table(label=["good"] * 40))
    refused(place, path, "label column 'label' has one class only, 'good'", "another --label")


def test_r07_a_label_that_is_not_there_is_refused_with_close_matches(place: Path) -> None:
    path = stored(place, table())
    refused(place, path, "'lable' is not in rows.parquet", "did you mean 'label'", label="lable")


@pytest.mark.parametrize("kind", [pa.float64(), pa.int64()])
def test_r08_missing_labels_are_refused_by_count_or_left_out_when_asked(place: Path, kind: pa.DataType) -> None:
    labels = pa.array([None] * 3 + [1] * 9 + [0] * 28, kind)
    path = stored(place, table(label=labels))
    refused(place, path, "label column 'label' is missing in 3 of 40 rows", "--drop-unlabelled")
    out = place / "kept"
    done = command("balance", path, "--out", out, *QUICK, "--drop-unlabelled", "--json")
    assert done.code == 0
    manifest = synthgen.read_shards(out).manifest
    noted(manifest, "3 rows without a label were left out")
    assert sum(each.real for each in manifest.counts.values()) == 37


def test_r08_nan_labels_are_missing(place: Path) -> None:
    path = stored(place, table(label=np.where(np.arange(40) < 2, np.nan, np.arange(40) % 2)))
    refused(place, path, "is missing in 2 of 40 rows", "--drop-unlabelled")
    assert command("plan", path, "--drop-unlabelled").code == 0


def test_r09_none_among_text_labels_is_refused_by_count_or_left_out_when_asked(place: Path) -> None:
    rows = table(label=["yes", None] + ["no"] * 38)
    path = stored(place, rows)
    refused(place, path, "label column 'label' is missing in 1 of 40 rows", "--drop-unlabelled")
    refused(place, rows.to_pandas(), "is missing in 1 of 40 rows")
    assert command("plan", path, "--drop-unlabelled").code == 0


def test_r10_a_continuous_label_is_refused(place: Path) -> None:
    path = stored(place, table(label=np.linspace(0.5, 9.7, 40)))
    refused(place, path, "label column 'label' is continuous (40 different values)", "bin it", "another --label")


def test_r11_labels_of_mixed_types_are_refused_with_the_types(place: Path) -> None:
    refused(place, frame(label=pd.Series([0, "1"] * 20, dtype=object)), "column 'label' mixes", "int, str")


def test_r12_one_and_one_point_nought_are_one_class_with_a_note(place: Path) -> None:
    given = frame(label=pd.Series([0, 1.0, 1, 0.0] * 9 + [0] * 4, dtype=object))
    noted(handled(place, given), "label column 'label' is stored as double", "1 and 1.0 are one class")


def test_r12_noughts_of_both_signs_are_one_class_and_stay_as_they_are(place: Path) -> None:
    path = place / "rows.csv"
    path.write_text("x,label\n" + "".join(f"{k}.5,{['0.0', '-0.0', '1.0'][k % 3]}\n" for k in range(30)))
    manifest = handled(place, path)
    assert {name: (each.real, each.synthetic + each.repeated) for name, each in manifest.counts.items()} == {
        "0": (20, 0),
        "1": (10, 10),
    }
    told = command("plan", path, "--engine", "oversample").out
    assert "10 real rows of class 1 can show" in told.replace("\n", " ")
    assert "1.0" not in told.partition("note:")[0]
    assert "-0" not in told


def test_r13_one_and_nought_one_stay_two_classes(place: Path) -> None:
    path = place / "rows.csv"
    path.write_text("x,label\n" + "".join(f"{k}.5,{['1', '01'][k % 5 == 0]}\n" for k in range(40)))
    assert handled(place, path).counts.keys() == {"1", "01"}


def test_r14_accents_stored_in_two_ways_are_noted(place: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    assert composed != apart
    manifest = handled(place, stored(place, table(label=[composed, apart, "e", "e"] * 10)))
    noted(manifest, "differ only in how their accents are stored (NFC, NFD)", "make them alike")
    assert len(manifest.counts) == 3


def test_r15_labels_that_differ_by_a_space_or_case_are_noted(place: Path) -> None:
    manifest = handled(place, stored(place, table(label=["a", "a ", "A", "b"] * 10)))
    noted(manifest, "'A' and 'a' differ only in case or spaces")
    noted(manifest, "'A' and 'a '")
    assert len(manifest.counts) == 4


def test_r16_ten_thousand_classes_are_refused_with_the_cap(place: Path) -> None:
    path = stored(place, table(10_000, label=np.arange(10_000)))
    refused(place, path, "label column 'label' has 10000 classes, more than the 1000", "another --label")


def test_r17_an_unknown_class_in_a_strategy_is_refused(place: Path) -> None:
    path = stored(place, table())
    refused(place, path, "class '7' does not occur; classes are: 0, 1", kind=ConfigError, options=_counts("7=50"))


def test_r18_fewer_rows_than_there_are_is_refused(place: Path) -> None:
    path = stored(place, table())
    refused(place, path, "class 1 has 8 real rows", "never removed", "got 5", kind=ConfigError, options=_counts("1=5"))


def test_r19_a_ratio_that_needs_deletion_is_refused(place: Path) -> None:
    path = stored(place, table())
    refused(place, path, "ratio 0.1 would delete rows", kind=ConfigError, options=_counts("0.1"))


@pytest.mark.parametrize("limit", [(), ("--max-ratio", 10**15)])
def test_r20_a_million_million_rows_are_refused_with_the_budget(place: Path, limit: tuple[object, ...]) -> None:
    says = "100,000,000" if limit else "--max-ratio"
    options = (*_counts(f"1={10**12}"), *limit)
    refused(place, stored(place, table()), says, kind=ConfigError, options=options)


def test_r21_a_label_of_several_values_is_refused(place: Path) -> None:
    path = stored(place, table(label=pa.array([["a", SECRET]] * 40)))
    refused(place, path, "label column 'label' is of type list<", "several labels", "another --label")


def test_r22_balanced_classes_publish_the_real_rows(place: Path) -> None:
    path = stored(place, table(rare=20))
    manifest = handled(place, path)
    assert {text: (n.real, n.synthetic, n.repeated) for text, n in manifest.counts.items()} == {
        "0": (20, 0, 0),
        "1": (20, 0, 0),
    }
    done = command("balance", path, "--out", place / "new", "--engine", "delta")
    assert done.code == 0
    assert "balanced as they are; nothing was added" in " ".join(done.out.split())


def _counts(strategy: str) -> tuple[object, ...]:
    return (*QUICK, "--strategy", strategy)


def test_the_kit_sees_what_changes(place: Path) -> None:
    before = state(place)
    (place / "out" / "data" / "stray").touch()
    assert state(place) != before
    handled(place, stored(place, table()))
    assert set(added(place, "label")) == {1}
