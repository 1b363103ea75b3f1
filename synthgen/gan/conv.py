"""Networks for images: a transposed-convolution generator and a projection critic, any channels and sides. Torch only.

Nothing here is normalised over a batch. Where the processor has bfloat16, training computes in it; samples never do.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, relu

from synthgen.data.layout import ImageLayout
from synthgen.errors import ConfigError
from synthgen.gan.augment import Augmentation
from synthgen.gan.base import Critic, Generator
from synthgen.gan.condition import Condition
from synthgen.gan.config import TrainConfig
from synthgen.gan.mlp import Dense, spectral, spectral_start
from synthgen.gan.objective import CriticNorm

LEAST: Final = 8  # pixels a side
BLOCK: Final = 64  # samples that share a seed, and are always computed together
LAID_OUT: Final = torch.channels_last  # oneDNN's own order: each convolution would turn pixels and back
_FIRST: Final = 7  # the longest side that a generator starts from
_LAST: Final = 3  # the longest side that a critic sums over
_HEARD_FROM: Final = 14  # the side from which norms hear the class: how the layers below it draw is shared
_WIDEST: Final = 4  # channels at the smallest sides, in widths
_SLOPE: Final = 0.2
_EPS: Final = 1e-5
_slope_backward: Callable[[Tensor, Tensor, float, bool], Tensor] = torch.ops.aten.leaky_relu_backward


class Weight(nn.Module):
    """A weight of the given shape, drawn from ``rng`` for ``fan_in`` numbers that feed each output."""

    def __init__(self, *shape: int, fan_in: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape).normal_(std=math.sqrt(2.0 / fan_in), generator=rng))

    def effective(self) -> Tensor:
        """Return the weight as it is used."""
        return self.weight


class SpectralWeight(Weight):
    """A weight that, as a matrix (n_out, the rest), has a largest singular value of one (Miyato et al. 2018)."""

    u: Tensor

    def __init__(self, *shape: int, fan_in: int, rng: torch.Generator) -> None:
        super().__init__(*shape, fan_in=fan_in, rng=rng)
        self.register_buffer("u", spectral_start(shape[0], rng))

    def effective(self) -> Tensor:
        """Return weight / sigma; in train mode the estimate of sigma takes one step, in eval mode it stays."""
        return spectral(self.weight, self.u, update=self.training)


_WEIGHTS: Final[Mapping[CriticNorm, type[Weight]]] = {"none": Weight, "spectral": SpectralWeight}


class ClassNorm(nn.Module):
    """Group normalisation whose gain and shift follow the class as far as it is heard (de Vries et al. 2017)."""

    def __init__(self, channels: int, heard: int, *, rng: torch.Generator) -> None:
        super().__init__()
        self.groups = math.gcd(channels, 8)
        self.heard = heard
        std = _SLOPE / math.sqrt(max(heard, 1))
        self.weight = nn.Parameter(torch.empty(heard, 2 * channels).normal_(std=std, generator=rng))
        self.bias = nn.Parameter(torch.zeros(2 * channels))

    def forward(self, h: Tensor, told: Tensor) -> Tensor:
        """Return ``h`` (N, C, H, W) normalised, under what the networks are told of the class (N, E)."""
        n, c = h.shape[:2]
        moments = torch.stack([h.mean((2, 3)), h.square().mean((2, 3))]).float()
        mean, square = moments.view(2, n, self.groups, -1).mean(3, keepdim=True)
        spread = torch.rsqrt((square - mean.square()).clamp(min=0.0) + _EPS)
        gain, shift = torch.addmm(self.bias, told[:, : self.heard], self.weight).float().chunk(2, 1)
        gain = (1.0 + gain) * spread.expand(-1, -1, c // self.groups).reshape(n, c)
        shift = shift - gain * mean.expand(-1, -1, c // self.groups).reshape(n, c)
        return torch.addcmul(shift.to(h.dtype)[:, :, None, None], h, gain.to(h.dtype)[:, :, None, None])


def first_side(size: int) -> tuple[int, int]:
    """Return the side that a generator of ``size`` pixels starts from, 4 to 7, and how often it doubles.

    Raises ConfigError below 8 pixels.
    """
    if size < LEAST:
        raise ConfigError(f"images of {size} pixels a side are too small for a network; give them {LEAST} or more")
    doublings = max(0, math.ceil(math.log2(size / _FIRST)))
    return -(-size // 2**doublings), doublings


def widths_of(config: TrainConfig, doublings: int) -> list[int]:
    """Return a generator's channels at each of its sides, the smallest side first."""
    return [config.width * min(2**at, _WIDEST) for at in range(doublings, -1, -1)]


