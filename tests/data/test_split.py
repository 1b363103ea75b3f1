"""Rows set aside: stable as a table grows, stratified, with duplicates and groups on one side; folds likewise."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.data.split import MIN_TRAIN_ROWS, Split, folds, row_keys, split_holdout
from synthgen.errors import ConfigError, DataError, TooFewRows


def table_of(n: int, *, seed: int = 0, share: float = 0.1, **columns: object) -> TabularDataset:
    rng = np.random.default_rng(seed)
    label = pa.array(np.where(rng.random(n) < share, "rare", "common"))
    return from_table(pa.table({"x": rng.random(n), **columns, "label": label}), label="label")


def assert_partition(split: Split, n: int) -> None:
    both = np.concatenate([split.train, split.holdout])
    assert sorted(both.tolist()) == list(range(n))
    assert np.all(np.diff(split.train) > 0)
    assert np.all(np.diff(split.holdout) > 0)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_every_class_gives_about_its_share(share: float) -> None:
    dataset = table_of(20_000)
    split = split_holdout(dataset, share=share, seed=0)
    assert_partition(split, len(dataset))
    assert split.notes == ()
    whole, held = dataset.counts(), dataset.take(split.holdout).counts()
    for label, n in whole.items():
        assert abs(held[label] - share * n) < 4 * np.sqrt(n * share * (1 - share))


def test_a_row_keeps_its_side_when_rows_are_added() -> None:
    before, new = table_of(3_000), table_of(2_000, seed=1)
    grown = before.concat(new)
    for seed in range(3):
        old = split_holdout(before, share=0.2, seed=seed)
        now = split_holdout(grown, share=0.2, seed=seed)
        assert np.array_equal(now.holdout[now.holdout < 3_000], old.holdout)


def labelled(**sizes: int) -> TabularDataset:
    """A table of one feature with so many rows of each class."""
    n = sum(sizes.values())
    labels = [name for name, size in sizes.items() for _ in range(size)]
    return from_table(pa.table({"x": np.random.default_rng(n).random(n), "label": labels}), label="label")


@pytest.mark.parametrize(("rare", "share", "held"), [(12, 0.2, 2), (12, 0.05, 1), (6, 0.2, 1), (90, 0.3, 27)])
def test_a_small_class_gives_exactly_its_share(rare: int, share: float, held: int) -> None:
    dataset = labelled(rare=rare, common=400)
    for seed in range(40):
        split = split_holdout(dataset, share=share, seed=seed)
        assert dataset.take(split.holdout).counts()["rare"] == held
        assert split.notes == ()


def test_a_small_class_keeps_nearly_all_of_its_holdout_as_it_grows() -> None:
    table = labelled(rare=100, common=2_000)
    for seed in range(10):
        old = split_holdout(table, share=0.2, seed=seed).holdout
        grown = split_holdout(table.concat(labelled(rare=10, common=50)), share=0.2, seed=seed).holdout
        moved = np.setxor1d(old, grown[grown < len(table)])
        assert len(moved) <= 5
        assert np.all(moved < 100)


def test_a_class_of_few_large_groups_gives_about_its_share() -> None:
    group = np.r_[np.repeat(np.arange(10), 20), np.arange(100, 900)]
    label = np.where(group < 10, "rare", "common")
    dataset = from_table(pa.table({"x": np.arange(1000.0), "who": group, "label": label}), label="label")
    for seed in range(20):
        split = split_holdout(dataset, share=0.25, seed=seed, group="who")
        assert dataset.take(split.holdout).counts()["rare"] in (40, 60)
        assert not set(group[split.train]) & set(group[split.holdout])


def test_a_class_that_is_one_group_is_noted() -> None:
    dataset = labelled(rare=20, common=400)
    group = pa.array([0] * 20 + list(range(1, 401)))
    dataset = from_table(dataset.table.append_column("who", group), label="label")
    split = split_holdout(dataset, share=0.2, seed=0, group="who")
    assert dataset.take(split.holdout).counts()["rare"] == 0
    assert split.notes == ("class 'rare' has too few groups of 'who' to set 20% of its rows aside",)


def test_a_class_whose_rows_all_come_back_with_another_s_is_noted() -> None:
    """Its one group that was set aside holds the rarer class's rows too. Red when it is looked at before those."""
    group = np.repeat([0, 1], [100, 100])
    label = np.where(np.arange(200) % 50 == 0, "rare", "common")
    dataset = from_table(pa.table({"x": np.arange(200.0), "who": group, "label": label}), label="label")
    for seed in range(5):
        split = split_holdout(dataset, share=0.5, seed=seed, group="who")
        assert len(split.holdout) == 0
        assert [note.partition(" has")[0] for note in split.notes] == ["class 'common'", "class 'rare'"]


