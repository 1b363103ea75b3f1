"""Networks for tables: a residual-concat generator with one fused categorical head, and a plain critic. Torch only."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from synthgen.data.layout import TableLayout
from synthgen.gan.base import Backward, Batch, Critic, Generator, Lesson
from synthgen.gan.blocks import OneHotBlocks
from synthgen.gan.condition import Condition
from synthgen.gan.config import TrainConfig
from synthgen.gan.kernels import (
    Layer,
    Normed,
    Stack,
    critic_gradients,
    residual_concat,
    residual_concat_backward,
)
from synthgen.gan.objective import CriticNorm, Objective

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

    def own_gradient(self, effective: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG002
        """Return the gradient in the weight, given that in the ``effective`` one."""
        return gradient


class SpectralDense(Dense):
    """A linear layer divided by its largest singular value, tracked by one power iteration a call (Miyato 2018)."""

    u: Tensor

    def __init__(self, n_in: int, n_out: int, *, rng: torch.Generator) -> None:
        super().__init__(n_in, n_out, rng=rng)
        self.register_buffer("u", spectral_start(n_out, rng))

    def effective_weight(self) -> Tensor:
        """Return weight / sigma; in train mode the estimate of sigma takes one step, in eval mode it stays."""
        return spectral(self.weight, self.u, update=self.training)

    def own_gradient(self, effective: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient in the weight, given that in the ``effective`` one."""
        return torch.autograd.grad(effective, self.weight, gradient)[0]


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
        return self._finished(self._scores(noise, condition)[0])

    def traced(self, noise: Tensor, condition: Tensor, *, last: int) -> tuple[Tensor, Backward]:
        """Return rows, and what turns a loss's gradient in the ``last`` of them into its gradient in each weight.

        In closed form, and all rows in one go.
        """
        with torch.no_grad():
            scores, h, seen = self._scores(noise, condition)
            made = self._finished(scores)
        h, seen = h[-last:], [Normed(*(part[-last:] for part in norm)) for norm in seen]
        codes, shown = condition[-last:, : self.n_codes], condition[-last:, self.n_codes :]

        @torch.no_grad()
        def backward(into: Tensor) -> list[Tensor]:
            if self.blocks.n_blocks:
                probabilities = made[-last:, self.n_numeric :]
                of_blocks = self.blocks.softmax_backward(into[:, self.n_numeric :], probabilities)
                into = torch.cat([into[:, : self.n_numeric], of_blocks / self.temperature], 1)
            if self.look:
                into = into * self._share(shown)
            of_head = [into.t() @ h, into.sum(0)]
            of_layers, rest = residual_concat_backward(into @ self.head.weight, h, seen, self._parts())
            of_start = [codes.t() @ rest[:, rest.shape[1] - self.table.shape[1] :]]
            if self.look:
                looked = rest[:, self.n_normal : self.n_normal + len(self.look.bias)]
                of_start += [looked.t() @ shown, looked.sum(0)]
            return [*of_start, *of_layers, *of_head]

        return made, backward

    def sample(self, noise: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return normal scores (N, P) and the codes (N, Q) that the same Gumbels make largest."""
        scores, *_ = self._scores(noise, condition)
        return scores[:, : self.n_numeric], self.blocks.argmax(scores[:, self.n_numeric :])

    def _scores(self, noise: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, list[Normed]]:
        """Return normal scores and logits, Gumbels added (N, D), what the head takes in and what the norms saw."""
        codes, shown = condition[:, : self.n_codes], condition[:, self.n_codes :]
        start = [noise[:, : self.n_normal], codes @ self.table]
        if self.look:
            start.insert(1, torch.addmm(self.look.bias, shown, self.look.weight.t()))
        h, seen = residual_concat(torch.cat(start, 1), self._parts())
        out = torch.addmm(self.head.bias, h, self.head.weight.t())
        if self.look:
            flag, anchor, move = shown[:, :1], shown[:, 1 : 1 + len(self.start)], shown[:, 1 + len(self.start) :]
            out = out.mul_(self._share(shown)).addcmul_(anchor + move, self.start)
            out[:, : self.n_numeric].addcmul_(noise[:, : self.n_numeric], 1.0 - flag)
        out[:, self.n_numeric :] += noise[:, self.n_normal :]
        return out, h, seen

    def _finished(self, scores: Tensor) -> Tensor:
        if not self.blocks.n_blocks:
            return scores
        numeric, logits = scores[:, : self.n_numeric], scores[:, self.n_numeric :]
        return torch.cat([numeric, self.blocks.softmax(logits / self.temperature)], 1)

    def _share(self, shown: Tensor) -> Tensor:
        """The share (N, 1) of what the network says that is added to a row: small beside an anchor."""
        return 1.0 - (1.0 - _NEAR) * shown[:, :1]

    def _parts(self) -> list[Layer]:
        return [Layer(dense.weight, dense.bias, norm.weight, norm.bias) for dense, norm in self._layers]


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
        (rows,), beside, stack = self._seen(condition, x), self._beside(condition), self._stack()
        return stack.scores(stack.forward(rows, beside)[-1])

    def lesson(self, objective: Objective, batch: Batch) -> Lesson:
        """Return what ``batch`` teaches, in closed form: no row's score depends on the others, so all go together."""
        stack = self._stack()
        with torch.no_grad():
            real, fake = self._seen(batch.condition, batch.real, batch.fake)
            beside = self._beside(batch.condition)
            found = critic_gradients(real, fake, beside, batch.blend, stack=stack, objective=objective)
            codes, of_table = batch.condition[:, : self.n_codes], stack.weights[0][:, real.shape[1] + self.n_shown :]
            gradients = [codes.t() @ (found.shared @ of_table)]
        for layer, effective, *of in zip(self._dense, stack.weights, found.weights, found.biases, strict=True):
            gradients += [layer.own_gradient(effective, of[0]), of[1]]
        return Lesson(found.on_real, found.on_fake, found.penalties, gradients)

    @torch.no_grad()
    def verdict(
        self,
        objective: Objective,
        made: Tensor,
        condition: Tensor,
        rng: torch.Generator,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Return the generator's loss (0-d) on rows ``made`` and its gradient in them, in closed form."""
        (rows,), stack = self._seen(condition, made), self._stack()
        levels = stack.forward(rows, self._beside(condition))
        scores = stack.scores(levels[-1])
        first, *_ = stack.backward(objective.generator_slopes(scores), levels)
        return objective.generator_loss(scores), first @ stack.split(made.shape[1])[0]

    def _seen(self, condition: Tensor, *rows: Tensor) -> list[Tensor]:
        """Return ``rows`` (N, D) each as they are looked at: from the real row that is shown, if any."""
        anchor = condition[:, self.n_codes + 1 : self.n_codes + self.n_shown]
        return [x - anchor for x in rows] if self.n_shown else list(rows)

    def _beside(self, condition: Tensor) -> Tensor:
        """Return what is seen beside a row (N, C): the real row that is shown and its flag, if any, and the label."""
        told = condition[:, : self.n_codes] @ self.table
        return torch.cat([condition[:, self.n_codes : self.n_codes + self.n_shown], told], 1)

    def _stack(self) -> Stack:
        return Stack([layer.effective_weight() for layer in self._dense], [layer.bias for layer in self._dense])
