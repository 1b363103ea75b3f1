"""What the trainer asks of a network, whatever the modality. Torch only; knows no layout."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from synthgen.gan.objective import Objective

Backward = Callable[[Tensor], Sequence[Tensor]]


class Batch(NamedTuple):
    """Real and synthetic samples (N, *shape) of the same conditions (N, K), and weights (N,) to blend them."""

    real: Tensor
    fake: Tensor
    condition: Tensor
    blend: Tensor


class Lesson(NamedTuple):
    """What a batch teaches a critic: the scores (N,) it gave, the penalty (N,) of each point between a real and a
    synthetic sample, and the gradient of its whole loss in each weight.
    """

    on_real: Tensor
    on_fake: Tensor
    penalties: Tensor
    gradients: Sequence[Tensor]


class Generator(nn.Module):
    """Noise and a one-hot condition to samples. Its own randomness comes in: the same noise gives the same sample.

    ``block`` samples share a seed and are computed together: part of the format, since it decides what a seed gives.
    """

    block: int = 4_096

    @abstractmethod
    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw the noise (n, *) of ``n`` samples on the device of ``rng``: a row per sample, of any kind inside."""

    @abstractmethod
    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Return samples (N, *shape), differentiable, from ``noise`` (N, *) and the one-hot ``condition`` (N, K)."""

    def traced(self, noise: Tensor, condition: Tensor, *, last: int) -> tuple[Tensor, Backward]:
        """Return samples, and what turns a loss's gradient in the ``last`` of them into its gradient in each weight.

        By autograd here; a network whose gradients have a closed form overrides it.
        """
        with torch.no_grad():
            before = self(noise[:-last], condition[:-last])
        made = self(noise[-last:], condition[-last:])
        weights = list(self.parameters())
        return torch.cat([before, made.detach()]), lambda into: torch.autograd.grad(made, weights, into)

    @abstractmethod
    def sample(self, noise: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return finished samples: numbers (N, *) float32 and category codes (N, Q) int64, Q = 0 without any."""


class Critic(nn.Module):
    """Samples and a one-hot condition to one score each."""

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return the scores (N,) of samples ``x`` (N, *shape); a score never depends on the other samples."""

    def augment(self, x: Tensor, rng: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return samples ``x`` as training shows them to the critic; here as they are, without a draw."""
        return x

    def lesson(self, objective: Objective, batch: Batch) -> Lesson:
        """Return what ``batch`` teaches, the real and the synthetic half never mixed in one call.

        By autograd here; a network whose gradients have a closed form overrides it.
        """
        on_real, on_fake = self(batch.real, batch.condition), self(batch.fake, batch.condition)
        loss, penalties = objective.critic_loss(on_real, on_fake), torch.zeros_like(on_real)
        if objective.penalty:
            penalties = gradient_penalties(self, batch)
            loss = loss + objective.penalty * penalties.mean()
        gradients = torch.autograd.grad(loss, list(self.parameters()))
        return Lesson(on_real.detach(), on_fake.detach(), penalties.detach(), gradients)

    def verdict(
        self, objective: Objective, made: Tensor, condition: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the generator's loss (0-d) on samples ``made``, shown as in training, and its gradient in them."""
        made = made.detach().requires_grad_(True)
        self.requires_grad_(False)  # else convolutions work out gradients in their weights too
        loss = objective.generator_loss(self(self.augment(made, rng), condition))
        self.requires_grad_(True)
        return loss.detach(), torch.autograd.grad(loss, made)[0]

    def input_gradient(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return d score / d x (N, *shape), differentiable in the weights.

        By double backward here; a network whose gradient has a closed form overrides it.
        """
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self(x, condition).sum(), x, create_graph=True)
        return gradient


def gradient_penalties(critic: Critic, batch: Batch) -> Tensor:
    """Return (|d critic / d x| - 1)^2 (N,) at x = real + blend (fake - real): Gulrajani et al. 2017."""
    weight = batch.blend.view(-1, *(1,) * (batch.real.dim() - 1))
    gradient = critic.input_gradient(torch.lerp(batch.real, batch.fake, weight), batch.condition)
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norms - 1.0).square()
