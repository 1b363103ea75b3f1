"""The main road with images: from a folder to shards that training jobs read, the same bytes again, and replayed."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from image_kit import shapes
from PIL import Image
from road_kit import command, shards

import synthgen
from synthgen.config import make_config
from synthgen.data.images import ImageDataset
from synthgen.data.pixels import decode, encode_png
from synthgen.data.read import load
from synthgen.engines import load_engine
from synthgen.engines.base import EngineInfo
from synthgen.engines.catalog import LOADABLE, Row
from synthgen.engines.image_catalog import IMAGES
from synthgen.errors import ConfigError, DataError
from synthgen.forecast import forecast
from synthgen.image_parts import folder_hash
from synthgen.job import prepare
from synthgen.judge import judge
from synthgen.pipeline import start
from synthgen.run import Run, read_input
from synthgen.shards.image_reader import ImagePart
from synthgen.shards.images import image_schema
from synthgen.shards.reader import read_shards

SCRIPT = Path(__file__).parents[2] / "examples" / "data" / "make_digits.py"
SMALL = shapes({"bar": 30, "square": 20, "cross": 7})


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's digits cut to a long tail, a folder per digit."""
    folder = tmp_path_factory.mktemp("digits")
    subprocess.run([sys.executable, str(SCRIPT), "--out", "digits"], cwd=folder, check=True, capture_output=True)
    return folder / "digits"


@pytest.fixture(scope="module")
def published(digits: Path) -> Path:
    """The digits balanced by the command line, without a check."""
    out = digits.parent / "out"
    command("balance", digits, "--out", out, "--holdout", 0, "--engine", "oversample", "--quiet")
    return out


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that judge learn a few steps only."""
    for place in ("image_panel", "image_fidelity"):
        monkeypatch.setattr(f"synthgen.quality.{place}.steps_for", lambda n: 3)


def part(out: Path, name: str = "train") -> ImagePart:
    found = getattr(read_shards(out), name)
    assert isinstance(found, ImagePart)
    return found


def test_every_digit_comes_out_as_it_was_and_classes_are_even(digits: Path, published: Path) -> None:
    images = load(digits)
    assert isinstance(images, ImageDataset)
    train = part(published)
    assert train.rows == {"real": 695, "synthetic": 0, "repeated": 1005}
    whole, real = train.to_dataset(), train.origin("real").to_dataset()
    assert set(whole.counts().values()) == {170}
    assert sorted(real.feature_hashes()) == sorted(images.feature_hashes())
    assert sorted(real.names) == sorted(images.names)
    repeated = train.origin("repeated").to_dataset()
    assert not set(repeated.feature_hashes()) & set(images.feature_hashes())
    assert set(repeated.names) <= set(images.names)  # the sidecar names what was repeated
    pixels, codes = train.to_torch()
    assert (pixels.shape, codes.shape) == ((1700, 1, 8, 8), (1700,))


class Tars(torch.utils.data.IterableDataset[tuple[int, int]]):
    """What a training job without any library does: each worker reads some of the tars."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.tar"))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        worker = torch.utils.data.get_worker_info()
        assert worker is not None
        for path in self.paths[worker.id :: worker.num_workers]:
            with tarfile.TarFile(path) as archive:
                members = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
            for name in (name for name in members if name.endswith(".png")):
                pixels = np.asarray(Image.open(io.BytesIO(members[name])))
                yield int(pixels.sum()), int(members[name.replace("png", "cls")])


@pytest.mark.filterwarnings("ignore")  # torch warns of more workers than cores
def test_four_workers_read_every_image_once(published: Path) -> None:
    loader = torch.utils.data.DataLoader(Tars(published / "current" / "train"), num_workers=4, batch_size=None)
    whole = part(published).to_dataset()
    wanted = zip(whole.images.reshape(1700, -1).sum(axis=1).tolist(), whole.label_codes.tolist(), strict=True)
    assert sorted(tuple(each) for each in loader) == sorted(wanted)


