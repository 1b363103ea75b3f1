"""Networks for tables: a residual-concat generator with one fused categorical head, and a plain critic. Torch only."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from synthgen.data.layout import TableLayout
from synthgen.gan.base import Critic, Generator
from synthgen.gan.blocks import OneHotBlocks
from synthgen.gan.condition import Condition
from synthgen.gan.config import TrainConfig
from synthgen.gan.kernels import CriticGradient, CriticScores, Trunk, apply
from synthgen.gan.objective import CriticNorm

_CERTAIN = 5.0  # the logit of the category that a row starts with; a network that adds nothing mostly keeps it
_NEAR = 0.1  # what the network adds to an anchor, as a share of what it says: it moves it gently
_QUIET = 0.3  # the spread of the first label embeddings: louder ones drown a row of few columns
_TINY = 2.0**-26  # a uniform draw of exactly 0 would be a Gumbel of minus infinity


class Dense(nn.Module):
    """A linear layer whose first weights come from ``rng``, never from the process-wide generator."""

    def __init__(self, n_in: int, n_out: int, *, rng: torch.Generator) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n_out, n_in).uniform_(-bound, bound, generator=rng))
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-bound, bound, generator=rng))

    def effective_weight(self) -> Tensor:
        """Return the matrix (n_out, n_in) that the layer multiplies with."""
        return self.weight


class SpectralDense(Dense):
    """A linear layer divided by its largest singular value, tracked by one power iteration a call (Miyato 2018)."""

    u: Tensor

    def __init__(self, n_in: int, n_out: int, *, rng: torch.Generator) -> None:
        super().__init__(n_in, n_out, rng=rng)
        self.register_buffer("u", spectral_start(n_out, rng))

    def effective_weight(self) -> Tensor:
        """Return weight / sigma; in train mode the estimate of sigma takes one step, in eval mode it stays."""
        return spectral(self.weight, self.u, update=self.training)


def spectral_start(n_out: int, rng: torch.Generator) -> Tensor:
    """Return a first estimate (n_out,) of the direction that a matrix stretches most."""
    return normalize(torch.empty(n_out).normal_(generator=rng), dim=0)


def spectral(weight: Tensor, u: Tensor, *, update: bool) -> Tensor:
    """Return ``weight`` (n_out, *) over its largest singular value, estimated from ``u``, which ``update`` moves on."""
    matrix = weight.flatten(1)
    with torch.no_grad():
        v = normalize(matrix.t() @ u, dim=0)
        new = normalize(matrix @ v, dim=0)
        if update:
            u.copy_(new)
    return weight / torch.dot(new, matrix @ v)


_DENSE: dict[CriticNorm, type[Dense]] = {"none": Dense, "spectral": SpectralDense}


def _table(condition: Condition, rng: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.empty(condition.n_codes, condition.width).normal_(std=_QUIET, generator=rng))


class TableGenerator(Generator):
    """Noise and label to an encoded row: each hidden layer is appended to its own input, as in CTGAN (Xu et al. 2019).

    A row's noise is ``config.noise`` normals, then a Gumbel for each one-hot column. Where it is shown a real row,
    the network adds to where that row and its move lead, at first nothing: its head starts at zero. Beside such rows,
    those that are shown none start from independent normals, which is what each number is by itself.
    """

    start: Tensor

    def __init__(self, layout: TableLayout, condition: Condition, config: TrainConfig, *, rng: torch.Generator) -> None:
        super().__init__()
        self.n_normal = max(config.noise, layout.n_numeric) if condition.shown else config.noise
        self.n_numeric = layout.n_numeric
        self.temperature = config.temperature
        self.n_codes = condition.n_codes
        self.table = _table(condition, rng)
        self.look = Dense(condition.shown, config.width, rng=rng) if condition.shown else None
        first = self.n_normal + condition.width + (config.width if self.look else 0)
        widths = range(first, first + config.depth * config.width, config.width)
        self._layers = tuple((Dense(n_in, config.width, rng=rng), nn.LayerNorm(config.width)) for n_in in widths)
        self.hidden = nn.ModuleList(nn.ModuleList(layer) for layer in self._layers)
        self.head = Dense(first + config.depth * config.width, layout.width, rng=rng)
        if self.look:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
        self.blocks = OneHotBlocks(layout.levels)
        start = torch.cat([torch.ones(layout.n_numeric), torch.full((self.blocks.width,), _CERTAIN)])
        self.register_buffer("start", start, persistent=False)

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw (n, normals + Gumbels) in two calls."""
        normal = torch.randn(n, self.n_normal, generator=rng, device=rng.device)
        uniform = torch.rand(n, self.blocks.width, generator=rng, device=rng.device).clamp_(min=_TINY)
        return torch.cat([normal, uniform.log_().neg_().log_().neg_()], 1)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Return rows (N, D): normal scores, then Gumbel-softmax blocks (Jang et al. 2017, equation 2)."""
        numeric, logits = self._numeric_and_logits(noise, condition)
        if not self.blocks.n_blocks:
            return numeric
        return torch.cat([numeric, self.blocks.softmax(logits / self.temperature)], 1)

    def sample(self, noise: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return normal scores (N, P) and the codes (N, Q) that the same Gumbels make largest."""
        numeric, logits = self._numeric_and_logits(noise, condition)
        return numeric, self.blocks.argmax(logits)

    def _numeric_and_logits(self, noise: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        normal, gumbel = noise[:, : self.n_normal], noise[:, self.n_normal :]
        codes, shown = condition[:, : self.n_codes], condition[:, self.n_codes :]
        if self.look:
            normal = torch.cat([normal, torch.addmm(self.look.bias, shown, self.look.weight.t())], 1)
        layers = [part for dense, norm in self._layers for part in (dense.weight, dense.bias, norm.weight, norm.bias)]
        out = apply(Trunk, normal, codes, self.table, *layers, self.head.weight, self.head.bias)
        if self.look:
            flag, anchor, move = shown[:, :1], shown[:, 1 : 1 + len(self.start)], shown[:, 1 + len(self.start) :]
            out = torch.addcmul(out * (1.0 - (1.0 - _NEAR) * flag), anchor + move, self.start)
            independent = noise[:, : self.n_numeric] * (1.0 - flag)
            return out[:, : self.n_numeric] + independent, out[:, self.n_numeric :] + gumbel
        return out[:, : self.n_numeric], out[:, self.n_numeric :] + gumbel


class TableCritic(Critic):
    """A LeakyReLU network over row and label embedding, without batch statistics.

    Where it is shown a real row, it sees the difference to that row and the row itself.
    """

    def __init__(
        self,
        layout: TableLayout,
        condition: Condition,
        config: TrainConfig,
        *,
        norm: CriticNorm,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.n_codes, self.n_shown = condition.n_codes, condition.shown and 1 + layout.width
        self.table = _table(condition, rng)
        widths = [layout.width + self.n_shown + condition.width, *[config.width] * config.depth, 1]
        self._dense = tuple(_DENSE[norm](n_in, n_out, rng=rng) for n_in, n_out in pairwise(widths))
        self.layers = nn.ModuleList(self._dense)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return the scores (N,) of rows ``x`` (N, D)."""
        return apply(CriticScores, *self._told(x, condition), self.table, *self._weights())

    def input_gradient(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return d score / d x (N, D) in closed form: a chain of matrix products instead of a double backward."""
        gradient = apply(CriticGradient, *self._told(x, condition), self.table, *self._weights())
        return gradient[:, : x.shape[1]]

    def _told(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return the row as it is looked at, and its one-hot code."""
        if not self.n_shown:
            return x, condition
        codes, shown = condition[:, : self.n_codes], condition[:, self.n_codes : self.n_codes + self.n_shown]
        return torch.cat([x - shown[:, 1:], shown], 1), codes

    def _weights(self) -> list[Tensor]:
        return [tensor for layer in self._dense for tensor in (layer.effective_weight(), layer.bias)]
