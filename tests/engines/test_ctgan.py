"""The ctgan library behind our contract: its traps, its budget, and that what we keep of it samples what it would."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from joblib.parallel import get_active_backend

from synthgen.config import make_config
from synthgen.data.dataset import from_table
from synthgen.engines import ctgan as room
from synthgen.engines import load_engine, make_engine, save_engine
from synthgen.engines.auto import AutoEngine
from synthgen.engines.base import FitContext
from synthgen.engines.contract import mixed_table
from synthgen.engines.ctgan import Ctgan
from synthgen.errors import ConfigError, EngineError, TooFewRows
from synthgen.forecast import fit_seconds
from synthgen.job import planned


@pytest.fixture(scope="module")
def trained() -> Ctgan:
    return Ctgan(epochs=2).fit(mixed_table({"common": 580, "rare": 40}), seed=0)


def test_what_is_kept_decodes_as_the_library_does() -> None:
    from ctgan import CTGAN

    rng = np.random.default_rng(0)
    y = (rng.random(300) < 0.3).astype(int)
    frame = pd.DataFrame({"label": y, "number 0": rng.normal(9 * y, 1), "code 0": 7 - rng.integers(0, 3, 300)})
    model = CTGAN(epochs=1, enable_gpu=False)
    model.fit(frame, ["label", "code 0"])
    network = room._Network.of(model)
    made = network.draw(1, 500, rng=torch.Generator().manual_seed(3))

    again = torch.Generator().manual_seed(3)
    told = torch.zeros(500, 5)
    told[:, network.values[0].index(1)] = 1.0
    out = network.generator(torch.cat([torch.randn(500, 128, generator=again), told], 1))
    noisy = out - torch.empty_like(out).exponential_(generator=again).log_()
    activated, at = torch.zeros_like(out), 0
    for spans in model._transformer.output_info_list:
        for span in spans:
            block = slice(at, at + int(span.dim))
            if span.activation_fn == "tanh":
                activated[:, block] = torch.tanh(out[:, block])
            else:
                activated[:, block] = torch.nn.functional.one_hot(noisy[:, block].argmax(1), int(span.dim)).float()
            at += int(span.dim)
    theirs = model._transformer.inverse_transform(activated.numpy())
    theirs = theirs[theirs.label == 1]
    assert 20 < len(theirs) < 480
    np.testing.assert_allclose(made.numeric[:, 0], theirs["number 0"], rtol=1e-5, atol=1e-5)
    assert made.codes[:, 0].tolist() == theirs["code 0"].tolist()


def test_two_fits_of_one_seed_are_equal(trained: Ctgan) -> None:
    again = Ctgan(epochs=2).fit(mixed_table({"common": 580, "rare": 40}), seed=0)
    assert again.sample("rare", 50, seed=1).fingerprint() == trained.sample("rare", 50, seed=1).fingerprint()
    other = Ctgan(epochs=2).fit(mixed_table({"common": 580, "rare": 40}), seed=1)
    assert other.sample("rare", 50, seed=1).fingerprint() != trained.sample("rare", 50, seed=1).fingerprint()


def test_random_state_threads_and_warnings_are_left_as_they_were(trained: Ctgan) -> None:
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    threads, filters = torch.get_num_threads(), list(warnings.filters)
    Ctgan(epochs=1).fit(mixed_table({"common": 80, "rare": 20}), seed=0)
    trained.sample("rare", 5, seed=0)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (torch.get_num_threads(), list(warnings.filters)) == (threads, filters)


def test_sampling_leaves_what_is_saved_as_it_was(trained: Ctgan, tmp_path: Path) -> None:
    save_engine(trained, tmp_path / "before")
    trained.sample("rare", 600, seed=4)
    save_engine(trained, tmp_path / "after")
    names = [path.relative_to(tmp_path / "before") for path in (tmp_path / "before").rglob("*") if path.is_file()]
    assert "network.safetensors" in {name.name for name in names}
    for name in names:
        assert (tmp_path / "before" / name).read_bytes() == (tmp_path / "after" / name).read_bytes()


def test_progress_and_figures() -> None:
    heard: list[tuple[float, str]] = []
    context = FitContext(report=lambda share, message: heard.append((share, message)))
    engine = Ctgan(steps=5).fit(mixed_table({"common": 960, "rare": 40}), seed=0, context=context)
    assert heard == [(0.0, "encoding")] + [(k / 3, f"epoch {k} of 3") for k in (1, 2, 3)]
    assert [row["step"] for row in engine.history] == [2.0, 4.0, 6.0]
    assert all(np.isfinite(row["generator_loss"]) and np.isfinite(row["critic_loss"]) for row in engine.history)


def test_it_starts_no_processes_of_its_own() -> None:
    backends: set[str] = set()
    context = FitContext(report=lambda share, message: backends.add(type(get_active_backend()[0]).__name__))
    Ctgan(epochs=1).fit(mixed_table({"common": 80, "rare": 20}), seed=0, context=context)
    assert "SequentialBackend" in backends


def test_prints_nothing(trained: Ctgan, capfd: pytest.CaptureFixture[str]) -> None:
    Ctgan(epochs=1).fit(mixed_table({"common": 80, "rare": 20}), seed=0).sample("rare", 3, seed=0)
    assert capfd.readouterr() == ("", "")


def test_counts_are_exact_where_the_label_seldom_comes(trained: Ctgan, tmp_path: Path) -> None:
    save_engine(trained, tmp_path)
    engine = load_engine(tmp_path)
    assert isinstance(engine, Ctgan)
    network = engine._network
    assert network is not None
    bias = list(network.generator.parameters())[-1]
    wanted = network.values[0].index(1)
    bias[wanted] -= 5.0
    rows = engine.sample("rare", 130, seed=0)
    assert rows.counts() == {"common": 0, "rare": 130}
    bias[wanted] -= 95.0
    with pytest.raises(EngineError, match=r"class 'rare', made 0 rows of it in 20,000; train longer, or use cwgan-gp"):
        engine.sample("rare", 1, seed=0)


def test_minutes_end_the_run_at_the_nearest_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(10_000))
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: 3.0 * next(seconds)))
    engine = Ctgan(max_minutes=0.5).fit(mixed_table({"common": 80, "rare": 20}), seed=0)
    assert len(engine.history) == 9  # three seconds of preparation, then nine epochs of three
    assert len(engine.sample("rare", 4, seed=0)) == 4


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    for finder in (absent, lambda name: None):
        monkeypatch.setattr(room, "find_spec", finder)
        with pytest.raises(ConfigError, match="not installed: pip install ctgan"):
            make_engine("ctgan")


def test_a_column_too_wide_for_it_is_refused_with_the_number() -> None:
    n = 60_000
    towns = pa.array(np.arange(n) // 10).cast(pa.string())
    table = pa.table({"town": towns, "x": np.arange(n) % 97 / 7, "label": np.arange(n) % 20 == 0})
    with pytest.raises(EngineError, match=r"about 12 GB for 60,000 rows.*'town' alone has 6,000 categories.*cwgan-gp"):
        Ctgan(epochs=1).fit(from_table(table, label="label"), seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 25, "pac": 5}, "batch_size must be even and a multiple of pac; got 25 and 5"),
        ({"batch_size": 32}, "got 32 and 10"),
        ({"epochs": 0}, "epochs must be a whole number from 1 on, got 0"),
        ({"epochs": 2, "steps": 9}, "epochs or steps, not both"),
        ({"max_minutes": -1.0}, "max_minutes must be a number above 0"),
        ({"device": "cuda"}, "cannot be seeded; got 'cuda'"),
        ({"width": 9}, "does not take these options"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_engine("ctgan", **options)


def test_auto_hands_it_the_budget() -> None:
    engine = make_engine("auto", candidates=("ctgan",), steps=2).fit(mixed_table({"common": 80, "rare": 20}), seed=0)
    assert isinstance(engine, AutoEngine)
    assert [row["step"] for row in engine.history] == [1.0, 2.0]


def test_plan_knows_that_it_takes_minutes() -> None:
    rows = mixed_table({"common": 5_940, "rare": 60})
    seconds = []
    for engine in ("ctgan", "cwgan-gp"):
        config = make_config({"engine": engine})
        plan = planned(rows.counts(), config, "table")
        seconds.append(fit_seconds(plan, rows, config, n_rows=len(rows)))
    assert 200 < seconds[0] < 500
    assert seconds[0] > 20 * seconds[1]


def test_what_it_cannot_learn_from() -> None:
    rows = mixed_table({"common": 50, "rare": 19})
    with pytest.raises(TooFewRows, match="'rare' has 19 training rows, engine 'ctgan' needs 20"):
        Ctgan(epochs=1).fit(rows, seed=0, context=FitContext(want={"rare": 5}))
    base = make_engine("oversample").fit(rows, seed=0)
    with pytest.raises(ConfigError, match="cannot continue from a trained model"):
        Ctgan(epochs=1).fit(rows, seed=0, context=FitContext(base=base))
