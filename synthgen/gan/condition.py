"""What the networks are told beside the noise: nothing (width 0) or the row's label. Torch only.

The only place that knows the difference: elsewhere a condition has codes and a width, and 0 is a width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from synthgen.gan.config import TrainConfig


@dataclass(frozen=True)
class Condition:
    """``n_codes`` conditions, each embedded in ``width`` numbers; ``codes`` maps labels (N,) to their codes (N,).

    ``shown`` numbers about a real row follow the one-hot code in what the networks are told; 0 where they see none.
    """

    n_codes: int
    width: int
    codes: Callable[[Tensor], Tensor]
    shown: int = 0

    def one_hot(self, codes: Tensor) -> Tensor:
        """Return what a network gets where it is shown no row: (N, n_codes) float32, a one in each row."""
        out = torch.zeros(len(codes), self.n_codes, device=codes.device)
        return out.scatter_(1, codes.unsqueeze(1), 1.0)


def _same(labels: Tensor) -> Tensor:
    return labels


_CONDITIONS: Final[Mapping[str, Callable[[int, TrainConfig], Condition]]] = {
    "none": lambda _n_labels, _config: Condition(n_codes=1, width=0, codes=torch.zeros_like),
    "label": lambda n_labels, config: Condition(n_codes=n_labels, width=config.embedding, codes=_same),
}


def condition_of(config: TrainConfig, *, n_labels: int, shown: int = 0) -> Condition:
    """Return the condition that ``config`` names, for labels 0 to ``n_labels - 1``, with ``shown`` numbers beside."""
    return dataclasses.replace(_CONDITIONS[config.condition](n_labels, config), shown=shown)
