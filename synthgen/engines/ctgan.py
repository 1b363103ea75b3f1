"""The ctgan library (Xu et al. 2019) behind the engine contract: our schema around it, its training and network inside.

The one module that imports ctgan, inside functions. May import data, encode, gan.files and its own room.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.encode.base import EncodedTable
from synthgen.encode.tabular import TabularCodec
from synthgen.engines.base import (
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
from synthgen.engines.learners import one_thread
from synthgen.engines.pool import bounded
from synthgen.errors import ConfigError, EngineError, TooFewRows
from synthgen.seeding import derive, torch_rng

if TYPE_CHECKING:
    import pandas as pd
    import torch

EPOCHS = 300  # the library's default, as are the next two
BATCH, PAC = 500, 10
MAX_ROWS = 200_000
MAX_BYTES = 4e9
MODES = 10
GIVE_UP_AFTER, GIVE_UP_BELOW = 20_000, 0.001
LABEL = "label"
_STEM = "network"


def build(**settings: object) -> Filtered:
    """Return the library's engine with copies of real rows dropped; ``settings`` are Ctgan's."""
    return Filtered(Ctgan(**settings), overdraw=1.0, name="ctgan")  # type: ignore[arg-type]


class Ctgan:
    """The library's CTGAN, conditioned on the label, with each row's label checked after it is drawn.

    It sees standard scores and codes, so that types, grids, ranges and missing values come back as our schema has
    them. Its defaults, but for ``epochs`` (or ``steps``, in whole epochs), ``max_minutes``, ``batch_size`` and ``pac``
    (rows that its critic judges together). It trains on the CPU alone: its draws on a GPU cannot be seeded.
    """

    def __init__(
        self,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        max_minutes: float | None = None,
        batch_size: int = BATCH,
        pac: int = PAC,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        if _missing():
            raise ConfigError("engine 'ctgan' needs the ctgan package, which is not installed: pip install ctgan")
        whole = {"epochs": epochs, "steps": steps, "batch_size": batch_size, "pac": pac, "threads": threads}
        for name, value in whole.items():
            if value is not None:
                check_whole(name, value)
        if epochs is not None and steps is not None:
            raise ConfigError("give epochs or steps, not both")
        if max_minutes is not None and not 0 < max_minutes < math.inf:
            raise ConfigError(f"max_minutes must be a number above 0; got {max_minutes!r}")
        if batch_size % 2 or batch_size % pac:
            raise ConfigError(f"batch_size must be even and a multiple of pac; got {batch_size} and {pac}")
        if device not in ("cpu", "auto"):
            raise ConfigError(f"engine 'ctgan' trains on the CPU: its draws on a GPU cannot be seeded; got {device!r}")
        self._epochs, self._steps, self._minutes = epochs, steps, max_minutes
        self._batch, self._pac, self._threads = batch_size, pac, threads
        self._codec: TabularCodec | None = None
        self._network: _Network | None = None
        self._classes: tuple[Label, ...] = ()
        self._counts: tuple[int, ...] = ()
        self._history: list[dict[str, float]] = []

    @property
    def info(self) -> EngineInfo:
        """The facts of the engine's row in the catalogue."""
        return CATALOG["ctgan"].info

    @property
    def history(self) -> list[dict[str, float]]:
        """A row of figures (step and losses) for each epoch; empty once loaded."""
        return [dict(row) for row in self._history]

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        """Train on at most 200,000 rows and as many of each wanted class.

        Raises TooFewRows for a class that ``context.want`` names, ConfigError where a base is given, EngineError where
        a column has too many categories for the library's memory or the library fails.
        """
        began = time.monotonic()
        if context.base is not None:
            raise ConfigError("engine 'ctgan' cannot continue from a trained model; leave the fine-tune out")
        self._classes, self._counts = train.classes, tuple(train.counts().values())
        wanted = context.wanted(train.counts())
        for label in wanted if context.want is not None else ():
            self._enough(train.classes.index(label))
        context.report(0.0, "encoding")
        rows = train.take(bounded(train, wanted, rest=MAX_ROWS, own=MAX_ROWS, seed=seed))
        self._codec = TabularCodec(numeric="standard").fit(train)
        self._fits(rows, self._codec)
        frame = _frame(self._codec.encode(rows, seed=derive(seed, "encode")), rows.label_codes)
        self._network = self._train(frame, seed=seed, began=began, context=context)
        return self

    def _enough(self, code: int) -> None:
        if self._counts[code] < self.info.min_rows:
            raise TooFewRows(
                f"class {self._classes[code]!r} has {self._counts[code]} training rows, engine 'ctgan' needs "
                f"{self.info.min_rows}; use smote (2) or oversample (1)"
            )

    def _fits(self, rows: TabularDataset, codec: TabularCodec) -> None:
        """Refuse a table whose one-hot matrix (four copies) or first layers (and Adam's state) would take too much."""
        levels = sum(codec.layout.levels) + len(rows.classes)
        width = levels + (1 + MODES) * codec.layout.n_numeric
        needed = 4 * 8 * len(rows) * width + 4 * 4 * 256 * self._pac * (width + levels)
        if needed > MAX_BYTES:
            names = [column.name for column in rows.schema.features if column.kind == "categorical"]
            distinct = {name: len(rows.column(name).unique()) for name in names}
            worst = max(distinct, key=lambda name: distinct[name], default="")
            raise EngineError(
                f"engine 'ctgan' would need about {needed / 1e9:.0f} GB for {len(rows):,} rows of {width:,} values "
                f"(column {worst!r} alone has {distinct.get(worst, 0):,} categories); leave that column out, or use "
                "cwgan-gp"
            )

    def _train(self, frame: pd.DataFrame, *, seed: int, began: float, context: FitContext) -> _Network:
        from ctgan import CTGAN

        per_epoch = max(len(frame) // self._batch, 1)
        epochs = self._epochs or (math.ceil(self._steps / per_epoch) if self._steps else EPOCHS)
        history: list[dict[str, float]] = []
        first = 0.0

        def heard(losses: pd.DataFrame) -> None:
            nonlocal first
            done, now = len(losses), time.monotonic()
            if not done:
                first = now
                return
            last = losses.iloc[-1]
            figures = {"generator_loss": last["Generator Loss"], "critic_loss": last["Discriminator Loss"]}
            history.append({"step": float(done * per_epoch), **{name: float(value) for name, value in figures.items()}})
            context.report(done / epochs, f"epoch {done} of {epochs}")
            half = (now - first) / done / 2  # what another epoch would overshoot by, at best
            if self._minutes is not None and now - began + half > 60 * self._minutes:
                raise _Enough

        model = _listening(CTGAN, heard)(epochs=epochs, batch_size=self._batch, pac=self._pac, enable_gpu=False)
        model.set_random_state(derive(seed, "train") % 2**32)
        discrete = [name for name in frame.columns if name == LABEL or name.startswith("code ")]
        try:
            with _quietly(self._threads), suppress(_Enough):
                model.fit(frame, discrete)
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"the ctgan library failed after {len(history)} epochs: {error}") from None
        self._history = history
        return _Network.of(model)

    def sample(self, label: Label, n: int, *, seed: int) -> TabularDataset:
        """Return ``n`` rows of ``label``: the library's rows of another label are left out.

        Raises EngineError where it makes less than one row of the label in a thousand.
        """
        from synthgen.gan.fitted import intra_op_threads

        network, codec, n = fitted(self._network, self), fitted(self._codec, self), check_count(n)
        code = code_of(self._classes, label, engine="ctgan")
        self._enough(code)
        parts: list[EncodedTable] = []
        have = drawn = 0
        with intra_op_threads(self._threads):
            while have < n or not parts:
                parts.append(network.draw(code, self._batch, rng=torch_rng(seed, "ctgan", len(parts))))
                have, drawn = have + len(parts[-1]), drawn + self._batch
                if drawn >= GIVE_UP_AFTER and have < min(n, GIVE_UP_BELOW * drawn):
                    raise EngineError(
                        f"ctgan, asked for class {label!r}, made {have} rows of it in {drawn:,}; train longer, or use "
                        "cwgan-gp"
                    )
        numeric = np.concatenate([part.numeric for part in parts])[:n]
        codes = np.concatenate([part.codes for part in parts])[:n]
        rows = EncodedTable(numeric=numeric, codes=codes)
        return codec.decode(rows, label=self._classes[code], seed=derive(seed, "decode"))

    def save(self, folder: Path) -> None:
        """Write engine.json, the codec, and the network with the numbers' modes (safetensors and JSON)."""
        network = fitted(self._network, self)
        settings = {"batch_size": self._batch, "pac": self._pac, "threads": self._threads}
        classes = labels_to_json(self._classes)
        write_state(folder, self, {"settings": settings, "classes": classes, "counts": list(self._counts)})
        fitted(self._codec, self).save(folder / "codec")
        network.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote. Raises ConfigError where ctgan is not installed."""
        state = read_state(folder)
        with reading(folder):
            engine = cls(**cast("dict[str, int]", state["settings"]))  # type: ignore[arg-type]
            engine._classes = tuple(cast("list[Label]", state["classes"]))
            engine._counts = tuple(cast("list[int]", state["counts"]))
            engine._codec = TabularCodec.load(folder / "codec")
            engine._network = _Network.load(folder)
        return engine


@dataclass(frozen=True, eq=False)
class _Network:
    """The library's trained generator and what its output means.

    An output row has a block for the label, then for each number its place within a mode (tanh) and a block of modes,
    then a block for each code; ``values`` (label first) are the codes that a block's columns stand for, ``modes`` the
    mean and four standard deviations (2, K) of a number's modes.
    """

    generator: torch.nn.Module
    noise: int
    hidden: tuple[int, ...]
    values: tuple[tuple[int, ...], ...]
    modes: tuple[torch.Tensor, ...]

    @classmethod
    def of(cls, model: object) -> _Network:
        """Take what sampling needs out of the library's fitted model."""
        import torch

        values, modes = [], []
        for column in model._transformer._column_transform_info_list:  # type: ignore[attr-defined]
            fit = column.transform
            if column.column_type == "discrete":
                values.append(tuple(int(value) for value in fit.dummies))
                continue
            mixture, valid = fit._bgm_transformer, fit.valid_component_indicator
            means, spreads = mixture.means_.ravel(), fit.STD_MULTIPLIER * np.sqrt(mixture.covariances_.ravel())
            modes.append(torch.from_numpy(np.stack([means[valid], spreads[valid]])))
        generator = cast("torch.nn.Module", model._generator)  # type: ignore[attr-defined]
        noise, hidden = int(model._embedding_dim), tuple(model._generator_dim)  # type: ignore[attr-defined]
        return cls(_as_trained(generator), noise, hidden, tuple(values), tuple(modes))

    def draw(self, code: int, n: int, *, rng: torch.Generator) -> EncodedTable:
        """Return those of ``n`` rows, asked for with the label ``code``, that have it."""
        import torch

        with torch.inference_mode():
            told = torch.zeros(n, sum(map(len, self.values)))
            told[:, self.values[0].index(code)] = 1.0
            noise = torch.randn(n, self.noise, generator=rng)
            out = self.generator(torch.cat([noise, told], dim=1))
            gumbel = -torch.empty_like(out).exponential_(generator=rng).log_()
            labels = len(self.values[0])
            chosen = (out + gumbel)[:, :labels].argmax(1) == self.values[0].index(code)
            out, logits = out[chosen], (out + gumbel)[chosen]
            numbers, codes, at = [], [], labels
            for modes in self.modes:
                mode = logits[:, at + 1 : at + 1 + modes.shape[1]].argmax(1)
                numbers.append(modes[0, mode] + modes[1, mode] * torch.tanh(out[:, at]).double())
                at += 1 + modes.shape[1]
            for values in self.values[1:]:
                codes.append(torch.tensor(values)[logits[:, at : at + len(values)].argmax(1)])
                at += len(values)
            rows = int(chosen.sum())
        return EncodedTable(
            numeric=np.stack(numbers, axis=1).astype(np.float32) if numbers else np.empty((rows, 0), np.float32),
            codes=np.stack(codes, axis=1).astype(np.int32) if codes else np.empty((rows, 0), np.int32),
        )

    def save(self, folder: Path) -> None:
        """Write weights and modes as tensors, the rest as JSON."""
        from synthgen.gan.files import write_checked

        tensors = {f"generator/{name}": tensor for name, tensor in self.generator.state_dict().items()}
        tensors |= {f"modes/{at}": modes for at, modes in enumerate(self.modes)}
        meta = {"noise": self.noise, "hidden": list(self.hidden), "values": [list(values) for values in self.values]}
        write_checked(folder, _STEM, tensors=tensors, meta=meta)

    @classmethod
    def load(cls, folder: Path) -> _Network:
        """Return the network that ``save`` wrote. Raises EngineError where the files are damaged."""
        from ctgan.synthesizers.ctgan import Generator

        from synthgen.gan.files import read_checked

        tensors, meta = read_checked(folder, _STEM)
        noise, hidden = cast("int", meta["noise"]), tuple(cast("list[int]", meta["hidden"]))
        values = tuple(tuple(part) for part in cast("list[list[int]]", meta["values"]))
        modes = tuple(tensors[f"modes/{at}"] for at in range(sum(name.startswith("modes/") for name in tensors)))
        told = sum(map(len, values))
        generator = Generator(noise + told, hidden, told + sum(1 + part.shape[1] for part in modes))
        weights = {k.removeprefix("generator/"): v for k, v in tensors.items() if k.startswith("generator/")}
        generator.load_state_dict(weights)
        return cls(_as_trained(generator), noise, hidden, values, modes)


