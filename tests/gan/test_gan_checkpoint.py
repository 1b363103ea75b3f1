"""Checkpoints: continued to the bit, never mixed up, never read damaged."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from gan_kit import FOR_TABLES, LAYOUT, bits, tiny, toy

from synthgen.data.layout import TableLayout
from synthgen.errors import ConfigError, EngineError
from synthgen.gan import files, trainer
from synthgen.gan.checkpoint import CheckpointFolder
from synthgen.gan.state import Snapshot, TrainState
from synthgen.gan.trainer import train


class Stop(Exception):
    """Stands for the end of the process."""


def fit(folder=None, *, name="cwgan-gp", seed=0, stop_at=None, data=None, n_labels=2, start=None, **overrides):
    rows, labels = data or toy()
    config = tiny(name, **{"steps": 16, "log_every": 3, **overrides})
    with pytest.MonkeyPatch.context() as patch:
        step = trainer._step

        def stopping(state, *rest):
            if stop_at is not None and state.step == stop_at:
                raise Stop
            return step(state, *rest)

        patch.setattr(trainer, "_step", stopping)
        return train(rows, labels, n_labels=n_labels, config=config, seed=seed, checkpoints=folder, start=start)


def stopped(folder, *, at, **overrides):
    with pytest.raises(Stop):
        fit(folder, stop_at=at, **overrides)


@pytest.mark.parametrize("name", [*FOR_TABLES, "hinge"])
@pytest.mark.parametrize("at", [1, 4, 7, 13])
def test_a_run_that_stopped_is_equal_to_one_that_did_not(tmp_path, name, at):
    kind = {"objective": "hinge"} if name == "hinge" else {"name": name}
    whole = bits(fit(**kind))
    stopped(tmp_path, at=at, **kind)
    assert bits(fit(tmp_path, **kind)) == whole


def test_it_may_stop_again_and_again(tmp_path):
    for at in (2, 5, 6, 9, 14, 15):
        stopped(tmp_path, at=at)
    assert bits(fit(tmp_path)) == bits(fit())


def test_checkpoints_do_not_change_the_run(tmp_path):
    assert bits(fit(tmp_path)) == bits(fit())


def test_it_continues_and_does_not_begin_again(tmp_path, monkeypatch):
    stopped(tmp_path, at=13)
    steps = []
    draw = trainer.LabelMix.draw
    monkeypatch.setattr(trainer.LabelMix, "draw", lambda *a: steps.append(1) or draw(*a))
    fit(tmp_path)
    assert len(steps) == 4


def test_a_finished_run_is_read_not_repeated(tmp_path, monkeypatch):
    model = fit(tmp_path)
    monkeypatch.setattr(trainer, "_step", lambda *_: pytest.fail("trained again"))
    rows, labels = toy()
    again = train(rows, labels, n_labels=2, config=tiny(steps=16, log_every=3), seed=0, checkpoints=tmp_path)
    assert bits(again) == bits(model)


def test_a_fine_tune_continues_too(tmp_path):
    base = fit(seed=5)
    whole = bits(fit(start=base))
    stopped(tmp_path, at=9, start=base)
    assert bits(fit(tmp_path, start=base)) == whole
    with pytest.raises(ConfigError, match="start is"):
        fit(tmp_path, start=fit(seed=6))


def test_halvings_continue_too(tmp_path, monkeypatch):
    step = trainer._step

    def broken(state, *rest):
        figures = step(state, *rest)
        return figures * torch.nan if state.step == 5 and not state.halvings else figures

    monkeypatch.setattr(trainer, "_step", broken)
    whole = fit()
    assert whole.history[-1]["rate"] == whole.config.rate / 2
    stopped(tmp_path, at=10)
    assert bits(fit(tmp_path)) == bits(whole)


PARTS = ["generator", "critic", "average", "generator_optimiser", "critic_optimiser"]


@pytest.mark.parametrize("part", [*PARTS, "step", "halvings", "history"])
def test_every_component_of_the_state_is_needed(tmp_path, monkeypatch, part):
    """Dropping any one when a run continues must show: it is the checkpoint's own test."""
    whole = bits(fit(rate=0.05))
    if part == "halvings":
        monkeypatch.setattr(trainer, "_step", halve_at_two(trainer._step))
        whole = bits(fit(rate=0.05))
    stopped(tmp_path, at=13, rate=0.05)
    load = CheckpointFolder.load

    def forgetful(self):
        found = load(self)
        if found is None:
            return None
        snapshot, fresh = found.snapshot, self.fresh
        kept = {"step": snapshot.step, "halvings": snapshot.halvings, "history": snapshot.history}
        lost = {"step": 0, "halvings": 0, "history": []}
        kept |= {part: lost[part]} if part in lost else {}
        tensors = {k: v for k, v in snapshot.tensors.items() if k.split("/")[0] != part}
        tensors |= {k: v for k, v in fresh.tensors.items() if k.split("/")[0] == part}
        return type(found)(Snapshot(tensors, **kept), seconds=found.seconds)

    init = TrainState.__init__

    def remembering(self, *a):
        init(self, *a)
        CheckpointFolder.fresh = self.snapshot()

    monkeypatch.setattr(CheckpointFolder, "fresh", None, raising=False)
    monkeypatch.setattr(TrainState, "__init__", remembering)
    assert bits(fit(tmp_path, rate=0.05)) == whole
    stopped(clean(tmp_path), at=13, rate=0.05)
    monkeypatch.setattr(CheckpointFolder, "load", forgetful)
    assert bits(fit(tmp_path, rate=0.05)) != whole


