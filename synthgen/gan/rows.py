"""Training rows on the device, and which of them a step sees. Torch and numpy only."""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from synthgen.data.layout import ImageLayout, Layout, TableLayout
from synthgen.errors import DataError, TooFewRows


class Rows(Protocol):
    """Real samples that a trainer can draw from."""

    @property
    def layout(self) -> Layout:
        """The shape of a sample."""

    def __len__(self) -> int:
        """The number of samples."""

    def batch(self, index: Tensor) -> Tensor:
        """Return the samples (B, *shape) float32 at ``index`` (B,)."""

    def to(self, device: torch.device) -> Rows:
        """Return the same samples on ``device``."""

    def digest(self) -> str:
        """Return the sha256 (hex) of the samples' shape and content."""


def sha256_of(*tensors: Tensor) -> str:
    """Return the sha256 (hex) over type, shape and bytes of ``tensors``."""
    digest = hashlib.sha256()
    for tensor in tensors:
        flat = tensor.detach().cpu().contiguous()
        digest.update(f"{flat.dtype} {tuple(flat.shape)}\n".encode())
        if flat.numel():
            digest.update(flat.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class TableRows:
    """Encoded rows kept as numbers and codes; a batch is expanded to one-hot blocks on the device.

    ``numeric`` (N, P) float32, ``codes`` (N, Q) int64, ``layout`` their sizes. Raises DataError where the three do
    not fit or hold a value that is not finite, TooFewRows without any row.
    """

    def __init__(self, numeric: Tensor, codes: Tensor, layout: TableLayout) -> None:
        _check_table(numeric, codes, layout)
        self._layout = layout
        self._numeric = numeric.contiguous()
        self._starts = torch.tensor(layout.starts, dtype=torch.int64, device=codes.device)
        self._columns = codes + self._starts  # the columns of each row's ones

    @property
    def layout(self) -> TableLayout:
        """The sizes of the numeric part and of each one-hot block."""
        return self._layout

    def __len__(self) -> int:
        return len(self._numeric)

    def batch(self, index: Tensor) -> Tensor:
        """Return rows (B, D) float32 at ``index`` (B,)."""
        out = torch.zeros(len(index), self._layout.width, device=index.device)
        out[:, : self._layout.n_numeric] = self._numeric.index_select(0, index)
        return out.scatter_(1, self._columns.index_select(0, index), 1.0)

    def parts(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers (B, P) of rows at ``index`` (B,), and the columns (B, Q) of an expanded row's ones."""
        return self._numeric.index_select(0, index), self._columns.index_select(0, index)

    def numeric_and_codes(self) -> tuple[Tensor, Tensor]:
        """Return all rows as they came: numbers (N, P) and codes (N, Q)."""
        return self._numeric, self._columns - self._starts

    def to(self, device: torch.device) -> TableRows:
        """Return the same rows on ``device``."""
        if device == self._numeric.device:
            return self
        numeric, codes = self.numeric_and_codes()
        return TableRows(numeric.to(device), codes.to(device), self._layout)

    def digest(self) -> str:
        """Return the sha256 (hex) of the rows' shape and content."""
        return sha256_of(self._numeric, self._columns)


class ImageRows:
    """Encoded images (N, C, S, S) float32 in [-1, 1] of this ``layout``.

    Raises DataError where the two do not fit or a pixel is not finite, TooFewRows without any image.
    """

    def __init__(self, pixels: Tensor, layout: ImageLayout) -> None:
        if pixels.dtype != torch.float32 or pixels.shape[1:] != (layout.channels, layout.size, layout.size):
            raise DataError(f"images must be float32 of {layout}; got {pixels.dtype} of {tuple(pixels.shape)}")
        if not len(pixels):
            raise TooFewRows("no images to train on")
        if not bool(torch.isfinite(pixels).all()):
            raise DataError("encoded images hold NaN or infinity")
        self._layout = layout
        self._pixels = pixels.contiguous()

    @property
    def layout(self) -> ImageLayout:
        """Channels and side."""
        return self._layout

    def __len__(self) -> int:
        return len(self._pixels)

    def batch(self, index: Tensor) -> Tensor:
        """Return images (B, C, S, S) float32 at ``index`` (B,)."""
        return self._pixels.index_select(0, index)

    def to(self, device: torch.device) -> ImageRows:
        """Return the same images on ``device``."""
        return self if device == self._pixels.device else ImageRows(self._pixels.to(device), self._layout)

    def digest(self) -> str:
        """Return the sha256 (hex) of the images' shape and content."""
        return sha256_of(self._pixels)


def _check_table(numeric: Tensor, codes: Tensor, layout: TableLayout) -> None:
    n = len(numeric)
    if not layout.width or min(layout.levels, default=1) < 1:
        raise DataError(f"nothing to learn from a table of {layout.n_numeric} numbers and levels {layout.levels}")
    if numeric.shape != (n, layout.n_numeric) or codes.shape != (n, len(layout.levels)):
        raise DataError(
            f"numbers {tuple(numeric.shape)} and codes {tuple(codes.shape)} do not fit "
            f"{layout.n_numeric} numeric and {len(layout.levels)} categorical columns"
        )
    if numeric.dtype != torch.float32 or codes.dtype != torch.int64:
        raise DataError(f"numbers must be float32 and codes int64; got {numeric.dtype} and {codes.dtype}")
    if not n:
        raise TooFewRows("no rows to train on")
    if not bool(torch.isfinite(numeric).all()):
        raise DataError("encoded numbers hold NaN or infinity; missing values belong in a code of their own")
    if codes.numel():
        levels = torch.tensor(layout.levels, device=codes.device)
        wrong = ((codes < 0) | (codes >= levels)).any(0).nonzero().flatten().tolist()
        if wrong:
            raise DataError(f"codes out of range in categorical column {wrong[0]} of {layout.levels[wrong[0]]} levels")


class Draw(NamedTuple):
    """The choices of ``n`` samples: rows (n,), their labels (n,) and weights (n,) in [0, 1) for blending."""

    rows: Tensor
    labels: Tensor
    blend: Tensor


class LabelMix:
    """Draws labels half from the rows' own frequencies, half evenly (by ``uniform``), then a row of each label.

    ``labels`` (N,) int64. Drawing is with replacement, so N may be below the batch. Labels that no row has are
    never drawn.
    """

    def __init__(self, labels: Tensor, *, n_labels: int, uniform: float) -> None:
        counts = torch.bincount(labels, minlength=n_labels).to(torch.float64)
        present = (counts > 0).to(torch.float64)
        shares = (1.0 - uniform) * counts / counts.sum() + uniform * present / present.sum()
        edges = shares.cumsum(0)
        edges[int(present.nonzero().max()) :] = 1.0  # rounding must not leave a gap above the last label
        self._edges = edges
        self._counts = counts
        self._order = torch.argsort(labels, stable=True)
        self._starts = (counts.cumsum(0) - counts).to(torch.int64)

    def draw(self, n: int, rng: torch.Generator) -> Draw:
        """Draw ``n`` samples in one call of ``rng``."""
        label_at, row_at, blend = torch.rand(3, n, generator=rng, device=rng.device, dtype=torch.float64)
        labels = torch.searchsorted(self._edges, label_at, right=True)
        counts = self._counts.index_select(0, labels)
        offset = (row_at * counts).to(torch.int64)
        index = self._order.index_select(0, self._starts.index_select(0, labels) + offset)
        return Draw(index, labels, blend.to(torch.float32))
