"""Real images of a class again, each moved a little in a way that keeps its label. Needs no network.

May import data and its own room.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from synthgen.data.image_store import load_images, save_images
from synthgen.data.images import ImageDataset
from synthgen.data.jitter import jittered
from synthgen.data.schema import Label
from synthgen.engines.base import (
    EngineInfo,
    FitContext,
    check_count,
    code_of,
    fitted,
    read_state,
    reading,
    write_state,
)
from synthgen.engines.image_catalog import IMAGES
from synthgen.errors import TooFewRows
from synthgen.seeding import numpy_rng

_IMAGES = "images.npz"


class Repeats:
    """Spread evenly: every image floor(n / m) times and a random rest once more, in random order, each moved anew.

    ``flips``: mirroring keeps the label, so every second image is mirrored.
    """

    def __init__(self, *, flips: bool = False) -> None:
        self._flips = flips
        self._kept: ImageDataset | None = None

    @property
    def info(self) -> EngineInfo:
        """The facts; ``origin`` is "repeated"."""
        return IMAGES["oversample"].info

    def fit(self, train: ImageDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008, ARG002
        """Keep the images of the wanted classes."""
        codes = [train.classes.index(label) for label in context.wanted(train.counts())]
        self._kept = replace(train.take(np.isin(train.label_codes, codes)), notes=(), repeated=None)
        context.report(1.0, "ready")
        return self

    def sample(self, label: Label, n: int, *, seed: int) -> ImageDataset:
        """Return ``n`` images of ``label`` under the names of what they repeat. Raises TooFewRows where it has none."""
        kept, n = fitted(self._kept, self), check_count(n)
        own = np.flatnonzero(kept.label_codes == code_of(kept.classes, label, engine="oversample"))
        if len(own) == 0:
            raise TooFewRows(f"class {label!r} has no training images to repeat")
        rng = numpy_rng(seed, "repeats")
        rest = rng.permutation(own)[: n % len(own)]
        chosen = kept.take(rng.permutation(np.concatenate([np.tile(own, n // len(own)), rest])))
        moved = jittered(chosen.images, rng, flips=self._flips)
        return replace(chosen, images=moved).as_repeats()

    def save(self, folder: Path) -> None:
        """Write engine.json and the images."""
        write_state(folder, self, {"flips": self._flips})
        save_images(folder / _IMAGES, fitted(self._kept, self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote."""
        state = read_state(folder)
        with reading(folder):
            engine = cls(flips=bool(state["flips"]))
            engine._kept = load_images(folder / _IMAGES)
        return engine
