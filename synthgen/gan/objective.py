"""The adversarial objectives as values: a row of a table each, from critic scores to losses. Torch only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from synthgen.gan.base import Critic

CriticNorm = Literal["none", "spectral"]


@dataclass(frozen=True)
class Objective:
    """What critic and generator minimise, given the critic's scores (N,) of real and synthetic batches.

    ``penalty`` weighs (|gradient| - 1)^2 at points between real and synthetic; ``clip`` bounds the critic's weights
    after each of its steps; ``critic_norm`` is how its layers are normalised. ``gap`` names the logged difference of
    the mean scores: "earth_mover" where the critic is held (near) 1-Lipschitz, so that it estimates that distance.
    """

    critic_loss: Callable[[Tensor, Tensor], Tensor]
    generator_loss: Callable[[Tensor], Tensor]
    penalty: float = 0.0
    clip: float | None = None
    critic_norm: CriticNorm = "none"
    gap: Literal["earth_mover", "score_gap"] = "earth_mover"


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def _non_saturating(fake: Tensor) -> Tensor:
    return softplus(-fake).mean()


def _wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return relu(1.0 - real).mean() + relu(1.0 + fake).mean()


def _lift(fake: Tensor) -> Tensor:
    return -fake.mean()


OBJECTIVES: Final[Mapping[str, Objective]] = {
    # Goodfellow et al. 2014, section 3: the generator maximises log D(G(z)).
    "gan": Objective(_cross_entropy, _non_saturating, gap="score_gap"),
    # Arjovsky et al. 2017, algorithm 1.
    "wgan": Objective(_wasserstein, _lift, clip=0.01),
    # Gulrajani et al. 2017, equation 3.
    "wgan-gp": Objective(_wasserstein, _lift, penalty=10.0),
    # Lim & Ye 2017, with the spectral normalisation of Miyato et al. 2018.
    "hinge": Objective(_hinge, _lift, critic_norm="spectral", gap="score_gap"),
}


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, condition: Tensor, *, blend: Tensor) -> Tensor:
    """Return the mean of (|d critic / d x| - 1)^2 at x = real + blend (fake - real): Gulrajani et al. 2017.

    ``real`` and ``fake`` are (N, *shape) under the same ``condition`` (N, K); ``blend`` (N,) is one weight a sample.
    """
    weight = blend.view(-1, *(1,) * (real.dim() - 1))
    gradient = critic.input_gradient(torch.lerp(real, fake, weight), condition)
    norm: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norm - 1.0).square().mean()
