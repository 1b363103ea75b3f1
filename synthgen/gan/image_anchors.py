"""Real images that a generated one starts from: it is to be another image of their class. Torch only.

The critic is shown the anchor too, and a real image beside it is any other of its class. So what varies within a class
is learned on all of them and carried to the rare one (Antoniou et al. 2017, DAGAN).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from synthgen.data.layout import ImageLayout
from synthgen.errors import DataError
from synthgen.gan.rows import ImageRows, sha256_of


class ImageAnchors:
    """Training images with their labels (N,); ``width`` is that of what the networks are shown: a flag and an image.

    Raises DataError where the two do not fit.
    """

    def __init__(self, rows: ImageRows, labels: Tensor) -> None:
        if labels.dtype != torch.int64 or labels.shape != (len(rows),):
            raise DataError(f"labels of anchors must be int64 of shape ({len(rows)},); got {tuple(labels.shape)}")
        self.rows, self.labels = rows, labels
        self.width = shown_width(rows.layout)
        self._order = torch.argsort(labels, stable=True)
        counts = torch.bincount(labels)
        self._counts = counts
        self._starts = counts.cumsum(0) - counts
        self._place = torch.empty_like(labels).scatter_(0, self._order, torch.arange(len(labels), device=labels.device))

    def to(self, device: torch.device) -> ImageAnchors:
        """Return the same anchors on ``device``."""
        return ImageAnchors(self.rows.to(device), self.labels.to(device))

    def digest(self) -> str:
        """Return the sha256 (hex) of images and labels."""
        return f"{self.rows.digest()} {sha256_of(self.labels)}"

    def tensors(self) -> dict[str, Tensor]:
        """Return all that ``of`` needs to make the same anchors."""
        pixels = self.rows.batch(torch.arange(len(self.rows), device=self.labels.device))
        return {"pixels": pixels, "labels": self.labels.to(torch.int32)}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], layout: ImageLayout) -> ImageAnchors:
        """Return the anchors whose ``tensors`` these are."""
        return cls(ImageRows(tensors["pixels"], layout), tensors["labels"].to(torch.int64))

    def pairs(self, index: Tensor, *, share: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the real images (B,) that stand beside the anchors at ``index`` (B,), and what is shown of these.

        ``share`` of them are anchors, beside another image of their class; the others are real images by themselves.
        """
        chance = torch.rand(2, len(index), generator=rng, device=rng.device, dtype=torch.float64)
        with_anchor, label = chance[0] < share, self.labels.index_select(0, index)
        count, start = self._counts.index_select(0, label), self._starts.index_select(0, label)
        further = 1 + (chance[1] * (count - 1)).to(torch.int64)
        place = start + (self._place.index_select(0, index) - start + further) % count
        beside = torch.where(with_anchor, self._order.index_select(0, place), index)
        return beside, self._shown(index, with_anchor)

    def shown(self, label: int, n: int, *, share: float, rng: torch.Generator) -> Tensor:
        """Draw what ``n`` generated images of ``label`` are shown: (n, width), ``share`` of them an anchor."""
        chance = torch.rand(2, n, generator=rng, device=rng.device, dtype=torch.float64)
        place = self._starts[label] + (chance[1] * self._counts[label]).to(torch.int64)
        return self._shown(self._order.index_select(0, place), chance[0] < share)

    def _shown(self, index: Tensor, with_anchor: Tensor) -> Tensor:
        """Return a flag and the anchor's pixels (B, width); zeros without one."""
        out = torch.cat([torch.ones(len(index), 1, device=index.device), self.rows.batch(index).flatten(1)], 1)
        return out.mul_(with_anchor.unsqueeze(1))


def shown_width(layout: ImageLayout) -> int:
    """Return the width of what is shown beside images of ``layout``."""
    return 1 + layout.channels * layout.size**2
