"""Rows that start from a real one: what is shown of it, what stands beside it, and that nothing else changes."""

from __future__ import annotations

import itertools

import pytest
import torch
from gan_kit import LAYOUT, bits, tiny, toy

from synthgen.data.layout import TableLayout
from synthgen.errors import ConfigError, DataError
from synthgen.gan import trainer
from synthgen.gan.anchors import Anchors, Neighbours, shown_width
from synthgen.gan.condition import condition_of
from synthgen.gan.networks import build
from synthgen.gan.trainer import Fitted, TableRows, train
from synthgen.seeding import torch_rng

D = LAYOUT.width


def near(rows, labels, *, seed=0):
    """Neighbours drawn at random, kin of the same label."""
    rng = torch.Generator().manual_seed(seed)
    own = [torch.nonzero(labels == label).flatten() for label in labels.tolist()]
    kin = torch.stack([of[torch.randint(0, len(of), (5,), generator=rng)] for of in own])
    return Anchors(rows, labels, Neighbours(torch.randint(0, len(rows), (len(rows), 7), generator=rng), kin))


def fit(name="cwgan-gp", *, seed=0, start=None, checkpoints=None, **overrides):
    rows, labels = toy()
    return train(
        rows,
        labels,
        n_labels=2,
        config=tiny(name, **overrides),
        seed=seed,
        anchors=near(rows, labels),
        start=start,
        checkpoints=checkpoints,
    )


def three(numeric, codes):
    """Row 0 is the anchor, 1 its only neighbour, 2 that one's only kin."""
    rows = TableRows(torch.tensor(numeric), torch.tensor(codes), TableLayout(2, (3, 2)))
    one = torch.tensor([[1], [1], [1]])
    return Anchors(rows, torch.tensor([1, 0, 0]), Neighbours(around=one, kin=torch.tensor([[0], [2], [1]])))


def test_a_row_starts_at_the_anchor_plus_the_difference_of_its_neighbours():
    anchors = three([[1.0, 2.0], [0.5, 0.25], [0.75, -1.0]], [[2, 0], [1, 1], [1, 0]])
    flag, anchor, move = anchors.shown(1, 4, share=1.0, rng=torch_rng(0)).split([1, 7, 7], 1)
    assert flag.flatten().tolist() == [1.0] * 4
    assert anchor[0].tolist() == [1.0, 2.0, 0, 0, 1, 1, 0]
    # numbers move by b - a; a and b agree in the first category, so it stays; in the second they do not: b's
    assert (anchor + move)[0].tolist() == [1.25, 0.75, 0, 0, 1, 1, 0]
    other = three([[1.0, 2.0], [0.5, 0.25], [0.75, -1.0]], [[2, 1], [1, 1], [1, 0]])
    _, anchor, move = other.shown(1, 1, share=1.0, rng=torch_rng(0)).split([1, 7, 7], 1)
    assert (anchor + move)[0, 2:].tolist() == [0, 0, 1, 1, 0]


def test_where_a_number_is_missing_there_is_no_difference_to_take():
    anchors = three([[1.0, 0.0], [0.0, 0.25], [0.75, -1.0]], [[0, 0], [0, 0], [0, 0]])
    _, anchor, move = anchors.shown(1, 1, share=1.0, rng=torch_rng(0)).split([1, 7, 7], 1)
    assert (anchor + move)[0, :2].tolist() == [1.0, -1.0]  # a lacks the first: it stays; the anchor the second: b's


def test_anchors_are_of_the_label_and_as_many_as_asked_for():
    rows, labels = toy()
    anchors = near(rows, labels)
    of_label = {tuple(row) for row in rows.batch(torch.nonzero(labels == 1).flatten()).tolist()}
    shown = anchors.shown(1, 4_000, share=0.3, rng=torch_rng(0))
    assert shown.shape == (4_000, shown_width(D))
    with_anchor = shown[:, 0] == 1
    assert with_anchor.double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert {tuple(row) for row in shown[with_anchor, 1 : 1 + D].tolist()} == of_label
    assert not shown[~with_anchor].any()


def test_a_real_pair_is_an_anchor_and_one_of_its_kin_and_without_anchor_the_row_itself():
    rows, labels = toy()
    anchors = near(rows, labels)
    index = torch.arange(200).repeat(20)
    beside, shown = anchors.pairs(index, share=0.5, rng=torch_rng(0))
    with_anchor = shown[:, 0] == 1
    assert with_anchor.double().mean().item() == pytest.approx(0.5, abs=0.03)
    assert torch.equal(beside[~with_anchor], index[~with_anchor])
    kin = anchors.neighbours.kin[index[with_anchor]]
    chosen = kin == beside[with_anchor].unsqueeze(1)
    assert chosen.any(1).all()
    assert (chosen.double().mean(0) > 0.15).all()  # every column is drawn
    assert torch.equal(shown[with_anchor, 1 : 1 + D], rows.batch(index[with_anchor]))


def test_a_real_pair_is_close_however_wide_moves_may_be():
    rows, labels = toy()
    numbered = torch.arange(200).unsqueeze(1).expand(200, 12)
    kin = (numbered + torch.arange(12)) % 200  # the first column is the row itself, the last eleven rows on
    anchors = Anchors(rows, labels, Neighbours(kin, kin))
    beside, _ = anchors.pairs(numbered[:, 0].repeat(20), share=1.0, rng=torch_rng(0))
    assert set(((beside - numbered[:, 0].repeat(20)) % 200).tolist()) == set(range(5))


