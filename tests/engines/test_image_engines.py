"""Engines for images: exact counts, what is a repeat and what is not, saved and loaded, chosen on inner splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from image_kit import Noise, Oracle, shapes

from synthgen.data.dataset import from_table
from synthgen.data.images import ImageDataset
from synthgen.engines import load_engine, save_engine
from synthgen.engines.auto import AutoEngine
from synthgen.engines.auto_images import AutoImages
from synthgen.engines.base import Engine, EngineInfo, FitContext
from synthgen.engines.catalog import LOADABLE, Row
from synthgen.engines.choose_images import _decide
from synthgen.engines.image_catalog import IMAGES, make_image_engine
from synthgen.engines.mixed import Mixed
from synthgen.errors import ConfigError, EngineError
from synthgen.sampler import Balancer

TRAIN = shapes({"bar": 60, "square": 40, "cross": 12})
INFO = EngineInfo("drawn", "images", ("image",), "synthetic", True, True, 5, "in tests")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generators of the tests under names of the catalogue, mixed with repeats as those in it are."""
    for name in ("Oracle", "Noise"):
        row = Row(INFO, "synthgen.engines.mixed:of_images", {"generator": f"image_kit:{name}"})
        monkeypatch.setitem(IMAGES, name.lower(), row)  # type: ignore[arg-type]
    monkeypatch.setattr("synthgen.engines.catalog.LOADABLE", {*LOADABLE, "image_kit:Oracle", "image_kit:Noise"})
    monkeypatch.setattr("synthgen.engines.LOADABLE", {*LOADABLE, "image_kit:Oracle", "image_kit:Noise"})


def fit(engine: Engine, **options: object) -> Engine:
    return engine.fit(TRAIN, seed=0, **options)  # type: ignore[arg-type]


def sample(engine: Engine, label: object, n: int, seed: int = 1) -> ImageDataset:
    images = engine.sample(label, n, seed=seed)  # type: ignore[arg-type]
    assert isinstance(images, ImageDataset)
    return images


@pytest.mark.parametrize("name", ["oversample", "auto", "oracle"])
def test_a_sample_is_what_was_asked_for(drawn: None, tmp_path: Path, name: str) -> None:
    options = {"candidates": ("oversample",)} if name == "auto" else {}
    engine = fit(make_image_engine(name, **options))
    save_engine(engine, tmp_path)
    loaded = load_engine(str(tmp_path))
    for label, n in (("cross", 0), ("cross", 1), ("cross", 37), ("square", 5)):
        images = sample(engine, label, n)
        assert images.counts() == {"bar": 0, "square": 0, "cross": 0, label: n}
        assert (images.shape, images.classes, images.images.dtype) == (TRAIN.shape, TRAIN.classes, np.uint8)
        for other in (sample(engine, label, n), sample(loaded, label, n)):
            assert np.array_equal(other.images, images.images)
            assert np.array_equal(other.repeated, images.repeated)
        assert n == 0 or not np.array_equal(sample(engine, label, n, seed=2).images, images.images)
    assert loaded.info == engine.info
    with pytest.raises(ConfigError, match="knows no class"):
        engine.sample("circle", 1, seed=0)
    with pytest.raises(EngineError, match="not fitted"):
        make_image_engine(name).sample("bar", 1, seed=0)


@pytest.mark.parametrize("name", IMAGES)
def test_mirroring_is_yes_or_no(name: str) -> None:
    for flips in ("no", 1, None):
        with pytest.raises(ConfigError, match=f"flips is true or false, got {flips!r}"):
            make_image_engine(name, flips=flips)
    with pytest.raises(ConfigError, match="flips is true or false, got 'no'"):
        Balancer(engine="oversample", engine_options={"flips": "no"}).fit_resample(TRAIN.images, TRAIN.label_codes)


def test_repeats_are_real_images_moved_evenly_under_their_names() -> None:
    images = sample(fit(make_image_engine("oversample")), "cross", 30)
    assert images.repeated is not None
    assert images.repeated.all()
    names, times = np.unique(images.names.astype(str), return_counts=True)
    assert set(names) == set(TRAIN.of_class("cross").names)
    assert sorted(times.tolist()) == [2] * 6 + [3] * 6
    assert not set(images.feature_hashes()) & set(TRAIN.feature_hashes())


def test_flips_are_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "synthgen.engines.repeats.jittered", lambda images, rng, *, flips: asked.append(flips) or images
    )
    for options in ({}, {"flips": True}):
        for name, own in (("oversample", {}), ("auto", {"candidates": ("oversample",)})):
            sample(fit(make_image_engine(name, **options, **own)), "cross", 3)
    assert asked == [False, False, True, True]


