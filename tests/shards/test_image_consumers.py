"""What training jobs read image shards with: each library as its users call it; skipped where it is not installed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shards_kit import Unsynced

from synthgen.data.images import from_images
from synthgen.shards.images import ImageGroup, write_images

# other people's libraries warn about themselves, and torch about more workers than cores
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

N = 120
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
CODES = np.where(np.arange(N) % 5, 0, 1)
WANTED = sorted((int(image.sum()), int(code)) for image, code in zip(PIXELS, CODES, strict=True))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder per format, each with the same images: 100 real, 20 synthetic."""
    images = from_images(PIXELS, np.array(["common", "rare"])[CODES])
    groups = [
        ImageGroup(images.take(np.arange(100)), "real"),
        ImageGroup(images.take(np.arange(100, N)), "synthetic", model="ab" * 32, seed=1),
    ]
    out = tmp_path_factory.mktemp("shards")
    for format in ("webdataset", "imagefolder", "parquet"):
        write_images(groups, out / format / "train", format=format, seed=0, files=Unsynced())
    return out


def summed(image: object) -> int:
    return int(np.asarray(image).astype(int).sum())


def test_webdataset_under_four_workers(shards: Path) -> None:
    wds = pytest.importorskip("webdataset")
    torch = pytest.importorskip("torch")
    tars = sorted(map(str, (shards / "webdataset" / "train").glob("*.tar")))
    dataset = wds.WebDataset(tars, shardshuffle=False).decode("rgb8").to_tuple("png", "cls", "json")
    loader = torch.utils.data.DataLoader(dataset, num_workers=4, batch_size=None)
    seen = list(loader)
    assert sorted((summed(image), int(code)) for image, code, _ in seen) == WANTED
    assert sum(record["origin"] == "synthetic" for _, _, record in seen) == 20


def test_wids_by_its_index(shards: Path, tmp_path: Path) -> None:
    wids = pytest.importorskip("wids")
    folder = shards / "webdataset" / "train"
    dataset = wids.ShardListDataset(str(folder / "wids.json"), base=str(folder), cache_dir=str(tmp_path))
    assert len(dataset) == N
    rows = [dataset[k] for k in range(N)]
    assert sorted((summed(row[".png"]), int(row[".cls"])) for row in rows) == WANTED


@pytest.mark.parametrize("format", ["webdataset", "imagefolder", "parquet"])
def test_datasets(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    folder = shards / format / "train"
    options = {"split": "train", "cache_dir": str(tmp_path)}
    if format == "imagefolder":
        loaded = datasets.load_dataset("imagefolder", data_dir=str(folder), **options)
    else:
        kind = {"webdataset": "*.tar", "parquet": "*.parquet"}[format]
        loaded = datasets.load_dataset(format, data_files=str(folder / kind), **options)
    image, label = ("png", "cls") if format == "webdataset" else ("image", "label")
    codes = {"common": 0, "rare": 1, 0: 0, 1: 1}
    assert sorted((summed(row[image]), codes[row[label]]) for row in loaded) == WANTED
    origins = [row["json"]["origin"] if format == "webdataset" else row["origin"] for row in loaded]
    assert origins.count("synthetic") == 20
    if format == "parquet":
        assert loaded.features["label"].names == ["common", "rare"]


class Folder:
    """A map-style dataset over an ImageFolder: classes are the sorted folders, as torchvision counts them."""

    def __init__(self, root: Path) -> None:
        folders = sorted(path.name for path in root.iterdir() if path.is_dir())
        self.files = [(path, code) for code, name in enumerate(folders) for path in sorted((root / name).iterdir())]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int) -> tuple[int, int]:
        path, code = self.files[at]
        with Image.open(path) as image:
            return summed(image), code


def test_torch_reads_the_folder_under_four_workers(shards: Path) -> None:
    torch = pytest.importorskip("torch")
    root = shards / "imagefolder" / "train"
    loader = torch.utils.data.DataLoader(Folder(root), num_workers=4, batch_size=7, shuffle=True)
    seen = [pair for sums, codes in loader for pair in zip(sums.tolist(), codes.tolist(), strict=True)]
    assert sorted(seen) == WANTED


def test_torchvision_counts_the_folders_alike(shards: Path) -> None:
    folder_of = pytest.importorskip("torchvision.datasets").ImageFolder
    root = shards / "imagefolder" / "train"
    dataset = folder_of(str(root))
    assert dataset.class_to_idx == {"c000_common": 0, "c001_rare": 1}
    assert sorted((summed(image), code) for image, code in dataset) == WANTED


def test_timm_and_open_clip_find_the_sizes(shards: Path) -> None:
    """What their readers do with the index files, without the libraries: join the folder and the names, sum up."""
    root = shards / "webdataset" / "train"
    split = json.loads((root / "_info.json").read_text())["splits"]["train"]

    def existing() -> Iterator[bool]:
        yield from ((root / name).is_file() for name in split["filenames"])
        yield from ((root / name).is_file() for name in json.loads((root / "sizes.json").read_text()))

    assert all(existing())
    assert sum(split["shard_lengths"]) == split["num_samples"] == N


def test_the_metadata_is_plain_csv(shards: Path) -> None:
    text = (shards / "imagefolder" / "train" / "metadata.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert {row["label"] for row in rows} == {"common", "rare"}
