"""Image shards: what is in them, that nothing but the sidecar tells origins apart, the same bytes, and read_shards."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from shards_kit import Counting, FailAt, PowerCut, Unsynced, key_of, manifest_of

from synthgen.data.images import ImageDataset, from_images
from synthgen.data.pictures import ImagePolicy
from synthgen.data.read import read_images
from synthgen.errors import ConfigError, DataError, PublishError
from synthgen.shards.image_reader import ImagePart
from synthgen.shards.images import ImageGroup, class_folder, write_images
from synthgen.shards.manifest import ClassCounts, FileEntry, LabelName, Manifest, run_id_of
from synthgen.shards.publish import list_files, publish
from synthgen.shards.reader import read_shards, verify
from synthgen.shards.stage import stage

FORMATS = ["webdataset", "imagefolder", "parquet"]
MODEL = "ab" * 32
LABELS = ("cat", "dog", "owl")
FIELDS = {"origin", "index", "source", "model", "seed", "sample_weight", "digital_source_type"}


def images_of(n: int, *, seed: int = 0, channels: int = 3) -> ImageDataset:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 8, 8, channels), dtype=np.uint8)
    codes = np.arange(n) % 10
    labels = np.array(LABELS)[np.where(codes < 7, 0, np.where(codes < 9, 1, 2))]
    return from_images(pixels, labels, names=[f"photos/{k}.jpg" for k in range(n)])


def made(like: ImageDataset, n: int, *, seed: int = 9) -> ImageDataset:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, *like.shape), dtype=np.uint8)
    codes, names = np.full(n, 2, dtype=np.int32), np.full(n, "", dtype=object)
    return ImageDataset(pixels, codes, like.classes, names, like.label)


def groups_of(n: int = 60, *, channels: int = 3) -> list[ImageGroup]:
    real = images_of(n, channels=channels)
    return [
        ImageGroup(real, "real"),
        ImageGroup(made(real, 20), "synthetic", model=MODEL, seed=7, sample_weight=0.5),
        ImageGroup(real.of_class("owl").take(np.arange(2)), "repeated"),
    ]


def written(folder: Path, format: str, groups: list[ImageGroup] | None = None, *, seed: int = 0) -> list[FileEntry]:
    groups = groups if groups is not None else groups_of()
    return write_images(groups, folder, format=format, seed=seed, root=folder.parent, files=Unsynced())


def members_of(folder: Path) -> dict[str, dict[str, bytes]]:
    """Every sample of the tars by key, its members adjacent."""
    samples: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.glob("*.tar")):
        last = ""
        with tarfile.open(path) as archive:
            for member in archive:
                key, _, suffix = member.name.partition(".")
                assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
                assert key == last or key not in samples
                last = key
                samples.setdefault(key, {})[suffix] = archive.extractfile(member).read()
    return samples


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_a_tar_s_samples_are_png_cls_and_json(tmp_path: Path, channels: int) -> None:
    groups = groups_of(channels=channels)
    written(tmp_path / "train", "webdataset", groups)
    samples = members_of(tmp_path / "train")
    assert len(samples) == 82
    found = Counter()
    for key, members in samples.items():
        assert "." not in key
        assert list(members) == ["png", "cls", "json"]
        record = json.loads(members["json"])
        assert set(record) == FIELDS | {"label"}
        assert None not in record.values()
        group = next(one for one in groups if one.origin == record["origin"])
        with Image.open(io.BytesIO(members["png"])) as image:
            pixels = np.asarray(image).reshape(8, 8, channels)
            assert image.info["synthgen"] == record["origin"]
        assert np.array_equal(pixels, group.images.images[record["index"]])
        assert int(members["cls"]) == group.images.label_codes[record["index"]]
        assert record["label"] == LABELS[int(members["cls"])]
        assert record["source"] == group.images.names[record["index"]]
        synthetic = record["origin"] == "synthetic"
        expected = (MODEL, 7, 0.5, "trainedAlgorithmicMedia") if synthetic else ("", 0, 1.0, "")
        assert (record["model"], record["seed"], record["sample_weight"], record["digital_source_type"]) == expected
        found[record["origin"], record["index"]] += 1
    assert set(found.values()) == {1}
    types = {tuple(type(value) for value in json.loads(m["json"]).values()) for m in samples.values()}
    assert len(types) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_entries_are_the_files_and_a_second_run_gives_the_same_bytes(tmp_path: Path, format: str) -> None:
    entries = written(tmp_path / "a" / "train", format)
    again = written(tmp_path / "b" / "train", format)
    assert entries == again
    assert bytes_of(tmp_path / "a") == {entry.path: entry.sha256 for entry in entries} == bytes_of(tmp_path / "b")
    assert sum(entry.rows or 0 for entry in entries) == 82
    other = written(tmp_path / "c" / "train", format, seed=1)
    assert {entry.sha256 for entry in other} != {entry.sha256 for entry in entries}


@pytest.mark.parametrize("format", FORMATS)
def test_what_an_earlier_attempt_left_is_removed(tmp_path: Path, format: str) -> None:
    for earlier in FORMATS:
        written(tmp_path / "train", earlier, groups_of(90))
    (tmp_path / "train" / "mine.txt").write_text("mine")
    entries = written(tmp_path / "train", format)
    assert set(bytes_of(tmp_path)) == {"train/mine.txt", *(entry.path for entry in entries)}


def test_no_images_leave_no_file(tmp_path: Path) -> None:
    written(tmp_path / "test", "imagefolder")
    assert written(tmp_path / "test", "webdataset", []) == []
    assert list((tmp_path / "test").iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_told_wherever_it_strikes(tmp_path: Path, format: str) -> None:
    counting = Counting()
    write_images(groups_of(20), tmp_path / "whole", format=format, seed=0, files=counting)
    n = len(counting.operations)
    for at in sorted({1, 2, n // 2, n - 1}):
        files = FailAt(at, "ENOSPC")
        with pytest.raises(PublishError, match="No space left on device"):
            write_images(groups_of(20), tmp_path / f"at{at}", format=format, seed=0, files=files)


def test_classes_and_origins_are_mixed_in_every_tar(tmp_path: Path) -> None:
    real = images_of(800)
    written(tmp_path / "train", "webdataset", [ImageGroup(real, "real"), ImageGroup(made(real, 800), "synthetic")])
    for path in sorted((tmp_path / "train").glob("*.tar")):
        with tarfile.open(path) as archive:
            records = [json.load(archive.extractfile(m)) for m in archive if m.name.endswith(".json")]
        assert len(records) == 200
        assert 60 < sum(record["origin"] == "synthetic" for record in records) < 140
        runs = sum(a["origin"] != b["origin"] for a, b in itertools.pairwise(records))
        assert runs > 60


@pytest.mark.parametrize(("n", "files"), [(3, 3), (8, 8), (100, 8), (50_000, 10)])
def test_there_are_files_enough_for_workers(n: int, files: int) -> None:
    from synthgen.shards.images import _parts

    parts = _parts(list(range(n)))
    assert len(parts) == files
    assert [at for part in parts for at in part] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_indexes_name_every_tar_with_its_samples(tmp_path: Path) -> None:
    entries = {entry.path: entry.rows for entry in written(tmp_path / "train", "webdataset")}
    tars = {path.removeprefix("train/"): rows for path, rows in entries.items() if rows}
    folder = tmp_path / "train"
    wids = json.loads((folder / "wids.json").read_text())
    assert (wids["__kind__"], wids["wids_version"]) == ("wids-shard-index-v1", 1)
    assert {shard["url"]: shard["nsamples"] for shard in wids["shardlist"]} == tars
    assert json.loads((folder / "sizes.json").read_text()) == tars
    split = json.loads((folder / "_info.json").read_text())["splits"]["train"]
    assert dict(zip(split["filenames"], split["shard_lengths"], strict=True)) == tars
    assert (split["name"], split["num_samples"]) == ("train", 82)


def test_an_imagefolder_has_a_folder_per_class_and_metadata(tmp_path: Path) -> None:
    groups = groups_of()
    entries = written(tmp_path / "test", "imagefolder", groups)
    folder = tmp_path / "test"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["c000_cat", "c001_dog", "c002_owl"]
    rows = list(csv.DictReader(io.StringIO((folder / "metadata.csv").read_text())))
    assert len(rows) == 82
    for row in rows:
        group = next(one for one in groups if one.origin == row["origin"])
        with Image.open(folder / row["file_name"]) as image:
            assert np.array_equal(np.asarray(image), group.images.images[int(row["index"])])
        assert row["file_name"].startswith(f"c{LABELS.index(row['label']):03d}_{row['label']}/")
    kinds = {entry.digital_source_type for entry in entries if entry.origin == "synthetic"}
    assert kinds == {"trainedAlgorithmicMedia"}
    assert Counter(entry.origin for entry in entries) == {"real": 60, "synthetic": 20, "repeated": 2, None: 1}


def test_a_class_without_images_keeps_its_folder(tmp_path: Path) -> None:
    real = images_of(60)
    written(tmp_path / "test", "imagefolder", [ImageGroup(real.of_class("owl"), "real")])
    folders = {path.name for path in (tmp_path / "test").iterdir() if path.is_dir()}
    assert folders == {"c000_cat", "c001_dog", "c002_owl"}


def test_parquet_has_the_types_that_datasets_reads(tmp_path: Path) -> None:
    written(tmp_path / "train", "parquet")
    table = pq.read_table(tmp_path / "train")
    assert str(table.schema.field("image").type) == "struct<bytes: binary, path: string>"
    assert str(table.schema.field("label").type) == "int64"
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": list(LABELS), "_type": "ClassLabel"}
    assert set(features) == set(table.schema.names)


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_read_by_load(tmp_path: Path, format: str) -> None:
    groups = groups_of()
    written(tmp_path / "train", format, groups)
    whole = groups[0].images.concat(*(group.images for group in groups[1:]))
    for real, wanted in ((False, whole), (True, groups[0].images)):
        images = read_images(tmp_path / "train", ImagePolicy(real=real))
        assert images.counts() == wanted.counts()
        assert sorted(images.feature_hashes().tolist()) == sorted(wanted.feature_hashes().tolist())


def test_labels_are_not_paths() -> None:
    hostile = ["../../x", "CON", "a" * 300, "Cat", "cat", "", "a/b\\c:d", "été", "\0", "日本", ".hidden"]
    names = [class_folder(code, label) for code, label in enumerate(hostile)]
    assert names[:5] == ["c000_x", "c001_con", "c002_" + "a" * 40, "c003_cat", "c004_cat"]
    assert names[7:10] == ["c007_ete", "c008_class", "c009_class"]
    assert len({name.lower() for name in names}) == len(names)
    assert class_folder(3, True) == "c003_true"


@pytest.mark.parametrize("other", [images_of(9, channels=1), from_images(np.zeros((2, 8, 8, 3), np.uint8), [0, 1])])
def test_groups_that_differ_are_refused_before_anything_is_written(tmp_path: Path, other: ImageDataset) -> None:
    with pytest.raises(DataError, match=r"synthetic images of shape .* cannot stand beside real ones"):
        written(tmp_path / "train", "webdataset", [ImageGroup(images_of(9), "real"), ImageGroup(other, "synthetic")])
    with pytest.raises(ConfigError, match="format is 'zip'; images are written as webdataset, imagefolder, parquet"):
        written(tmp_path / "train", "zip")
    assert written(tmp_path / "train", "webdataset", []) == []
    assert not (tmp_path / "train").exists()


def published(out: Path, format: str, *, channels: int = 3, with_test: bool = True) -> list[ImageGroup]:
    """Publish the groups under ``out`` through the commit protocol."""
    groups = groups_of(channels=channels)
    with stage(out, run_id=run_id_of(key_of(1)), files=Unsynced()) as work:
        root = work.folder / "out"
        entries = written(root / "train", format, groups)
        if with_test:
            entries += written(root / "test", format, [ImageGroup(images_of(10, seed=5, channels=channels), "real")])
        work.write(root / "labels.json", b"{}\n")
        counts = {
            text: ClassCounts(**{group.origin: group.images.counts()[text] for group in groups}) for text in LABELS
        }
        labels = [LabelName(code=k, text=text, value=text) for k, text in enumerate(LABELS)]
        files = list_files(root, known=entries, files=work.files)
        fields = {**manifest_of(1).model_dump(), "files": files, "counts": counts, "labels": labels, "label": "animal"}
        publish(work, manifest=Manifest.model_validate(fields), folder=root)
        work.discard()
    return groups


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", FORMATS)
def test_published_images_are_read_back(tmp_path: Path, format: str, channels: int) -> None:
    groups = published(tmp_path, format, channels=channels)
    assert verify(tmp_path).ok
    shards = read_shards(tmp_path)
    train, test = shards.train, shards.test
    assert isinstance(train, ImagePart)
    assert isinstance(test, ImagePart)
    assert (len(train), len(test)) == (82, 10)
    whole = train.to_dataset()
    assert (whole.classes, whole.label, whole.shape) == (LABELS, "animal", (8, 8, channels))
    for group in groups:
        part = train.origin(group.origin)
        rows = part.to_dataset()
        assert len(part) == len(rows) == len(group.images)
        assert rows.counts() == group.images.counts()
        assert set(rows.feature_hashes()) == set(group.images.feature_hashes())
        assert sorted(rows.names) == sorted(group.images.names)
    assert len(train.origin("real", "repeated").to_arrow()) == 62
    assert set(test.to_dataset().feature_hashes()) == set(images_of(10, seed=5, channels=channels).feature_hashes())
    assert len(test.origin("synthetic")) == 0
    with pytest.raises(DataError, match="holds no test images of the kind asked for"):
        test.origin("synthetic").to_arrow()
    pixels, codes = shards.to_torch()
    assert tuple(pixels.shape) == (82, channels, 8, 8)
    assert codes.tolist() == whole.label_codes.tolist()
    weights = shards.to_pandas().groupby("origin")["sample_weight"].mean()
    assert weights.to_dict() == {"real": 1.0, "repeated": 1.0, "synthetic": 0.5}


@pytest.mark.parametrize("format", FORMATS)
def test_a_damaged_bit_is_noticed(tmp_path: Path, format: str) -> None:
    published(tmp_path, format, with_test=False)
    shards = read_shards(tmp_path)
    suffix = {"webdataset": "tar", "imagefolder": "png", "parquet": "parquet"}[format]
    path = sorted(shards.folder.rglob(f"*.{suffix}"))[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"{path.name} is not as published \(its sha256"):
        shards.to_arrow()
    path.unlink()
    with pytest.raises(DataError, match="is not as published"):
        shards.train.to_dataset()


def test_every_file_goes_through_the_operations_that_can_fail(tmp_path: Path) -> None:
    """What a power cut may take is noted: nothing is written past the destination's own operations."""
    files = PowerCut(10_000, tmp_path, tmp_path.with_name("backups"))
    for format in FORMATS:
        entries = write_images(groups_of(20), tmp_path / format, format=format, seed=0, files=files)
        for entry in entries:
            assert (tmp_path / format / entry.path).stat().st_ino not in files._dirty
