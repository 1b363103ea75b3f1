"""Everything that a training run carries from step to step, and how it is kept and put back. Torch only."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synthgen.gan.base import Critic, Generator
from synthgen.gan.config import TrainConfig
from synthgen.gan.optimise import OPTIMISERS, Optimiser, lay_out

History = list[dict[str, float]]


@dataclass(frozen=True)
class Snapshot:
    """A state's tensors, copied, and its counters."""

    tensors: dict[str, Tensor]
    step: int
    halvings: int
    history: History


class TrainState:
    """Networks, averaged generator, both optimisers and the counters: all that a step reads and writes.

    With the seeds of the steps derived from their numbers, restoring these restores the run to the bit.
    """

    def __init__(self, generator: Generator, critic: Critic, config: TrainConfig) -> None:
        self.generator = generator
        self.critic = critic
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        self._flat = {part: lay_out(module) for part, module in self._modules().items()}
        kept = generator.state_dict().keys() - dict(generator.named_parameters()).keys()
        self._buffers = [(self.average.get_buffer(name), generator.get_buffer(name)) for name in sorted(kept)]
        self.generator_optimiser = OPTIMISERS[config.optimiser](self._flat["generator"], config)
        self.critic_optimiser = OPTIMISERS[config.optimiser](self._flat["critic"], config)
        self._ema = config.ema
        self._pace = config.pace
        self.step = 0
        self.halvings = 0
        self.history: History = []

    def set_rate(self, rate: float) -> None:
        """Give both optimisers their learning rates of the coming step; ``rate`` is the generator's."""
        self.generator_optimiser.rate = rate
        self.critic_optimiser.rate = rate * self._pace

    def clip_critic(self, bound: float) -> None:
        """Bring the critic's weights into [-bound, bound]."""
        self._flat["critic"].clamp_(-bound, bound)

    def update_average(self) -> None:
        """Move the averaged generator towards the present one; early steps weigh more, so a short run is averaged."""
        decay = min(self._ema, (1 + self.step) / (4 + self.step))
        self._flat["average"].lerp_(self._flat["generator"], 1.0 - decay)
        for average, present in self._buffers:
            average.copy_(present)

    def is_finite(self) -> Tensor:
        """Return a 0-d bool on the device: are all weights finite."""
        return torch.isfinite(torch.cat(list(self._flat.values()))).all()

    def snapshot(self) -> Snapshot:
        """Return a copy of the state, on its device."""
        tensors = {name: tensor.detach().clone() for name, tensor in self._tensors()}
        return Snapshot(tensors, self.step, self.halvings, copy.deepcopy(self.history))

    def restore(self, snapshot: Snapshot) -> None:
        """Put a snapshot back; it stays usable."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in snapshot.tensors.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = tensor
        for part, module in self._modules().items():
            module.load_state_dict(parts[part])
        for part, optimiser in self._optimisers().items():
            optimiser.restore(parts[part])
        self.step, self.halvings = snapshot.step, snapshot.halvings
        self.history = copy.deepcopy(snapshot.history)

    def _modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "critic": self.critic, "average": self.average}

    def _optimisers(self) -> dict[str, Optimiser]:
        return {"generator_optimiser": self.generator_optimiser, "critic_optimiser": self.critic_optimiser}

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for part, module in self._modules().items():
            for name, tensor in module.state_dict().items():
                yield f"{part}/{name}", tensor
        for part, optimiser in self._optimisers().items():
            for name, tensor in optimiser.tensors().items():
                yield f"{part}/{name}", tensor
