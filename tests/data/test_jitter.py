"""Moves keep an image what it is, mirror only where that is allowed, and are the same for the same seed."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from synthgen.data.jitter import _moved, draw_moves, jittered


def digits(n: int = 200) -> np.ndarray:
    return (load_digits().images[:n, ..., None] * 255 / 16).round().astype(np.uint8)


def moved(images: np.ndarray, *, flips: bool = False, seed: int = 0) -> np.ndarray:
    return jittered(images, np.random.default_rng(seed), flips=flips)


def test_a_moved_digit_is_still_nearest_to_its_own_kind() -> None:
    images, kind = digits(), load_digits().target[:200]
    flat = images.reshape(200, -1).astype(float)
    gaps = ((moved(images).reshape(200, 1, -1).astype(float) - flat) ** 2).sum(axis=2)
    assert np.mean(kind[gaps.argmin(axis=1)] == kind) > 0.9


def test_every_image_moves_in_its_own_way() -> None:
    same = np.repeat(digits(1), 50, axis=0)
    assert len(np.unique(moved(same).reshape(50, -1), axis=0)) == 50
    assert np.array_equal(moved(same), moved(same))
    assert not np.array_equal(moved(same), moved(same, seed=1))


def test_only_flips_mirror() -> None:
    half = np.zeros((300, 16, 16, 1), dtype=np.uint8)
    half[:, :, :8] = 200
    mirrored = [np.mean(out[..., :8, 0].mean(axis=(1, 2)) < 100) for out in (moved(half), moved(half, flips=True))]
    assert mirrored[0] == 0
    assert 0.4 < mirrored[1] < 0.6


def test_gray_keeps_its_light_and_colour_does_not() -> None:
    for channels, spread in ((1, False), (3, True)):
        flat = np.full((40, 8, 12, channels), 100, dtype=np.uint8)
        out = moved(flat)
        assert out.shape == flat.shape
        assert (len(np.unique(out)) > 1) is spread


def test_what_is_moved_stays_as_sharp() -> None:
    """A blur that only added images have would give their class away."""
    images = digits()
    steps = [np.abs(np.diff(each.astype(float), axis=2)).mean() for each in (images, moved(images))]
    assert steps[1] > 0.85 * steps[0]


def test_no_move_changes_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (700, 9, 6, 3)).astype(np.float32)
    still = np.broadcast_to(np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32), (700, 2, 3))
    assert np.abs(_moved(images, still) - images).max() < 1e-3


def test_the_network_s_moves_are_the_same_ones() -> None:
    """What repeats show and what a network trains on come from one set of matrices."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    images = digits(20).astype(np.float32)
    moves = draw_moves(20, np.random.default_rng(0), flips=True)
    batch = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    places = affine_grid(torch.from_numpy(moves), list(batch.shape), align_corners=False)
    theirs = (
        grid_sample(batch, places, mode="bicubic", padding_mode="border", align_corners=False)
        .numpy()
        .transpose(0, 2, 3, 1)
    )
    inside = np.abs(_moved(images, moves) - theirs)[:, 2:-2, 2:-2]  # they treat the edge in another way
    assert inside.max() < 0.05
