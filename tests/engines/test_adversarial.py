"""The networks behind the contract: filters by default, fine-tunes, settings, history."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from synthgen.data.dataset import from_table
from synthgen.data.layout import TableLayout
from synthgen.engines import adversarial, aside, load_engine, make_engine, save_engine
from synthgen.engines.adversarial import Adversarial, anchored_share
from synthgen.engines.base import FitContext
from synthgen.engines.contract import mixed_table
from synthgen.engines.filter import Filtered
from synthgen.errors import ConfigError, EngineError, TooFewRows
from synthgen.gan import trainer
from synthgen.gan.trainer import Neighbours
from synthgen.seeding import derive, torch_rng

TINY: dict[str, object] = {"steps": 8, "width": 16, "noise": 8, "log_every": 2}


def test_presets_drop_copies_and_choose_where_no_row_starts_from_a_real_one() -> None:
    engine = make_engine("cwgan-gp", **TINY)
    assert isinstance(engine, Filtered)
    assert engine._overdraw == 1.0
    for other in (make_engine("cgan", **TINY), make_engine("cwgan-gp", anchored=0.0, **TINY)):
        assert isinstance(other, Filtered)
        assert other._overdraw == 3.0
    assert isinstance(engine.inner, Adversarial)
    assert isinstance(make_engine("cwgan-gp", filter=False, **TINY), Adversarial)
    raw = make_engine("cwgan-gp", overdraw=1, **TINY).fit(mixed_table({"a": 60, "b": 30}), seed=0)
    assert isinstance(raw, Filtered)
    assert raw._belief is None


def test_the_joint_model_has_its_part_where_columns_are_categories() -> None:
    assert anchored_share(TableLayout(5, ())) == 1.0
    assert anchored_share(TableLayout(0, (3, 4))) == 0.5
    assert anchored_share(TableLayout(6, (3, 4))) == pytest.approx(1 - 0.5 * 2 / 8)


def test_rows_of_the_class_are_the_anchors_and_are_saved(tmp_path: Path) -> None:
    data = mixed_table({"a": 80, "b": 30})
    engine = Adversarial("cwgan-gp", **TINY).fit(data, seed=0)
    assert engine._model is not None
    assert engine._model.anchors is not None
    assert len(engine._model.anchors.rows) == 110
    engine.save(tmp_path)
    loaded = Adversarial.load(tmp_path)
    assert loaded.sample("b", 40, seed=0).fingerprint() == engine.sample("b", 40, seed=0).fingerprint()
    still = Adversarial("cwgan-gp", **{**TINY, "rate": 1e-12}, anchored=1.0).fit(data, seed=0)
    assert still._model is not None
    shown = still._model.anchors.shown(1, 50, share=1.0, rng=torch_rng(0))  # type: ignore[union-attr]
    own = still._codec.encode(data, seed=derive(0, "encode"))  # type: ignore[union-attr]
    real = {tuple(row) for row in own.numeric[data.label_codes == 1].tolist()}
    assert {tuple(row) for row in shown[:, 1 : 1 + own.numeric.shape[1]].tolist()} <= real
    assert Adversarial("cgan", **TINY).fit(data, seed=0)._model.anchors is None  # type: ignore[union-attr]


def test_anchors_are_bounded_and_the_wanted_class_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthgen.engines.adversarial.MAX_ANCHORS", 50)
    monkeypatch.setattr("synthgen.engines.adversarial.MAX_OWN_ANCHORS", 25)
    engine = Adversarial("cwgan-gp", **TINY).fit(mixed_table({"a": 300, "b": 30}), seed=0)
    assert engine._model is not None
    assert engine._model.anchors is not None
    assert 70 <= len(engine._model.anchors.rows) <= 80
    assert len(engine.sample("b", 30, seed=0)) == 30


def test_moves_look_wider_than_pairs_in_a_large_class() -> None:
    engine = Adversarial("cwgan-gp", **TINY).fit(mixed_table({"a": 600, "b": 30}), seed=0)
    anchors = engine._model.anchors  # type: ignore[union-attr]
    assert anchors is not None
    spread = [len(set(row)) for row in anchors.neighbours.kin.tolist()]
    assert set(spread) == {15, 5}  # 2.5 % of 600, and five of the few
    same = anchors.labels[anchors.neighbours.kin] == anchors.labels.unsqueeze(1)
    assert same.all()
    assert (anchors.neighbours.kin != torch.arange(630).unsqueeze(1)).all()
    assert (anchors.neighbours.around != torch.arange(630).unsqueeze(1)).all()


def test_settings_reach_the_trainer() -> None:
    engine = Adversarial("cgan", steps=7, width=24, max_minutes=2.0)
    assert (engine.config.steps, engine.config.width, engine.config.objective) == (7, 24, "gan")
    engine.fit(mixed_table({"a": 60, "b": 30}), seed=0)
    assert engine.step == 7


def test_a_budget_of_minutes_counts_the_preparation_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now, shares = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def a_minute(*args: object) -> Neighbours:
        now[0] += 60.0
        return neighbours(*args)  # type: ignore[arg-type]

    def a_second(*args: object) -> torch.Tensor:
        now[0] += 1.0
        return step(*args)  # type: ignore[arg-type]

    neighbours, step = adversarial._neighbours, trainer._step
    monkeypatch.setattr(adversarial, "_neighbours", a_minute)
    monkeypatch.setattr(trainer, "_step", a_second)
    context = FitContext(report=lambda share, message: shares.append(share))
    options = {**TINY, "steps": 1_000_000, "max_minutes": 1.5}
    engine = Adversarial("cwgan-gp", **options).fit(mixed_table({"a": 60, "b": 30}), seed=0, context=context)
    assert engine.step == 30
    assert shares[0] == 0.0
    assert 2 / 3 <= shares[-2] < shares[-1] == 1.0


def test_a_column_too_wide_for_the_network_is_lent_by_real_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(aside, "MAX_LEVELS", 6)
    rng = np.random.default_rng(0)
    rare = np.arange(400) < 60
    town = np.where(rare, np.arange(400) % 8, 4 + np.arange(400) % 26)
    table = pa.table(
        {
            "town": pa.array([f"town {k}" for k in town]),
            "street": pa.array([f"street {k}" for k in town]),
            "colour": pa.array(np.array(["red", "green"])[rng.integers(0, 2, 400)]),
            "x": rng.normal(rare, 1.0),
            "label": pa.array(np.where(rare, "b", "a")),
        }
    )
    engine = Adversarial("cwgan-gp", **TINY).fit(from_table(table, label="label"), seed=0)
    assert engine._model is not None
    assert engine._model.layout == TableLayout(1, (2,))
    rows = engine.sample("b", 200, seed=0)
    towns = [int(value.removeprefix("town ")) for value in rows.table.column("town").to_pylist()]
    assert set(towns) == set(range(8))
    assert rows.table.column("street").to_pylist() == [f"street {k}" for k in towns]
    assert len({*rows.table.column("colour").to_pylist()}) == 2
    save_engine(engine, tmp_path)
    assert load_engine(tmp_path).sample("b", 200, seed=0).fingerprint() == rows.fingerprint()
    alone = from_table(table.select(["town", "street", "label"]), label="label")
    with pytest.raises(EngineError, match=r"every column has more than 6 categories \(the widest 30\)"):
        Adversarial("cwgan-gp", **TINY).fit(alone, seed=0)


def test_history_has_the_curves(tmp_path: Path) -> None:
    heard: list[tuple[float, str]] = []
    context = FitContext(report=lambda share, text: heard.append((share, text)))
    engine = make_engine("cwgan-gp", **TINY).fit(mixed_table({"a": 60, "b": 30}), seed=0, context=context)
    assert isinstance(engine, Filtered)
    assert [row["step"] for row in engine.history] == [2, 4, 6, 8]
    keys = {"step", "rate", "critic_loss", "generator_loss", "penalty", "earth_mover"}  # as the docstring says
    assert set(engine.history[0]) == keys
    assert heard[-1][0] == 1.0
    assert "earth mover" in heard[-1][1]
    engine.save(tmp_path)
    loaded = load_engine(tmp_path)
    assert isinstance(loaded, Filtered)
    assert loaded.history == engine.history


def test_fine_tune_starts_from_the_base_and_differs_from_it() -> None:
    data = mixed_table({"a": 80, "b": 30})
    trunk = make_engine("cwgan-gp", overdraw=3.0, **TINY).fit(data, seed=0)
    context = FitContext(base=trunk, want={"b": 50})
    tuned = make_engine("cwgan-gp", overdraw=3.0, fine_tune=3, **TINY).fit(data.of_class("b"), seed=0, context=context)
    assert isinstance(tuned, Filtered)
    assert isinstance(trunk, Filtered)
    assert isinstance(tuned.inner, Adversarial)
    assert tuned.inner.step == 3
    assert tuned._belief is trunk._belief
    assert tuned.inner._model.anchors is trunk.inner._model.anchors  # type: ignore[attr-defined, union-attr]
    assert tuned.inner._codec is trunk.inner._codec  # type: ignore[attr-defined]
    rows = tuned.sample("b", 30, seed=0)
    assert rows.counts() == {"a": 0, "b": 30}
    assert rows.fingerprint() != trunk.sample("b", 30, seed=0).fingerprint()


def test_fine_tune_takes_a_quarter_of_the_steps_by_default() -> None:
    data = mixed_table({"a": 80, "b": 30})
    trunk = Adversarial("cwgan-gp", **TINY).fit(data, seed=0)
    tuned = Adversarial("cwgan-gp", **TINY).fit(data.of_class("b"), seed=0, context=FitContext(base=trunk))
    assert tuned.step == 2


def test_a_base_that_does_not_fit_is_refused() -> None:
    data = mixed_table({"a": 80, "b": 30})
    other = make_engine("delta").fit(data, seed=0)
    with pytest.raises(ConfigError, match="cannot continue from 'delta'"):
        make_engine("cwgan-gp", **TINY).fit(data, seed=0, context=FitContext(base=other))
    trunk = Adversarial("cwgan-gp", **TINY).fit(data, seed=0)
    with pytest.raises(ConfigError, match="the base model knows the classes"):
        Adversarial("cwgan-gp", **TINY).fit(mixed_table({"a": 60, "c": 30}), seed=0, context=FitContext(base=trunk))


def test_unconditional_presets_take_one_class() -> None:
    data = mixed_table({"a": 80, "b": 30})
    with pytest.raises(ConfigError, match="use 'cwgan-gp'"):
        make_engine("wgan-gp", **TINY).fit(data, seed=0)


def test_small_classes_are_refused_where_they_are_wanted() -> None:
    data = mixed_table({"a": 80, "b": 30, "c": 4})
    with pytest.raises(TooFewRows, match="class 'c' has 4 training rows, engine 'cwgan-gp' needs 20"):
        make_engine("cwgan-gp", **TINY).fit(data, seed=0, context=FitContext(want={"c": 5}))
    engine = make_engine("cwgan-gp", **TINY).fit(data, seed=0)
    assert len(engine.sample("b", 5, seed=0)) == 5
    with pytest.raises(TooFewRows):
        engine.sample("c", 5, seed=0)


def test_conditions_matter_after_training() -> None:
    """Classes that lie apart come out apart: the label reaches the generator."""
    data = mixed_table({"a": 200, "b": 200})
    engine = Adversarial("cwgan-gp", steps=250, width=32, batch=64).fit(data, seed=0)
    visits = [np.mean(engine.sample(label, 400, seed=0).table.column("visits").to_numpy()) for label in ("a", "b")]
    real = [np.mean(data.of_class(label).table.column("visits").to_numpy()) for label in ("a", "b")]
    assert real[1] - real[0] > 8
    assert visits[1] - visits[0] > 0.5 * (real[1] - real[0])


def test_a_fine_tune_that_learns_nothing_is_its_base() -> None:
    data = mixed_table({"a": 80, "b": 30})
    trunk = Adversarial("cwgan-gp", **TINY).fit(data, seed=0)
    still = Adversarial("cwgan-gp", **{**TINY, "rate": 1e-12})
    tuned = still.fit(data.of_class("b"), seed=7, context=FitContext(base=trunk))
    assert tuned.sample("b", 50, seed=0).fingerprint() == trunk.sample("b", 50, seed=0).fingerprint()