class _Enough(Exception):
    """The budget is spent."""


def _missing() -> bool:
    try:
        return find_spec("ctgan") is None
    except ImportError:
        return True


def _as_trained(generator: torch.nn.Module) -> torch.nn.Module:
    """Return the network in training mode, in which the library samples: each batch is normalised by itself. Its
    running averages, which would change with every draw, are left as they are."""
    from torch.nn import BatchNorm1d

    for module in generator.modules():
        if isinstance(module, BatchNorm1d):
            module.track_running_stats = False
    return generator.train().requires_grad_(False)


def _frame(encoded: EncodedTable, labels: np.ndarray) -> pd.DataFrame:
    """Return the encoded rows as the library takes them, the label first."""
    import pandas as pd

    columns: dict[str, np.ndarray] = {LABEL: labels.astype(np.int64)}
    columns |= {f"number {k}": column.astype(np.float64) for k, column in enumerate(encoded.numeric.T)}
    columns |= {f"code {k}": column.astype(np.int64) for k, column in enumerate(encoded.codes.T)}
    return pd.DataFrame(columns)


class _Model(Protocol):
    """The part of the library's model that is called."""

    def set_random_state(self, random_state: int) -> None: ...

    def fit(self, train_data: pd.DataFrame, discrete_columns: Sequence[str]) -> None: ...


def _listening(base: type, heard: Callable[[pd.DataFrame], None]) -> Callable[..., _Model]:
    """Return the library's class that tells ``heard`` of its losses, a row an epoch, as it notes them."""

    class Listening(base):  # type: ignore[misc]
        @property
        def loss_values(self) -> pd.DataFrame | None:
            return self._heard

        @loss_values.setter
        def loss_values(self, losses: pd.DataFrame | None) -> None:
            self._heard = losses
            if losses is not None:
                heard(losses)

    return Listening


@contextmanager
def _quietly(threads: int) -> Iterator[None]:
    """Hold the library to this process (it would encode in one of its own a core) and ``threads``, without warnings."""
    import joblib

    from synthgen.gan.fitted import intra_op_threads

    with ExitStack() as stack:
        stack.enter_context(intra_op_threads(threads))
        stack.enter_context(one_thread())
        stack.enter_context(joblib.parallel_config(backend="sequential"))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield
