"""What the trainer asks of a network, whatever the modality. Torch only; knows no layout."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn


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

    def input_gradient(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return d score / d x (N, *shape), differentiable in the weights.

        By double backward here; a network whose gradient has a closed form overrides it.
        """
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self(x, condition).sum(), x, create_graph=True)
        return gradient
