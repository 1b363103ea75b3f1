"""The adversarial objectives as values: a row of a table each, from critic scores to losses. Torch only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

CriticNorm = Literal["none", "spectral"]


@dataclass(frozen=True)
class Term:
    """A loss of each score (N,), and its slope there (N,)."""

    loss: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Objective:
    """What critic and generator minimise, as means over the critic's scores (N,).

    The critic's are ``real`` and ``fake``, of real and synthetic samples, the generator's is ``made``, of its own.
    ``penalty`` weighs (|gradient| - 1)^2 at points between real and synthetic; ``clip`` bounds the critic's weights
    after each of its steps; ``critic_norm`` is how its layers are normalised. ``gap`` names the logged difference of
    the mean scores: "earth_mover" where the critic is held (near) 1-Lipschitz, so that it estimates that distance.
    """

    real: Term
    fake: Term
    made: Term
    penalty: float = 0.0
    clip: float | None = None
    critic_norm: CriticNorm = "none"
    gap: Literal["earth_mover", "score_gap"] = "earth_mover"

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the critic's loss, without the penalty."""
        return self.real.loss(real).mean() + self.fake.loss(fake).mean()

    def critic_slopes(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Return the derivatives (N,) of ``critic_loss`` in the scores."""
        return self.real.slope(real) / len(real), self.fake.slope(fake) / len(fake)

    def generator_loss(self, made: Tensor) -> Tensor:
        """Return the generator's loss."""
        return self.made.loss(made).mean()

    def generator_slopes(self, made: Tensor) -> Tensor:
        """Return the derivative (N,) of ``generator_loss`` in the scores."""
        return self.made.slope(made).div(len(made))


_LIFT: Final = Term(torch.neg, lambda score: torch.full_like(score, -1.0))
_LOWER: Final = Term(lambda score: score, torch.ones_like)
_REAL: Final = Term(lambda score: softplus(-score), lambda score: -torch.sigmoid(-score))
_FAKE: Final = Term(softplus, torch.sigmoid)
_ABOVE: Final = Term(lambda score: relu(1.0 - score), lambda score: -(score < 1.0).to(score.dtype))
_BELOW: Final = Term(lambda score: relu(1.0 + score), lambda score: (score > -1.0).to(score.dtype))

OBJECTIVES: Final[Mapping[str, Objective]] = {
    # Goodfellow et al. 2014, section 3: the generator maximises log D(G(z)).
    "gan": Objective(_REAL, _FAKE, _REAL, gap="score_gap"),
    # Arjovsky et al. 2017, algorithm 1.
    "wgan": Objective(_LIFT, _LOWER, _LIFT, clip=0.01),
    # Gulrajani et al. 2017, equation 3.
    "wgan-gp": Objective(_LIFT, _LOWER, _LIFT, penalty=10.0),
    # Lim & Ye 2017, with the spectral normalisation of Miyato et al. 2018.
    "hinge": Objective(_ABOVE, _BELOW, _LIFT, critic_norm="spectral", gap="score_gap"),
}
