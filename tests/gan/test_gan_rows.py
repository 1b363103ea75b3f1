"""Training rows: what is refused, how a batch looks, and how labels and rows are drawn."""

from __future__ import annotations

import pytest
import torch
from gan_kit import LAYOUT, toy

from synthgen.data.layout import TableLayout
from synthgen.errors import DataError, TooFewRows
from synthgen.gan.rows import LabelMix, TableRows, sha256_of
from synthgen.seeding import torch_rng


def test_a_batch_is_numbers_then_one_hot_blocks():
    numeric, codes = torch.tensor([[0.5, -1.0], [2.0, 3.0]]), torch.tensor([[2, 0, 1], [0, 0, 4]])
    rows = TableRows(numeric, codes, LAYOUT)
    batch = rows.batch(torch.tensor([1, 0, 1]))
    assert batch.tolist()[0] == [2.0, 3.0, 1, 0, 0, 1, 0, 0, 0, 0, 1]
    assert batch.tolist()[1] == [0.5, -1.0, 0, 0, 1, 1, 0, 1, 0, 0, 0]
    assert torch.equal(batch[0], batch[2])


def test_rows_of_numbers_alone_and_codes_alone():
    assert TableRows(torch.ones(2, 3), torch.zeros(2, 0).long(), TableLayout(3, ())).batch(torch.tensor([0])).sum() == 3
    only = TableRows(torch.ones(2, 0), torch.zeros(2, 1).long(), TableLayout(0, (4,)))
    assert only.batch(torch.tensor([1])).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("numeric", "codes", "message"),
    [
        (torch.zeros(3, 1), torch.zeros(3, 3).long(), "do not fit 2 numeric and 3 categorical"),
        (torch.zeros(3, 2), torch.zeros(4, 3).long(), "do not fit"),
        (torch.zeros(3, 2).double(), torch.zeros(3, 3).long(), "float32"),
        (torch.zeros(3, 2), torch.zeros(3, 3), "int64"),
        (torch.full((3, 2), torch.nan), torch.zeros(3, 3).long(), "NaN"),
        (torch.full((3, 2), torch.inf), torch.zeros(3, 3).long(), "infinity"),
        (torch.zeros(3, 2), torch.tensor([[0, 0, 0], [0, 1, 0], [0, 0, 0]]), "categorical column 1 of 1 levels"),
        (torch.zeros(3, 2), torch.full((3, 3), -1), "out of range"),
    ],
)
def test_rows_that_do_not_fit_are_refused(numeric, codes, message):
    with pytest.raises(DataError, match=message):
        TableRows(numeric, codes, LAYOUT)


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(DataError, match="nothing to learn"):
        TableRows(torch.zeros(3, 0), torch.zeros(3, 0).long(), TableLayout(0, ()))
    with pytest.raises(TooFewRows):
        TableRows(torch.zeros(0, 2), torch.zeros(0, 3).long(), LAYOUT)


def test_the_digest_is_of_shape_and_content():
    numeric, codes = torch.zeros(4, 2), torch.zeros(4, 3).long()
    first = TableRows(numeric, codes, LAYOUT).digest()
    assert first == TableRows(numeric.clone(), codes.clone(), LAYOUT).digest()
    changed = numeric.clone()
    changed[3, 1] = 1e-30
    assert first != TableRows(changed, codes, LAYOUT).digest()
    other = codes.clone()
    other[0, 2] = 1
    assert first != TableRows(numeric, other, LAYOUT).digest()
    assert len({sha256_of(torch.zeros(2, 3)), sha256_of(torch.zeros(3, 2)), sha256_of(torch.zeros(6).int())}) == 3


def test_labels_are_half_as_they_are_and_half_even():
    labels = torch.tensor([0] * 90 + [1] * 10)
    draw = LabelMix(labels, n_labels=2, uniform=0.5).draw(40_000, torch_rng(0))
    assert (draw.labels == 1).double().mean().item() == pytest.approx(0.5 * 0.1 + 0.5 * 0.5, abs=0.01)
    assert torch.equal(labels[draw.rows], draw.labels)
    within = draw.rows[draw.labels == 1].bincount(minlength=100)[90:]
    assert within.min() > 0.8 * within.double().mean()  # every row of a class alike
    assert 0 <= draw.blend.min() < 0.01 < 0.99 < draw.blend.max() < 1


@pytest.mark.parametrize(("uniform", "share"), [(0.0, 0.1), (1.0, 0.5)])
def test_the_mix_is_a_setting(uniform, share):
    labels = torch.tensor([0] * 90 + [1] * 10)
    draw = LabelMix(labels, n_labels=2, uniform=uniform).draw(40_000, torch_rng(0))
    assert (draw.labels == 1).double().mean().item() == pytest.approx(share, abs=0.01)


def test_a_label_without_rows_is_never_drawn():
    labels = torch.tensor([1, 1, 3])
    draw = LabelMix(labels, n_labels=6, uniform=0.5).draw(5_000, torch_rng(0))
    assert draw.labels.unique().tolist() == [1, 3]
    assert torch.equal(labels[draw.rows], draw.labels)


def test_a_draw_follows_from_its_generator():
    _, labels = toy()
    mix = LabelMix(labels, n_labels=2, uniform=0.5)
    one, two = mix.draw(64, torch_rng(5)), mix.draw(64, torch_rng(5))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
