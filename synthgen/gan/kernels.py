"""The table networks' derivatives in closed form. Torch only.

At these widths a step costs its number of operators, not their arithmetic: autograd's own bookkeeping would double
the time. The tests compare every derivative with plain autograd.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from synthgen.gan.objective import Objective

SLOPE: Final = 0.2
EPS: Final = 1e-5
# below any gradient whose direction tells something, and above those whose squares vanish in float32 and whose norm is
# then 0 (under 1e-23): what is divided by it stays small
_TINY: Final = 1e-18


class Stack(NamedTuple):
    """Layers with LeakyReLU between them: ``weights`` (n_out, n_in) and ``biases`` (n_out,); the last gives a score.

    The first takes in rows and what stands beside them; rows (B N, D) are B batches that share the same (N, C) of it.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]

    def forward(self, rows: Tensor, beside: Tensor) -> list[Tensor]:
        """Return what each layer takes in: ``rows`` (B N, D), then (B N, W) each."""
        own, other = self.split(rows.shape[1])
        shared = torch.addmm(self.biases[0], beside, other.t())
        first = (rows @ own.t()).view(-1, *shared.shape) + shared
        levels = [rows, leaky_relu(first.flatten(0, 1), SLOPE)]
        for weight, bias in zip(self.weights[1:-1], self.biases[1:-1], strict=True):
            levels.append(leaky_relu(torch.addmm(bias, levels[-1], weight.t()), SLOPE))
        return levels

    def scores(self, last: Tensor) -> Tensor:
        """Return the scores (N,), given what the last layer takes in."""
        return torch.addmm(self.biases[-1], last, self.weights[-1].t()).squeeze(1)

    def backward(self, slopes: Tensor, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the gradient in what each layer gives out, given the ``slopes`` (N,) of the scores."""
        back = [slopes.unsqueeze(1)]
        for weight, level in zip(self.weights[:0:-1], levels[:0:-1], strict=True):
            back.append(_through(back[-1] @ weight, level))
        return back[::-1]

    def split(self, width: int) -> tuple[Tensor, Tensor]:
        """Return the first layer's weights for rows of this ``width`` and for what stands beside them."""
        return self.weights[0][:, :width], self.weights[0][:, width:]


class CriticGradients(NamedTuple):
    """Scores and penalties (N,), and the loss's gradients: in the stack's weights and biases, and in the part (N, W)
    of what the first layer gives out that real and synthetic rows share.
    """

    on_real: Tensor
    on_fake: Tensor
    penalties: Tensor
    weights: list[Tensor]
    biases: list[Tensor]
    shared: Tensor


def critic_gradients(
    real: Tensor, fake: Tensor, beside: Tensor, blend: Tensor, *, stack: Stack, objective: Objective
) -> CriticGradients:
    """Return the gradients of ``objective`` for real and synthetic rows (N, D) that share what is ``beside`` (N, C).

    The penalty is on the derivative in the row, at the points that ``blend`` (N,) puts between the two, which go
    through the network as N more rows. Between its kinks the critic is linear, so the derivative at a point is the way
    back from its score with a slope of one. That derivative is linear in each weight, so the penalty's gradient goes
    forward through the same kinks, in place of the point: then a product of what goes back and what goes forward is
    the gradient in a weight, for rows and points alike.
    """
    n, rows = len(real), [real, fake]
    if objective.penalty:
        rows.append(torch.lerp(real, fake, blend.unsqueeze(1)))
    levels = stack.forward(torch.cat(rows), beside)
    on_real, on_fake = stack.scores(levels[-1][: 2 * n]).chunk(2)
    slopes = objective.critic_slopes(on_real, on_fake)
    penalties = torch.zeros_like(on_real)
    if objective.penalty:
        back = stack.backward(torch.cat([*slopes, torch.ones_like(on_real)]), levels)
        own, _ = stack.split(real.shape[1])
        gradient = back[0][2 * n :] @ own
        norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        over = norms - 1.0
        penalties = over.square().squeeze(1)
        forth = gradient * over.div_(norms.clamp_(min=_TINY)).mul_(2.0 * objective.penalty / n)
        levels[0][2 * n :] = forth
        for weight, level in zip((own, *stack.weights[1:-1]), levels[1:], strict=True):
            forth = _through(forth @ weight.t(), level[2 * n :])
            level[2 * n :] = forth
    else:
        back = stack.backward(torch.cat(slopes), levels)
    shared = back[0][:n] + back[0][n : 2 * n]
    of_own, *weights = (part.t() @ level for part, level in zip(back, levels, strict=True))
    weights.insert(0, torch.cat([of_own, shared.t() @ beside], 1))
    return CriticGradients(on_real, on_fake, penalties, weights, [part[: 2 * n].sum(0) for part in back], shared)


class Layer(NamedTuple):
    """A hidden layer of the generator: linear, LayerNorm, LeakyReLU."""

    weight: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor


class Normed(NamedTuple):
    """What a LayerNorm was given (N, W), and the mean and the inverse spread (N, 1) that it found."""

    linear: Tensor
    mean: Tensor
    spread: Tensor


def residual_concat(h: Tensor, layers: Sequence[Layer]) -> tuple[Tensor, list[Normed]]:
    """Return ``h`` (N, I) behind each hidden layer's output, the last first (N, L W + I), and what the norms saw."""
    seen = []
    for layer in layers:
        linear = torch.addmm(layer.bias, h, layer.weight.t())
        normed, *found = torch.native_layer_norm(linear, layer.bias.shape, layer.scale, layer.shift, EPS)
        h = torch.cat([leaky_relu(normed, SLOPE), h], 1)
        seen.append(Normed(linear, *found))
    return h, seen


def residual_concat_backward(
    into: Tensor, h: Tensor, seen: Sequence[Normed], layers: Sequence[Layer]
) -> tuple[list[Tensor], Tensor]:
    """Return the gradients in each layer's weights, and in what the first took in, given those ``into`` the output.

    ``h`` is that output; ``into`` is overwritten.
    """
    of_layers: list[Tensor] = []
    for layer, norm in zip(reversed(layers), reversed(seen), strict=True):
        own = len(layer.bias)
        gradient, of_scale, of_shift = torch.ops.aten.native_layer_norm_backward(
            *(_through(into[:, :own], h[:, :own]), norm.linear, layer.bias.shape, norm.mean, norm.spread),
            *(layer.scale, layer.shift, [True, True, True]),
        )
        into, h = into[:, own:], h[:, own:]
        of_layers = [gradient.t() @ h, gradient.sum(0), of_scale, of_shift, *of_layers]
        into.addmm_(gradient, layer.weight)
    return of_layers, into


def _through(gradient: Tensor, output: Tensor) -> Tensor:
    """Return ``gradient`` behind a LeakyReLU, told by its ``output``, whose sign is that of its input."""
    return cast("Tensor", torch.ops.aten.leaky_relu_backward(gradient, output, SLOPE, True))
