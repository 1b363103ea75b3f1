"""Real rows that a generated row starts from, and the rows near them. Torch only.

A row generated beside an anchor is anchor + (b - a) + what the network adds: a is a row near the anchor, b a near
row of a's own class. The critic is shown the anchor too, and a real row beside it is one of its nearest of the same
class, so what varies within a class is learned on all of them and carried to the rare one (as DAGAN does for images:
Antoniou et al. 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from synthgen.data.layout import TableLayout
from synthgen.errors import DataError
from synthgen.gan.rows import TableRows, sha256_of

_PAIRED: Final = 5
_ABSENT: Final = 0.0  # the score of a missing number; a present one's is never exactly it


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Positions of rows near each of N rows, int64: ``around`` (N, A) of any class, ``kin`` (N, K) of its own.

    ``kin`` is in order, nearest first: a real pair takes one of the first five, a move any.
    """

    around: Tensor
    kin: Tensor


class Anchors:
    """Training rows with their labels (N,) and neighbours; ``width`` is that of what the networks are shown.

    Raises DataError where the three do not fit.
    """

    def __init__(self, rows: TableRows, labels: Tensor, neighbours: Neighbours) -> None:
        for name, near in vars(neighbours).items():
            if near.dtype != torch.int64 or near.dim() != 2 or len(near) != len(rows) or not near.shape[1]:
                raise DataError(f"neighbours {name} must be int64 of shape ({len(rows)}, 1 or more)")
            if int(near.min()) < 0 or int(near.max()) >= len(rows):
                raise DataError(f"neighbours {name} must lie in [0, {len(rows)})")
        self.rows, self.labels, self.neighbours = rows, labels, neighbours
        self.width = shown_width(rows.layout.width)

    def to(self, device: torch.device) -> Anchors:
        """Return the same anchors on ``device``."""
        moved = Neighbours(self.neighbours.around.to(device), self.neighbours.kin.to(device))
        return Anchors(self.rows.to(device), self.labels.to(device), moved)

    def digest(self) -> str:
        """Return the sha256 (hex) of rows, labels and neighbours."""
        return f"{self.rows.digest()} {sha256_of(self.labels, self.neighbours.around, self.neighbours.kin)}"

    def tensors(self) -> dict[str, Tensor]:
        """Return all that ``of`` needs to make the same anchors."""
        numeric, codes = self.rows.numeric_and_codes()
        near = {name: tensor.to(torch.int32) for name, tensor in vars(self.neighbours).items()}
        return {"numeric": numeric, "codes": codes.to(torch.int32), "labels": self.labels.to(torch.int32), **near}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], layout: TableLayout) -> Anchors:
        """Return the anchors whose ``tensors`` these are."""
        rows = TableRows(tensors["numeric"], tensors["codes"].to(torch.int64), layout)
        near = Neighbours(tensors["around"].to(torch.int64), tensors["kin"].to(torch.int64))
        return cls(rows, tensors["labels"].to(torch.int64), near)

    def pairs(self, index: Tensor, *, share: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the real rows (B,) that stand beside the anchors at ``index`` (B,), and what is shown of these.

        ``share`` of them are anchors, beside one of their kin; the others are real rows by themselves, shown nothing.
        """
        chance = torch.rand(4, len(index), generator=rng, device=rng.device, dtype=torch.float64)
        with_anchor = chance[0] < share
        beside = torch.where(with_anchor, _pick(self.neighbours.kin[:, :_PAIRED], index, chance[1]), index)
        return beside, self._shown(index, with_anchor, chance[2], chance[3])

    def shown(self, label: int, n: int, *, share: float, rng: torch.Generator) -> Tensor:
        """Draw what ``n`` generated rows of ``label`` are shown: (n, width), ``share`` of them an anchor."""
        own = torch.nonzero(self.labels == label).flatten()
        chance = torch.rand(4, n, generator=rng, device=rng.device, dtype=torch.float64)
        index = own.index_select(0, (chance[1] * len(own)).to(torch.int64))
        return self._shown(index, chance[0] < share, chance[2], chance[3])

    def _shown(self, index: Tensor, with_anchor: Tensor, of_a: Tensor, of_b: Tensor) -> Tensor:
        """Return a flag, the anchor (D) and the move (D) that leads to where the row starts; zeros without one.

        Numbers move by b - a; where one of the two is missing not at all, and where the anchor's is, b's stands in.
        A category stays the anchor's where a and b agree, else it becomes b's.
        """
        a = _pick(self.neighbours.around, index, of_a)
        b = _pick(self.neighbours.kin, a, of_b)
        layout = self.rows.layout
        (z, columns), (z_a, columns_a), (z_b, columns_b) = (self.rows.parts(at) for at in (index, a, b))
        move = (z_b - z_a).masked_fill_((z_a == _ABSENT) | (z_b == _ABSENT), 0.0)
        start_columns = torch.where(columns_a == columns_b, columns, columns_b)
        ones = torch.ones((), device=z.device).expand(columns.shape)
        out = torch.zeros(len(index), self.width, device=z.device)
        out[:, 0] = 1.0
        anchor, moved = out[:, 1 : 1 + layout.width], out[:, 1 + layout.width :]
        anchor[:, : layout.n_numeric] = z
        moved[:, : layout.n_numeric] = torch.where(z == _ABSENT, z_b, move)
        anchor.scatter_(1, columns, ones)
        moved.scatter_(1, start_columns, ones)
        moved[:, layout.n_numeric :] -= anchor[:, layout.n_numeric :]
        return out.mul_(with_anchor.unsqueeze(1))


def shown_width(row_width: int) -> int:
    """Return the width of what is shown beside rows of ``row_width``."""
    return 1 + 2 * row_width


def _pick(near: Tensor, index: Tensor, chance: Tensor) -> Tensor:
    """Return one of the neighbours of each row at ``index`` (B,), told by ``chance`` (B,) in [0, 1)."""
    column = (chance * near.shape[1]).to(torch.int64)
    return near.index_select(0, index).gather(1, column.unsqueeze(1)).squeeze(1)