def test_a_class_of_equal_rows_is_noted() -> None:
    """Red when it is said to have too few rows."""
    x = np.r_[np.full(20, -1.0), np.arange(2_000.0)]
    dataset = from_table(pa.table({"x": x, "label": ["rare"] * 20 + ["common"] * 2_000}), label="label")
    notes = split_holdout(dataset, share=0.2, seed=0).notes
    assert notes == ("class 'rare' has too few different rows to set 20% of its rows aside",)


def test_a_row_keeps_its_side_wherever_it_stands() -> None:
    dataset = table_of(2_000)
    order = np.random.default_rng(0).permutation(2_000)
    here = split_holdout(dataset, share=0.2, seed=0).holdout
    there = split_holdout(dataset.take(order), share=0.2, seed=0).holdout
    assert set(order[there]) == set(here)


def test_the_seed_alone_decides() -> None:
    dataset = table_of(2_000)
    one, again, other = (split_holdout(dataset, share=0.3, seed=seed).holdout for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    overlap = len(np.intersect1d(one, other)) / len(one)
    assert abs(overlap - 0.3) < 0.08


def test_duplicates_stand_on_one_side() -> None:
    values = np.repeat(np.random.default_rng(0).random(1_000), 1)
    values[800:] = values[:200]
    dataset = table_of(1_000, x=values)
    split = split_holdout(dataset, share=0.3, seed=0)
    assert split.notes == ()
    assert not set(values[split.train]) & set(values[split.holdout])


def test_duplicates_are_told_by_features_not_by_ids() -> None:
    values = np.random.default_rng(0).random(1_000)
    values[800:] = values[:200]
    dataset = table_of(1_000, x=values, row_id=np.arange(1_000))
    split = split_holdout(dataset, share=0.3, seed=0)
    assert not set(values[split.train]) & set(values[split.holdout])


def test_a_common_value_is_no_copy_and_stands_on_both_sides() -> None:
    values = np.random.default_rng(0).random(4_000)
    values[:200] = 0.0  # an atom: 5 % of the rows
    values[200:400] = np.repeat(values[200:300], 2)  # pairs: copies
    dataset = table_of(4_000, x=values)
    split = split_holdout(dataset, share=0.3, seed=0)
    assert any("occur more than 1%" in note for note in split.notes)
    both = set(values[split.train]) & set(values[split.holdout])
    assert both == {0.0}
    atoms = np.count_nonzero(values[split.holdout] == 0.0)
    assert 30 < atoms < 90


def test_a_table_of_repeats_is_split_by_row_and_says_so() -> None:
    values = np.repeat(np.arange(500.0), 4)
    dataset = table_of(2_000, x=values)
    split = split_holdout(dataset, share=0.25, seed=0)
    assert any("75% of the rows repeat" in note for note in split.notes)
    assert abs(len(split.holdout) - 500) < 80
    assert set(values[split.train]) & set(values[split.holdout])


def test_rows_without_features_are_split_too() -> None:
    dataset = from_table(pa.table({"id": range(400), "label": [0, 1] * 200}), label="label")
    split = split_holdout(dataset, share=0.25, seed=0)
    assert 60 < len(split.holdout) < 140


def test_groups_stand_on_one_side_whole() -> None:
    group = np.repeat(np.arange(200), 5)
    dataset = table_of(1_000, who=group)
    split = split_holdout(dataset, share=0.3, seed=0, group="who")
    assert_partition(split, 1_000)
    assert not set(group[split.train]) & set(group[split.holdout])
    assert 0.2 < len(split.holdout) / 1_000 < 0.4


@pytest.mark.parametrize("rare", [1, 3, 5, 6, 8])
def test_a_class_keeps_five_rows_to_learn_from(rare: int) -> None:
    label = pa.array(["rare"] * rare + ["common"] * 500)
    dataset = from_table(pa.table({"x": np.random.default_rng(0).random(500 + rare), "label": label}), label="label")
    for seed in range(20):
        split = split_holdout(dataset, share=0.5, seed=seed)
        assert_partition(split, 500 + rare)
        kept = dataset.take(split.train).counts()
        assert kept["rare"] >= min(rare, MIN_TRAIN_ROWS)
        assert 200 < kept["common"] < 300
        if kept["rare"] == rare <= MIN_TRAIN_ROWS:
            continue
        assert not split.notes or "'rare' has too few rows" in split.notes[0]


def test_a_class_that_is_too_small_is_noted() -> None:
    dataset = from_table(pa.table({"x": np.arange(200.0), "label": ["rare"] * 2 + ["common"] * 198}), label="label")
    notes = [split_holdout(dataset, share=0.9, seed=seed).notes for seed in range(5)]
    assert ("class 'rare' has too few rows to set 90% of its rows aside",) in notes


def test_no_more_rows_come_back_than_are_needed() -> None:
    dataset = from_table(pa.table({"x": np.arange(540.0), "label": ["rare"] * 40 + ["common"] * 500}), label="label")
    splits = [split_holdout(dataset, share=0.9, seed=seed) for seed in range(20)]
    short = [dataset.take(split.train).counts()["rare"] for split in splits if split.notes]
    assert len(short) > 5
    assert set(short) == {MIN_TRAIN_ROWS}


def test_whole_groups_come_back_for_a_small_class() -> None:
    group = np.repeat(np.arange(50), 10)
    label = np.where(np.arange(500) % 50 == 0, "rare", "common")
    dataset = from_table(pa.table({"x": np.arange(500.0), "who": group, "label": label}), label="label")
    for seed in range(10):
        split = split_holdout(dataset, share=0.8, seed=seed, group="who")
        assert not set(group[split.train]) & set(group[split.holdout])
        assert dataset.take(split.train).counts()["rare"] >= MIN_TRAIN_ROWS


@pytest.mark.parametrize("kind", [pa.timestamp("us", "UTC"), pa.date32(), pa.int64(), pa.float64()], ids=str)
def test_the_latest_rows_are_set_aside_by_time(kind: pa.DataType) -> None:
    stamps = np.random.default_rng(0).permutation(1_000).astype(np.int32)
    when = pa.array(stamps, kind) if kind == pa.date32() else pa.array(stamps, pa.int64()).cast(kind)
    dataset = table_of(1_000, when=when)
    split = split_holdout(dataset, share=0.2, seed=0, time="when")
    assert_partition(split, 1_000)
    assert len(split.holdout) == 200
    assert stamps[split.holdout].min() > stamps[split.train].max()


def test_rows_of_one_moment_stay_together() -> None:
    stamps = np.repeat(np.arange(10), 100)
    split = split_holdout(table_of(1_000, when=stamps), share=0.15, seed=0, time="when")
    assert sorted(set(stamps[split.holdout])) == [8, 9]


def test_the_smallest_share_of_time_is_the_last_row() -> None:
    split = split_holdout(table_of(1_000, when=np.arange(1_000)), share=0.0001, seed=0, time="when")
    assert split.holdout.tolist() == [999]


def test_a_class_that_comes_too_late_is_named() -> None:
    label = np.where(np.arange(1_000) >= 790, "new", "old")
    dataset = from_table(pa.table({"x": np.arange(1000.0), "when": np.arange(1_000), "label": label}), label="label")
    assert dataset.take(split_holdout(dataset, share=0.2, seed=0, time="when").train).counts()["new"] == 10
    with pytest.raises(TooFewRows, match=r"before the cut by 'when' there are 4 rows of class 'new'.*lower --holdout"):
        split_holdout(dataset, share=0.206, seed=0, time="when")


def test_time_must_be_there_and_ordered() -> None:
    dataset = table_of(100, when=pa.array([None, *range(99)]), city=["a", "b"] * 50)
    with pytest.raises(DataError, match="'when' orders the rows by time but is missing in 1 of them; remove"):
        split_holdout(dataset, share=0.2, seed=0, time="when")
    with pytest.raises(ConfigError, match="--time names 'city', a column of type string; it must be a date"):
        split_holdout(dataset, share=0.2, seed=0, time="city")


@pytest.mark.parametrize("option", ["group", "time"])
def test_options_must_name_another_column(option: str) -> None:
    dataset = table_of(100)
    with pytest.raises(ConfigError, match=f"--{option} names 'z', which is not a column; columns are: x, label"):
        split_holdout(dataset, share=0.2, seed=0, **{option: "z"})
    with pytest.raises(ConfigError, match=f"--{option} names the label column 'label'"):
        split_holdout(dataset, share=0.2, seed=0, **{option: "label"})


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_lies_between_nothing_and_all(share: float) -> None:
    with pytest.raises(ConfigError, match="--holdout must lie between 0 and 1"):
        split_holdout(table_of(100), share=share, seed=0)


def test_group_and_time_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="--group and --time cannot be combined"):
        split_holdout(table_of(100, a=range(100), b=range(100)), share=0.2, seed=0, group="a", time="b")


