"""From a layout to networks: the one place that looks at the modality. Torch only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from synthgen.data.layout import ImageLayout, Layout
from synthgen.errors import ConfigError
from synthgen.gan.base import Critic, Generator
from synthgen.gan.condition import Condition
from synthgen.gan.config import NetworkName, TrainConfig
from synthgen.gan.conv import ConvCritic, ConvGenerator
from synthgen.gan.mlp import TableCritic, TableGenerator
from synthgen.gan.objective import OBJECTIVES
from synthgen.gan.style import StyleGenerator
from synthgen.seeding import torch_rng

_IMAGE_GENERATORS: Final[Mapping[NetworkName, type[ConvGenerator | StyleGenerator]]] = {
    "plain": ConvGenerator,
    "style": StyleGenerator,
}


def build(layout: Layout, condition: Condition, config: TrainConfig, *, seed: int = 0) -> tuple[Generator, Critic]:
    """Return a new generator and critic on the CPU for data of this ``layout``; their weights follow from ``seed``.

    Raises ConfigError for a layout that has no network.
    """
    norm = OBJECTIVES[config.objective].critic_norm
    of_generator, of_critic = torch_rng(seed, "init", "generator"), torch_rng(seed, "init", "critic")
    if isinstance(layout, ImageLayout):
        if condition.shown and config.network == "style":
            raise ConfigError("the style network starts from no real image; leave anchored at 0")
        generator = _IMAGE_GENERATORS[config.network](layout, condition, config, rng=of_generator)
        return generator, ConvCritic(layout, condition, config, norm=norm, rng=of_critic)
    if config.network != "plain":
        raise ConfigError(f"no {config.network} network for tables; it makes images")
    critic = TableCritic(layout, condition, config, norm=norm, rng=of_critic)
    return TableGenerator(layout, condition, config, rng=of_generator), critic
