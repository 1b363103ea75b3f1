"""Readers: the highest commit, listed files only, every damaged bit noticed, symlinks not followed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from shards_kit import N_REAL, N_SYNTHETIC, key_of, manifest_of, marker_in, publish_run, table_of

from synthgen.errors import DataError
from synthgen.shards.manifest import Manifest, run_id_of
from synthgen.shards.parquet import write_shards
from synthgen.shards.publish import publish
from synthgen.shards.reader import gc, read_shards, verify
from synthgen.shards.stage import stage

RUN = f"data/{run_id_of(key_of(1))}"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "out"
    publish_run(out, 0)
    publish_run(out, 1)
    return out


@pytest.fixture
def out(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "out", symlinks=True))


def everything(out: Path) -> Iterator[Path]:
    return (path for path in sorted(out.rglob("*")) if path.is_file() and not path.is_symlink())


def test_rows_come_as_arrow_pandas_and_torch(out: Path) -> None:
    shards = read_shards(out)
    assert (shards.commit, shards.manifest.run_id) == (2, run_id_of(key_of(1)))
    assert marker_in(shards.to_pandas()) == 1
    assert shards.to_arrow().schema.equals(table_of(1, 2).schema, check_metadata=True)
    assert len(shards.train) == N_REAL + N_SYNTHETIC
    assert [table.num_rows for table in shards.train.tables()] == [3, 4, N_SYNTHETIC]
    features, codes = shards.to_torch()
    assert (features.shape, codes.shape) == ((12, 1), (12,))
    assert codes.sum() == shards.to_pandas()["fraud"].eq("yes").sum()
    expected = pd.read_parquet(out / "current" / "train")
    pd.testing.assert_frame_equal(shards.to_pandas(), expected)


def test_origins_and_parts_are_apart(tmp_path: Path) -> None:
    with stage(tmp_path, run_id=run_id_of(key_of(1))) as work:
        entries = []
        for prefix, part, rows in (("real", "train", 6), ("repeated", "train", 2), ("part", "test", 4)):
            entries += write_shards(
                table_of(1, rows),
                work.folder / part,
                prefix=prefix,
                seed=0,
                run_id=work.run_id,
                root=work.folder,
            )
        counts = {"no": {"real": 3, "repeated": 1}, "yes": {"real": 3, "repeated": 1}}
        manifest = {**manifest_of(1).model_dump(), "files": entries, "counts": counts}
        publish(work, manifest=Manifest.model_validate(manifest))
    shards = read_shards(tmp_path)
    assert (len(shards.train), len(shards.test)) == (8, 4)
    assert len(shards.train.origin("real").to_pandas()) == 6
    assert len(shards.train.origin("repeated", "synthetic")) == 2
    assert len(shards.test.to_arrow()) == 4
    with pytest.raises(DataError, match="holds no train rows"):
        shards.train.origin("synthetic").to_arrow()


def test_files_are_opened_only_when_rows_are_asked_for(out: Path) -> None:
    shutil.rmtree(out / RUN / "train")
    shards = read_shards(out)
    assert len(shards.train) == N_REAL + N_SYNTHETIC
    with pytest.raises(DataError, match=r"real-00000-of-00002\.parquet is not as published"):
        shards.to_pandas()


def test_the_highest_commit_counts_and_current_does_not(out: Path) -> None:
    (out / "current").unlink()
    (out / "current").symlink_to("/etc")
    assert marker_in(read_shards(out).to_pandas()) == 1
    (out / "commits" / "00000002.json").unlink()
    assert marker_in(read_shards(out).to_pandas()) == 0


def test_a_run_s_folder_can_be_given_and_copied(out: Path, tmp_path: Path) -> None:
    assert read_shards(out / RUN).commit == 2
    assert read_shards(str(out / "current")).commit == 2
    assert read_shards(out / "data" / run_id_of(key_of(0))).commit == 1
    copy = Path(shutil.copytree(out / RUN, tmp_path / "copy"))
    assert read_shards(copy).commit is None
    assert marker_in(read_shards(copy).to_pandas()) == 1
    assert verify(copy).ok
    manifest = copy / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"oversample", b"oversimple"))
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        read_shards(copy)
    assert [problem.path for problem in verify(copy).problems] == ["manifest.json"]


def test_a_manifest_that_was_replaced_by_a_valid_one_is_noticed(out: Path) -> None:
    from synthgen.shards.manifest import manifest_bytes

    (out / RUN / "manifest.json").write_bytes(manifest_bytes(manifest_of(1)))
    for given in (out, out / RUN):
        with pytest.raises(DataError, match=r"its sha256 is not the one in commits/00000002\.json"):
            read_shards(given)
    assert [problem.path for problem in verify(out).problems] == [f"{RUN}/manifest.json"]


def test_files_that_the_manifest_does_not_list_are_ignored_and_named(out: Path) -> None:
    shutil.copy(out / RUN / "train" / "real-00000-of-00002.parquet", out / RUN / "train" / "real-00009.parquet")
    assert marker_in(read_shards(out).to_pandas()) == 1
    report = verify(out)
    assert [(problem.path, problem.kind) for problem in report.problems] == [
        (f"{RUN}/train/real-00009.parquet", "foreign")
    ]
    assert not report.ok


@pytest.mark.parametrize("folder", ["missing", "empty", "begun"])
def test_nothing_published_is_a_data_error(tmp_path: Path, folder: str) -> None:
    if folder != "missing":
        (tmp_path / folder).mkdir()
    if folder == "begun":
        stage(tmp_path / folder, run_id=run_id_of(key_of(1))).release()
    with pytest.raises(DataError, match="nothing was published"):
        read_shards(tmp_path / folder)
    if folder != "begun":
        with pytest.raises(DataError, match="neither commits nor"):
            verify(tmp_path / folder)


def test_every_flipped_bit_is_noticed_in_every_kind_of_file(out: Path) -> None:
    kinds = set()
    for path in everything(out):
        whole, name = path.read_bytes(), str(path.relative_to(out))
        for k in range(8):
            place = len(whole) * k // 8
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << k]) + whole[place + 1 :])
            assert name in [problem.path for problem in verify(out).problems if problem.kind == "bad"]
            if not name.startswith(f"data/{run_id_of(key_of(0))}") and path.suffix in (".json", ".parquet"):
                kinds.add(path.name)
                if path.name not in ("labels.json", "00000001.json"):
                    with pytest.raises(DataError, match=path.name):
                        read_shards(out).to_arrow()
        path.write_bytes(whole)
    assert {"00000002.json", "manifest.json", "labels.json", "synthetic-00000-of-00001.parquet"} <= kinds
    assert verify(out).ok


def test_every_cut_or_removed_file_is_noticed(out: Path) -> None:
    for path in everything(out):
        whole, name = path.read_bytes(), str(path.relative_to(out))
        for cut in (b"", whole[:-1], whole + b" "):
            path.write_bytes(cut)
            assert (name, "bad") in [(problem.path, problem.kind) for problem in verify(out).problems]
        path.unlink()
        if name != "commits/00000002.json":  # then the one before is the head, whole
            assert (name, "missing") in [(problem.path, problem.kind) for problem in verify(out).problems] or (
                name == "commits/00000001.json"  # as after gc
            )
        path.write_bytes(whole)


def test_an_old_commit_under_a_new_number_is_noticed(out: Path) -> None:
    shutil.copy(out / "commits" / "00000001.json", out / "commits" / "00000003.json")
    with pytest.raises(DataError, match=r"00000003\.json is damaged: it calls itself number 1"):
        read_shards(out)
    assert next(problem.path for problem in verify(out).problems if problem.kind == "bad") == "commits/00000003.json"


def test_verify_counts_what_it_read(out: Path) -> None:
    report = verify(out)
    assert report.ok
    assert report.n_files == len(list(everything(out)))
    assert report.problems == ()


def test_verify_names_strangers_gaps_and_a_current_that_strays(out: Path) -> None:
    publish_run(out, 2)
    (out / "commits" / "00000002.json").unlink()
    (out / "commits" / "notes.txt").touch()
    (out / "data" / "mine").mkdir()
    (out / "current").unlink()
    (out / "current").symlink_to("data/mine")
    assert {(problem.path, problem.kind) for problem in verify(out).problems} == {
        ("commits/00000002.json", "missing"),
        ("commits/notes.txt", "foreign"),
        ("data/mine", "foreign"),
        (RUN, "pending"),
        ("current", "bad"),
    }


@pytest.mark.parametrize("what", ["train", "shard", "manifest.json", "run", "data", "commit", "fifo"])
def test_symlinks_and_special_files_are_not_followed(out: Path, tmp_path: Path, what: str) -> None:
    shard = out / RUN / "train" / "synthetic-00000-of-00001.parquet"
    place = {
        "train": out / RUN / "train",
        "run": out / RUN,
        "data": out / "data",
        "commit": out / "commits" / "00000002.json",
        "manifest.json": out / RUN / "manifest.json",
    }.get(what, shard)
    place.rename(tmp_path / "elsewhere")  # the very bytes, and not where they were published
    if what == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError):
        read_shards(out).to_arrow()
    assert not verify(out).ok


def test_a_symlink_of_the_right_length_is_named(out: Path) -> None:
    path = out / RUN / "labels.json"
    size = path.stat().st_size
    path.unlink()
    path.symlink_to("x" * size)
    assert [(problem.path, problem.kind) for problem in verify(out).problems] == [(f"{RUN}/labels.json", "bad")]


def test_a_shard_with_other_rows_than_listed_is_refused(tmp_path: Path) -> None:
    with stage(tmp_path, run_id=run_id_of(key_of(1))) as work:
        (entry,) = write_shards(
            table_of(1, 4), work.folder / "train", prefix="real", seed=0, run_id=work.run_id, root=work.folder
        )
        lying = entry.model_copy(update={"rows": 3})
        counts = {"no": {"real": 2}, "yes": {"real": 1}}
        manifest = {**manifest_of(1).model_dump(), "files": [lying], "counts": counts}
        publish(work, manifest=Manifest.model_validate(manifest))
    with pytest.raises(DataError, match="4 rows, the manifest says 3"):
        read_shards(tmp_path).to_arrow()


def test_a_reader_outlives_a_gc_between_its_steps(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthgen.shards import reader

    real, raced = reader.read_manifest, []

    def read_manifest(*args: object) -> Manifest:
        if not raced:
            raced.append(publish_run(out, 2))
            gc(out, keep=1, older_than_seconds=0)
        return real(*args)

    monkeypatch.setattr(reader, "read_manifest", read_manifest)
    assert marker_in(read_shards(out).to_pandas()) == 2


def test_dtypes_survive_publication(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "plan": pd.Categorical(["a", "b"] * 3, categories=["z", "b", "a"], ordered=True),
            "visits": pd.array([1, None] * 3, dtype="Int64"),
            "fraud": [True, False] * 3,
        }
    )
    with stage(tmp_path, run_id=run_id_of(key_of(1))) as work:
        entries = write_shards(
            pa.Table.from_pandas(frame),
            work.folder / "train",
            prefix="real",
            seed=0,
            run_id=work.run_id,
            root=work.folder,
            rows_per_file=4,
        )
        counts = {"no": {"real": 6}}
        publish(
            work, manifest=Manifest.model_validate({**manifest_of(1).model_dump(), "files": entries, "counts": counts})
        )
    read = read_shards(tmp_path).to_pandas()
    pd.testing.assert_series_equal(read.dtypes, frame.dtypes)


@pytest.mark.parametrize("inside", ["", "current", "current/train", "data/{run}", "data/{run}/train"])
def test_any_folder_that_a_user_would_point_at_is_read(tmp_path: Path, inside: str) -> None:
    # red without _PARTS in read_shards
    done = publish_run(tmp_path / "out", 1)
    place = tmp_path / "out" / inside.format(run=done.folder.name)
    assert len(read_shards(place).train) == len(read_shards(tmp_path / "out").train)
    with pytest.raises(DataError, match="its current, or a data/<run_id> of it"):
        read_shards(tmp_path / "out" / "data")
