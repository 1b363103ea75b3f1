"""Networks: layers and heads, no batch mates, no process-wide randomness."""

from __future__ import annotations

import pytest
import torch
from gan_kit import FOR_TABLES, LAYOUT, tiny

from synthgen.data.layout import TableLayout
from synthgen.errors import ConfigError
from synthgen.gan.blocks import OneHotBlocks
from synthgen.gan.condition import condition_of
from synthgen.gan.mlp import SpectralDense
from synthgen.gan.networks import build
from synthgen.seeding import torch_rng


def networks(layout=LAYOUT, *, seed=0, n_labels=2, **overrides):
    config = tiny(**overrides)
    condition = condition_of(config, n_labels=n_labels)
    return condition, *build(layout, condition, config, seed=seed)


def conditions(condition, n):
    return condition.one_hot(condition.codes(torch.arange(n) % 2))


SIZES = (3, 1, 5, 2, 2, 17, 4)


def test_the_fused_softmax_is_one_per_block():
    blocks, rng = OneHotBlocks(SIZES), torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(9, sum(SIZES), generator=rng)).requires_grad_()
    by_column = torch.cat([part.softmax(1) for part in logits.split(SIZES, 1)], 1)
    torch.testing.assert_close(blocks.softmax(logits), by_column)
    into = torch.randn(logits.shape, generator=rng)
    (of_columns,) = torch.autograd.grad(by_column, logits, into)
    torch.testing.assert_close(blocks.softmax_backward(into, by_column.detach()), of_columns)


def test_the_fused_softmax_stays_finite_at_any_logit():
    blocks = OneHotBlocks((2, 3))
    logits = torch.tensor([[1e6, -1e6, 0.0, 0.0, 0.0], [-1e6, -1e6, 1e6, 0.0, 0.0]], requires_grad=True)
    out = blocks.softmax(logits)
    out.square().sum().backward()
    assert torch.isfinite(logits.grad).all()
    torch.testing.assert_close(out[:, :2].sum(1), torch.ones(2))
    torch.testing.assert_close(out[:, 2:].sum(1), torch.ones(2))


def test_argmax_is_one_per_block():
    logits = torch.randn(50, sum(SIZES), generator=torch.Generator().manual_seed(0))
    by_column = torch.stack([part.argmax(1) for part in logits.split(SIZES, 1)], 1)
    assert torch.equal(OneHotBlocks(SIZES).argmax(logits), by_column)


@pytest.mark.parametrize("name", [*FOR_TABLES, "hinge"])
@pytest.mark.parametrize("layout", [LAYOUT, TableLayout(3, ()), TableLayout(0, (4, 2))])
def test_a_sample_never_depends_on_its_batch_mates(name, layout):
    overrides = {"objective": "hinge"} if name == "hinge" else {"name": name}
    condition, generator, critic = networks(layout, **overrides)
    told = conditions(condition, 8)
    noise = generator.noise(8, torch_rng(0))
    other = torch.cat([noise[:1], generator.noise(7, torch_rng(1))])
    assert torch.equal(generator(noise, told)[0], generator(other, told)[0])
    for one, two in zip(generator.sample(noise, told), generator.sample(other, told), strict=True):
        assert torch.equal(one[0], two[0])
    x = generator(noise, told).detach()
    mates = torch.cat([x[:1], 3 * x[1:]])
    critic.eval()
    assert torch.equal(critic(x, told)[0], critic(mates, told)[0])
    kinds = {type(part).__name__ for network in (generator, critic) for part in network.modules()}
    assert not any("BatchNorm" in kind or "InstanceNorm" in kind for kind in kinds)


def test_numbers_are_linear_and_blocks_sum_to_one():
    condition, generator, _ = networks()
    rows = generator(generator.noise(64, torch_rng(0)), conditions(condition, 64))
    assert rows.shape == (64, LAYOUT.width)
    for start, size in zip(LAYOUT.starts, LAYOUT.levels, strict=True):
        torch.testing.assert_close(rows[:, start : start + size].sum(1), torch.ones(64))
    assert rows[:, : LAYOUT.n_numeric].min() < 0 < rows[:, : LAYOUT.n_numeric].max()


def test_codes_are_drawn_with_the_probabilities_of_the_logits():
    condition, generator, _ = networks(TableLayout(0, (3,)))
    with torch.no_grad():
        generator.head.weight.zero_()
        generator.head.bias.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
        _, codes = generator.sample(
            generator.noise(50_000, torch_rng(0)), condition.one_hot(torch.zeros(50_000).long())
        )
    shares = codes.flatten().bincount() / 50_000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.01, rtol=0)


def test_noise_is_finite_even_where_a_uniform_draw_is_zero(monkeypatch):
    _, generator, _ = networks()
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(*shape))
    assert torch.isfinite(generator.noise(4, torch_rng(0))).all()


def test_without_a_condition_the_label_is_not_heard():
    condition, generator, critic = networks(name="wgan-gp")
    assert (condition.width, condition.n_codes) == (0, 1)
    assert condition.codes(torch.tensor([0, 1, 1])).tolist() == [0, 0, 0]
    noise = generator.noise(4, torch_rng(0))
    assert generator(noise, condition.one_hot(torch.zeros(4).long())).shape == (4, LAYOUT.width)
    assert critic.table.shape == (1, 0)


def test_with_a_label_it_is_heard_by_both():
    condition, generator, critic = networks()
    noise, one, two = generator.noise(4, torch_rng(0)), *(condition.one_hot(torch.full((4,), k)) for k in (0, 1))
    assert not torch.equal(generator(noise, one), generator(noise, two))
    x = torch.zeros(4, LAYOUT.width)
    assert not torch.equal(critic(x, one), critic(x, two))


def test_spectral_layers_have_a_largest_singular_value_of_one():
    layer = SpectralDense(6, 4, rng=torch_rng(0))
    with torch.no_grad():
        layer.weight.mul_(30)
        for _ in range(200):
            weight = layer.effective_weight()
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1.0, abs=1e-3)
        layer.eval()
        before = layer.u.clone()
        layer.effective_weight()
        assert torch.equal(before, layer.u)


def test_first_weights_follow_from_the_seed_and_leave_the_process_alone():
    state = torch.get_rng_state()
    one, two, three = (networks(seed=seed)[1].state_dict() for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["head.weight"], three["head.weight"])


def test_the_style_network_makes_images_alone():
    with pytest.raises(ConfigError, match="no style network for tables; it makes images"):
        networks(name="style")
