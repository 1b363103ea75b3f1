"""Small data and settings that the tests of this room share."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from synthgen.data.layout import ImageLayout, TableLayout
from synthgen.gan.config import PRESETS, TrainConfig, preset
from synthgen.gan.trainer import Fitted, ImageRows, TableRows

LAYOUT = TableLayout(n_numeric=2, levels=(3, 1, 5))
PIXELS = ImageLayout(channels=1, size=8)
FOR_TABLES = [name for name, row in PRESETS.items() if row.network == "plain"]


def toy(n: int = 200, *, seed: int = 0, layout: TableLayout = LAYOUT) -> tuple[TableRows, Tensor]:
    """Rows of any layout with two labels, the second rare."""
    rng = torch.Generator().manual_seed(seed)
    numeric = torch.randn(n, layout.n_numeric, generator=rng)
    codes = [torch.randint(0, size, (n,), generator=rng) for size in layout.levels]
    stacked = torch.stack(codes, 1) if codes else torch.zeros(n, 0, dtype=torch.int64)
    labels = (torch.rand(n, generator=rng) < 0.2).to(torch.int64)
    labels[:2] = torch.tensor([0, 1])
    return TableRows(numeric, stacked, layout), labels


def tiny(name: str = "cwgan-gp", **overrides: object) -> TrainConfig:
    """A preset at a size that trains in a blink."""
    small: dict[str, object] = {"steps": 12, "batch": 16, "width": 8, "noise": 4, "embedding": 3}
    return preset(name, **{**small, "log_every": 4, "checkpoint_every": 4, **overrides})


def pictures(n: int = 60, *, layout: ImageLayout = PIXELS) -> tuple[ImageRows, Tensor]:
    """Images with two labels, the second rare: a bright upper or lower half, and noise."""
    rng = torch.Generator().manual_seed(0)
    labels = (torch.arange(n) % 4 == 1).to(torch.int64)
    pixels = torch.rand(n, layout.channels, layout.size, layout.size, generator=rng) - 1.0
    half = layout.size // 2
    pixels[labels == 0, :, :half] += 0.9
    pixels[labels == 1, :, half:] += 0.9
    return ImageRows(pixels, layout), labels


def tiny_images(name: str = "cwgan-gp", layout: ImageLayout = PIXELS, **overrides: object) -> TrainConfig:
    """A preset for images at a size that trains in a blink."""
    small: dict[str, object] = {"steps": 4, "batch": 8, "width": 4, "noise": 4, "embedding": 3}
    return preset(name, layout, **{**small, "log_every": 2, "checkpoint_every": 2, **overrides})


def bits(model: Fitted) -> str:
    """A hash of all that a run leaves: weights of both networks, history and step."""
    digest = hashlib.sha256(repr((model.history, model.step, model.seen)).encode())
    for part in (model.generator, model.critic):
        for name, tensor in part.state_dict().items():
            digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
