"""The engine that chooses: a tournament on inner splits of its training rows, then the winner on all of them.

May import data and its own room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.engines import load_engine, make_engine, save_engine
from synthgen.engines.base import Engine, EngineInfo, FitContext, fitted, read_state, reading, write_state
from synthgen.engines.catalog import CATALOG
from synthgen.engines.choose import CANDIDATES, Choice, choose
from synthgen.engines.mixed import of_rows
from synthgen.engines.tournament import Budget
from synthgen.engines.tuned import tune
from synthgen.errors import ConfigError
from synthgen.gan.config import preset
from synthgen.seeding import derive

CHOOSING = 0.4


class AutoEngine:
    """Chooses among ``candidates`` in ``fit``, then is the winner: its facts, rows and training curves.

    ``amounts`` other than (1.0,) let it choose the share of the wanted rows too: ``choice.amount`` says what it
    found best; ``sample`` still returns the count it is asked for. ``settings`` go to a network, if one wins.
    """

    def __init__(
        self,
        *,
        candidates: Sequence[str] = CANDIDATES,
        amounts: Sequence[float] = (1.0,),
        tuned: bool = False,
        budget: Budget = Budget(),  # noqa: B008
        **settings: object,
    ) -> None:
        if tuned and (tuple(candidates) != CANDIDATES or tuple(amounts) != (1.0,)):
            raise ConfigError("tuned chooses generator and amount itself; leave candidates and amounts out")
        preset("cwgan-gp", **settings)  # an unknown setting is refused before anything is fitted
        self._candidates, self._amounts, self._budget = tuple(candidates), tuple(amounts), budget
        self._tuned, self._settings = tuned, settings
        self._choice: Choice | None = None
        self._winner: Engine | None = None

    @property
    def info(self) -> EngineInfo:
        """The facts; once fitted, origin and training are the winner's."""
        facts = CATALOG["auto"].info
        if self._winner is None:
            return facts
        return replace(facts, origin=self._winner.info.origin, trains=self._winner.info.trains)

    @property
    def choice(self) -> Choice:
        """What was chosen and why. Raises EngineError before ``fit``."""
        return fitted(self._choice, self)

    @property
    def winner(self) -> Engine:
        """The fitted engine behind this one."""
        return fitted(self._winner, self)

    @property
    def history(self) -> list[dict[str, float]]:
        """The winner's training curves; empty where it trains no network."""
        return list(getattr(self._winner, "history", []))

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        """Choose on inner splits of ``train``, then fit the winner on all its rows.

        With another AutoEngine as ``context.base`` the choice is that one's, and a network continues from its network.
        """

        def choosing(share: float, message: str) -> None:
            context.report(CHOOSING * share, message)

        def fitting(share: float, message: str) -> None:
            context.report(CHOOSING + (1 - CHOOSING) * share, message)

        base = context.base
        if isinstance(base, AutoEngine):  # a fine-tune continues what its trunk chose
            choice, inner = base.choice, replace(context, report=fitting, base=base.winner)
            if not base.winner.info.trains:
                self._choice, self._winner = choice, base.winner
                return self
        else:
            choice = self._choose(train, seed=seed, context=replace(context, report=choosing))
            inner = replace(context, report=fitting)
        row = CATALOG.get(choice.engine)
        settings = self._settings if row is not None and row.info.trains else {}
        engine = make_engine(choice.engine, **settings)
        if choice.per_row and choice.amount:
            engine = of_rows(engine)
        self._winner = engine.fit(train, seed=derive(seed, "winner"), context=inner)
        self._choice = choice
        return self

    def _choose(self, train: TabularDataset, *, seed: int, context: FitContext) -> Choice:
        want, seed = context.wanted(train.counts()), derive(seed, "choose")
        if self._tuned:
            return tune(train, want=want, seed=seed, budget=self._budget, report=context.report)
        return choose(
            train,
            want=want,
            candidates=self._candidates,
            amounts=self._amounts,
            seed=seed,
            budget=self._budget,
            report=context.report,
        )

    def sample(self, label: Label, n: int, *, seed: int) -> TabularDataset:
        """Return ``n`` rows of ``label`` by the winner."""
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
        engine._winner = load_engine(folder / "winner")
        return engine
