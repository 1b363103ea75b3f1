"""Cuts scikit-learn's handwritten digits (8x8, bundled with it) to a long tail, as images to balance.

    python examples/data/make_digits.py --out digits.npz                  # arrays: images, labels
    python examples/data/make_digits.py --out digits --left-out rest.npz  # a folder per digit; the rest for judging

The most frequent digit keeps 170 images and the rarest 170 / --ratio, with even steps between them in the logarithm;
a seed decides which digit is how rare and which images stay. What is left out are real images that no generator
saw: use them to judge with.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

HEAD = 170


def make_digits(*, ratio: float = 10.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images (N, 8, 8) uint8, labels (N,) int64, and kept (N,) bool: which images the long tail has."""
    bunch = load_digits()
    images, labels = (bunch.images * 255 / 16).round().astype(np.uint8), bunch.target.astype(np.int64)
    rng = np.random.default_rng(seed)
    kept = np.zeros(len(labels), dtype=bool)
    for rank, digit in enumerate(rng.permutation(10)):
        n = round(HEAD * ratio ** (-rank / 9))
        kept[rng.permutation(np.flatnonzero(labels == digit))[:n]] = True
    return images, labels, kept


def write(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write an .npz where the path ends so, else a folder of class folders."""
    if path.suffix == ".npz":
        np.savez_compressed(path, images=images, labels=labels)
        return
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = path / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:04d}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("digits.npz"), help="an .npz, or a folder")
    parser.add_argument("--left-out", type=Path, help="where the images that the long tail lacks go")
    parser.add_argument("--ratio", type=float, default=10.0, help="most frequent digit to rarest")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    images, labels, kept = make_digits(ratio=options.ratio, seed=options.seed)
    write(options.out, images[kept], labels[kept])
    if options.left_out:
        write(options.left_out, images[~kept], labels[~kept])
    print(f"wrote {options.out}: {kept.sum()} images, " + ", ".join(f"{n} of {d}" for d, n in
          enumerate(np.bincount(labels[kept]))))  # fmt: skip
