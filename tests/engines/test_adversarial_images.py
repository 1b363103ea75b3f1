"""The networks on images: the same engine, codec and trainer chosen by the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthgen.data.images import ImageDataset, from_images
from synthgen.encode.image import ImageCodec
from synthgen.engines import load_engine, make_engine
from synthgen.engines.adversarial import Adversarial
from synthgen.engines.base import FitContext
from synthgen.engines.contract import mixed_table
from synthgen.engines.filter import Filtered
from synthgen.engines.image_contract import shapes
from synthgen.errors import ConfigError, TooFewRows

TINY: dict[str, object] = {"steps": 4, "width": 4, "noise": 8, "embedding": 4, "batch": 8, "log_every": 2}


@pytest.fixture(scope="module")
def data() -> ImageDataset:
    return shapes({"bar": 60, "cross": 40, "frame": 30})


@pytest.fixture(scope="module")
def engine(data: ImageDataset) -> Adversarial:
    return Adversarial("cwgan-gp", **TINY).fit(data, seed=0)


def test_the_data_decide_the_settings_that_are_not_given(engine: Adversarial) -> None:
    assert (engine.config.steps, engine.config.width) == (4, 4)
    assert (engine.config.ema, engine.config.label_mix, engine.config.rate) == (0.999, 1.0, 2e-4)
    table = Adversarial("cwgan-gp", **TINY).fit(mixed_table({"a": 60, "b": 30}), seed=0)
    assert (table.config.ema, table.config.label_mix, table.config.rate) == (0.995, 0.5, 3e-4)
    assert Adversarial("cwgan-gp", **TINY, ema=0.5).fit(shapes({"a": 20, "b": 20}), seed=0).config.ema == 0.5


def test_an_image_is_replayed_from_model_label_seed_and_index(
    engine: Adversarial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.sample("frame", 150, seed=3)
    assert isinstance(whole, ImageDataset)
    for n in (0, 1, 77, 149):
        assert np.array_equal(engine.sample("frame", n, seed=3).images, whole.images[:n])  # type: ignore[attr-defined]
    monkeypatch.setattr("synthgen.engines.adversarial.CHUNK", 40)
    assert engine.sample("frame", 150, seed=3).fingerprint() == whole.fingerprint()
    engine.save(tmp_path)
    assert load_engine(tmp_path).sample("frame", 150, seed=3).fingerprint() == whole.fingerprint()
    assert Adversarial.load(tmp_path).config == engine.config


def test_copies_of_real_images_are_dropped_and_nothing_else_is_chosen(data: ImageDataset, tmp_path: Path) -> None:
    filtered = make_engine("cgan", **TINY).fit(data, seed=0)
    assert isinstance(filtered, Filtered)
    assert np.array_equal(filtered._seen, np.unique(data.feature_hashes()))
    drawn = filtered.sample("cross", 30, seed=0)
    filtered.equip(belief=None, seen=np.sort(drawn.feature_hashes()[:3]), ids=None)
    again = filtered.sample("cross", 30, seed=0)
    assert len(again) == 30
    assert again.feature_hashes()[:27].tolist() == drawn.feature_hashes()[3:].tolist()
    assert not np.isin(again.feature_hashes(), drawn.feature_hashes()[:3]).any()
    filtered.save(tmp_path)
    assert load_engine(tmp_path).sample("cross", 30, seed=0).fingerprint() == again.fingerprint()
    assert len(filtered.history) == 2


def test_a_stopped_fit_goes_on_to_the_bit(data: ImageDataset, tmp_path: Path) -> None:
    settings = {**TINY, "checkpoint_every": 2}
    first = Adversarial("cwgan-gp", **settings).fit(data, seed=0, context=FitContext(checkpoints=tmp_path))
    for path in tmp_path.glob("step-00000004*"):
        path.unlink()
    heard: list[str] = []
    context = FitContext(checkpoints=tmp_path, report=lambda share, text: heard.append(text))
    second = Adversarial("cwgan-gp", **settings).fit(data, seed=0, context=context)
    assert [text.split(",")[0] for text in heard] == ["encoding", "step 2 of 4", "step 4 of 4"]
    assert second.sample("bar", 20, seed=1).fingerprint() == first.sample("bar", 20, seed=1).fingerprint()


def test_images_of_any_shape_come_back_in_it() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 10, 14, 3), dtype=np.uint8)
    made = Adversarial("wgan-gp", **TINY).fit(from_images(pixels, np.arange(50) % 2).of_class(0), seed=0)
    assert made.sample(0, 7, seed=0).shape == (10, 14, 3)  # type: ignore[attr-defined]


def test_a_fine_tune_hears_its_class_at_once(data: ImageDataset) -> None:
    trunk = make_engine("cwgan-gp", **TINY).fit(data, seed=0)
    context = FitContext(base=trunk, want={"frame": 20})
    tuned = make_engine("cwgan-gp", fine_tune=2, **TINY).fit(data.of_class("frame"), seed=0, context=context)
    assert tuned.inner.step == 2  # type: ignore[attr-defined]
    assert tuned.inner._model.config.ramp == 0.0  # type: ignore[attr-defined]
    assert tuned.sample("frame", 9, seed=0).counts() == {"bar": 0, "cross": 0, "frame": 9}


def test_what_does_not_fit_is_refused_with_the_way_out(data: ImageDataset) -> None:
    table = mixed_table({"bar": 60, "cross": 40, "frame": 30})
    for name in ("style", "dcgan", "cdcgan"):
        with pytest.raises(ConfigError, match=f"engine '{name}' makes images and got a table; use 'cwgan-gp'"):
            make_engine(name, **TINY).fit(table, seed=0)
    trunk = Adversarial("cwgan-gp", **TINY).fit(table, seed=0)
    with pytest.raises(ConfigError, match="the base model is one of images, the rows are of a table, or the other"):
        Adversarial("cwgan-gp", **TINY).fit(data, seed=0, context=FitContext(base=trunk))
    small = shapes({"bar": 60, "cross": 5})
    with pytest.raises(TooFewRows, match=r"class 'cross' has 5 training rows, .* needs 20; use oversample \(1\)"):
        Adversarial("cwgan-gp", **TINY).fit(small, seed=0).sample("cross", 3, seed=0)
    with pytest.raises(ConfigError, match=r"engine 'dcgan' models one class at a time .* or use 'cdcgan'"):
        make_engine("dcgan", **TINY).fit(data, seed=0)


def test_more_images_than_are_learned_from_are_bounded(data: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthgen.engines.adversarial.MAX_ANCHORS", 10)
    monkeypatch.setattr("synthgen.engines.adversarial.MAX_OWN_ANCHORS", 20)
    context = FitContext(want={"frame": 9})
    seen: list[int] = []
    encode = ImageCodec.encode
    monkeypatch.setattr(
        ImageCodec, "encode", lambda self, x, *, seed: seen.append(len(x)) or encode(self, x, seed=seed)
    )
    Adversarial("cwgan-gp", **TINY).fit(data, seed=0, context=context)
    assert 20 <= seen[0] <= 30


def test_images_can_start_from_real_ones_of_their_class(data: ImageDataset, tmp_path: Path) -> None:
    settings = {**TINY, "anchored": 0.5}
    engine = Adversarial("cwgan-gp", **settings).fit(data, seed=0)
    made = engine.sample("frame", 90, seed=1)
    engine.save(tmp_path)
    assert Adversarial.load(tmp_path).sample("frame", 90, seed=1).fingerprint() == made.fingerprint()
    assert engine.sample("frame", 70, seed=1).fingerprint() == made.take(np.arange(70)).fingerprint()
    assert len(engine._model.anchors.rows) == 130  # type: ignore[union-attr]
    context = FitContext(base=engine, want={"frame": 20})
    tuned = Adversarial("cwgan-gp", **settings).fit(data.of_class("frame"), seed=0, context=context)
    assert tuned._model.anchors is engine._model.anchors  # type: ignore[union-attr]
    assert len(tuned.sample("frame", 5, seed=0)) == 5
