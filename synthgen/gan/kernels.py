"""The table networks as single autograd nodes, their derivatives written out by hand. Torch only.

At these widths a step costs its number of operators, not their arithmetic: autograd's own bookkeeping would double
the time. The tests compare every node with plain autograd.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, cast

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

SLOPE: Final = 0.2
_EPS: Final = 1e-5

Gradients = tuple[Tensor | None, ...]


class _Context(Protocol):
    """The part of autograd's context that is used here, with types."""

    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]
    width: int

    def save_for_backward(self, *tensors: Tensor) -> None: ...


def apply(node: type[torch.autograd.Function], *tensors: Tensor) -> Tensor:
    """Return the output of ``node``; torch leaves this call untyped."""
    return cast("Tensor", node.apply(*tensors))  # type: ignore[no-untyped-call]


class CriticScores(torch.autograd.Function):
    """Scores (N,) of rows ``x`` (N, D) under a one-hot ``condition`` (N, K) with its embedding ``table`` (K, C).

    ``layers`` are weight and bias of each layer, LeakyReLU between them; the last gives one score.
    """

    @staticmethod
    def forward(ctx: _Context, x: Tensor, condition: Tensor, table: Tensor, *layers: Tensor) -> Tensor:
        inputs = _inputs(x, condition, table, layers)
        ctx.width = x.shape[1]
        ctx.save_for_backward(condition, *inputs, *layers[::2])
        return torch.addmm(layers[-1], inputs[-1], layers[-2].t()).squeeze(1)

    @staticmethod
    def backward(ctx: _Context, *upstream: Tensor) -> Gradients:
        condition, *saved = ctx.saved_tensors
        depth = len(saved) // 2
        inputs, weights = saved[:depth], saved[depth:]
        into_x, _, into_table, into_layers, *_ = ctx.needs_input_grad
        gradient = upstream[0].unsqueeze(1)
        of_layers: list[Tensor | None] = [None] * (2 * depth)
        for at in range(depth - 1, -1, -1):
            if into_layers:
                of_layers[2 * at], of_layers[2 * at + 1] = gradient.t() @ inputs[at], gradient.sum(0)
            if at:
                gradient = _through(gradient @ weights[at], inputs[at])
        of_x = gradient @ weights[0][:, : ctx.width] if into_x else None
        of_table = condition.t() @ (gradient @ weights[0][:, ctx.width :]) if into_table else None
        return of_x, None, of_table, *of_layers


class CriticGradient(torch.autograd.Function):
    """The derivative (N, D) of ``CriticScores`` in ``x``, itself differentiable in the weights.

    Between its kinks the critic is linear in x, so the derivative is the chain w_out S_k W_k ... S_1 W_1 whose slopes
    S are constants at x; neither the biases nor the embedding have a part in it.
    """

    @staticmethod
    def forward(ctx: _Context, x: Tensor, condition: Tensor, table: Tensor, *layers: Tensor) -> Tensor:
        outputs = _inputs(x, condition, table, layers)[1:]
        weights = list(layers[::2])
        ctx.width = x.shape[1]
        weights[0] = weights[0][:, : ctx.width]
        gradient = weights[-1]
        behind: list[Tensor] = []
        for weight, output in zip(weights[-2::-1], reversed(outputs), strict=True):
            behind.append(_through(gradient.expand_as(output), output))
            gradient = behind[-1] @ weight
        ctx.save_for_backward(layers[0], *weights, *outputs, *reversed(behind))
        return gradient

    @staticmethod
    def backward(ctx: _Context, *upstream: Tensor) -> Gradients:
        first, *saved = ctx.saved_tensors
        depth = (len(saved) - 1) // 3
        weights, outputs, behind = saved[:depth], saved[depth + 1 : 2 * depth + 1], saved[2 * depth + 1 :]
        gradient = upstream[0]
        of_weights: list[Tensor] = []
        for weight, output, before in zip(weights, outputs, behind, strict=True):
            of_weights.append(before.t() @ gradient)
            gradient = _through(gradient @ weight.t(), output)
        whole = torch.zeros_like(first)
        whole[:, : ctx.width] = of_weights[0]
        of_weights[0] = whole
        of_weights.append(gradient.sum(0, keepdim=True))
        return None, None, None, *(part for weight in of_weights for part in (weight, None))