def class_table(condition: Condition, rng: torch.Generator) -> nn.Parameter:
    """Return first embeddings (K, E) of the classes."""
    return nn.Parameter(torch.empty(condition.n_codes, condition.width).normal_(generator=rng))


def cut(images: Tensor, size: int) -> Tensor:
    """Return the middle ``size`` x ``size`` of ``images`` (N, C, H, H)."""
    edge = (images.shape[2] - size) // 2
    return images[:, :, edge : edge + size, edge : edge + size]


@cache
def _has_bfloat16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    told: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch does not tell
    return bool(told.get("avx512_bf16"))


def half(network: nn.Module, x: Tensor) -> contextlib.AbstractContextManager[None]:
    """Compute in bfloat16 inside, where ``network`` is in train mode and the device of ``x`` has it."""
    fast = network.training and _has_bfloat16(x.device.type)
    context: contextlib.AbstractContextManager[None] = torch.autocast(x.device.type, torch.bfloat16, enabled=fast)
    return context


def descent(channels: int, layout: ImageLayout, config: TrainConfig) -> tuple[list[int], int]:
    """Return the channels of each side down to 3 pixels or fewer, the first ``channels``, and the last side."""
    widths, side = [channels], layout.size
    while side > _LAST:
        widths.append(config.width * min(2 ** (len(widths) - 1), _WIDEST))
        side //= 2
    return widths, side


class Look(nn.Module):
    """What a generator sees of the image that it starts from: (N, noise) of a flag and an image."""

    def __init__(self, layout: ImageLayout, config: TrainConfig, *, rng: torch.Generator) -> None:
        super().__init__()
        self.shape = (layout.channels, layout.size, layout.size)
        widths, side = descent(layout.channels, layout, config)
        self._downs = tuple(Weight(b, a, 4, 4, fan_in=16 * a, rng=rng) for a, b in pairwise(widths))
        self.downs = nn.ModuleList(self._downs)
        self.biases = nn.ParameterList(torch.zeros(width) for width in widths[1:])
        self.out = Dense(1 + widths[-1] * side**2, config.noise, rng=rng)

    def forward(self, shown: Tensor) -> Tensor:
        """Return (N, noise) of what is ``shown`` (N, 1 + C S S)."""
        h = shown[:, 1:].view(-1, *self.shape).contiguous(memory_format=LAID_OUT)
        for down, bias in zip(self._downs, self.biases, strict=True):
            h = leaky_relu(conv2d(h, down.effective(), bias, stride=2, padding=1), _SLOPE)
        return torch.addmm(self.out.bias, torch.cat([shown[:, :1], h.flatten(1)], 1), self.out.weight.t())