def test_before_training_the_network_adds_nothing():
    rows, labels = toy()
    anchors = near(rows, labels)
    config = tiny()
    condition = condition_of(config, n_labels=2, shown=anchors.width)
    generator, _ = build(LAYOUT, condition, config)
    shown = anchors.shown(1, 3_000, share=1.0, rng=torch_rng(0))
    told = torch.cat([condition.one_hot(torch.ones(3_000).long()), shown], 1)
    numeric, codes = generator.sample(generator.noise(3_000, torch_rng(1)), told)
    start = shown[:, 1 : 1 + D] + shown[:, 1 + D :]
    assert torch.equal(numeric, start[:, :2])
    kept = start[:, LAYOUT.starts[2] :].argmax(1) == codes[:, 2]
    assert 0.95 < kept.double().mean().item() < 1.0


def test_the_critic_sees_the_difference_and_the_anchor():
    rows, labels = toy()
    anchors, config = near(rows, labels), tiny(depth=3)
    condition = condition_of(config, n_labels=2, shown=anchors.width)
    _, critic = build(LAYOUT, condition, config)
    beside, shown = anchors.pairs(torch.arange(32), share=0.5, rng=torch_rng(0))
    told = torch.cat([condition.one_hot(labels[:32]), shown], 1)
    x = rows.batch(beside)
    moved = told.clone()
    moved[:, 3 : 3 + D] += 1.0  # the anchor, and the row with it: the difference is the same, the anchor is heard
    assert not torch.allclose(critic(x, told), critic(x + 1.0, moved))
    with torch.no_grad():
        critic.layers[0].weight[:, D : 2 * D + 1] = 0.0
    torch.testing.assert_close(critic(x, told), critic(x + moved[:, 3 : 3 + D] - told[:, 3 : 3 + D], moved))


def test_training_reaches_both_kinds_of_rows():
    first, last = fit(steps=1, rate=1e-12), fit(steps=60, rate=5e-3)
    for share in (0.0, 1.0):
        one, other = (model.sample(1, 500, seed=0, anchored=share)[0] for model in (first, last))
        assert not torch.allclose(one, other, atol=1e-3)


def test_samples_do_not_depend_on_how_they_are_cut_and_survive_the_disk(tmp_path):
    model = fit()
    model.save(tmp_path)
    loaded = Fitted.load(tmp_path)
    assert loaded.anchors is not None
    assert model.anchors is not None
    assert loaded.anchors.digest() == model.anchors.digest()
    for share in (0.0, 0.4, 1.0):
        whole = model.sample(1, 9_000, seed=5, anchored=share)
        cuts = itertools.pairwise([0, 1, 4_096, 5_000, 9_000])
        parts = [loaded.sample(1, high - low, seed=5, first=low, anchored=share) for low, high in cuts]
        assert all(torch.equal(a, torch.cat(b)) for a, b in zip(whole, zip(*parts, strict=True), strict=True))
    assert not torch.equal(model.sample(1, 9, seed=0, anchored=0.0)[0], model.sample(1, 9, seed=0, anchored=1.0)[0])


def test_a_stopped_run_goes_on_to_the_bit_and_not_beside_other_anchors(tmp_path, monkeypatch):
    whole, step = bits(fit()), trainer._step

    def stopping(state, *rest):
        if state.step == 7:
            raise KeyboardInterrupt
        return step(state, *rest)

    monkeypatch.setattr(trainer, "_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit(checkpoints=tmp_path)
    monkeypatch.setattr(trainer, "_step", step)
    rows, labels = toy()
    with pytest.raises(ConfigError, match="of another run: anchors is"):
        train(
            rows,
            labels,
            n_labels=2,
            config=tiny(),
            seed=0,
            anchors=near(rows, labels, seed=1),
            checkpoints=tmp_path,
        )
    assert bits(fit(checkpoints=tmp_path)) == whole != bits(fit(seed=1))


def test_other_presets_and_rows_without_neighbours_have_the_joint_model_alone():
    rows, labels = toy()
    for name in ("cgan", "wgan", "wgan-gp"):
        assert fit(name).anchors is None
    plain = train(rows, labels, n_labels=2, config=tiny(), seed=0)
    off = fit(anchored=0.0)
    assert plain.anchors is None
    assert off.anchors is None
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.generator.state_dict().values(), off.generator.state_dict().values(), strict=True)
    )


def test_a_continued_model_keeps_the_anchors_it_started_with():
    base = fit()
    tuned = fit(start=base, steps=4)
    assert tuned.anchors is base.anchors
    rows, labels = toy()
    with pytest.raises(ConfigError, match="another anchored"):
        train(rows, labels, n_labels=2, config=tiny(), seed=0, start=base)


@pytest.mark.parametrize(
    ("around", "kin"),
    [
        (torch.zeros(199, 3).long(), torch.zeros(200, 2).long()),
        (torch.zeros(200, 3), torch.zeros(200, 2).long()),
        (torch.zeros(200, 0).long(), torch.zeros(200, 2).long()),
        (torch.zeros(200, 3).long(), torch.full((200, 2), 200)),
        (torch.full((200, 3), -1), torch.zeros(200, 2).long()),
    ],
)
def test_neighbours_that_do_not_fit_are_refused(around, kin):
    rows, labels = toy()
    with pytest.raises(DataError, match=r"neighbours (around|kin) must"):
        Anchors(rows, labels, Neighbours(around, kin))
