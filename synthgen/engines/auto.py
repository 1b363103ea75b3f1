"""The engine that chooses for tables: a tournament on inner splits of its training rows, then the winner on all of
them.

May import data and its own room.
"""

from __future__ import annotations

from collections.abc import Sequence

from synthgen.data.dataset import TabularDataset
from synthgen.engines import make_engine
from synthgen.engines.base import Engine, EngineInfo, FitContext
from synthgen.engines.catalog import CATALOG
from synthgen.engines.choose import CANDIDATES, Choice, choose
from synthgen.engines.chooser import Chooser
from synthgen.engines.mixed import of_rows
from synthgen.engines.tournament import Budget
from synthgen.engines.tuned import tune
from synthgen.errors import ConfigError
from synthgen.gan.config import preset


class AutoEngine(Chooser[TabularDataset]):
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
        super().__init__()
        if tuned and (tuple(candidates) != CANDIDATES or tuple(amounts) != (1.0,)):
            raise ConfigError("tuned chooses generator and amount itself; leave candidates and amounts out")
        preset("cwgan-gp", **settings)  # an unknown setting is refused before anything is fitted
        self._candidates, self._amounts, self._budget = tuple(candidates), tuple(amounts), budget
        self._tuned, self._settings = tuned, settings

    @property
    def _facts(self) -> EngineInfo:
        return CATALOG["auto"].info

    def _choose(self, train: TabularDataset, *, seed: int, context: FitContext) -> Choice:
        want = context.wanted(train.counts())
        if self._tuned:
            return tune(train, want=want, seed=seed, shares=context.shares, budget=self._budget, report=context.report)
        return choose(
            train,
            want=want,
            candidates=self._candidates,
            amounts=self._amounts,
            seed=seed,
            budget=self._budget,
            report=context.report,
        )

    def _make(self, choice: Choice) -> Engine:
        row = CATALOG.get(choice.engine)
        settings = self._settings if row is not None and row.info.trains else {}
        engine = make_engine(choice.engine, **settings)
        return of_rows(engine) if choice.per_row and choice.amount else engine