class ImageGenerator(Generator):
    """What the generators of images share: noise of one kind, blocks of 64 samples, pixels in [-1, 1]."""

    block = BLOCK

    def sample(self, noise: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels (N, C, S, S) and no codes (N, 0)."""
        pixels = self(noise, condition).contiguous()
        return pixels, torch.empty(len(noise), 0, dtype=torch.int64, device=noise.device)


class ConvGenerator(ImageGenerator):
    """Noise and class to an image: 4 x 4 transposed convolutions of stride 2 from 4 to 7 pixels up (DCGAN, 2016).

    A side that is no 4 to 7 times a power of two is cut from the next one that is. The class comes in beside the noise
    and the anchor that is shown (without, 8 pixels were of their class in 18 % of samples instead of 98 %), and in the
    norms from 14 pixels up, in smaller images in the last one.
    """

    def __init__(self, layout: ImageLayout, condition: Condition, config: TrainConfig, *, rng: torch.Generator) -> None:
        super().__init__()
        self.size, self.n_noise = layout.size, config.noise
        self.side, doublings = first_side(layout.size)
        widths = widths_of(config, doublings)
        self.table = class_table(condition, rng)
        self.look = Look(layout, config, rng=rng) if condition.shown else None
        n_in = config.noise + condition.width + (config.noise if self.look else 0)
        self.entry = Dense(n_in, widths[0] * self.side**2, rng=rng)
        sides = [self.side * 2**at for at in range(doublings + 1)]
        heard = [condition.width if side >= min(_HEARD_FROM, sides[-1]) else 0 for side in sides]
        self._norms = tuple(ClassNorm(c, e, rng=rng) for c, e in zip(widths, heard, strict=True))
        self._ups = tuple(Weight(a, b, 4, 4, fan_in=4 * a, rng=rng) for a, b in pairwise(widths))
        self.norms, self.ups = nn.ModuleList(self._norms), nn.ModuleList(self._ups)
        self.paint = Weight(layout.channels, widths[-1], 3, 3, fan_in=18 * widths[-1], rng=rng)
        self.tint = nn.Parameter(torch.zeros(layout.channels))

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw normals (n, noise)."""
        return torch.randn(n, self.n_noise, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Return images (N, C, S, S) in [-1, 1]."""
        told = condition[:, : len(self.table)] @ self.table
        with half(self, noise):
            start = [noise, told]
            if self.look is not None:
                start.append(self.look(condition[:, len(self.table) :]))
            h = torch.addmm(self.entry.bias, torch.cat(start, 1), self.entry.weight.t())
            h = h.view(len(noise), -1, self.side, self.side).contiguous(memory_format=LAID_OUT)
            for up, norm in zip([None, *self._ups], self._norms, strict=True):
                h = h if up is None else conv_transpose2d(h, up.effective(), stride=2, padding=1)
                h = relu(norm(h, told))
            h = conv2d(h, self.paint.effective(), self.tint, padding=1)
        return cut(h.float().tanh(), self.size)


class ConvCritic(Critic):
    """4 x 4 convolutions of stride 2, summed over the last pixels, and a projection (Miyato & Koyama 2018).

    It is shown augmented images in training, real and synthetic alike; where one starts from an anchor, that too.
    """

    def __init__(
        self,
        layout: ImageLayout,
        condition: Condition,
        config: TrainConfig,
        *,
        norm: CriticNorm,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        weight = _WEIGHTS[norm]
        self._augmentation = Augmentation(config.augment, colour=layout.channels == 3, flips=config.flips)
        self.n_codes, self.n_shown = condition.n_codes, condition.shown
        seen = 2 * layout.channels + 1 if condition.shown else layout.channels
        widths, _ = descent(seen, layout, config)
        self._downs = tuple(weight(b, a, 4, 4, fan_in=16 * a, rng=rng) for a, b in pairwise(widths))
        self.downs = nn.ModuleList(self._downs)
        self.biases = nn.ParameterList(torch.zeros(width) for width in widths[1:])
        self.head = weight(1, widths[-1], fan_in=2 * widths[-1], rng=rng)
        self.classes = weight(condition.n_codes, widths[-1], fan_in=2 * widths[-1], rng=rng)
        self.level = nn.Parameter(torch.zeros(1))

    def augment(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Return images as training shows them to the critic."""
        return self._augmentation(x, rng)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return the scores (N,) of images ``x`` (N, C, S, S)."""
        with half(self, x):
            h = self._seen(x, condition)
            for down, bias in zip(self._downs, self.biases, strict=True):
                h = leaky_relu(conv2d(h, down.effective(), bias, stride=2, padding=1), _SLOPE)
            h = h.sum((2, 3), dtype=torch.float32)
        return (h * self._direction(condition)).sum(1) + self.level

    def input_gradient(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return d score / d x (N, C, S, S): the chain of transposed convolutions, differentiable in the weights.

        Which side of zero a number is on does not change with the weights, almost everywhere, so the way there needs
        no gradient: cheaper than a double backward, and the same.
        """
        weights = [down.effective() for down in self._downs]
        with half(self, x):
            with torch.no_grad():
                h = self._seen(x, condition)
                levels = [h]
                for weight, bias in zip(weights, self.biases, strict=True):
                    h = leaky_relu(conv2d(h, weight, bias, stride=2, padding=1), _SLOPE)
                    levels.append(h)
            g = self._direction(condition)[:, :, None, None].to(h.dtype).expand_as(h)
            for below, level, weight in zip(levels[-2::-1], levels[:0:-1], weights[::-1], strict=True):
                g = _slope_backward(g, level, _SLOPE, True)
                odd = below.shape[2] - 2 * level.shape[2]
                g = conv_transpose2d(g, weight, stride=2, padding=1, output_padding=odd)
        return g[:, : x.shape[1]].float()

    def _seen(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return images (N, *, S, S) as they are looked at: beside the anchor and its flag where one is shown."""
        if self.n_shown:
            shown = condition[:, self.n_codes :]
            flag = shown[:, :1, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, shown[:, 1:].view_as(x), flag], 1)
        return x.contiguous(memory_format=LAID_OUT)

    def _direction(self, condition: Tensor) -> Tensor:
        """Return what the summed features are multiplied with (N, C): a part for all, and one for the class."""
        return torch.addmm(self.head.effective(), condition[:, : self.n_codes], self.classes.effective())