def test_the_same_seed_gives_the_same_bytes(digits: Path, published: Path) -> None:
    synthgen.balance(digits, out=digits.parent / "again", holdout=0, engine="oversample")
    first, again = shards(published), shards(digits.parent / "again")
    assert first == again
    assert len(first) == 8  # tars, a worker's share each


def test_any_added_image_is_made_again_from_its_sidecar(published: Path) -> None:
    run = read_shards(published)
    model = run.folder / "model" / "oversample"
    engine = load_engine(model)
    table = part(published).origin("repeated").to_arrow().to_pylist()
    for code, digit in ((1, "1"), (8, "8")):
        rows = [row for row in table if row["label"] == code]
        assert {row["model"] for row in rows} == {folder_hash(model)}
        drawn = engine.sample(digit, len(rows), seed=rows[0]["seed"])
        assert isinstance(drawn, ImageDataset)
        for row in rows:
            assert np.array_equal(decode(row["image"]["bytes"], channels=1).pixels, drawn.images[row["index"]])


def test_the_report_shows_sheets_and_asks_for_nothing(published: Path) -> None:
    page = (published / "current" / "report.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 18  # nine classes, real and repeated
    assert "695 real images of 8 × 8 pixels, gray" in re.sub(r"<[^>]*>", "", page)
    assert not re.search(r"<script|https?://|src=\"(?!data:)|url\(", page)
    assert "1,005" in page or "153" in page


def test_plan_sample_and_report_know_images(published: Path, digits: Path, tmp_path: Path) -> None:
    told = json.loads(command("plan", digits, "--engine", "oversample", "--json").stdout)
    assert {row["want"] for row in told["plan"]["classes"]} == {170}
    assert 0 < told["check_seconds"] < 600
    command("sample", published, "--label", "1", "-n", 5, "--out", tmp_path / "more.parquet")
    more = pq.read_table(tmp_path / "more.parquet").to_pylist()
    assert [(row["label"], row["origin"], row["index"]) for row in more] == [(1, "repeated", k) for k in range(5)]
    assert decode(more[0]["image"]["bytes"], channels=1).pixels.shape == (8, 8, 1)
    assert pq.read_schema(tmp_path / "more.parquet").equals(image_schema(range(10)), check_metadata=True)
    for name in ("x.png", "more"):
        done = command("sample", published, "--label", "1", "-n", 5, "--out", tmp_path / name, code=2)
        assert "name a file that ends in .parquet" in done.stderr
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("format", ["imagefolder", "parquet"])
def test_other_formats_hold_the_same_images(few_steps: None, tmp_path: Path, format: str) -> None:
    for kind in ("webdataset", format):
        synthgen.balance(SMALL, out=tmp_path / kind, holdout=0, format=kind)
    want, got = (sorted(part(tmp_path / kind).to_dataset().feature_hashes()) for kind in ("webdataset", format))
    assert want == got
    if format == "parquet":
        frame = pd.read_parquet(tmp_path / "parquet" / "current" / "train")
        assert frame["origin"].value_counts().to_dict() == {"real": 57, "repeated": 33}
        assert set(frame["label"].value_counts()) == {30}


def test_few_images_are_repeated_and_the_plan_says_so(few_steps: None, tmp_path: Path) -> None:
    result = synthgen.balance(SMALL, holdout=0)
    assert result.plan.notes == ("class 'cross' has 7 rows, auto needs 10: its 23 rows come from oversample",)
    assert isinstance(result.dataset, ImageDataset)
    assert np.array_equal(result.dataset.images[:57], SMALL.images)
    assert set(result.dataset.counts().values()) == {30}
    arrays = synthgen.balance((SMALL.images, SMALL.label_codes), holdout=0).dataset
    assert isinstance(arrays, ImageDataset)
    assert set(arrays.counts().values()) == {30}


def test_a_generator_s_images_stand_beside_repeats(
    few_steps: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = EngineInfo("oracle", "images", ("image",), "synthetic", True, True, 5, "in tests")
    row = Row(info, "synthgen.engines.mixed:of_images", {"generator": "image_kit:Oracle"})
    monkeypatch.setitem(IMAGES, "oracle", row)  # type: ignore[arg-type]
    monkeypatch.setattr("synthgen.engines.LOADABLE", {*LOADABLE, "image_kit:Oracle"})
    result = synthgen.balance(SMALL, out=tmp_path / "out", holdout=0, engine="oracle")
    added = {text: (counts.synthetic, counts.repeated) for text, counts in result.counts.items()}
    assert added == {"bar": (0, 0), "cross": (11, 12), "square": (5, 5)}
    rows = part(tmp_path / "out").to_arrow().to_pandas()
    kinds = rows.groupby("origin")["digital_source_type"].agg(set).to_dict()
    assert kinds == {"real": {""}, "repeated": {""}, "synthetic": {"trainedAlgorithmicMedia"}}
    assert (rows["sample_weight"] == 1).all()
    new = rows[(rows["origin"] == "synthetic") & (rows["label"] == 1)]
    assert sorted(new["index"]) == list(range(12, 23))  # after the repeats of the same draw
    drawn = load_engine(read_shards(tmp_path / "out").folder / "model" / "oracle").sample(
        "cross", 23, seed=int(new["seed"].iloc[0])
    )
    assert isinstance(drawn, ImageDataset)
    for image, index in zip(new["image"], new["index"], strict=True):
        assert np.array_equal(decode(image["bytes"], channels=1).pixels, drawn.images[index])
    page = (tmp_path / "out" / "current" / "report.html").read_text("utf-8")
    assert "nearest real" in page
    assert "12 of them repeats" in page


def test_a_network_s_images_are_published_twice_alike_and_made_again(few_steps: None, tmp_path: Path) -> None:
    images = shapes({"bar": 40, "square": 24})
    for name in ("one", "two"):
        result = synthgen.balance(images, out=tmp_path / name, holdout=0, engine="cwgan-gp", steps=3)
    assert (result.counts["square"].synthetic, result.counts["square"].repeated) == (8, 8)
    assert shards(tmp_path / "one") == shards(tmp_path / "two")
    rows = part(tmp_path / "one").origin("synthetic").to_arrow().to_pylist()
    engine = load_engine(f"{tmp_path}/one/current/model/cwgan-gp")
    manifest = json.loads((tmp_path / "one" / "current" / "manifest.json").read_text("utf-8"))
    (n,) = (each["add"] for each in manifest["training"]["plan"]["classes"] if each["label"] == "square")
    drawn = engine.sample("square", n, seed=rows[0]["seed"])
    assert isinstance(drawn, ImageDataset)
    for row in rows:
        assert np.array_equal(decode(row["image"]["bytes"], channels=1).pixels, drawn.images[row["index"]])


def test_the_holdout_is_published_beside_and_in_no_training_file(few_steps: None, tmp_path: Path) -> None:
    images = shapes({"bar": 60, "square": 40, "cross": 25})
    options = {"check": "holdout", "ship": "train", "gate": "report-only", "jobs": 1, "engine": "oversample"}
    result = synthgen.balance(images, out=tmp_path / "out", **options)
    assert result.verdict.check == "holdout"
    train, test = part(tmp_path / "out").origin("real").to_dataset(), part(tmp_path / "out", "test").to_dataset()
    assert sorted([*train.names, *test.names]) == sorted(images.names)
    assert len(test) > 10


def test_plan_says_what_it_cannot_tell() -> None:
    images = shapes({"bar": 60, "square": 40, "cross": 25})
    for engine, silent in (("oversample", False), ("image_kit:Oracle", True)):
        notes = forecast(images, make_config({"engine": engine})).notes
        assert any("not in these seconds" in note for note in notes) is silent


def test_a_network_is_not_trained_in_every_fold_unless_asked() -> None:
    images = shapes({"bar": 60, "square": 40, "cross": 25})
    for options, check, ship in (
        ({"engine": "oversample"}, "cv", "all"),
        ({"engine": "image_kit:Oracle"}, "holdout", "train"),
        ({"engine": "image_kit:Oracle", "check": "cv"}, "cv", "all"),
        ({"engine": "auto"}, "holdout", "train"),
    ):
        outline = prepare(images, make_config(options)).outline
        assert (outline.check, outline.ship) == (check, ship)


def test_where_no_network_has_images_enough_every_image_is_judged() -> None:
    images = shapes({"bar": 60, "square": 19, "cross": 12})
    for options in ({"engine": "cwgan-gp"}, {"engine": "auto"}):
        outline = prepare(images, make_config(options)).outline
        assert (outline.check, outline.ship) == ("cv", "all")
        assert not any("not in these seconds" in note for note in forecast(images, make_config(options)).notes)


def test_plan_refuses_what_balance_would_refuse() -> None:
    with pytest.raises(ConfigError, match="how many images to add is not tuned"):
        forecast(SMALL, make_config({"strategy": "tuned"}))


def test_a_user_s_own_holdout_is_read_at_the_same_size(few_steps: None, tmp_path: Path) -> None:
    held = shapes({"bar": 20, "square": 20, "cross": 20}, seed=9)
    large = held.images.repeat(2, axis=1).repeat(2, axis=2)
    np.savez(tmp_path / "held.npz", images=large, labels=np.array(held.classes)[held.label_codes])
    result = synthgen.balance(SMALL, holdout_data=str(tmp_path / "held.npz"), gate="report-only", jobs=1)
    assert result.verdict.check == "holdout"
    np.savez(tmp_path / "own.npz", images=SMALL.images, labels=np.array(SMALL.classes)[SMALL.label_codes])
    with pytest.raises(DataError, match="a holdout must hold rows that nothing was trained on"):
        synthgen.balance(SMALL, holdout_data=str(tmp_path / "own.npz"))


@pytest.mark.parametrize("kind", ["folder", "npz", "parquet", "tar"])
def test_added_images_of_one_class_alone_are_judged(few_steps: None, tmp_path: Path, kind: str) -> None:
    real, held = shapes({"bar": 30, "square": 12}), shapes({"bar": 20, "square": 15}, seed=1)
    made = shapes({"bar": 1, "square": 18}, seed=2).of_class("square")
    for name, images in (("real", real), ("held", held)):
        np.savez(tmp_path / f"{name}.npz", images=images.images, labels=np.array(images.classes)[images.label_codes])
    path = tmp_path / f"made.{kind}"
    if kind == "folder":
        for k, image in enumerate(made.images):
            (path / "square").mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(path / "square" / f"{k}.png")
    elif kind == "npz":
        np.savez(path, images=made.images, labels=np.array(["square"] * 18))
    elif kind == "parquet":
        pq.write_table(made.to_arrow(), path)
    else:
        with tarfile.TarFile(path, "w") as archive:
            for k, image in enumerate(made.images):
                for suffix, data in (("png", encode_png(image)), ("json", b'{"label": "square"}')):
                    member = tarfile.TarInfo(f"{k:03d}.{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    verdict = judge(tmp_path / "real.npz", path, tmp_path / "held.npz", make_config({"jobs": 1}), lambda *_: None)
    assert verdict.status != "NOT CHECKED"
    assert load(tmp_path / "real.npz").counts() == {"bar": 30, "square": 12}
    with pytest.raises(DataError, match="one class"):
        load(path)


def test_a_holdout_of_one_class_cannot_tell(few_steps: None, tmp_path: Path) -> None:
    held = shapes({"bar": 1, "square": 15}, seed=1).of_class("square")
    np.savez(tmp_path / "held.npz", images=held.images, labels=np.array(["square"] * 15))
    result = synthgen.balance(SMALL, holdout_data=str(tmp_path / "held.npz"), jobs=1, engine="oversample")
    assert result.verdict.status == "INCONCLUSIVE"
    assert "class bar has 30 training rows and 0 in the holdout" in result.verdict.sentence


@pytest.mark.parametrize("kind", ["webdataset", "imagefolder", "parquet"])
def test_of_shards_the_real_images_alone_are_read(few_steps: None, tmp_path: Path, kind: str) -> None:
    images = shapes({"bar": 40, "square": 24})
    options = {"holdout": 0, "engine": "cwgan-gp", "steps": 3, "format": kind}
    synthgen.balance(images, out=tmp_path / "out", **options)
    train = tmp_path / "out" / "current" / "train"
    again = load(train)
    assert again.counts() == {"bar": 40, "square": 24}
    assert sorted(again.feature_hashes()) == sorted(images.feature_hashes())
    assert "16 images that are synthetic or repeated by their origin were left out" in again.notes
    assert read_input(train, make_config({}), label=None, real=False).counts() == {"bar": 40, "square": 40}
    by_origin = load(train, label="origin")  # who wants to tell them apart
    assert by_origin.counts() == {"real": 64, "repeated": 8, "synthetic": 8}


def test_shards_without_a_real_image_are_refused(tmp_path: Path) -> None:
    table = SMALL.to_arrow().append_column("origin", pa.array(["repeated"] * len(SMALL)))
    pq.write_table(table, tmp_path / "made.parquet")
    with pytest.raises(DataError, match=r"made\.parquet holds no real image: all 57 are synthetic or repeated"):
        load(tmp_path / "made.parquet")


def test_images_in_memory_are_kept_for_later_stages(tmp_path: Path) -> None:
    start(prepare(SMALL, make_config({"holdout": 0})), tmp_path / "run")
    assert Run.open(tmp_path / "run").dataset.fingerprint() == SMALL.fingerprint()


def test_bad_images_are_told_or_left_out(few_steps: None, digits: Path, tmp_path: Path) -> None:
    for k, image in enumerate(SMALL.images):
        folder = tmp_path / "in" / SMALL.classes[SMALL.label_codes[k]]  # type: ignore[operator]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{k}.png")
    (tmp_path / "in" / "bar" / "broken.png").write_bytes(b"no image")
    done = command("balance", tmp_path / "in", "--out", tmp_path / "out", "--holdout", 0, code=3)
    assert "bar/broken.png" in done.stderr
    assert not (tmp_path / "out").exists()
    result = synthgen.balance(tmp_path / "in", out=tmp_path / "out", holdout=0, bad_images="skip", size=16)
    assert any("bar/broken.png" in note for note in result.plan.notes)
    assert part(tmp_path / "out").to_dataset().shape == (16, 16, 1)
    with pytest.raises(ConfigError, match="size"):
        synthgen.balance(tmp_path / "in", size=4)


@pytest.mark.slow
def test_the_digits_example_is_checked_and_says_what_is_free(digits: Path, tmp_path: Path) -> None:
    done = command(
        "balance", digits, "--out", tmp_path / "out", "--engine", "oversample", "--json", "--gate", "report-only"
    )
    verdict = json.loads(done.stdout)["verdict"]
    assert {arm["name"] for arm in verdict["arms"]} == {
        *("none", "synthetic", "augmentation", "class weights", "logit adjustment", "repeats")
    }
    assert verdict["status"] in ("NO LIFT", "INCONCLUSIVE")  # repeats against what is free
    assert verdict["arms"][1]["figures"]["mean"]["average_precision"]["value"] > 0.95


@pytest.mark.slow
def test_check_judges_images_of_another_tool(digits: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rest = tmp_path / "rest.npz"
    subprocess.run([sys.executable, str(SCRIPT), "--out", "d.npz", "--left-out", str(rest)], cwd=tmp_path, check=True)
    np.savez(
        tmp_path / "made.npz", images=rng.integers(0, 256, (200, 8, 8), dtype=np.uint8), labels=rng.integers(0, 10, 200)
    )
    arguments = (
        "check",
        tmp_path / "d.npz",
        tmp_path / "made.npz",
        "--holdout",
        rest,
        "--json",
        "--gate",
        "report-only",
    )
    verdict = json.loads(command(*arguments).stdout)
    assert verdict["status"] in ("FAIL", "NO LIFT", "INCONCLUSIVE")
