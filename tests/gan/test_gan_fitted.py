"""A fitted model: samples that do not depend on how they are cut, and files that hold what was trained."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from gan_kit import LAYOUT, bits, tiny, toy

from synthgen.data.layout import TableLayout
from synthgen.errors import ConfigError, EngineError
from synthgen.gan import fitted
from synthgen.gan.mlp import TableGenerator
from synthgen.gan.trainer import Fitted, train


@pytest.fixture(scope="module")
def model():
    rows, labels = toy()
    return train(rows, labels, n_labels=2, config=tiny(), seed=0)


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_samples_are_numbers_and_codes_in_range(model):
    numeric, codes = model.sample(1, 5_000, seed=3)
    assert (numeric.dtype, codes.dtype) == (torch.float32, torch.int64)
    assert (numeric.shape, codes.shape) == ((5_000, 2), (5_000, 3))
    assert codes.min() >= 0
    assert (codes.max(0).values < torch.tensor(LAYOUT.levels)).all()
    assert not numeric.is_inference()


def test_samples_do_not_depend_on_how_they_are_cut(model):
    whole = model.sample(0, 10_000, seed=5)
    for cuts in ([0, 10_000], [0, 1, 4_095, 4_096, 4_097, 10_000], [0, 3_000, 9_000, 10_000]):
        parts = [model.sample(0, high - low, seed=5, first=low) for low, high in itertools.pairwise(cuts)]
        assert same(whole, [torch.cat(part) for part in zip(*parts, strict=True)])
    assert same([part[:10] for part in whole], model.sample(0, 10, seed=5))


def test_seed_and_label_decide_the_samples(model):
    one = model.sample(0, 100, seed=0)
    torch.rand(3)
    assert same(one, model.sample(0, 100, seed=0))
    assert not same(one, model.sample(0, 100, seed=1))
    assert not same(one, model.sample(1, 100, seed=0))
    assert not torch.equal(one[0][:50], one[0][50:])


def test_labels_have_noise_of_their_own_even_without_a_condition():
    rows, labels = toy()
    plain = train(rows, labels, n_labels=2, config=tiny("wgan-gp"), seed=0)
    assert not same(plain.sample(0, 100, seed=0), plain.sample(1, 100, seed=0))


def test_blocks_have_noise_of_their_own(model):
    numeric, _ = model.sample(0, 2 * TableGenerator.block, seed=0)
    assert not torch.equal(numeric[: TableGenerator.block], numeric[TableGenerator.block :])


def test_no_rows_are_a_result_too(model):
    numeric, codes = model.sample(0, 0, seed=0)
    assert (numeric.shape, codes.shape) == ((0, 2), (0, 3))


@pytest.mark.parametrize(("label", "n"), [(2, 5), (-1, 5), (0, -1)])
def test_what_cannot_be_sampled_is_refused(model, label, n):
    with pytest.raises(ConfigError):
        model.sample(label, n, seed=0)


def test_samples_do_not_depend_on_the_threads_around_them(model):
    before = torch.get_num_threads()
    one = model.sample(0, 5_000, seed=0)
    try:
        torch.set_num_threads(2)
        assert same(one, model.sample(0, 5_000, seed=0))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["cwgan-gp", "wgan", "hinge"])
@pytest.mark.parametrize("layout", [LAYOUT, TableLayout(1, ()), TableLayout(0, (2,))])
def test_a_loaded_model_samples_the_same_bits(tmp_path, name, layout):
    rows, labels = toy(layout=layout)
    config = tiny(objective="hinge") if name == "hinge" else tiny(name)
    first = train(rows, labels, n_labels=2, config=config, seed=0)
    first.save(tmp_path / "model")
    again = Fitted.load(tmp_path / "model")
    assert same(first.sample(1, 5_000, seed=9), again.sample(1, 5_000, seed=9))
    assert bits(first) == bits(again)
    assert (again.config, again.layout, again.n_labels, again.seen) == (first.config, layout, 2, (0, 1))
    assert again.digest() == first.digest()
    assert not again.generator.training


def test_a_saved_model_is_safetensors_and_json(model, tmp_path):
    model.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "model.json", "model.sha256"}
    meta = json.loads((tmp_path / "model.json").read_text())
    assert meta["config"]["steps"] == 12
    assert meta["history"] == model.history


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "model.sha256"])
def test_a_damaged_model_is_refused(model, tmp_path, name):
    model.save(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineError, match="damaged"):
        Fitted.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(EngineError, match="cannot read model"):
        Fitted.load(tmp_path)


def test_a_model_of_another_schema_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(fitted, "SCHEMA", 99)
    model.save(tmp_path)
    monkeypatch.undo()
    with pytest.raises(EngineError, match="has schema 99; this version reads schema 1"):
        Fitted.load(tmp_path)
