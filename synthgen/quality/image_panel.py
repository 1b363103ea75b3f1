"""The panel for images: one small network, trained on an arm's images and asked about untouched real ones.

May import data and quality.cnn. It does not know who made the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthgen.data.images import ImageDataset
from synthgen.quality.cnn import STEPS, Loss, Training, train_network
from synthgen.seeding import derive

CNN = "cnn"
_MOST_STEPS = 3 * STEPS
_IMAGES_PER_STEP = 5


@dataclass(frozen=True)
class ImagePanel:
    """Who judges images. ``flips``: mirroring keeps the label, so the arms' images are mirrored too."""

    flips: bool = False

    @property
    def learners(self) -> tuple[str, ...]:
        """The learners' names."""
        return (CNN,)


def predict_images(
    real: ImageDataset,
    added: ImageDataset,
    judged: ImageDataset,
    *,
    panel: ImagePanel,
    loss: Loss,
    augmented: bool,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the learner's probabilities (N, K) for the ``judged`` images, columns as ``classes``.

    It is trained on the ``real`` images and the ``added`` ones for a number of steps that the real ones alone decide.
    """
    codes = np.concatenate([real.label_codes, added.label_codes])
    if len(np.unique(codes)) < 2:
        return {CNN: np.eye(len(real.classes))[codes[:1].repeat(len(judged))]}
    training = Training(steps_for(len(real)), augmented, panel.flips, loss)
    network = train_network(
        np.concatenate([real.images, added.images]),
        codes,
        n_classes=len(real.classes),
        training=training,
        seed=derive(seed, CNN),
    )
    return {CNN: network.proba(judged.images)}


def steps_for(n_images: int) -> int:
    """Return how many steps a network learns from ``n_images`` real images: 200 up to 1,000, 600 from 3,000 on."""
    return min(_MOST_STEPS, max(STEPS, n_images // _IMAGES_PER_STEP))
