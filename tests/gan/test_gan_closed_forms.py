"""Every gradient that is written out by hand, against plain autograd: in float64, for every model of tables."""

from __future__ import annotations

import pytest
import torch
from gan_kit import FOR_TABLES, LAYOUT, tiny
from torch.nn.functional import layer_norm, leaky_relu, linear

from synthgen.data.layout import TableLayout
from synthgen.gan.base import Batch, Critic, Generator
from synthgen.gan.blocks import OneHotBlocks
from synthgen.gan.condition import condition_of
from synthgen.gan.networks import build
from synthgen.gan.objective import OBJECTIVES
from synthgen.seeding import torch_rng

MODELS = [*FOR_TABLES, "hinge"]
LAYOUTS = [LAYOUT, TableLayout(3, ()), TableLayout(0, (4, 2))]
TIGHT = {"atol": 1e-6, "rtol": 1e-6}
N = 24


class Case:
    """Networks in float64 with every weight drawn anew, so that none is zero, and a batch for them."""

    def __init__(self, name, layout, *, anchored, depth=2):
        settings = {"objective": "hinge"} if name == "hinge" else {"name": name}
        config = tiny(depth=depth, **settings)
        shown = 1 + 2 * layout.width if anchored else 0
        self.objective = OBJECTIVES[config.objective]
        told = condition_of(config, n_labels=3, shown=shown)
        rng = torch.Generator().manual_seed(5)
        self.generator, self.critic = (part.double().eval() for part in build(layout, told, config, seed=1))
        for weight in [*self.generator.parameters(), *self.critic.parameters()]:
            weight.data = torch.randn(weight.shape, generator=rng, dtype=torch.float64) / 2
        real, fake = torch.randn(2, N, layout.width, generator=rng, dtype=torch.float64)
        beside = torch.randn(N, shown, generator=rng, dtype=torch.float64)
        beside[:, :1] = (torch.arange(N) % 2)[:, None]
        codes = told.codes(torch.arange(N) % 3)
        self.condition = torch.cat([told.one_hot(codes).double(), beside * beside[:, :1]], 1)
        self.batch = Batch(real, fake, self.condition, torch.rand(N, generator=rng, dtype=torch.float64))
        self.noise = self.generator.noise(N, rng).double()
        self.rng = torch_rng(0)


@pytest.fixture(
    params=[(name, layout, anchored) for name in MODELS for layout in LAYOUTS for anchored in (False, True)]
)
def case(request):
    name, layout, anchored = request.param
    return Case(name, layout, anchored=anchored)


def same(mine, theirs, weights):
    assert len(mine) == len(theirs) == len(weights)
    for one, other, weight in zip(mine, theirs, weights, strict=True):
        assert one.shape == other.shape == weight.shape
        torch.testing.assert_close(one, other, **TIGHT)


def test_what_a_critic_learns_is_what_autograd_finds(case):
    mine, theirs = (which.lesson(case.critic, case.objective, case.batch) for which in (type(case.critic), Critic))
    torch.testing.assert_close(mine[:3], theirs[:3], **TIGHT)
    same(mine.gradients, theirs.gradients, list(case.critic.parameters()))


def test_a_verdict_is_what_autograd_finds(case):
    asked = (case.objective, case.batch.fake, case.condition, case.rng)
    mine, theirs = (which.verdict(case.critic, *asked) for which in (type(case.critic), Critic))
    torch.testing.assert_close(mine, theirs, **TIGHT)


