"""The digits example: scikit-learn's own pixels with a long tail, the same from either form."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from synthgen.data.images import ImageDataset
from synthgen.data.read import load

SCRIPT = Path(__file__).parents[2] / "examples" / "data" / "make_digits.py"


def test_the_tail_is_long_and_the_pixels_are_scikit_learn_s() -> None:
    images, labels, kept = runpy.run_path(str(SCRIPT))["make_digits"](ratio=10.0, seed=0)
    counts = sorted(np.bincount(labels[kept]).tolist())
    assert (counts[0], counts[-1], len(counts)) == (17, 170, 10)
    assert images.shape == (1797, 8, 8)
    assert (images.min(), images.max()) == (0, 255)
    assert np.array_equal(np.rint(images * (16 / 255)), load_digits().images)


def test_folder_and_arrays_hold_the_same_images(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--out"]
    done = subprocess.run([*command, "digits", "--left-out", "rest.npz"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*command, "digits.npz"], cwd=tmp_path, check=True, capture_output=True)
    folder, arrays, rest = (load(tmp_path / name) for name in ("digits", "digits.npz", "rest.npz"))
    assert isinstance(folder, ImageDataset)
    assert isinstance(arrays, ImageDataset)
    assert isinstance(rest, ImageDataset)
    assert folder.shape == arrays.shape == (8, 8, 1)
    assert {int(str(label)): n for label, n in folder.counts().items()} == arrays.counts()
    assert sorted(folder.feature_hashes()) == sorted(arrays.feature_hashes())
    assert len(arrays) + len(rest) == 1797
    assert f"wrote digits: {len(arrays)} images" in done.stdout.decode()
