"""Networks: hand-written derivatives against autograd, no batch mates, no process-wide randomness."""

from __future__ import annotations

import pytest
import torch
from gan_kit import FOR_TABLES, LAYOUT, tiny
from torch.nn.functional import layer_norm, leaky_relu, linear

from synthgen.data.layout import TableLayout
from synthgen.errors import ConfigError
from synthgen.gan.base import Critic
from synthgen.gan.blocks import OneHotBlocks
from synthgen.gan.condition import condition_of
from synthgen.gan.kernels import CriticGradient, CriticScores, Trunk
from synthgen.gan.mlp import SpectralDense
from synthgen.gan.networks import build
from synthgen.seeding import torch_rng


def networks(layout=LAYOUT, *, seed=0, n_labels=2, **overrides):
    config = tiny(**overrides)
    condition = condition_of(config, n_labels=n_labels)
    return condition, *build(layout, condition, config, seed=seed)


def conditions(condition, n):
    return condition.one_hot(condition.codes(torch.arange(n) % 2))


def leaves(rng, *shapes):
    return [torch.randn(*shape, generator=rng, dtype=torch.float64).requires_grad_() for shape in shapes]


def critic_inputs(depth=3):
    rng = torch.Generator().manual_seed(1)
    x, table = leaves(rng, (6, 4), (2, 3))
    layers = leaves(rng, (5, 7), (5,), *[(5, 5), (5,)] * (depth - 1), (1, 5), (1,))
    return x, torch.eye(2, dtype=torch.float64)[torch.arange(6) % 2], table, layers


def plain_scores(x, condition, table, *layers):
    h = torch.cat([x, condition @ table], 1)
    for at in range(0, len(layers) - 2, 2):
        h = leaky_relu(linear(h, layers[at], layers[at + 1]), 0.2)
    return linear(h, layers[-2], layers[-1]).squeeze(1)


def same_gradients(mine, theirs, inputs):
    torch.testing.assert_close(mine, theirs)
    upstream = torch.randn(mine.shape, generator=torch.Generator().manual_seed(2), dtype=mine.dtype)
    of_mine = torch.autograd.grad(mine, inputs, upstream, allow_unused=True)
    of_theirs = torch.autograd.grad(theirs, inputs, upstream, allow_unused=True)
    for one, other, tensor in zip(of_mine, of_theirs, inputs, strict=True):
        zero = torch.zeros_like(tensor)
        torch.testing.assert_close(zero if one is None else one, zero if other is None else other)


def test_scores_have_the_gradients_of_autograd():
    x, condition, table, layers = critic_inputs()
    mine = CriticScores.apply(x, condition, table, *layers)
    same_gradients(mine, plain_scores(x, condition, table, *layers), [x, table, *layers])


def test_the_closed_form_gradient_is_that_of_double_backward():
    x, condition, table, layers = critic_inputs()
    (theirs,) = torch.autograd.grad(plain_scores(x, condition, table, *layers).sum(), x, create_graph=True)
    same_gradients(CriticGradient.apply(x, condition, table, *layers), theirs, [table, *layers])


def test_the_trunk_has_the_gradients_of_autograd():
    rng = torch.Generator().manual_seed(3)
    normal, table = leaves(rng, (6, 4), (2, 3))
    hidden = leaves(rng, (5, 7), (5,), (5,), (5,), (5, 12), (5,), (5,), (5,))
    layers = [*hidden, *leaves(rng, (9, 17), (9,))]
    condition = torch.eye(2, dtype=torch.float64)[torch.arange(6) % 2]
    h = torch.cat([normal, condition @ table], 1)
    for at in (0, 4):
        inside = layer_norm(linear(h, layers[at], layers[at + 1]), (5,), layers[at + 2], layers[at + 3])
        h = torch.cat([leaky_relu(inside, 0.2), h], 1)
    mine = Trunk.apply(normal, condition, table, *layers)
    same_gradients(mine, linear(h, layers[-2], layers[-1]), [normal, table, *layers])


@pytest.mark.parametrize("name", ["cwgan-gp", "wgan-gp"])
def test_a_built_critic_agrees_with_autograd_to_1e_6(name):
    condition, _, critic = networks(name=name, depth=3)
    x, told = torch.randn(32, LAYOUT.width, generator=torch.Generator().manual_seed(0)), conditions(condition, 32)

    class Plain(Critic):
        def forward(self, x, condition):
            return plain_scores(x, condition, critic.table, *critic._weights())

    mine, theirs = critic.input_gradient(x, told), Plain().input_gradient(x, told)
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)
    weights = [weight for weight in critic.parameters() if weight.numel() and weight.dim() > 1][1:]
    for one, other in zip(
        torch.autograd.grad((mine.norm(dim=1) - 1).square().mean(), weights, allow_unused=True),
        torch.autograd.grad((theirs.norm(dim=1) - 1).square().mean(), weights, allow_unused=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


SIZES = (3, 1, 5, 2, 2, 17, 4)


def test_the_fused_softmax_is_one_per_block():
    blocks, rng = OneHotBlocks(SIZES), torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(9, sum(SIZES), generator=rng)).requires_grad_()
    by_column = torch.cat([part.softmax(1) for part in logits.split(SIZES, 1)], 1)
    same_gradients(blocks.softmax(logits), by_column, [logits])


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
