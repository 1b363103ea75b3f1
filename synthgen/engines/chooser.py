"""An engine that chooses another in ``fit`` and then is that one, of rows or of images.

May import data, memory and its own room.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Final, Generic, Self, cast

from synthgen.data.schema import Label
from synthgen.engines import load_engine, save_engine
from synthgen.engines.base import (
    Data,
    Engine,
    EngineInfo,
    FitContext,
    fitted,
    read_state,
    reading,
    write_state,
)
from synthgen.engines.choose import Choice
from synthgen.memory import give_back
from synthgen.seeding import derive

CHOOSING: Final = 0.4  # of the progress


class Chooser(ABC, Generic[Data]):
    """Until ``fit`` the facts of its own; then the winner's facts, rows and training curves."""

    def __init__(self) -> None:
        self._choice: Choice | None = None
        self._winner: Engine[Data] | None = None

    @property
    @abstractmethod
    def _facts(self) -> EngineInfo:
        """The facts before ``fit``."""

    @abstractmethod
    def _choose(self, train: Data, *, seed: int, context: FitContext) -> Choice:
        """Return what is best for ``train``, by inner splits of it."""

    @abstractmethod
    def _make(self, choice: Choice) -> Engine[Data]:
        """Return the unfitted engine that was chosen."""

    @property
    def info(self) -> EngineInfo:
        """The facts; once fitted, origin and training are the winner's."""
        if self._winner is None:
            return self._facts
        return replace(self._facts, origin=self._winner.info.origin, trains=self._winner.info.trains)

    @property
    def choice(self) -> Choice:
        """What was chosen and why. Raises EngineError before ``fit``."""
        return fitted(self._choice, self)

    @property
    def winner(self) -> Engine[Data]:
        """The fitted engine behind this one. Raises EngineError before ``fit``."""
        return fitted(self._winner, self)

    @property
    def history(self) -> list[dict[str, float]]:
        """The winner's training curves; empty where it trains no network."""
        return list(getattr(self._winner, "history", []))

    def fit(self, train: Data, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008  frozen
        """Choose on inner splits of ``train``, then fit the winner on all of it.

        With another engine of this class as ``context.base`` the choice is that one's, and a network continues from
        its network.
        """

        def choosing(share: float, message: str) -> None:
            context.report(CHOOSING * share, message)

        def fitting(share: float, message: str) -> None:
            context.report(CHOOSING + (1 - CHOOSING) * share, message)

        base, inner = context.base, replace(context, report=fitting)
        if isinstance(base, type(self)):
            choice, inner = base.choice, replace(inner, base=base.winner)
            if not base.winner.info.trains:
                self._choice, self._winner = choice, base.winner
                return self
        else:
            choice = self._choose(train, seed=derive(seed, "choose"), context=replace(context, report=choosing))
            give_back()  # what the candidates were fitted on
        self._winner = self._make(choice).fit(train, seed=derive(seed, "winner"), context=inner)
        self._choice = choice
        return self

    def sample(self, label: Label, n: int, *, seed: int) -> Data:
        """Return ``n`` rows or images of ``label`` by the winner."""
        return self.winner.sample(label, n, seed=seed)

    def save(self, folder: Path) -> None:
        """Write engine.json with the choice, and the winner."""
        write_state(folder, self, {"choice": self.choice.to_json()})
        save_engine(self.winner, folder / "winner")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote."""
        state = read_state(folder)
        engine = cls()
        with reading(folder):
            engine._choice = Choice.from_json(cast("dict[str, object]", state["choice"]))
        engine._winner = cast("Engine[Data]", load_engine(folder / "winner"))
        return engine
