"""Rows 78 to 85 and 94: destinations, options and configuration that cannot be."""

from __future__ import annotations

import os
import shutil
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from bad_kit import QUICK, command, handled, refused, state, stored, table

import synthgen
from synthgen.errors import ConfigError, PublishError
from synthgen.shards.files import Files

GAN = ("--engine", "cwgan-gp", "--holdout", 0)


@pytest.mark.parametrize("where", ["rows.parquet", "link.parquet"])
def test_r78_a_destination_that_is_the_input_is_refused(place: Path, where: str) -> None:
    path = stored(place, table())
    (place / "link.parquet").symlink_to(path)
    before = state(place)
    done = command("balance", path, "--label", "label", "--out", place / where, *QUICK)
    assert done.code == 4
    assert "are the same place; choose another --out" in done.err
    assert state(place) == before


def test_r78_a_destination_inside_the_input_or_around_it_is_refused(place: Path) -> None:
    inside = place / "rows"
    inside.mkdir()
    stored(inside, table())
    done = command("balance", inside, "--label", "label", "--out", inside / "out", *QUICK)
    assert (done.code, "is inside the input" in done.err) == (4, True)
    done = command("balance", inside / "rows.parquet", "--label", "label", "--out", inside, *QUICK)
    assert (done.code, "is inside --out" in done.err) == (4, True)


def test_r79_a_destination_with_files_of_others_is_refused_and_kept(place: Path) -> None:
    path, other = stored(place, table()), place / "thesis"
    other.mkdir()
    (other / "thesis.txt").write_text("irreplaceable")
    before = state(place)
    done = command("balance", path, "--out", other, *QUICK)
    assert done.code == 4
    assert "holds 1 files that are not synthgen's (thesis.txt); nothing was touched" in done.err
    assert state(place) == before


def test_r80_a_read_only_destination_is_refused_with_the_prior_intact(place: Path, monkeypatch) -> None:
    path = stored(place, table())
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused(place, path, "cannot be written; get the right to write there", kind=PublishError)


def test_r80_a_full_destination_is_refused_with_the_prior_intact(place: Path, monkeypatch) -> None:
    path = stored(place, table())
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda *_: usage(10**9, 10**9 - 100, 100))
    refused(place, path, "its disk has 0 MB free", "free some space", kind=PublishError)


def test_r80_a_disk_that_fills_up_on_the_way_leaves_the_prior_intact(place: Path, monkeypatch) -> None:
    published = synthgen.read_shards(place / "out").to_pandas()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(place / "out"))

    path = stored(place, table(30))
    monkeypatch.setattr(Files, "link", full)
    done = command("balance", path, "--label", "label", "--out", place / "out", *QUICK, "--json")
    assert done.code == 4
    assert "No space left on device" in done.json["error"]["message"]
    monkeypatch.undo()
    assert synthgen.read_shards(place / "out").to_pandas().equals(published)


@pytest.mark.parametrize("out", ["/proc/balanced", "/sys/balanced"])
def test_r80_a_destination_on_no_disk_is_refused_with_the_reason(place: Path, out: str) -> None:
    if not Path(out).parent.is_dir():
        pytest.skip("this machine has no such file system")
    done = command("balance", stored(place, table()), "--out", out, *QUICK)
    assert done.code == 4
    assert "which is no disk (it has no space at all); choose another --out" in done.err


