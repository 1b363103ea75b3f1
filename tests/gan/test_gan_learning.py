"""What the networks learn: class means, class-dependent categories, and the order of the classes' rarity."""

from __future__ import annotations

import pytest
import torch

from synthgen.data.layout import TableLayout
from synthgen.gan.config import preset
from synthgen.gan.trainer import Anchors, Neighbours, TableRows, train

MEANS = torch.tensor([[-1.0, 0.5], [1.0, -0.5]])
SHARES = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])


def mixture(n=3_000, *, rare=0.1):
    """Two normal clouds of spread .4; the category's shares depend on the class."""
    rng = torch.Generator().manual_seed(0)
    labels = (torch.rand(n, generator=rng) < rare).to(torch.int64)
    numeric = MEANS[labels] + 0.4 * torch.randn(n, 2, generator=rng)
    codes = torch.multinomial(SHARES[labels], 1, generator=rng)
    return TableRows(numeric, codes, TableLayout(2, (3,))), labels


def test_the_default_learns_means_spreads_and_shares_of_each_class():
    rows, labels = mixture()
    model = train(rows, labels, n_labels=2, config=preset("cwgan-gp", steps=400), seed=0)
    for label in (0, 1):
        numeric, codes = model.sample(label, 4_000, seed=1)
        torch.testing.assert_close(numeric.mean(0), MEANS[label], atol=0.15, rtol=0)
        torch.testing.assert_close(numeric.std(0), torch.full((2,), 0.4), atol=0.15, rtol=0)
        torch.testing.assert_close(codes.flatten().bincount(minlength=3) / 4_000, SHARES[label], atol=0.15, rtol=0)
    assert abs(model.history[-1]["earth_mover"]) < abs(model.history[0]["earth_mover"])


def test_rows_beside_anchors_and_alone_stay_with_the_data_where_columns_are_few_numbers():
    """A generator faster than its critic circles around such data, standard deviations away."""
    rng = torch.Generator().manual_seed(0)
    labels = (torch.rand(2_000, generator=rng) < 0.05).to(torch.int64)
    numeric = torch.randn(2_000, 5, generator=rng)
    rows = TableRows(numeric, torch.zeros(2_000, 0, dtype=torch.int64), TableLayout(5, ()))
    far = torch.cdist(numeric, numeric) + 1e9 * (labels.unsqueeze(1) != labels)
    near = Neighbours(around=torch.cdist(numeric, numeric).argsort(1)[:, 1:21], kin=far.argsort(1)[:, 1:6])
    model = train(
        rows,
        labels,
        n_labels=2,
        config=preset("cwgan-gp"),
        seed=0,
        anchors=Anchors(rows, labels, near),
    )
    for label, share in ((0, 0.0), (0, 1.0), (1, 1.0)):
        made, _ = model.sample(label, 4_000, seed=1, anchored=share)
        torch.testing.assert_close(made.mean(0), numeric[labels == label].mean(0), atol=0.35, rtol=0)
        assert ((made.std(0) > 0.5) & (made.std(0) < 1.5)).all()


@pytest.mark.slow
def test_cgan_tells_the_classes_apart_too():
    rows, labels = mixture()
    model = train(rows, labels, n_labels=2, config=preset("cgan", steps=800, width=48), seed=0)
    low, high = (model.sample(label, 2_000, seed=1)[0][:, 0].mean() for label in (0, 1))
    assert low < -0.3 < 0.3 < high


@pytest.mark.slow
def test_without_a_condition_the_whole_is_learned_as_it_is():
    rows, labels = mixture(rare=0.3)
    model = train(rows, labels, n_labels=2, config=preset("wgan-gp", steps=600, width=48), seed=0)
    numeric, _ = model.sample(0, 4_000, seed=1)
    share = (numeric[:, 0] > 0).double().mean().item()
    assert share == pytest.approx(0.3, abs=0.1)  # the rows' own share: no label, no evening out
    same, _ = model.sample(1, 4_000, seed=1)
    assert same.shape == numeric.shape
