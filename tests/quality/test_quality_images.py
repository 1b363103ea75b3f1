"""The check for images: the network that judges, its arms, copies, and figures beside real against real."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from image_kit import Copy, Noise, shapes

from synthgen.arms import build_arms
from synthgen.data.images import ImageDataset
from synthgen.errors import ConfigError
from synthgen.planning import make_plan
from synthgen.quality.cells import fixed_arm
from synthgen.quality.cnn import Network, Training, train_network
from synthgen.quality.gate import Gate, Verdict, assess
from synthgen.quality.image_fidelity import frechet_distance, image_fidelity, kernel_distance, nearness
from synthgen.quality.image_panel import ImagePanel, predict_images, steps_for
from synthgen.rebalance import Recipe, complete

TRAIN = shapes({"bar": 120, "square": 60, "cross": 20})
HELD = shapes({"bar": 60, "square": 60, "cross": 60}, seed=1)


def network(images: ImageDataset = TRAIN, *, seed: int = 0, steps: int = 100, **options: object) -> Network:
    training = Training(steps, **options)  # type: ignore[arg-type]
    return train_network(images.images, images.label_codes, n_classes=3, training=training, seed=seed)


def recalls(judge: Network) -> np.ndarray:
    decided = judge.proba(HELD.images).argmax(axis=1)
    return np.array([np.mean(decided[HELD.label_codes == k] == k) for k in range(3)])


def test_the_network_learns_shapes_and_repeats_itself() -> None:
    first = network()
    assert recalls(first).mean() > 0.85
    assert np.array_equal(first.proba(HELD.images), network().proba(HELD.images))
    assert not np.array_equal(first.proba(HELD.images), network(seed=1).proba(HELD.images))
    assert np.allclose(first.proba(HELD.images).sum(axis=1), 1)
    assert first.features(HELD.images).shape == (180, 64)


def test_the_threads_around_change_nothing() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = network(steps=20).proba(HELD.images)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(two, network(steps=20).proba(HELD.images))


def test_a_class_that_was_not_learned_has_no_probability() -> None:
    code = TRAIN.classes.index("cross")
    judge = network(TRAIN.take(TRAIN.label_codes != code), steps=20, loss="adjusted")
    assert np.all(judge.proba(HELD.images)[:, code] == 0)


def test_an_adjusted_loss_finds_more_of_the_rare_class() -> None:
    code = TRAIN.classes.index("cross")
    plain, adjusted, weighted = (
        recalls(network(steps=40, loss=loss))[code] for loss in ("plain", "adjusted", "weighted")
    )
    assert min(adjusted, weighted) > plain


def test_the_panel_knows_one_class_alone_and_colour() -> None:
    one = TRAIN.of_class("bar")
    said = predict_images(one, one, HELD, panel=ImagePanel(), loss="plain", augmented=True, seed=0)
    assert np.all(said["cnn"] == np.eye(3)[TRAIN.classes.index("bar")])
    colour = shapes({"bar": 6, "square": 6}, channels=3)
    training = Training(3, flips=True)
    seen = train_network(colour.images, colour.label_codes, n_classes=2, training=training, seed=0)
    assert seen.proba(colour.images).shape == (12, 2)
    assert [steps_for(n) for n in (10, 1_000, 2_000, 50_000)] == [200, 200, 400, 600]


def judged(engine: str, monkeypatch: pytest.MonkeyPatch, *, steps: int = 25, **options: object) -> Verdict:
    """A check whose networks learn a few steps only."""
    monkeypatch.setattr("synthgen.quality.image_panel.steps_for", lambda n: steps)
    recipe = Recipe(engine, modality="image")
    plan = complete(make_plan(TRAIN.counts()), recipe)
    settings = {"gate": Gate(folds=3, repeats=1), "seed": 0, "check": "cv", **options}
    return assess(TRAIN, arms=build_arms(plan, recipe), **settings)  # type: ignore[arg-type]


def test_every_arm_is_there_with_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = judged("oversample", monkeypatch)
    arms = {arm.name: arm.role for arm in verdict.arms}
    assert list(arms.values()).count("none") == list(arms.values()).count("candidate") == 1
    assert set(arms) == {"none", "synthetic", "augmentation", "class weights", "logit adjustment", "repeats"}
    assert {"average_precision", "balanced_accuracy", "brier"} <= set(verdict.arms[0].figures["mean"])
    assert verdict.status != "PASS"
    assert verdict.copies is None  # repeats are meant to be copies
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_only_nothing_learns_from_images_that_stay_still(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Mapping[str, set[bool]] = {"moved": set(), "still": set()}

    def watch(*images: ImageDataset, augmented: bool, loss: str, **rest: object) -> dict[str, np.ndarray]:
        seen["moved" if augmented else "still"].add(loss != "plain")
        return {"cnn": np.full((len(images[2]), 3), 1 / 3)}

    monkeypatch.setattr("synthgen.quality.cells.predict_images", watch)
    judged("oversample", monkeypatch)
    assert seen == {"moved": {False, True}, "still": {False}}


def test_copies_called_synthetic_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = judged("image_kit:Copy", monkeypatch, steps=5)
    assert verdict.status == "FAIL"
    assert verdict.copies is not None
    assert verdict.copies.share.value == 1


def test_repeats_beside_generated_images_are_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthgen.quality.image_panel.steps_for", lambda n: 3)
    own, fresh = TRAIN.of_class("cross"), shapes({"bar": 1, "square": 1, "cross": 30}, seed=7).of_class("cross")
    made = replace(own, repeated=np.ones(20, dtype=bool)).concat(fresh)
    for added, copied in ((made, 0.0), (replace(made, repeated=None), 0.4)):
        arms = [fixed_arm(added), *build_arms(make_plan(TRAIN.counts()), Recipe("oversample", modality="image"))[::2]]
        verdict = assess(TRAIN, arms=arms[:2], holdout=HELD, check="holdout", seed=0, draws=1)
        assert verdict.copies is not None
        assert verdict.copies.n_rows == (30 if copied == 0 else 50)
        assert verdict.copies.share.value == copied


def test_a_holdout_judges_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = judged("oversample", monkeypatch, steps=3, check="holdout", holdout=HELD, draws=2)
    assert (verdict.check, verdict.draws) == ("holdout", 2)


def test_an_estimator_is_for_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="an estimator judges tables"):
        judged("oversample", monkeypatch, estimator="sklearn.linear_model:LogisticRegression")


def told(images: np.ndarray, *, repeated: bool = False) -> Mapping[str, object]:
    """The figures of ``images`` called squares, with 60 unseen squares at hand."""
    like = TRAIN.of_class("square")
    added = replace(like.take(np.zeros(len(images), dtype=int)), images=images)
    added = replace(added, repeated=np.full(len(images), repeated))
    found = image_fidelity(added, TRAIN, unseen=HELD, flips=False, seed=0)
    assert list(found) == ["square"]
    assert list(found["square"]) == ["repeated" if repeated else "synthetic"]
    return found["square"]["repeated" if repeated else "synthetic"].to_json()


def test_figures_tell_real_from_noise_from_one_picture_from_copies() -> None:
    fresh = shapes({"square": 60, "bar": 1}, seed=5).of_class("square").images
    own = TRAIN.of_class("square").images
    good, noise, one, copies = (
        told(images)
        for images in (fresh, np.random.default_rng(0).integers(0, 256, own.shape, dtype=np.uint8), own[[3] * 60], own)
    )
    figure = {
        name: {key: each["figures"][key] for key in each["figures"]}  # type: ignore[index]
        for name, each in (("good", good), ("noise", noise), ("one", one), ("copies", copies))
    }
    floor = good["floor"]
    assert isinstance(floor, dict)
    assert abs(figure["good"]["kid"] - floor["kid"]) < 0.3 * figure["noise"]["kid"]
    assert figure["noise"]["fd"] > 3 * figure["good"]["fd"]
    assert figure["noise"]["coverage"] < 0.5 < figure["good"]["coverage"]
    assert figure["one"]["diversity"] < 0.01 < 0.7 < figure["good"]["diversity"] < 1.4
    assert (one["unique"], good["unique"]) == (pytest.approx(1 / 60), 1.0)
    assert copies["memorised"] == 1.0
    assert good["memorised"] is not None
    assert abs(good["memorised"] - 0.5) < 0.3  # type: ignore[operator]
    assert told(own[:4], repeated=True)["figures"] is None  # too few to measure


def test_distances_are_the_published_ones() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(0, 1, (4_000, 3)), rng.normal(1, 2, (4_000, 3))
    assert frechet_distance(one, two) == pytest.approx(3 * (1 + 1), rel=0.1)  # per axis: (0 - 1)^2 + (1 - 2)^2
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert abs(kernel_distance(one[:2_000], one[2_000:])) < 0.05 < kernel_distance(one, two)
    same = nearness(one[:300], one[300:600])
    assert min(same.precision, same.recall, same.coverage) > 0.85
    assert same.density == pytest.approx(1, abs=0.15)
    assert same.diversity == pytest.approx(1, abs=0.1)


def test_without_unseen_images_halves_are_the_floor() -> None:
    found = image_fidelity(TRAIN, TRAIN, unseen=None, flips=False, seed=0)
    assert found["bar"]["synthetic"].n_images == 60
    assert found["bar"]["synthetic"].memorised is None
    assert found["bar"]["synthetic"].floor is not None


def test_the_kit_s_generators_do_what_they_say() -> None:
    like = TRAIN.of_class("bar").images
    assert Copy().draw(like, "bar", 3, np.random.default_rng(0)) is like
    assert Noise().draw(like, "bar", 3, np.random.default_rng(0)).shape == like.shape
