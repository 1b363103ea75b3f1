"""Rows 91 to 93 and 96: labels that would be paths, models and checkpoints of others, runs that are killed."""

from __future__ import annotations

import json
import logging
import os
import pickle  # the attack, not the product
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from bad_kit import QUICK, command, handled, state, stored, table

import synthgen
from synthgen import pipeline
from synthgen.errors import ConfigError
from synthgen.shards.manifest import Manifest

LABELS = ("../../x", "CON", "n" * 300, "Case", "case", "/etc/passwd", ".", "a\x00b", "<b>&amp;", "=1+1", "\x1b[2J")
DELTA = ("--engine", "delta", "--holdout", 0)


class Payload:
    """Unpickled, it leaves a file where it ran."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("executed",))


def test_r91_labels_that_look_like_paths_or_markup_are_handled_and_never_name_a_file(place: Path) -> None:
    labels = np.resize(LABELS, 12 * len(LABELS))
    labels[: len(LABELS) // 2] = "CON"
    path = stored(place, table(len(labels), label=labels.tolist()))
    manifest = handled(place, path, options=DELTA)
    assert set(manifest.counts) == set(LABELS)
    names = [name for name in state(place / "out") if "passwd" in name or "CON" in name or "nnn" in name or name == "x"]
    assert names == []
    for name, content in state(place / "out").items():
        if name.endswith("report.html"):
            assert b"<b>&amp;" not in content
            assert b"\x1b" not in content
    done = command("balance", path, "--label", "label", "--out", place / "other", *DELTA, "--quiet")
    assert done.code == 0
    assert "\x1b" not in done.out


@pytest.fixture
def published(place: Path) -> Path:
    handled(place, stored(place, table()), options=DELTA)
    return place / "out"


def _model(published: Path) -> tuple[Path, Path]:
    """A copy of the published run that can be tampered with, and its engine's folder."""
    run = published.parent / "copy"
    shutil.copytree((published / "current").resolve(), run)
    (engine,) = (path for path in (run / "model").iterdir() if path.is_dir())
    return run, engine


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 99}, "has format 99"),
        ({"class": "os:system"}, "names the class 'os:system', which is not part of synthgen"),
        ({"class": "antigravity:x"}, "not part of synthgen"),
    ],
)
def test_r92_a_model_of_another_version_or_class_is_refused(place: Path, published: Path, change, says: str) -> None:
    run, engine = _model(published)
    described = json.loads((engine / "engine.json").read_text())
    (engine / "engine.json").write_text(json.dumps({**described, **change}))
    done = command("sample", run, "--label", "1", "-n", 3, "--out", place / "more.parquet", "--json")
    assert done.code in (3, 5), done
    assert says in done.json["error"]["message"]
    assert not (place / "more.parquet").exists()


def test_r92_pickles_in_a_model_are_refused_and_never_run(place: Path, published: Path) -> None:
    run, engine = _model(published)
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for path in kept:
        for payload in (pickle.dumps(Payload()), pickle.dumps(Payload(), protocol=0)):
            if path.is_relative_to(engine):
                path.write_bytes(payload)
                done = command("sample", run, "--label", "1", "-n", 3, "--out", place / "more.parquet", "--json")
                assert done.code in (3, 5), (path, done)
                assert not Path("executed").exists()
        path.write_bytes(kept[path])


@pytest.mark.parametrize(
    "name", ["rows.parquet", "rows.csv", "rows.tsv", "rows.csv.gz", "rows.npz", "rows.safetensors"]
)
def test_r92_pickles_as_data_are_refused_and_never_run(place: Path, name: str) -> None:
    import gzip

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        payload = pickle.dumps(Payload(), protocol=protocol)
        (place / name).write_bytes(gzip.compress(payload) if name.endswith("gz") else payload)
        done = command("balance", place / name, "--out", place / "out", *QUICK, "--json")
        assert done.code in (2, 3)
        assert not Path("executed").exists()


def test_r93_a_flipped_checkpoint_falls_back_and_a_foreign_one_is_refused(place: Path, caplog) -> None:
    import torch

    from synthgen.gan.checkpoint import Checkpoint, CheckpointFolder
    from synthgen.gan.state import Snapshot

    folder = place / "checkpoints"
    mine = CheckpointFolder(folder, key={"data": "a"})
    for step in (1, 2):
        mine.save(Checkpoint(Snapshot({"w": torch.full((9,), step)}, step=step, halvings=0, history=[]), seconds=1.0))
    newest = max(folder.glob("*.safetensors"))
    whole = newest.read_bytes()
    for torn in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-9], b"", pickle.dumps(Payload())):
        newest.write_bytes(torn)
        with caplog.at_level(logging.WARNING):
            found = mine.load()
        assert found is not None
        assert found.snapshot.step == 1
        assert "passed over" in caplog.text
    with pytest.raises(ConfigError, match="of another run: data is 'a' there and 'b' now"):
        CheckpointFolder(folder, key={"data": "b"}).load()


@pytest.mark.parametrize("stage", ["fit", "generate", "check", "publish"])
def test_r96_an_interrupted_run_publishes_nothing_and_resumes_to_the_same_bytes(
    place: Path, monkeypatch, stage: str
) -> None:
    path = stored(place, table(60, 12))
    arguments = ("balance", path, "--label", "label", *DELTA, "--json", "--quiet")
    before = synthgen.read_shards(place / "out").manifest.run_id

    def stopped(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(pipeline, stage, stopped)
    done = command(*arguments, "--out", place / "out")
    assert done.code == 130
    assert "The same command resumes" in done.json["error"]["message"]
    assert synthgen.read_shards(place / "out").manifest.run_id == before
    monkeypatch.undo()
    for out in ("out", "never interrupted"):
        assert command(*arguments, "--out", place / out).code == 0
    one, other = (synthgen.read_shards(place / out).manifest for out in ("out", "never interrupted"))
    assert _hashes(one) == _hashes(other)


def _hashes(manifest: Manifest) -> dict[str, str]:
    return {entry.path: entry.sha256 for entry in manifest.files if entry.rows is not None}