def test_half_are_repeats_and_generated_ones_are_capped(drawn: None) -> None:
    engine = fit(make_image_engine("oracle"))
    for n, made in ((10, 5), (11, 5), (48, 24), (100, 24)):  # of 12 real ones at most 24 are generated
        images = sample(engine, "cross", n)
        assert images.repeated is not None
        assert images.repeated.tolist() == [True] * (n - made) + [False] * made
        assert all(images.names[images.repeated])
        assert not any(images.names[~images.repeated])


def test_a_class_too_small_for_the_generator_is_repeated(drawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_kit.Drawing.info", replace(INFO, min_rows=13))
    engine = fit(make_image_engine("oracle"))
    small, large = sample(engine, "cross", 40), sample(engine, "square", 40)
    assert small.repeated is not None
    assert small.repeated.all()
    assert large.repeated is not None
    assert large.repeated.sum() == 20


def test_a_table_s_engine_is_refused_with_those_that_fit() -> None:
    for name in ("smote", "nonsense", "image_kit:Missing"):
        with pytest.raises(ConfigError, match=r"auto, oversample|cannot be imported"):
            make_image_engine(name)
    with pytest.raises(ConfigError, match="does not take these options"):
        make_image_engine("oversample", colour="red")
    with pytest.raises(ConfigError, match="depht"):
        make_image_engine("auto", depht=3)


def test_auto_without_another_candidate_repeats_and_says_so() -> None:
    engine = fit(AutoImages(candidates=("oversample",)))
    assert (engine.choice.engine, engine.info.origin) == ("oversample", "repeated")
    assert "the only engine" in engine.choice.reason


def test_auto_takes_a_generator_that_helps_and_no_other(drawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is judged better on inner splits is fitted on all images; what is worse is not."""

    def told(fold: object, engine: Engine, judged: object, *, flips: bool) -> np.ndarray:
        generator = engine._generator if isinstance(engine, Mixed) else None
        return np.full((2, 61), {Oracle: 0.9, Noise: 0.3}.get(type(generator), 0.5))

    monkeypatch.setattr("synthgen.engines.choose_images._score", told)
    for name, winner in (("oracle", "oracle"), ("noise", "oversample")):
        engine = AutoImages(candidates=("oversample", name)).fit(
            TRAIN, seed=0, context=FitContext(want={"cross": 40, "square": 20})
        )
        assert engine.choice.engine == winner, engine.choice
        assert isinstance(engine.winner, Mixed) is (winner == "oracle")
        assert [score.engine for score in engine.choice.scores] == ["oversample", name]


def test_a_fine_tune_takes_what_its_trunk_chose(drawn: None) -> None:
    alone = TRAIN.of_class("cross")
    for name, again in (("oracle", False), ("oversample", True)):
        trunk = AutoImages(candidates=(name,)).fit(TRAIN, seed=0)
        tuned = AutoImages(candidates=("oversample", "noise")).fit(alone, seed=0, context=FitContext(base=trunk))
        assert tuned.choice == trunk.choice
        assert (tuned.winner is trunk.winner) is again  # nothing to tune where nothing is trained
        assert len(sample(tuned, "cross", 9)) == 9


def test_what_a_chooser_of_rows_chose_is_not_taken_for_images() -> None:
    """Red when any chooser is a trunk: then its engine of rows is the winner."""
    rows = from_table(pa.table({"x": np.arange(20.0), "label": ["bar"] * 12 + ["cross"] * 8}), label="label")
    trunk = AutoEngine(candidates=("delta",)).fit(rows, seed=0)
    engine = AutoImages(candidates=("oversample",)).fit(TRAIN, seed=0, context=FitContext(base=trunk))
    assert engine.winner is not trunk.winner
    assert len(sample(engine, "cross", 9)) == 9


def test_a_candidate_must_gain_two_standard_errors() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (2, 61))
    for gain, winner in ((0.01, "a"), (0.05, "b")):
        cells = {"a": [np.full((2, 61), 0.8)], "b": [0.8 + noise + gain - noise[:, :1]]}
        choice = _decide(cells, "a", ())
        assert (choice.engine, [score.engine for score in choice.scores]) == (winner, ["a", "b"])
        assert choice.scores[1].gain == pytest.approx(gain)


def test_a_class_too_small_for_a_candidate_leaves_it_out(drawn: None) -> None:
    few = shapes({"bar": 9, "square": 7, "cross": 6})
    engine = AutoImages(candidates=("oversample", "oracle")).fit(few, seed=0)
    assert engine.choice.engine == "oversample"
    assert "than the 7 of the largest class allow" in engine.choice.scores[0].reason


def test_the_kit_s_engines_are_engines() -> None:
    assert isinstance(Noise(), Engine)
    assert isinstance(Oracle(), Engine)
