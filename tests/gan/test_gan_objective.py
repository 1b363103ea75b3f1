"""Losses against their published formulas, and the gradient penalty on samples of any shape."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from synthgen.gan.base import Batch, Critic, gradient_penalties
from synthgen.gan.objective import OBJECTIVES

REAL = torch.tensor([0.3, -1.2, 4.0])
FAKE = torch.tensor([-0.7, 0.1, 2.0])


def test_gan_is_the_non_saturating_cross_entropy():
    objective = OBJECTIVES["gan"]
    both = cross_entropy(REAL, torch.ones(3)) + cross_entropy(FAKE, torch.zeros(3))
    torch.testing.assert_close(objective.critic_loss(REAL, FAKE), both)
    torch.testing.assert_close(objective.generator_loss(FAKE), cross_entropy(FAKE, torch.ones(3)))
    assert (objective.penalty, objective.clip, objective.gap) == (0.0, None, "score_gap")


@pytest.mark.parametrize("name", ["wgan", "wgan-gp"])
def test_wasserstein(name):
    objective = OBJECTIVES[name]
    torch.testing.assert_close(objective.critic_loss(REAL, FAKE), FAKE.mean() - REAL.mean())
    torch.testing.assert_close(objective.generator_loss(FAKE), -FAKE.mean())
    assert objective.gap == "earth_mover"


def test_how_the_critic_is_held():
    assert (OBJECTIVES["wgan"].clip, OBJECTIVES["wgan"].penalty) == (0.01, 0.0)
    assert (OBJECTIVES["wgan-gp"].clip, OBJECTIVES["wgan-gp"].penalty) == (None, 10.0)
    assert {name: row.critic_norm for name, row in OBJECTIVES.items() if row.penalty} == {"wgan-gp": "none"}
    assert OBJECTIVES["hinge"].critic_norm == "spectral"


def test_hinge():
    objective = OBJECTIVES["hinge"]
    by_hand = (0.7 + 2.2 + 0.0) / 3 + (0.3 + 1.1 + 3.0) / 3
    torch.testing.assert_close(objective.critic_loss(REAL, FAKE), torch.tensor(by_hand))
    torch.testing.assert_close(objective.generator_loss(FAKE), -FAKE.mean())


class Slope(Critic):
    """A score that is linear in x, so that its gradient is known; remembers where it was asked."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(1.0, 1.0 + torch.Size(shape).numel()).view(shape))
        self.asked = []

    def forward(self, x, condition):
        self.asked.append(x.detach())
        return (x * self.weight).flatten(1).sum(1)


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 3)])
def test_the_penalty_takes_any_trailing_shape(shape):
    critic = Slope(*shape)
    real, fake, blend = torch.zeros(4, *shape), torch.ones(4, *shape), torch.tensor([0.0, 0.25, 0.5, 1.0])
    penalties = gradient_penalties(critic, Batch(real, fake, torch.ones(4, 1), blend))
    torch.testing.assert_close(penalties, (critic.weight.detach().norm() - 1.0).square().expand(4))
    (asked,) = critic.asked
    for sample, weight in zip(asked, blend, strict=True):  # one weight a sample, not one an element
        torch.testing.assert_close(sample, torch.full(shape, float(weight)))


def test_the_penalty_trains_the_critic():
    critic = Slope(5)
    batch = Batch(torch.zeros(4, 5), torch.ones(4, 5), torch.ones(4, 1), torch.rand(4))
    gradient_penalties(critic, batch).mean().backward()
    norm = critic.weight.detach().norm()
    torch.testing.assert_close(critic.weight.grad, 2 * (norm - 1) * critic.weight.detach() / norm)


def test_the_penalty_does_not_reach_the_samples():
    critic = Slope(5)
    critic.forward = lambda x, condition: (critic.weight * x.square()).sum(1)  # a gradient that depends on x
    real, fake = torch.zeros(4, 5, requires_grad=True), torch.ones(4, 5, requires_grad=True)
    gradient_penalties(critic, Batch(real, fake, torch.ones(4, 1), torch.rand(4))).mean().backward()
    assert critic.weight.grad.abs().sum() > 0
    assert real.grad is None
    assert fake.grad is None