def halve_at_two(step):
    def broken(state, *rest):
        figures = step(state, *rest)
        return figures * torch.nan if state.step == 2 and not state.halvings else figures

    return broken


def clean(folder):
    for path in folder.iterdir():
        path.unlink()
    return folder


def test_the_last_two_are_kept(tmp_path):
    fit(tmp_path)
    kinds = (".safetensors", ".json", ".sha256")
    assert {path.name for path in tmp_path.iterdir()} == {f"step-{n:08d}{kind}" for n in (12, 16) for kind in kinds}


def test_files_of_others_are_left_alone(tmp_path):
    for name in ("notes.txt", "step-1.json", ".step-00000001.json.swp"):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".step-00000004.json.tmp").write_text("half written")
    fit(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert {"notes.txt", "step-1.json", ".step-00000001.json.swp"} <= left
    assert not any(name.endswith(".tmp") for name in left)


@pytest.mark.parametrize("kind", [".safetensors", ".json", ".sha256"])
@pytest.mark.parametrize("how", ["flip", "cut", "gone"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path, caplog, kind, how):
    stopped(tmp_path, at=13)
    path = tmp_path / f"step-00000012{kind}"
    content = path.read_bytes()
    if how == "flip":
        path.write_bytes(content[:20] + bytes([content[20] ^ 4]) + content[21:])
    elif how == "cut":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    with caplog.at_level(logging.INFO):
        assert bits(fit(tmp_path)) == bits(fit())
    assert "checkpoint passed over: " in caplog.text
    assert "step-00000012" in caplog.text
    assert "continues at step 8" in caplog.text


def test_with_every_checkpoint_damaged_it_begins_again(tmp_path, caplog):
    stopped(tmp_path, at=13)
    for path in tmp_path.glob("*.json"):
        path.write_bytes(b"{}")
    assert bits(fit(tmp_path)) == bits(fit())
    assert caplog.text.count("passed over") == 2


def test_a_hundred_flipped_bits_are_a_hundred_found(tmp_path, monkeypatch):
    stopped(tmp_path, at=5)
    monkeypatch.setattr(safetensors.torch, "load", lambda _: pytest.fail("read before it was checked"))
    chance = random.Random(0)
    paths = sorted(tmp_path.iterdir())
    for at in range(100):
        path = paths[at % len(paths)]
        content = path.read_bytes()
        bit = chance.randrange(8 * len(content))
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(files.Damaged):
            files.read_checked(tmp_path, "step-00000004")
        path.write_bytes(content)


OTHERS = {
    "seed": {"seed": 1},
    "config.rate": {"rate": 1e-3},
    "config.steps": {"steps": 20},
    "config.condition": {"name": "wgan-gp"},
    "config.max_minutes": {"max_minutes": 5.0},
    "layout.levels": {"data": toy(layout=TableLayout(2, (3, 2, 5)))},
    "n_labels": {"n_labels": 3},
    "data": {"data": toy(seed=9)},
}


@pytest.mark.parametrize("key", OTHERS)
def test_a_checkpoint_of_another_run_is_refused_naming_the_key(tmp_path, key):
    stopped(tmp_path, at=5)
    with pytest.raises(ConfigError, match=f"step-00000004 in .* is of another run: {key} is .* there and .* now"):
        fit(tmp_path, **OTHERS[key])


def test_labels_are_part_of_the_data(tmp_path):
    stopped(tmp_path, at=5)
    rows, labels = toy()
    with pytest.raises(ConfigError, match="data is"):
        fit(tmp_path, data=(rows, 1 - labels))


def test_versions_and_schema_are_part_of_the_key(tmp_path, monkeypatch):
    stopped(tmp_path, at=5)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "1.0")
        with pytest.raises(ConfigError, match=r"torch is .* there and '1\.0' now"):
            fit(tmp_path)
    monkeypatch.setattr("synthgen.gan.checkpoint.SCHEMA", 3)
    with pytest.raises(ConfigError, match="schema is 2 there and 3 now"):
        fit(tmp_path)


@pytest.mark.parametrize("operation", range(12))
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, operation):
    """At each file operation of the third checkpoint: full disk; the run says so and the earlier ones stand."""
    stopped(tmp_path, at=9)
    done = []

    def failing(function):
        def wrapped(*a, **k):
            if "rb" in (*a, *k.values()):  # reading
                return function(*a, **k)
            done.append(function)
            if len(done) == operation + 1:
                raise OSError(28, "No space left on device")
            return function(*a, **k)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", failing(os.fsync))
        patch.setattr(Path, "replace", failing(Path.replace))
        patch.setattr(Path, "open", failing(Path.open))
        with pytest.raises(EngineError, match=r"cannot write step-00000012 in .*: No space left on device"):
            fit(tmp_path)
    assert bits(fit(tmp_path)) == bits(fit())


