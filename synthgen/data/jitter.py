"""Transforms that keep a label: small moves of an image, and for colour its light; mirroring where it is allowed.

Moves are drawn as matrices, so that what repeats images and what trains on them move alike. Imports numpy alone.
"""

from __future__ import annotations

import numpy as np

# what a digit, a letter or a face can take without becoming another: shares of the side, radians, factors
SHIFT, TURN, SHEAR, SCALE = 0.07, 0.2, 0.2, (0.9, 1.12)
CONTRAST, BRIGHTNESS = (0.8, 1.25), 0.1
_CHUNK = 512


def draw_moves(n: int, rng: np.random.Generator, *, flips: bool) -> np.ndarray:
    """Return (n, 2, 3) float32 affine maps from output to input coordinates, both -1 to 1 across the image.

    Shift, rotation, shear and scale are uniform within their bounds; ``flips`` mirrors every second one.
    """
    turn, shear = rng.uniform(-TURN, TURN, n), rng.uniform(-SHEAR, SHEAR, n)
    scale, shift = rng.uniform(*SCALE, n), rng.uniform(-2 * SHIFT, 2 * SHIFT, (n, 2))
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0) if flips else np.ones(n)
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    rows = [[mirror * cos, -sin + shear, shift[:, 0]], [mirror * sin, cos, shift[:, 1]]]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1).astype(np.float32)


def draw_light(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) float32 factors of contrast, and (n,) what is added for brightness, as a share of the full range."""
    contrast, brightness = rng.uniform(*CONTRAST, n), rng.uniform(-BRIGHTNESS, BRIGHTNESS, n)
    return contrast.astype(np.float32), brightness.astype(np.float32)


def jittered(images: np.ndarray, rng: np.random.Generator, *, flips: bool) -> np.ndarray:
    """Return (N, H, W, C) uint8 images moved a little, each in its own way; of colour images the light too."""
    n, channels = len(images), images.shape[3]
    moves = draw_moves(n, rng, flips=flips)
    contrast, brightness = draw_light(n, rng)
    out = np.empty_like(images)
    for start in range(0, n, _CHUNK):
        part = slice(start, start + _CHUNK)
        pixels = _moved(images[part].astype(np.float32), moves[part])
        if channels == 3:
            mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
            lift = 255 * brightness[part, None, None, None]
            pixels = (pixels - mean) * contrast[part, None, None, None] + mean + lift
        out[part] = np.rint(pixels.clip(0, 255)).astype(np.uint8)
    return out


def _moved(pixels: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Sample (N, H, W, C) pixels where ``moves`` say, cubically among sixteen neighbours; the edge goes on outside.

    Linearly, added images would be blurred, and a blur that only rare classes have gives their label away.
    """
    n, height, width, _ = pixels.shape
    y, x = np.meshgrid((2 * np.arange(height) + 1) / height - 1, (2 * np.arange(width) + 1) / width - 1, indexing="ij")
    places = np.einsum("nij,jhw->nihw", moves, np.stack([x, y, np.ones_like(x)]).astype(np.float32))
    column = (((places[:, 0] + 1) * width - 1) / 2).clip(0, width - 1)
    row = (((places[:, 1] + 1) * height - 1) / 2).clip(0, height - 1)
    which, out = np.arange(n)[:, None, None], np.zeros_like(pixels)
    for down in range(-1, 3):
        near = np.floor(row) + down
        across = np.zeros_like(pixels)
        for right in range(-1, 3):
            beside = np.floor(column) + right
            found = pixels[which, near.clip(0, height - 1).astype(np.int64), beside.clip(0, width - 1).astype(np.int64)]
            across += found * _weight(column - beside)[..., None]
        out += across * _weight(row - near)[..., None]
    return out


def _weight(gap: np.ndarray) -> np.ndarray:
    """Cubic convolution (Keys 1981) with a = -0.75: what a neighbour at this distance, below 2, weighs."""
    gap = np.abs(gap)
    near, far = (1.25 * gap - 2.25) * gap * gap + 1, ((-0.75 * gap + 3.75) * gap - 6) * gap + 3
    return np.asarray(np.where(gap <= 1, near, far))
