"""The benchmarks' own tables and sums: what they are run on is the same for everyone, and a gain is a gain."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module(request.param)


@pytest.mark.parametrize("module", ["tables"], indirect=True)
def test_made_tables_are_the_same_for_the_same_seed(module: ModuleType) -> None:
    table = module.mixed(500, 7, rare=0.1)
    assert table.counts() == {"no": 450, "yes": 50}
    assert len(table.schema.features) == 7
    assert table.fingerprint() == module.mixed(500, 7, rare=0.1).fingerprint()
    others = (module.mixed(500, 7, rare=0.1, seed=1), module.mixed(500, 7, rare=0.1, part=1))
    assert len({table.fingerprint(), *(other.fingerprint() for other in others)}) == 3
    means = [other.table.to_pandas()["c02"].std() for other in (table, *others)]
    assert abs(means[2] - means[0]) < 0.15 * means[0] < abs(means[1] - means[0])  # a part has the same distribution


@pytest.mark.parametrize("module", ["learners"], indirect=True)
def test_gains_are_over_none_and_count_tables(module: ModuleType) -> None:
    figures = {"a": (0.5, 0.6), "b": (0.7, 0.69), "c": (0.4, 0.6)}
    rows = [
        {"data": data, "seed": 0, "arm": arm, "learner": learner, "ap": ap, "auc": 0.9}
        for data, pair in figures.items()
        for arm, ap in zip(("none", "some"), pair, strict=True)
        for learner in module.PANEL
    ]
    line = module.gains(pd.DataFrame(rows), over="none").loc[("mean of three", "some")]
    assert line["ap"] == 0.63
    assert line["ap gain"].startswith("+0.097 [-0.010, +0.200] 2/1")
    assert line["auc gain"] == "+0.000 [+0.000, +0.000] 0/0"
    back = module.gains(pd.DataFrame(rows), over="some").loc[("mean of three", "none")]
    assert back["ap gain"].startswith("-0.097")


@pytest.mark.parametrize("module", ["learners"], indirect=True)
def test_every_small_row_is_tested_once_and_the_rare_class_is_cut(module: ModuleType) -> None:
    for table in module.made("small"):
        folds = list(module.splits(table, "small", 1))
        assert len(folds) == 5
        tested = [at for _, train, test in folds for at in test if not set(test) & set(train)]
        assert len(tested) == len(set(tested))
        assert table[2][tested].sum() == 40