def test_files_reach_the_disk_before_their_names(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(files.os, "fsync", lambda fd: order.append("fsync") or fsync(fd))
    monkeypatch.setattr(Path, "replace", lambda self, to: order.append(Path(to).suffix) or replace(self, to))
    files.write_checked(tmp_path, "one", tensors={"a": torch.ones(2)}, meta={})
    assert order == [step for kind in (".safetensors", ".json", ".sha256") for step in ("fsync", kind, "fsync")]
    digests = dict(reversed(line.split("  ")) for line in (tmp_path / "one.sha256").read_text().splitlines())
    assert digests == {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in digests}
    assert set(digests) == {"one.safetensors", "one.json"}


VICTIM = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from gan_kit import bits, tiny, toy
from synthgen.gan.trainer import train
rows, labels = toy()
config = tiny(steps=400, checkpoint_every=20, log_every=10)
print(bits(train(rows, labels, n_labels=2, config=config, seed=0, checkpoints=Path({folder!r}))))
"""


@pytest.mark.slow
def test_a_process_killed_at_any_moment_is_continued_to_the_bit(tmp_path):
    def start(folder):
        code = VICTIM.format(here=str(Path(__file__).parent), folder=str(folder))
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)

    whole, _ = start(tmp_path / "whole").communicate(timeout=300)
    chance = random.Random(0)
    for _ in range(5):
        victim = start(tmp_path / "killed")
        while not list((tmp_path / "killed").glob("*.sha256")):
            time.sleep(0.01)
        time.sleep(chance.random() * 0.5)
        victim.send_signal(signal.SIGKILL)
        victim.communicate(timeout=60)
    last, _ = start(tmp_path / "killed").communicate(timeout=300)
    assert last == whole
    assert LAYOUT.width == 11