def test_folds_hold_every_row_once_and_every_class_evenly() -> None:
    dataset = table_of(1_003)
    dealt = folds(dataset, n_folds=5, seed=0)
    assert sorted(np.concatenate([split.holdout for split in dealt]).tolist()) == list(range(1_003))
    for split in dealt:
        assert_partition(split, 1_003)
    for label, n in dataset.counts().items():
        held = [dataset.take(split.holdout).counts()[label] for split in dealt]
        assert max(held) - min(held) <= 1, (label, n)


def test_folds_are_decided_by_the_seed() -> None:
    dataset = table_of(1_000)
    one, again, other = (folds(dataset, n_folds=4, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(one, again, strict=True):
        assert np.array_equal(a.holdout, b.holdout)
    shared = sum(len(np.intersect1d(a.holdout, b.holdout)) for a, b in zip(one, other, strict=True))
    assert abs(shared / 1_000 - 0.25) < 0.07
    firsts = {folds(dataset, n_folds=4, seed=seed)[0].holdout[0] for seed in range(20)}
    assert len(firsts) > 3


def test_folds_keep_duplicates_together() -> None:
    values = np.random.default_rng(0).random(1_000)
    values[800:] = values[:200]
    for split in folds(table_of(1_000, x=values), n_folds=3, seed=0):
        assert not set(values[split.train]) & set(values[split.holdout])


def test_folds_keep_groups_together_and_classes_spread() -> None:
    group = np.repeat(np.arange(300), 4)
    rare = np.isin(group, np.arange(30))
    label = np.where(rare, "rare", "common")
    dataset = from_table(pa.table({"x": np.arange(1200.0), "who": group, "label": label}), label="label")
    dealt = folds(dataset, n_folds=5, seed=0, group="who")
    for split in dealt:
        assert not set(group[split.train]) & set(group[split.holdout])
        assert dataset.take(split.holdout).counts()["rare"] == 24
    assert sum(len(split.holdout) for split in dealt) == 1_200


def test_groups_of_several_classes_are_dealt_by_the_rarest() -> None:
    group = np.repeat(np.arange(300), 4)
    label = np.where((group < 25) & (np.arange(1_200) % 4 == 3), "rare", "common")
    dataset = from_table(pa.table({"x": np.arange(1200.0), "who": group, "label": label}), label="label")
    for seed in range(5):
        held = [
            dataset.take(split.holdout).counts()["rare"] for split in folds(dataset, n_folds=5, seed=seed, group="who")
        ]
        assert held == [5] * 5


def test_a_rare_class_is_in_every_fold_that_it_can_reach() -> None:
    dataset = from_table(pa.table({"x": np.arange(103.0), "label": ["a"] * 100 + ["b"] * 3}), label="label")
    held = [dataset.take(split.holdout).counts()["b"] for split in folds(dataset, n_folds=3, seed=0)]
    assert held == [1, 1, 1]


def test_one_fold_is_none() -> None:
    with pytest.raises(ConfigError, match="2 folds or more, got 1"):
        folds(table_of(100), n_folds=1, seed=0)


def test_keys_are_of_rows_or_of_groups() -> None:
    dataset = table_of(100, who=np.arange(100) % 7)
    keys, notes = row_keys(dataset)
    assert (keys.dtype, len(set(keys.tolist())), notes) == (np.uint64, 100, ())
    grouped, _ = row_keys(dataset, group="who")
    assert sorted(Counter(grouped.tolist()).values()) == [14] * 5 + [15] * 2