class Trunk(torch.autograd.Function):
    """The generator up to its head's output (N, D), from ``normal`` (N, Z), ``condition`` (N, K), ``table`` (K, C).

    ``layers`` are weight, bias, scale and shift of each hidden layer (linear, LayerNorm, LeakyReLU), then the head's
    weight and bias. Every layer's output is put before its input in one array, so nothing is concatenated.
    """

    @staticmethod
    def forward(ctx: _Context, normal: Tensor, condition: Tensor, table: Tensor, *layers: Tensor) -> Tensor:
        hidden, (head, head_bias) = layers[:-2], layers[-2:]
        ctx.width = normal.shape[1]
        at = head.shape[1] - ctx.width - table.shape[1]
        h = normal.new_empty(len(normal), head.shape[1])
        h[:, at : at + ctx.width] = normal
        h[:, at + ctx.width :] = condition @ table
        kept: list[Tensor] = []
        for weight, bias, scale, shift in _fours(hidden):
            linear = torch.addmm(bias, h[:, at:], weight.t())
            normed, mean, spread = torch.native_layer_norm(linear, bias.shape, scale, shift, _EPS)
            h[:, at - len(bias) : at] = leaky_relu(normed, SLOPE, inplace=True)
            at -= len(bias)
            kept += [linear, mean, spread]
        ctx.save_for_backward(h, condition, head, *hidden, *kept)
        return torch.addmm(head_bias, h, head.t())

    @staticmethod
    def backward(ctx: _Context, *upstream: Tensor) -> Gradients:
        h, condition, head, *saved = ctx.saved_tensors
        depth = len(saved) // 7
        into = upstream[0] @ head  # the gradient of every part of h
        of_layers = [upstream[0].t() @ h, upstream[0].sum(0)]
        at = 0
        layers = zip(_fours(saved[: 4 * depth]), _threes(saved[4 * depth :]), strict=True)
        for (weight, bias, scale, shift), (linear, mean, spread) in reversed(list(layers)):
            end = at + len(bias)
            gradient = _through(into[:, at:end], h[:, at:end])
            gradient, of_scale, of_shift = torch.ops.aten.native_layer_norm_backward(
                gradient, linear, bias.shape, mean, spread, scale, shift, [True, True, True]
            )
            of_layers = [gradient.t() @ h[:, end:], gradient.sum(0), of_scale, of_shift, *of_layers]
            into[:, end:].addmm_(gradient, weight)
            at = end
        of_normal = into[:, at : at + ctx.width] if ctx.needs_input_grad[0] else None
        return of_normal, None, condition.t() @ into[:, at + ctx.width :], *of_layers


def _inputs(x: Tensor, condition: Tensor, table: Tensor, layers: Sequence[Tensor]) -> list[Tensor]:
    """Return the input of each of the critic's layers: (N, D + C), then (N, W) each."""
    inputs = [torch.cat([x, condition @ table], 1)]
    for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
        inputs.append(leaky_relu(torch.addmm(bias, inputs[-1], weight.t()), SLOPE, inplace=True))
    return inputs


def _through(gradient: Tensor, output: Tensor) -> Tensor:
    """Return ``gradient`` behind a LeakyReLU, told by its ``output``, whose sign is that of its input."""
    return cast("Tensor", torch.ops.aten.leaky_relu_backward(gradient, output, SLOPE, True))


def _fours(tensors: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    return list(zip(tensors[::4], tensors[1::4], tensors[2::4], tensors[3::4], strict=True))


def _threes(tensors: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    return list(zip(tensors[::3], tensors[1::3], tensors[2::3], strict=True))
