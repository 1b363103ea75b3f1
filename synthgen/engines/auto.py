"""The engine that chooses for tables: a tournament on inner splits of its training rows, then the winner on all of
them.

May import data and its own room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from synthgen.data.dataset import TabularDataset
from synthgen.engines import make_engine
from synthgen.engines.base import Engine, EngineInfo, FitContext
from synthgen.engines.catalog import CATALOG
from synthgen.engines.choose import CANDIDATES, Choice, check_arms, choose
from synthgen.engines.chooser import Chooser
from synthgen.engines.mixed import of_rows
from synthgen.engines.tournament import Budget, Options
from synthgen.engines.tuned import tune
from synthgen.errors import ConfigError
from synthgen.gan.config import preset


class AutoEngine(Chooser[TabularDataset]):
    """Chooses among ``candidates`` in ``fit``, then is the winner: its facts, rows and training curves.

    ``amounts`` other than (1.0,) let it choose the share of the wanted rows too: ``choice.amount`` says what it
    found best; ``sample`` still returns the count it is asked for. ``settings`` go to networks, ``options`` to the
    candidates that they name, each as ``make_engine`` takes them; where they compete no network trains longer than
    ``budget`` says.
    """

    def __init__(
        self,
        *,
        candidates: Sequence[str] = CANDIDATES,
        amounts: Sequence[float] = (1.0,),
        tuned: bool = False,
        budget: Budget = Budget(),  # noqa: B008
        options: Mapping[str, Options] | None = None,
        **settings: object,
    ) -> None:
        super().__init__()
        if not isinstance(tuned, bool):
            raise ConfigError(f"tuned is true or false, got {tuned!r}")
        if not isinstance(budget, Budget):
            raise ConfigError(f"budget is a Budget of synthgen.engines.tournament, got {budget!r}")
        options = {} if options is None else options
        if not isinstance(options, Mapping) or not all(isinstance(own, Mapping) for own in options.values()):
            raise ConfigError(f"options must map candidates' names to their options, got {options!r}")
        check_arms(candidates, amounts)
        if tuned and (tuple(candidates) != CANDIDATES or tuple(amounts) != (1.0,)):
            raise ConfigError("tuned chooses generator and amount itself; leave candidates and amounts out")
        preset("cwgan-gp", **settings)  # an unknown setting is refused before anything is fitted
        networks = [name for name in candidates if name in CATALOG and CATALOG[name].info.trains]
        self._options: dict[str, Options] = dict.fromkeys(networks, settings)
        for name, own in options.items():
            self._options[name] = {**self._options.get(name, {}), **own}
            make_engine(name, **self._options[name])
        self._candidates, self._amounts, self._budget, self._tuned = tuple(candidates), tuple(amounts), budget, tuned

    @property
    def _facts(self) -> EngineInfo:
        return CATALOG["auto"].info

    def _choose(self, train: TabularDataset, *, seed: int, context: FitContext) -> Choice:
        want = context.wanted(train.counts())
        if self._tuned:
            return tune(
                train,
                want=want,
                seed=seed,
                shares=context.shares,
                options=self._options,
                budget=self._budget,
                group=context.group,
                report=context.report,
            )
        return choose(
            train,
            want=want,
            candidates=self._candidates,
            amounts=self._amounts,
            seed=seed,
            options=self._options,
            budget=self._budget,
            group=context.group,
            report=context.report,
        )

    def _make(self, choice: Choice) -> Engine:
        engine = make_engine(choice.engine, **self._options.get(choice.engine, {}))
        return of_rows(engine) if choice.per_row and choice.amount else engine
