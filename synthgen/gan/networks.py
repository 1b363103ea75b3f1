"""From a layout to networks: the one place that looks at the modality. Torch only."""

from __future__ import annotations

from synthgen.data.layout import Layout, TableLayout
from synthgen.errors import ConfigError
from synthgen.gan.base import Critic, Generator
from synthgen.gan.condition import Condition
from synthgen.gan.config import TrainConfig
from synthgen.gan.mlp import TableCritic, TableGenerator
from synthgen.gan.objective import OBJECTIVES
from synthgen.seeding import torch_rng


def build(layout: Layout, condition: Condition, config: TrainConfig, *, seed: int = 0) -> tuple[Generator, Critic]:
    """Return a new generator and critic on the CPU for data of this ``layout``; their weights follow from ``seed``.

    Raises ConfigError for a layout that has no network.
    """
    if not isinstance(layout, TableLayout):
        raise ConfigError(f"no network for a {type(layout).__name__} yet; only tables can be trained")
    norm = OBJECTIVES[config.objective].critic_norm
    generator = TableGenerator(layout, condition, config, rng=torch_rng(seed, "init", "generator"))
    critic = TableCritic(layout, condition, config, norm=norm, rng=torch_rng(seed, "init", "critic"))
    return generator, critic
