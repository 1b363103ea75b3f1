"""The networks behind the engine contract: codec, labels, training settings, and the one trainer.

May import data, encode, gan.config and its own room; torch and the rest of gan only inside functions.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.data.layout import TableLayout
from synthgen.data.schema import Label
from synthgen.encode.base import EncodedTable
from synthgen.encode.tabular import TabularCodec
from synthgen.engines.aside import Aside
from synthgen.engines.base import (
    Engine,
    EngineInfo,
    FitContext,
    check_count,
    code_of,
    fitted,
    labels_to_json,
    read_state,
    reading,
    write_state,
)
from synthgen.engines.catalog import CATALOG
from synthgen.engines.filter import Filtered
from synthgen.engines.neighbours import AROUND, jittered, kin, nearest
from synthgen.engines.pool import bounded, dense
from synthgen.errors import ConfigError, TooFewRows
from synthgen.gan.config import TrainConfig, preset
from synthgen.seeding import derive, numpy_rng

if TYPE_CHECKING:
    from synthgen.gan.trainer import Fitted, Neighbours, Progress

MAX_ROWS = 200_000
MAX_ANCHORS, MAX_OWN_ANCHORS = 20_000, 5_000
JOINT = 0.5
KIN, MOST_KIN = 0.025, 80
FINE_TUNE = 0.25


def build(
    *,
    preset: str = "cwgan-gp",
    filter: bool = True,
    overdraw: float | None = None,
    keep: float = 1.0,
    fine_tune: int | None = None,
    **settings: object,
) -> Engine:
    """Return the named network, behind a filter unless ``filter`` is False; ``overdraw=1`` only drops copies.

    That is the default where rows start from real ones: choosing among them lost AUC and AP on inner splits. Other
    networks over-generate three times.
    ``fine_tune`` is the number of steps when continuing from a base (a quarter of ``steps`` by default);
    ``settings`` are the trainer's own (steps, max_minutes, width ...). Raises ConfigError for an unknown one.
    """
    engine = Adversarial(preset, fine_tune=fine_tune, **settings)
    if overdraw is None:
        overdraw = 1.0 if engine.config.anchored else 3.0
    return Filtered(engine, overdraw=overdraw, keep=keep, name=preset) if filter else engine


def anchored_share(layout: TableLayout) -> float:
    """Return the share of a class's rows that start from a real one: all where every column is a number.

    The joint model's rows are too smooth on numbers and useful where categories are many (tables of both kinds, inner
    splits of the training rows): half of the rows come from it at most, in proportion to the categorical columns.
    """
    n_columns = layout.n_numeric + len(layout.levels)
    return 1.0 - JOINT * len(layout.levels) / n_columns


def _neighbours(encoded: EncodedTable, labels: np.ndarray, levels: tuple[int, ...]) -> Neighbours:
    """Return for each row the 20 nearest of any class, and of its own the nearest 2.5 %, from 5 to 80.

    A move is wider than delta's (5 whatever the class's size): a rare class is sparse, and rows that stay in the
    close vicinity of its few are told from others.
    """
    import torch

    from synthgen.gan.trainer import Neighbours

    points = jittered(dense(encoded, levels))
    around = nearest(points, points, min(AROUND + 1, len(points)))
    if around.shape[1] > 1:
        around = around[:, 1:]
    return Neighbours(
        around=torch.from_numpy(around), kin=torch.from_numpy(kin(points, labels, most=MOST_KIN, share=KIN))
    )


class Adversarial:
    """A GAN preset on tables: one conditional model over all classes, or one model for each class's own rows.

    Where the preset is ``anchored`` (cwgan-gp), a share of the rows starts from a real row of the class, moved by the
    difference of two near rows and by what the network adds: the model then holds its training rows, encoded, as
    ``delta`` does, and is as confidential as they are.
    """

    def __init__(self, name: str = "cwgan-gp", *, fine_tune: int | None = None, **settings: object) -> None:
        self._config = preset(name, **settings)
        if fine_tune is not None and (isinstance(fine_tune, bool) or int(fine_tune) != fine_tune or fine_tune < 1):
            raise ConfigError(f"fine_tune must be a number of steps from 1 on, got {fine_tune!r}")
        self._name, self._settings, self._fine_tune = name, dict(settings), fine_tune
        self._codec: TabularCodec | None = None
        self._aside: Aside | None = None
        self._model: Fitted | None = None
        self._classes: tuple[Label, ...] = ()
        self._counts: tuple[int, ...] = ()

    @property
    def info(self) -> EngineInfo:
        """The facts of the preset's row in the catalogue."""
        return CATALOG[self._name].info

    @property
    def config(self) -> TrainConfig:
        """The training settings."""
        return self._config

    @property
    def history(self) -> list[dict[str, float]]:
        """A row of figures (step, seconds, losses, the earth-mover estimate) for each look at the training."""
        return [{key: float(value) for key, value in row.items()} for row in self._model.history] if self._model else []

    @property
    def step(self) -> int:
        """The generator step that training reached."""
        return self._model.step if self._model else 0

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        """Train on at most 200,000 rows and as many of each wanted class; from ``context.base`` on where it is given.

        Where rows serve as anchors: on at most 20,000 rows and 5,000 of each wanted class, and the model keeps them.

        Raises TooFewRows for a class that ``context.want`` names, ConfigError where the base does not fit,
        EngineError where training fails.
        """
        began = time.monotonic()
        base = context.base.inner if isinstance(context.base, Filtered) else context.base
        if base is not None and not isinstance(base, Adversarial):
            raise ConfigError(f"engine {self._name!r} cannot continue from {base.info.name!r}; only from a network")
        present = {label: n for label, n in train.counts().items() if n}
        if not self.info.conditional and len(present) > 1:
            raise ConfigError(
                f"engine {self._name!r} models one class at a time but got rows of {len(present)}; "
                f"fit it on one class's rows, or use 'c{self._name}'"
            )
        wanted = {label: present.get(label, 0) for label in context.wanted(present)}
        self._counts = tuple(train.counts().values())
        for label in wanted if context.want is not None else ():
            self._enough(train.classes.index(label), train.classes)
        context.report(0.0, "encoding")
        self._codec = self._same_codec(base, train) if base else TabularCodec().fit(train)
        self._classes = train.classes
        rest, own = (MAX_ANCHORS, MAX_OWN_ANCHORS) if self._config.anchored else (MAX_ROWS, MAX_ROWS)
        rows = bounded(train, wanted, rest=rest, own=own, seed=seed)
        self._model = self._train(train.take(rows), seed=seed, context=context, base=base, began=began)
        return self

    def _enough(self, code: int, classes: tuple[Label, ...]) -> None:
        if self._counts[code] < self.info.min_rows:
            raise TooFewRows(
                f"class {classes[code]!r} has {self._counts[code]} training rows, engine {self._name!r} needs "
                f"{self.info.min_rows}; use smote (2) or oversample (1)"
            )

    def _same_codec(self, base: Adversarial, train: TabularDataset) -> TabularCodec:
        if base._classes != train.classes:
            raise ConfigError(f"the base model knows the classes {base._classes}, the rows have {train.classes}")
        return fitted(base._codec, base)

    def _train(
        self, rows: TabularDataset, *, seed: int, context: FitContext, base: Adversarial | None, began: float
    ) -> Fitted:
        import torch

        from synthgen.gan.trainer import Anchors, TableRows, train

        codec, config = fitted(self._codec, self), self._config
        if base is not None:
            steps = self._fine_tune or max(1, round(FINE_TUNE * config.steps))
            config = preset(self._name, **{**self._settings, "steps": steps})
        encoded = codec.encode(rows, seed=derive(seed, "encode"))
        self._aside = Aside.of(codec.layout, encoded, rows.label_codes)
        layout, encoded = self._aside.layout, self._aside.narrowed(encoded)
        labels = torch.from_numpy(rows.label_codes.astype(np.int64))
        numeric = torch.from_numpy(np.ascontiguousarray(encoded.numeric, dtype=np.float32))
        codes = torch.from_numpy(np.ascontiguousarray(encoded.codes, dtype=np.int64))

        def observe(progress: Progress) -> None:
            gap = progress.figures.get("earth_mover")
            shown = f", earth mover {gap:.3f}" if gap is not None else ""
            share = progress.step / max(1, progress.steps)
            if config.max_minutes is not None:
                share = min(1.0, max(share, progress.seconds / (60.0 * config.max_minutes)))
            context.report(share, f"step {progress.step} of {progress.steps}{shown}")

        table = TableRows(numeric, codes, layout)
        anchors = None
        if config.anchored and (base is None or (base._model and base._model.anchors)):
            anchors = Anchors(table, labels, _neighbours(encoded, rows.label_codes, layout.levels))
        return train(
            table,
            labels,
            n_labels=len(rows.classes),
            config=config,
            seed=derive(seed, "train"),
            observer=observe,
            checkpoints=context.checkpoints,
            start=base._model if base is not None else None,
            anchors=anchors,
            spent=time.monotonic() - began,
        )

    def sample(self, label: Label, n: int, *, seed: int) -> TabularDataset:
        """Return ``n`` rows of ``label``."""
        model, codec, n = fitted(self._model, self), fitted(self._codec, self), check_count(n)
        code = code_of(self._classes, label, engine=self._name)
        self._enough(code, self._classes)
        aside = fitted(self._aside, self)
        numeric, codes = model.sample(code, n, seed=derive(seed, "network"), anchored=anchored_share(aside.layout))
        encoded = EncodedTable(numeric=numeric.numpy(), codes=codes.numpy().astype(np.int32))
        encoded = aside.widened(encoded, code, rng=numpy_rng(seed, "aside"))
        return codec.decode(encoded, label=self._classes[code], seed=derive(seed, "decode"))

    def save(self, folder: Path) -> None:
        """Write engine.json, the codec and the weights (safetensors)."""
        model = fitted(self._model, self)
        state: Mapping[str, object] = {
            "preset": self._name,
            "settings": self._settings,
            "fine_tune": self._fine_tune,
            "classes": labels_to_json(self._classes),
            "counts": list(self._counts),
        }
        write_state(folder, self, state)
        fitted(self._codec, self).save(folder / "codec")
        fitted(self._aside, self).save(folder / "aside.npz")
        model.save(folder / "network")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote."""
        from synthgen.gan.trainer import Fitted

        state = read_state(folder)
        with reading(folder):
            settings = cast("dict[str, object]", state["settings"])
            engine = cls(str(state["preset"]), fine_tune=cast("int | None", state["fine_tune"]), **settings)
            engine._classes = tuple(cast("list[Label]", state["classes"]))
            engine._counts = tuple(cast("list[int]", state["counts"]))
            engine._codec = TabularCodec.load(folder / "codec")
            engine._aside = Aside.load(folder / "aside.npz", engine._codec.layout)
        engine._model = Fitted.load(folder / "network")
        return engine
