"""What must not be read as one: files and folders of several splits, told by their names."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures_kit import png, put, tar_of
from read_kit import refused

from synthgen.data.folders import TABLES, files_of
from synthgen.data.read import load, read_table
from synthgen.errors import DataError

ROWS = pa.table({"x": [1.5, 2.5], "label": [0, 1]})


def tables(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(ROWS, folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("fraud_train.parquet", "fraud_test.parquet"), "test, train"),
        (("train.parquet", "holdout.parquet"), "holdout, train"),
        (("split=train/p.parquet", "split=test/p.parquet"), "test, train"),
        (("split=Train/y=1/p.parquet", "split=validation/y=1/p.parquet"), "train, validation"),
        (("y=1/train.parquet", "y=1/eval.parquet"), "eval, train"),
        (("fraudTrain.parquet", "fraudTest.parquet"), "test, train"),
        (("2024-TRAINING-1.PARQUET", "2024-TESTING-1.PARQUET"), "testing, training"),
        (("split=val/p.parquet", "split=test/p.parquet"), "test, val"),
        (("train1.parquet", "dev1.pq", "other.parquet"), "dev, train"),
        (("val.parquet", "test.parquet"), "test, val"),
        (("test_run_train.parquet", "test_run_test.parquet"), "test, train"),
        (("train_valid.parquet", "test.parquet"), "test, train, valid"),
    ],
)
def test_tables_of_several_splits_are_not_one(tmp_path: Path, names: tuple[str, ...], splits: str) -> None:
    says = f"holds the files of the splits {splits}; move those of one into a folder of its own"
    refused(tables(tmp_path, *names), says)
    with pytest.raises(DataError, match=re.escape(says)):
        read_table(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("part-0.parquet", "part-1.parquet"),
        ("train-0.parquet", "train-1.parquet"),
        ("train.parquet", "training.parquet"),
        ("test.parquet", "holdout.parquet"),
        ("train.parquet", "more.parquet"),
        ("train_test_0.parquet", "train_test_1.parquet"),
        ("trains.parquet", "contest.parquet", "latest.parquet", "value.parquet", "device.parquet", "evaluated.parquet"),
        ("env=dev/p.parquet", "env=test/p.parquet", "env=prod/p.parquet"),
        ("quality=valid/p.parquet", "quality=test/p.parquet"),
        ("way=train/p.parquet", "way=plane/p.parquet"),
        ("stage=train/env=dev/p.parquet", "stage=infer/env=dev/p.parquet"),
        ("way=train station/p.parquet", "way=test drive/p.parquet"),
        ("train=1/p.parquet", "train=0/p.parquet"),
    ],
)
def test_tables_of_one_split_or_none_are_one(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert len(load(tables(tmp_path, *names), label="label")) == 2 * len(names)
    assert len(files_of(tmp_path, TABLES, partitions=True)) == len(names)


def test_the_folder_s_own_name_is_no_split(tmp_path: Path) -> None:
    assert len(load(tables(tmp_path / "split=train" / "test", "train-0.parquet", "train-1.parquet"))) == 4


def test_tars_follow_the_same_rules(tmp_path: Path) -> None:
    members = {f"{k}.{kind}": png(k) if kind == "png" else b"%d" % (k % 2) for k in range(4) for kind in ("png", "cls")}
    for name in ("shards-train.tar", "shards-TEST.TAR"):
        tar_of(tmp_path / name, members)
    refused(tmp_path, "holds the files of the splits test, train; move those of one into a folder of its own")
    (tmp_path / "shards-train.tar").rename(tmp_path / "shards.tar")
    assert len(load(tmp_path)) == 8
    (tmp_path / "more").mkdir()
    (tmp_path / "shards.tar").rename(tmp_path / "more" / "shards.tar")
    refused(tmp_path, "shards-TEST.TAR, and 1 more of such files in folders below", "such as more/shards.tar")


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        ("Training Testing", "Testing, Training"),
        ("train holdout", "holdout, train"),
        ("train test README", "test, train"),
        ("a dev b train", "dev, train"),
        ("val test unlabelled", "test, val"),
        ("eval", "eval"),
    ],
)
def test_image_folders_of_several_splits_are_no_classes(tmp_path: Path, folders: str, splits: str) -> None:
    put(tmp_path / "photos", {f"{name}/cat/{k}.png": png(k) for name in folders.split() for k in range(2)})
    first = splits.split(",")[0]
    says = f"holds the splits {splits}, not classes; name one of them, as {tmp_path / 'photos' / first}"
    refused(tmp_path / "photos", says)


@pytest.mark.parametrize("folders", ["train plane car", "steam-train driving-test", "valid invalid", "dev test ops"])
def test_classes_may_be_called_like_splits(tmp_path: Path, folders: str) -> None:
    put(tmp_path, {f"{name}/{k}.png": png(k) for name in folders.split() for k in range(2)})
    assert load(tmp_path).classes == tuple(sorted(folders.split()))
