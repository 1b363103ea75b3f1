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
from synthgen.data.images import ImageDataset
from synthgen.data.layout import TableLayout
from synthgen.data.schema import Label
from synthgen.encode.base import EncodedImages, EncodedTable
from synthgen.encode.image import ImageCodec
from synthgen.encode.tabular import TabularCodec
from synthgen.engines.aside import Aside
from synthgen.engines.base import (
    Engine,
    EngineInfo,
    FitContext,
    check_count,
    check_whole,
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
from synthgen.gan.config import IMAGES_ONLY, TrainConfig, preset
from synthgen.seeding import derive, numpy_rng

if TYPE_CHECKING:
    from synthgen.gan.rows import Rows
    from synthgen.gan.trainer import Anchors, Fitted, ImageAnchors, Neighbours, Progress

_Codec = TabularCodec | ImageCodec

MAX_ROWS = 200_000
MAX_ANCHORS, MAX_OWN_ANCHORS = 20_000, 5_000
JOINT = 0.5
KIN, MOST_KIN = 0.025, 80
FINE_TUNE = 0.25
CHUNK = 4_096  # images decoded at a time


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
    Of images only copies are dropped.
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


def _codec_of(train: TabularDataset | ImageDataset) -> _Codec:
    return ImageCodec().fit(train) if isinstance(train, ImageDataset) else TabularCodec().fit(train)


def _rows_of(
    train: TabularDataset | ImageDataset, codec: _Codec, *, anchored: bool, seed: int
) -> tuple[Rows, Anchors | ImageAnchors | None, Aside | None]:
    """Return the encoded training rows or images, the rows that others can start from where they are wanted, and the
    columns of a table that the network never sees."""
    import torch

    from synthgen.gan.trainer import Anchors, ImageAnchors, ImageRows, TableRows

    labels = torch.from_numpy(train.label_codes.astype(np.int64))
    if isinstance(codec, ImageCodec):
        images = ImageRows(torch.from_numpy(codec.encode(cast("ImageDataset", train), seed=seed).pixels), codec.layout)
        return images, ImageAnchors(images, labels) if anchored else None, None
    encoded = codec.encode(cast("TabularDataset", train), seed=seed)
    aside = Aside.of(codec.layout, encoded, train.label_codes)
    encoded = aside.narrowed(encoded)
    numeric = torch.from_numpy(np.ascontiguousarray(encoded.numeric, dtype=np.float32))
    codes = torch.from_numpy(np.ascontiguousarray(encoded.codes, dtype=np.int64))
    table = TableRows(numeric, codes, aside.layout)
    if not anchored:
        return table, None, aside
    return table, Anchors(table, labels, _neighbours(encoded, train.label_codes, aside.layout.levels)), aside


class Adversarial:
    """A GAN preset on tables or images: one conditional model over all classes, or one for each class's own rows.

    The data decide the networks and the settings that are not given. An image can be replayed from model, label, seed
    and index: it does not depend on how many are drawn. Where the preset is ``anchored`` (cwgan-gp on tables), a share
    of the rows starts from a real row of the class, moved by the difference of two near rows and by what the network
    adds: the model then holds its training rows, encoded, as ``delta`` does, and is as confidential as they are.
    """

    def __init__(self, name: str = "cwgan-gp", *, fine_tune: int | None = None, **settings: object) -> None:
        self._config = preset(name, **settings)
        self._name, self._settings = name, dict(settings)
        self._fine_tune = None if fine_tune is None else check_whole("fine_tune", fine_tune)
        self._codec: _Codec | None = None
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
        """The training settings: for tables before ``fit``, for the data after it."""
        return self._config

    @property
    def history(self) -> list[dict[str, float]]:
        """A row of figures for each look at the training: step, rate, critic_loss, generator_loss, penalty, and the gap
        that the objective estimates (``earth_mover`` of the Wasserstein ones)."""
        return [{key: float(value) for key, value in row.items()} for row in self._model.history] if self._model else []

    @property
    def step(self) -> int:
        """The generator step that training reached."""
        return self._model.step if self._model else 0

    def fit(
        self,
        train: TabularDataset | ImageDataset,
        *,
        seed: int,
        context: FitContext = FitContext(),  # noqa: B008
    ) -> Self:
        """Train on at most 200,000 rows and as many of each wanted class; from ``context.base`` on where it is given.

        Images, and rows that serve as anchors: at most 20,000, and 5,000 of each wanted class; anchors are kept.

        Raises TooFewRows for a class that ``context.want`` names, ConfigError where the base or the data do not fit,
        EngineError where training fails.
        """
        began = time.monotonic()
        base = context.base.inner if isinstance(context.base, Filtered) else context.base
        if base is not None and not isinstance(base, Adversarial):
            raise ConfigError(f"engine {self._name!r} cannot continue from {base.info.name!r}; only from a network")
        if self._name in IMAGES_ONLY and isinstance(train, TabularDataset):
            raise ConfigError(f"engine {self._name!r} makes images and got a table; use 'cwgan-gp'")
        present = {label: n for label, n in train.counts().items() if n}
        if not self.info.conditional and len(present) > 1:
            raise ConfigError(
                f"engine {self._name!r} models one class at a time but got rows of {len(present)}; "
                f"fit it on one class's rows, or use {'c' + self._name!r}"
            )
        wanted = {label: present.get(label, 0) for label in context.wanted(present)}
        self._counts = tuple(train.counts().values())
        for label in wanted if context.want is not None else ():
            self._enough(train.classes.index(label), train.classes)
        context.report(0.0, "encoding")
        self._codec = self._same_codec(base, train) if base else _codec_of(train)
        self._config = preset(self._name, self._codec.layout, **self._settings)
        self._classes = train.classes
        few = self._config.anchored or isinstance(train, ImageDataset)
        rest, own = (MAX_ANCHORS, MAX_OWN_ANCHORS) if few else (MAX_ROWS, MAX_ROWS)
        rows = bounded(train, wanted, rest=rest, own=own, seed=seed)
        self._model = self._train(train.take(rows), seed=seed, context=context, base=base, began=began)
        return self

    def _fitted_codec(self) -> _Codec:
        return cast("_Codec", fitted(self._codec, self))

    @property
    def _of_images(self) -> bool:
        return isinstance(self._codec, ImageCodec)

    def _enough(self, code: int, classes: tuple[Label, ...]) -> None:
        if self._counts[code] < self.info.min_rows:
            raise TooFewRows(
                f"class {classes[code]!r} has {self._counts[code]} training rows, engine {self._name!r} needs "
                f"{self.info.min_rows}; use {'oversample' if self._of_images else 'smote (2) or oversample'} (1)"
            )

    def _same_codec(self, base: Adversarial, train: TabularDataset | ImageDataset) -> _Codec:
        if base._classes != train.classes:
            raise ConfigError(f"the base model knows the classes {base._classes}, the rows have {train.classes}")
        codec = base._fitted_codec()
        if isinstance(codec, ImageCodec) != isinstance(train, ImageDataset):
            raise ConfigError("the base model is one of images, the rows are of a table, or the other way round")
        return codec

    def _train(
        self,
        train: TabularDataset | ImageDataset,
        *,
        seed: int,
        context: FitContext,
        base: Adversarial | None,
        began: float,
    ) -> Fitted:
        import torch

        from synthgen.gan.trainer import train as fit

        codec = self._fitted_codec()
        config = self._config
        if base is not None:  # its class is known, so it is heard at once
            steps = self._fine_tune or max(1, round(FINE_TUNE * config.steps))
            config = preset(self._name, codec.layout, **{**self._settings, "steps": steps, "ramp": 0.0})

        def observe(progress: Progress) -> None:
            gap = progress.figures.get("earth_mover")
            shown = f", earth mover {gap:.3f}" if gap is not None else ""
            share = progress.step / max(1, progress.steps)
            if config.max_minutes is not None:
                share = min(1.0, max(share, progress.seconds / (60.0 * config.max_minutes)))
            context.report(share, f"step {progress.step} of {progress.steps}{shown}")

        anchored = bool(config.anchored and (base is None or (base._model and base._model.anchors)))
        rows, anchors, self._aside = _rows_of(train, codec, anchored=anchored, seed=derive(seed, "encode"))
        return fit(
            rows,
            torch.from_numpy(train.label_codes.astype(np.int64)),
            n_labels=len(train.classes),
            config=config,
            seed=derive(seed, "train"),
            observer=observe,
            checkpoints=context.checkpoints,
            start=base._model if base is not None else None,
            anchors=anchors,
            spent=time.monotonic() - began,
        )

    def sample(self, label: Label, n: int, *, seed: int) -> TabularDataset:
        """Return ``n`` rows or images of ``label``, of the kind that ``fit`` was given."""
        model, n = fitted(self._model, self), check_count(n)
        codec = self._fitted_codec()
        code = code_of(self._classes, label, engine=self._name)
        self._enough(code, self._classes)
        network, known = derive(seed, "network"), self._classes[code]
        if isinstance(codec, ImageCodec):
            parts = []
            for first in range(0, max(n, 1), CHUNK):
                pixels, _ = model.sample(code, min(CHUNK, n - first), seed=network, first=first, anchored=1.0)
                parts.append(codec.decode(EncodedImages(pixels.numpy()), label=known, seed=seed))
            return cast("TabularDataset", parts[0].concat(*parts[1:]))
        aside = fitted(self._aside, self)
        numeric, codes = model.sample(code, n, seed=network, anchored=anchored_share(aside.layout))
        encoded = EncodedTable(numeric=numeric.numpy(), codes=codes.numpy().astype(np.int32))
        encoded = aside.widened(encoded, code, rng=numpy_rng(seed, "aside"))
        return codec.decode(encoded, label=known, seed=derive(seed, "decode"))

    def save(self, folder: Path) -> None:
        """Write engine.json, the codec and the weights (safetensors)."""
        model = fitted(self._model, self)
        state: Mapping[str, object] = {
            "preset": self._name,
            "modality": "image" if self._of_images else "table",
            "settings": self._settings,
            "fine_tune": self._fine_tune,
            "classes": labels_to_json(self._classes),
            "counts": list(self._counts),
        }
        write_state(folder, self, state)
        self._fitted_codec().save(folder / "codec")
        if self._aside is not None:
            self._aside.save(folder / "aside.npz")
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
            codec = ImageCodec if state.get("modality") == "image" else TabularCodec
            engine._codec = codec.load(folder / "codec")
            if isinstance(engine._codec, TabularCodec):
                engine._aside = Aside.load(folder / "aside.npz", engine._codec.layout)
        engine._model = Fitted.load(folder / "network")
        engine._config = preset(engine._name, engine._codec.layout, **settings)
        return engine
