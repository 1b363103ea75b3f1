"""A generator with real rows again beside its own: these keep a learner sharp where the class is surest.

May import data and its own room.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.engines import load_engine, make_engine, save_engine
from synthgen.engines.base import Engine, EngineInfo, FitContext, check_count, reading, write_state
from synthgen.seeding import derive

SHARE = 0.5


def mixed_rows(generator: Engine, repeats: Engine, label: Label, n: int, *, seed: int) -> TabularDataset:
    """Return ``n`` rows of ``label`` from two fitted engines: half of them repeats, then generated ones."""
    again = round(SHARE * check_count(n))
    own = repeats.sample(label, again, seed=derive(seed, "repeats"))
    return own.concat(generator.sample(label, n - again, seed=seed))


class Mixed:
    """Of ``n`` rows of a class, half are real ones again, which come first and say so; ``generator`` makes the others.

    On twelve tables of 60 rare rows, sixteen rows added for each real one, the mean of three learners gained .007 in AP
    and .007 in AUC, where generated rows alone gave -.002 and .009; the learners' average .003 and .003, where they
    gave -.005 and .003.
    """

    def __init__(self, generator: Engine) -> None:
        self._generator, self._repeats = generator, make_engine("oversample")

    @property
    def info(self) -> EngineInfo:
        """The generator's facts."""
        return self._generator.info

    @property
    def history(self) -> list[dict[str, float]]:
        """The generator's training curves; empty where it trains no network."""
        return list(getattr(self._generator, "history", []))

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        """Fit the generator, and keep the rows that are repeated."""
        base = context.base
        inner = replace(context, base=base._generator if isinstance(base, Mixed) else base)
        self._repeats.fit(train, seed=seed, context=FitContext(want=context.want))
        self._generator = self._generator.fit(train, seed=seed, context=inner)
        return self

    def sample(self, label: Label, n: int, *, seed: int) -> TabularDataset:
        """Return ``n`` rows of ``label``: repeats, then generated ones."""
        return mixed_rows(self._generator, self._repeats, label, n, seed=seed)

    def save(self, folder: Path) -> None:
        """Write engine.json, the repeated rows and the generator."""
        write_state(folder, self, {})
        save_engine(self._generator, folder / "generator")
        save_engine(self._repeats, folder / "repeats")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote."""
        with reading(folder):
            engine = cls(load_engine(folder / "generator"))
            engine._repeats = load_engine(folder / "repeats")
        return engine
