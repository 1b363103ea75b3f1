"""A small style-based generator of images (Karras et al. 2020, StyleGAN2). Torch only.

A mapping network turns noise and class into a style; each layer's convolution is modulated by it and demodulated, and
gets noise of its own. Modulation scales inputs and outputs, which is the same as scaling weights, without a weight per
sample.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from synthgen.data.layout import ImageLayout
from synthgen.gan.condition import Condition
from synthgen.gan.config import TrainConfig
from synthgen.gan.conv import LAID_OUT, ImageGenerator, Weight, class_table, cut, first_side, half, widths_of
from synthgen.gan.mlp import Dense
from synthgen.seeding import torch_rng

_SLOPE: Final = 0.2
_TINY: Final = 1e-8
_QUIET: Final = 0.6  # of the class beside the noise: a louder one leaves samples of a class alike
_DRAWS: Final = 256  # styles whose mean truncation moves towards


class StyledLayer(nn.Module):
    """A transposed convolution: modulated by a style (N, W), demodulated (equation 3), with noise added."""

    def __init__(self, n_in: int, n_out: int, *, doubles: bool, style: int, rng: torch.Generator) -> None:
        super().__init__()
        side, self.stride = (4, 2) if doubles else (3, 1)
        self.weight = Weight(n_in, n_out, side, side, fan_in=n_in * (side // self.stride) ** 2, rng=rng)
        self.style = Dense(style, n_in, rng=rng)
        with torch.no_grad():
            self.style.weight.mul_(math.sqrt(3.0))  # styles of unit spread around one
        nn.init.ones_(self.style.bias)
        self.loudness = nn.Parameter(torch.full((n_out,), 0.1))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, h: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Return (N, n_out, H, W) from ``h`` (N, n_in, ...) and ``noise`` (N, 1, H, W)."""
        weight = self.weight.effective()
        scale = torch.addmm(self.style.bias, style, self.style.weight.t()).float()
        power = scale.square() @ weight.square().sum((2, 3)) / self.stride**2
        demodulation = 2.0**0.5 * torch.rsqrt(power + _TINY)
        h = conv_transpose2d(h * scale[:, :, None, None], weight, stride=self.stride, padding=1)
        h = h * demodulation[:, :, None, None]
        return leaky_relu(h + self.bias[:, None, None] + noise * self.loudness[:, None, None], _SLOPE)


class StyleGenerator(ImageGenerator):
    """Noise and class to an image by way of a style; ``config.truncation`` draws styles towards their class's mean.

    A sample's noise is ``config.noise`` normals for the mapping, then a normal for each pixel of each layer.
    """

    def __init__(self, layout: ImageLayout, condition: Condition, config: TrainConfig, *, rng: torch.Generator) -> None:
        super().__init__()
        self.size, self.n_noise, self.truncation = layout.size, config.noise, config.truncation
        self.side, doublings = first_side(layout.size)
        self.sides = [self.side * 2**at for at in range(doublings + 1)]
        widths = widths_of(config, doublings)
        self.table = class_table(condition, rng)
        with torch.no_grad():
            self.table.mul_(_QUIET)
        inputs = (config.noise + condition.width, config.noise)
        self._mapping = tuple(Dense(n_in, config.noise, rng=rng) for n_in in inputs)
        self.mapping = nn.ModuleList(self._mapping)
        self.start = nn.Parameter(torch.empty(widths[0], self.side, self.side).normal_(generator=rng))
        shapes = [(widths[0], widths[0], False), *((a, b, True) for a, b in pairwise(widths))]
        self.layers = nn.ModuleList(StyledLayer(a, b, doubles=d, style=config.noise, rng=rng) for a, b, d in shapes)
        self.paint = Weight(layout.channels, widths[-1], 1, 1, fan_in=2 * widths[-1], rng=rng)
        self.tint = nn.Parameter(torch.zeros(layout.channels))

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw normals (n, noise + pixels of all layers)."""
        return torch.randn(n, self.n_noise + sum(side**2 for side in self.sides), generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Return images (N, C, S, S) in [-1, 1]."""
        return self._drawn(self._style(noise[:, : self.n_noise], condition), noise)

    def sample(self, noise: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels (N, C, S, S), truncated (Karras et al. 2019, appendix B), and no codes (N, 0)."""
        if self.truncation == 1.0:
            return super().sample(noise, condition)
        style, mean = self._style(noise[:, : self.n_noise], condition), condition @ self._means()
        pixels = self._drawn(torch.lerp(mean, style, self.truncation), noise).contiguous()
        return pixels, torch.empty(len(noise), 0, dtype=torch.int64, device=noise.device)

    def _style(self, noise: Tensor, condition: Tensor) -> Tensor:
        h = noise * torch.rsqrt(noise.square().mean(1, keepdim=True) + _TINY)
        h = torch.cat([h, condition @ self.table], 1)
        for dense in self._mapping:
            h = math.sqrt(2.0) * leaky_relu(torch.addmm(dense.bias, h, dense.weight.t()), _SLOPE)
        return h

    def _means(self) -> Tensor:
        """The mean style (K, W) of each class, over the same draws for all."""
        codes = torch.eye(len(self.table), device=self.table.device)
        rng = torch_rng(0, "truncation", device=self.table.device.type)
        noise = torch.randn(_DRAWS, self.n_noise, generator=rng, device=self.table.device)
        return torch.stack([self._style(noise, code.expand(_DRAWS, -1)).mean(0) for code in codes])

    def _drawn(self, style: Tensor, noise: Tensor) -> Tensor:
        """Return the images of styles (N, W)."""
        grains = torch.split(noise[:, self.n_noise :], [side**2 for side in self.sides], dim=1)
        with half(self, noise):
            h = self.start.expand(len(noise), -1, -1, -1).contiguous(memory_format=LAID_OUT)
            for layer, grain, side in zip(self.layers, grains, self.sides, strict=True):
                h = layer(h, style, grain.view(-1, 1, side, side))
            h = conv2d(h, self.paint.effective(), self.tint)
        return cut(h.float().tanh(), self.size)