def test_r81_two_runs_into_one_destination_publish_one_after_the_other(place: Path) -> None:
    path, ends = stored(place, table(60, 12)), dict[int, object]()

    def publish(seed: int) -> None:
        try:
            ends[seed] = synthgen.balance(
                path, label="label", engine="oversample", holdout=0, out=place / "out", seed=seed
            )
        except PublishError as error:
            ends[seed] = error

    workers = [threading.Thread(target=publish, args=(seed,)) for seed in (1, 2, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done = [end for end in ends.values() if not isinstance(end, PublishError)]
    assert len(ends) == 3
    assert done
    commits = sorted(path.name for path in (place / "out" / "commits").iterdir())
    assert commits == [f"{k:08d}.json" for k in range(1, 2 + len(done))]
    assert command("verify", place / "out").code == 0


@pytest.mark.parametrize(("batch", "says"), [("1", "batch"), ("0", "batch"), ("2.5", "batch"), ("true", "batch")])
def test_r82_a_batch_that_cannot_be_is_refused(place: Path, batch: str, says: str) -> None:
    options = (*GAN, "--set", f"engine_options.batch={batch}")
    refused(
        place,
        stored(place, table(200, 40)),
        "batch must be an integer of at least 2",
        kind=ConfigError,
        options=options,
    )


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--steps", 0), "steps: input should be greater than or equal to 1, got 0"),
        (("--steps", -5), "steps: input should be greater"),
        (("--set", "engine_options.rate=0"), "rate must be a number above 0; got 0"),
        (("--set", "engine_options.rate=-1"), "rate must be a number above 0; got -1"),
        (("--max-ratio", 0), "max-ratio: input should be greater than 0"),
        (("--max-ratio", "nan"), "max-ratio"),
        (("--jobs", 0), "jobs: input should be greater"),
        (("--threads", 0), "threads: input should be greater"),
        (("--max-minutes", 0), "max-minutes: input should be greater"),
        (("--set", "engine_options.speed=9"), "speed"),
    ],
)
def test_r83_numbers_out_of_range_are_refused_with_the_range(
    place: Path, option: tuple[object, ...], says: str
) -> None:
    path = stored(place, table(200, 40))
    refused(place, path, says, kind=ConfigError, options=(*GAN, *option))


def test_r83_fewer_rows_than_none_cannot_be_sampled(place: Path) -> None:
    handled(place, stored(place, table()), options=("--engine", "delta", "--holdout", 0))
    out = place / "more.parquet"
    done = command("sample", place / "out", "--label", "1", "-n", -1, "--out", out, "--json")
    assert (done.code, done.json["error"]["message"]) == (2, "-n must be 0 or more, got -1")
    assert not out.exists()


@pytest.mark.parametrize("seed", [-1, 2**64, "one"])
def test_r84_a_seed_out_of_range_is_refused(place: Path, seed: object) -> None:
    path = stored(place, table())
    before = state(place)
    done = command("balance", path, "--out", place / "out", "--seed", seed, "--json", *QUICK)
    assert done.code == 2
    assert "seed" in done.json["error"]["message"]
    assert state(place) == before


def test_r84_a_seed_of_numpy_s_types_is_handled() -> None:
    rows = table()
    one, two = (
        synthgen.balance(rows, label="label", engine="delta", holdout=0, seed=seed).dataset for seed in (7, np.int64(7))
    )
    assert one is not None
    assert two is not None
    assert one.table.equals(two.table)


def test_r85_a_condition_on_a_column_is_refused(place: Path) -> None:
    options = (*GAN, "--set", "engine_options.condition=x")
    says = "condition must be one of none, label; got 'x'"
    refused(place, stored(place, table(200, 40)), says, kind=ConfigError, options=options)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("label: no\n", "does not read 'no' as it is written"),
        ("strategy: {012: 50}\n", "'012'"),
        ("labl: x\n", "unknown key 'labl'"),
        ("label: !!python/object/apply:os.system [touch executed]\n", "the tag"),
        ("drop: &a [x]\ncategorical: *a\n", "anchors and aliases are not read"),
        ("seed: 1\nseed: 2\n", "a key occurs twice"),
        ("- a\n", "must hold keys and values, got list"),
    ],
)
def test_r94_yaml_s_traps_are_refused_by_line(place: Path, text: str, says: str) -> None:
    config = place / "config.yaml"
    config.write_text(text)
    refused(place, stored(place, table()), says, kind=ConfigError, options=("--config", config), label=None)
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [("SYNTHGEN_ENGIN", "did you mean SYNTHGEN_ENGINE"), ("SYNTHGEN_QQQ", "is no option")],
)
def test_r94_an_unknown_environment_variable_is_refused(place: Path, monkeypatch, name: str, says: str) -> None:
    monkeypatch.setenv(name, "delta")
    refused(place, stored(place, table()), name, says, kind=ConfigError)
