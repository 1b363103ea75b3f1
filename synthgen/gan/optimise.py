"""A network's weights laid end to end in one array, and the optimisers that move it. Torch only.

A step is a few operators whatever the number of layers. torch.optim gives the same weights; its first use imports a
compiler, which takes a second and tens of megabytes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from synthgen.gan.config import TrainConfig

_TINY: Final = 1e-8
_MEMORY: Final = 0.99  # of RMSprop, as Arjovsky et al. 2017 ran it


def lay_out(network: nn.Module) -> Tensor:
    """Return the weights of ``network`` end to end (W,), of which its parameters are views from now on."""
    weights = list(network.parameters())
    flat = end_to_end([weight.detach() for weight in weights])
    for weight, part in zip(weights, torch.split(flat, [weight.numel() for weight in weights]), strict=True):
        weight.data = part.view_as(weight)
    return flat


def end_to_end(tensors: Sequence[Tensor]) -> Tensor:
    """Return the numbers of ``tensors`` (W,), each row by row however it lies in memory."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


class Optimiser(ABC):
    """Moves ``weights`` (W,) along gradients at its ``rate``; ``moments`` names what it remembers of them."""

    moments: tuple[str, ...]

    def __init__(self, weights: Tensor, config: TrainConfig) -> None:
        self.rate = config.rate
        self._weights = weights
        self._moments = {name: torch.zeros_like(weights) for name in self.moments}
        self._betas = config.betas
        self._count = 0

    @abstractmethod
    def _move(self, gradient: Tensor) -> None:
        """Update the moments and the weights."""

    def step(self, gradient: Tensor) -> None:
        """Take one step against ``gradient`` (W,)."""
        self._count += 1
        self._move(gradient)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that ``restore`` needs."""
        return {**self._moments, "count": torch.tensor(self._count)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to what ``tensors`` returned."""
        for name, moment in self._moments.items():
            moment.copy_(tensors[name])
        self._count = int(tensors["count"])


class Adam(Optimiser):
    """Kingma & Ba 2015, algorithm 1."""

    moments = ("mean", "square")

    def _move(self, gradient: Tensor) -> None:
        first, second = self._betas
        mean, square = self._moments["mean"], self._moments["square"]
        mean.lerp_(gradient, 1.0 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
        scale = math.sqrt(1.0 - second**self._count)
        step = -self.rate * scale / (1.0 - first**self._count)
        self._weights.addcdiv_(mean, square.sqrt().add_(_TINY * scale), value=step)


class RMSprop(Optimiser):
    """Tieleman & Hinton 2012."""

    moments = ("square",)

    def _move(self, gradient: Tensor) -> None:
        square = self._moments["square"]
        square.mul_(_MEMORY).addcmul_(gradient, gradient, value=1.0 - _MEMORY)
        self._weights.addcdiv_(gradient, square.sqrt().add_(_TINY), value=-self.rate)


OPTIMISERS: Final[Mapping[str, type[Optimiser]]] = {"adam": Adam, "rmsprop": RMSprop}