def test_a_generator_is_led_back_as_by_autograd(case):
    (made, back), (other, other_back) = (
        which.traced(case.generator, case.noise, case.condition, last=N // 3)
        for which in (type(case.generator), Generator)
    )
    torch.testing.assert_close(made, other, **TIGHT)
    assert not made.requires_grad
    into = torch.randn(N // 3, made.shape[1], generator=torch.Generator().manual_seed(2), dtype=made.dtype)
    same(back(into.clone()), other_back(into), list(case.generator.parameters()))


@pytest.mark.parametrize("depth", [1, 3])
def test_any_depth_has_the_same_closed_forms(depth):
    case = Case("cwgan-gp", LAYOUT, anchored=True, depth=depth)
    test_what_a_critic_learns_is_what_autograd_finds(case)
    test_a_verdict_is_what_autograd_finds(case)
    test_a_generator_is_led_back_as_by_autograd(case)


def test_a_critic_without_a_slope_anywhere_has_finite_gradients():
    case = Case("cwgan-gp", LAYOUT, anchored=False)
    for weight in case.critic.parameters():
        weight.data.zero_()
    *_, penalties, gradients = case.critic.lesson(case.objective, case.batch)
    assert torch.equal(penalties, torch.ones_like(penalties))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("scale", [1e-24, 1e-26, 1e-28, 1e-30])
def test_a_slope_whose_square_vanishes_does_not_lead_far(scale):
    """Red when the norm of a gradient is 0 and what it is divided by is smaller than the gradient."""
    case = Case("cwgan-gp", LAYOUT, anchored=False)
    case.critic.layers[-1].weight.data.mul_(scale)
    case.critic.float()
    batch = Batch(*(part.float() for part in case.batch))
    mine, theirs = (which.lesson(case.critic, case.objective, batch) for which in (type(case.critic), Critic))
    for one, other in zip(mine.gradients, theirs.gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_a_gentle_slope_has_the_penalty_of_any_other():
    """Red when a slope of 1e-4 is taken for none."""
    case = Case("cwgan-gp", LAYOUT, anchored=False)
    case.critic.layers[-1].weight.data.mul_(1e-4)
    test_what_a_critic_learns_is_what_autograd_finds(case)


def plain_scores(critic, x, condition):
    """A critic as its paper would have it, layer by layer."""
    codes, shown = condition[:, : critic.n_codes], condition[:, critic.n_codes :][:, : critic.n_shown]
    h = torch.cat([x - shown[:, 1:] if critic.n_shown else x, shown, codes @ critic.table], 1)
    *hidden, head = critic.layers
    for layer in hidden:
        h = leaky_relu(linear(h, layer.effective_weight(), layer.bias), 0.2)
    return linear(h, head.effective_weight(), head.bias).squeeze(1)


def test_scores_and_their_penalty_are_those_of_a_plain_network(case):
    class Plain(Critic):
        def forward(self, x, condition):
            return plain_scores(case.critic, x, condition)

        def parameters(self, recurse=True):
            return case.critic.parameters(recurse)

    torch.testing.assert_close(case.critic(case.batch.real, case.condition), Plain()(case.batch.real, case.condition))
    mine, theirs = case.critic.lesson(case.objective, case.batch), Plain().lesson(case.objective, case.batch)
    same(mine.gradients, theirs.gradients, list(case.critic.parameters()))


def test_rows_are_those_of_a_plain_network(case):
    network, noise = case.generator, case.noise
    codes, shown = case.condition[:, : network.n_codes], case.condition[:, network.n_codes :]
    look = [linear(shown, network.look.weight, network.look.bias)] if network.look else []
    h = torch.cat([noise[:, : network.n_normal], *look, codes @ network.table], 1)
    for dense, norm in network.hidden:
        inside = linear(h, dense.weight, dense.bias)
        h = torch.cat([leaky_relu(layer_norm(inside, (len(dense.bias),), norm.weight, norm.bias), 0.2), h], 1)
    out = linear(h, network.head.weight, network.head.bias)
    if network.look:
        flag, anchor, move = shown.split([1, out.shape[1], out.shape[1]], 1)
        out = out * (1 - 0.9 * flag) + network.start * (anchor + move)
        out[:, : network.n_numeric] += noise[:, : network.n_numeric] * (1 - flag)
    numeric, logits = out[:, : network.n_numeric], out[:, network.n_numeric :] + noise[:, network.n_normal :]
    sizes = sizes_of(network.blocks)
    blocks = [part.div(network.temperature).softmax(1) for part in logits.split(sizes, 1)] if sizes else []
    torch.testing.assert_close(network(noise, case.condition), torch.cat([numeric, *blocks], 1), **TIGHT)


def sizes_of(blocks: OneHotBlocks) -> list[int]:
    return blocks.member.sum(0).long().tolist() if blocks.width else []


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_slopes_of_a_loss_are_its_derivatives(name):
    objective = OBJECTIVES[name]
    scores = torch.randn(2, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul_(2)
    both = scores.flatten().requires_grad_(True)
    (of_critic,) = torch.autograd.grad(objective.critic_loss(*both.split(50)), both)
    torch.testing.assert_close(torch.cat(objective.critic_slopes(*scores)), of_critic)
    (of_generator,) = torch.autograd.grad(objective.generator_loss(both), both)
    torch.testing.assert_close(objective.generator_slopes(both.detach()), of_generator)
