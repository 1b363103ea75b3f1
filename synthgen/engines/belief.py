"""How much the real rows would believe that a row is of a class: boosted trees on the training rows.

May import data, encode and its own room; scikit-learn only inside functions. Saved as the bins it learns from, and
learnt again on first use: no pickle, and the same bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.encode.tabular import TabularCodec
from synthgen.engines.base import code_of
from synthgen.engines.learners import Bins, Classifier, TreeSettings, boosted_trees, one_thread
from synthgen.engines.pool import bounded

MAX_ROWS = 20_000


class Belief:
    """A class-balanced classifier of real rows; ``of(rows, label)`` is its probability for the label."""

    def __init__(self, codec: TabularCodec, bins: Bins, x: np.ndarray, labels: np.ndarray, *, seed: int) -> None:
        self._codec, self._bins, self._x, self._labels, self._seed = codec, bins, x, labels, seed
        self._model: Classifier | None = None

    @classmethod
    def fit(
        cls, train: TabularDataset, wanted: Mapping[Label, int], *, seed: int, codec: TabularCodec | None = None
    ) -> Belief:
        """Learn from at most 20,000 rows of ``train`` and as many of each wanted class; numbers standardised."""
        codec = codec or TabularCodec(numeric="standard").fit(train)
        kept = train.take(bounded(train, wanted, rest=MAX_ROWS, own=MAX_ROWS, seed=seed))
        rows = codec.encode(kept, seed=seed)
        bins = Bins.fit(rows, kept.label_codes)
        belief = cls(codec, bins, bins.features(rows), kept.label_codes, seed=seed)
        belief._fitted()
        return belief

    def of(self, rows: TabularDataset, label: Label, *, seed: int) -> np.ndarray:
        """Return (N,) probabilities that ``rows`` are of ``label``."""
        model = self._fitted()
        code = code_of(rows.classes, label, engine="filter")
        column = np.flatnonzero(model.classes_ == code)
        with one_thread():
            shares = model.predict_proba(self._bins.features(self._codec.encode(rows, seed=seed)))
        return np.asarray(shares[:, column[0]]) if len(column) else np.zeros(len(rows))

    def save(self, folder: Path) -> None:
        """Write codec, training arrays and seed."""
        self._codec.save(folder / "codec")
        edges = {f"edges{k}": edges for k, edges in enumerate(self._bins.edges)}
        np.savez_compressed(folder / "rows.npz", x=self._x, labels=self._labels, **edges)  # type: ignore[arg-type]
        (folder / "belief.json").write_text(json.dumps({"seed": self._seed}) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Belief:
        """Return what ``save`` wrote."""
        seed = int(json.loads((folder / "belief.json").read_text(encoding="utf-8"))["seed"])
        with np.load(folder / "rows.npz", allow_pickle=False) as arrays:
            x, labels = arrays["x"], arrays["labels"]
            bins = Bins(tuple(arrays[f"edges{k}"] for k in range(len(arrays.files) - 2)))
        return cls(TabularCodec.load(folder / "codec"), bins, x, labels, seed=seed)

    def _fitted(self) -> Classifier:
        if self._model is None:
            n_classes = len(np.unique(self._labels))
            rounds = 80 if n_classes == 2 else int(np.clip(240 // n_classes, 10, 80))  # each round grows a tree a class
            settings = TreeSettings(rounds=rounds, balanced=True)
            with one_thread():
                model = boosted_trees(self._codec.layout, settings, seed=self._seed)
                self._model = model.fit(self._x, self._labels)
        return self._model
