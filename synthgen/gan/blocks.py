"""Softmax and argmax over many one-hot blocks at once: no loop over columns. Torch only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

_LEAST: Final = -600.0  # exp of it is still far from zero in float64


class OneHotBlocks(nn.Module):
    """Adjacent blocks of the given sizes, C columns together, in ``n_blocks`` blocks Q."""

    member: Tensor
    member64: Tensor
    order: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.width = sum(sizes)
        self.n_blocks = len(sizes)
        owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes, dtype=torch.int64))
        member = torch.nn.functional.one_hot(owner, max(len(sizes), 1)).to(torch.float32)
        self._keep("member", member)  # (C, Q): which block a column is in; sums over blocks are products with it
        self._keep("member64", member.to(torch.float64))
        groups = _by_size(sizes)
        self._shapes = [(len(blocks), max(sizes[block] for block in blocks)) for blocks in groups]
        for at, blocks in enumerate(groups):
            self._keep(f"columns_{at}", _padded_columns(sizes, blocks, size=self._shapes[at][1]))
        order = [block for blocks in groups for block in blocks]
        self._keep("order", torch.argsort(torch.tensor(order, dtype=torch.int64)))

    def softmax(self, logits: Tensor) -> Tensor:
        """Return the softmax within each block of ``logits`` (N, C).

        float64's range makes a maximum per block, which is slow, needless.
        """
        highest = logits.detach().amax(1, keepdim=True)
        powers = (logits - highest).clamp_(min=_LEAST).to(torch.float64).exp_()
        return (powers / ((powers @ self.member64) @ self.member64.t())).to(logits.dtype)

    def softmax_backward(self, gradient: Tensor, out: Tensor) -> Tensor:
        """Return the gradient in the logits, given that in ``out``, the softmax of them."""
        weighted = out * gradient
        sums = (weighted @ self.member) @ self.member.t()
        return torch.addcmul(weighted, out, sums, value=-1.0)

    def argmax(self, logits: Tensor) -> Tensor:
        """Return the codes (N, Q) int64 of the largest logit of each block.

        Blocks of a similar size are padded into one array, so the number of kernels grows with the logarithm of the
        largest block, not with the number of blocks.
        """
        wide = pad(logits, (0, 1), value=-torch.inf)
        codes = [torch.zeros(len(logits), 0, dtype=torch.int64, device=logits.device)]
        for at, shape in enumerate(self._shapes):
            part = wide.index_select(1, cast("Tensor", getattr(self, f"columns_{at}"))).view(len(logits), *shape)
            codes.append(part.max(-1).indices)
        return torch.cat(codes, 1).index_select(1, self.order)

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor, persistent=False)


def _by_size(sizes: Sequence[int]) -> list[list[int]]:
    """Return the blocks grouped by the power of two that their size fits in, so that padding at most doubles them."""
    groups: dict[int, list[int]] = {}
    for block, size in enumerate(sizes):
        groups.setdefault((size - 1).bit_length(), []).append(block)
    return [groups[key] for key in sorted(groups)]


def _padded_columns(sizes: Sequence[int], blocks: Sequence[int], *, size: int) -> Tensor:
    """Return the columns of ``blocks``, each filled up to ``size`` with the column after the last."""
    filling = sum(sizes)
    out: list[int] = []
    for block in blocks:
        start = sum(sizes[:block])
        out += [*range(start, start + sizes[block]), *[filling] * (size - sizes[block])]
    return torch.tensor(out, dtype=torch.int64)
