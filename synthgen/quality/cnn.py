"""A small convolutional network on real pixels: what judges arms of images, and what a distance between images sees.

May import data; torch only inside functions. The same seed gives the same network on the same kind of processor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from synthgen.data.jitter import draw_light, draw_moves
from synthgen.seeding import derive, numpy_rng

if TYPE_CHECKING:
    import torch
    from torch import nn

Loss = Literal["plain", "weighted", "adjusted"]

STEPS = 200
BATCH = 64
_WIDTH = 16
_RATE = 4e-3
_ASKED = 1_000


@dataclass(frozen=True)
class Training:
    """How a network learns: ``steps`` of 64 images, moved a little where ``augmented`` (mirrored too under ``flips``).

    ``loss``: plain cross-entropy; ``weighted`` by the inverse of the class sizes; or ``adjusted`` by the logarithm of
    the class shares (Menon et al. 2021, equation 10).
    """

    steps: int = STEPS
    augmented: bool = True
    flips: bool = False
    loss: Loss = "plain"


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network: ``body`` gives (N, D) features, ``head`` their (N, K') logits for the codes ``present``."""

    body: nn.Module
    head: nn.Module
    present: np.ndarray
    n_classes: int

    def proba(self, images: np.ndarray) -> np.ndarray:
        """Return (N, K) probabilities of (N, H, W, C) uint8 images; 0 for a class that was not learned."""
        import torch

        with one_torch_thread(), torch.no_grad():
            parts = [self.head(self.body(part)).double().softmax(1).numpy() for part in _batches(images)]
        out = np.zeros((len(images), self.n_classes))
        out[:, self.present] = np.concatenate(parts) if parts else 0.0
        return out

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return (N, D) float64 features: what the network makes of the images before it decides."""
        import torch

        with one_torch_thread(), torch.no_grad():
            parts = [self.body(part).double().numpy() for part in _batches(images)]
        return np.concatenate(parts) if parts else np.empty((0, 0))


def train_network(images: np.ndarray, codes: np.ndarray, *, n_classes: int, training: Training, seed: int) -> Network:
    """Return the network trained on (N, H, W, C) uint8 ``images`` and their class ``codes`` (N,)."""
    import torch
    from torch.nn.functional import cross_entropy

    present, targets = np.unique(codes, return_inverse=True)
    counts = torch.from_numpy(np.bincount(targets)).float()
    weight = counts.sum() / counts / len(counts) if training.loss == "weighted" else None
    shift = (counts / counts.sum()).log() if training.loss == "adjusted" else torch.zeros(len(counts))
    rng = numpy_rng(seed, "batches")
    with one_torch_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "network"))
        body, head = _build(images.shape[1:], len(present))
        body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        pixels, y = (
            _tensor(images).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(targets.astype(np.int64)),
        )
        parameters = [*body.parameters(), *head.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=_RATE / 2, weight_decay=1e-3, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=training.steps)
        for _ in range(training.steps):
            chosen = torch.from_numpy(rng.integers(0, len(pixels), BATCH))
            batch = pixels[chosen]
            if training.augmented:
                batch = _moved(batch, rng, flips=training.flips)
            loss = cross_entropy(head(body(batch)) + shift, y[chosen], weight=weight)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        body.eval()
        head.eval()
    return Network(body, head, present, n_classes)


def _build(shape: tuple[int, ...], n_classes: int) -> tuple[nn.Module, nn.Module]:
    """Three blocks of convolutions, halving the side as long as four pixels are left; then the mean over the places."""
    from torch import nn

    height, width, channels = shape
    halvings = max(0, min(3, int(math.log2(min(height, width) / 4))))
    layers: list[nn.Module] = []
    for k in range(3):
        wide = _WIDTH << k
        layers += [nn.Conv2d(channels, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if k < halvings else []
        channels = wide
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers), nn.Sequential(nn.Dropout(0.2), nn.Linear(channels, n_classes))


def _tensor(images: np.ndarray) -> torch.Tensor:
    """(N, H, W, C) uint8 as (N, C, H, W) float, -1 to 1."""
    import torch

    stacked = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return torch.from_numpy(stacked).float() / 127.5 - 1


def _batches(images: np.ndarray) -> Iterator[torch.Tensor]:
    return (_tensor(images[start : start + _ASKED]) for start in range(0, len(images), _ASKED))


def _moved(batch: torch.Tensor, rng: np.random.Generator, *, flips: bool) -> torch.Tensor:
    """Every image moved in its own way; of colour images the light too."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    n, channels = batch.shape[:2]
    moves = torch.from_numpy(draw_moves(n, rng, flips=flips))
    places = affine_grid(moves, list(batch.shape), align_corners=False)
    batch = grid_sample(batch, places, padding_mode="border", align_corners=False)
    if channels == 3:
        contrast, brightness = (torch.from_numpy(part)[:, None, None, None] for part in draw_light(n, rng))
        mean = batch.mean(dim=(1, 2, 3), keepdim=True)
        batch = ((batch - mean) * contrast + mean + 2 * brightness).clamp(-1, 1)
    return batch


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Hold torch at one thread: no figure may depend on how many jobs run side by side."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
