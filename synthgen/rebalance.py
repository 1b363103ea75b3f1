"""The pure heart that Balancer and pipeline share: a dataset and a plan in, engines and rows out. No files of its own.

May import planning, data, engines and seeding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar, cast

from synthgen.data.dataset import TabularDataset, text_of
from synthgen.data.images import ImageDataset
from synthgen.data.kinds import Dataset, Modality
from synthgen.data.schema import Label, shown
from synthgen.engines import engine_info, is_engine, make_engine, own_engine
from synthgen.engines.base import Engine, FitContext
from synthgen.engines.choose import AMOUNTS, Choice
from synthgen.engines.image_catalog import image_engine_info, make_image_engine
from synthgen.engines.tuned import modest
from synthgen.errors import ConfigError, DataError, EngineError
from synthgen.planning import BalancePlan, FitUnit, Rung, SmallClass, with_units
from synthgen.seeding import derive

if TYPE_CHECKING:
    from synthgen.engines.base import EngineInfo

FALLBACKS = ("smote", "oversample")
_OF_STRATEGY = ("tuned", "amounts")  # of auto's options
_D = TypeVar("_D", bound=Dataset)


@dataclass(frozen=True)
class Recipe:
    """Which generator, and what it is told: ``options`` as ``make_engine`` takes them for ``engine``.

    ``budget`` (steps, max_minutes, threads, device) reaches engines that train a network. ``flips``: mirroring an
    image keeps its label, which engines for images are told.
    """

    engine: str = "auto"
    options: Mapping[str, object] = field(default_factory=dict)
    budget: Mapping[str, object] = field(default_factory=dict)
    fine_tune: bool = False
    modality: Modality = "table"
    flips: bool = False

    def make(self, name: str, *, tuned: bool = False) -> Engine[Dataset]:
        """Return the unfitted engine of a unit; the options are for the recipe's own engine, not for a fallback.

        ``tuned`` holds for a fallback too: a class that is too small to be judged gets nothing.
        """
        make = self._make_for_images if self.modality == "image" else self._make_for_tables
        return cast("Engine[Dataset]", make(name, tuned=tuned))

    def _make_for_tables(self, name: str, *, tuned: bool) -> Engine:
        options: dict[str, object] = {}
        if asked := next((each for each in _OF_STRATEGY if name == "auto" and each in self.options), None):
            raise ConfigError(f"how many rows to add is no option of an engine ({asked!r}): use --strategy tuned")
        if name == self.engine:
            trains = name == "auto" or engine_info(name).trains
            options = {**(self.budget if trains else {}), **self.options}
        if not tuned:
            return make_engine(name, **options)
        if name == "auto":
            return make_engine(name, tuned=True, **options)
        return make_engine("auto", candidates=(name,), amounts=AMOUNTS, options={name: options})

    def _make_for_images(self, name: str, *, tuned: bool) -> Engine[ImageDataset]:
        if tuned:
            raise ConfigError("how many images to add is not tuned; give another strategy: auto, a ratio, label=count")
        flips: dict[str, object] = {} if ":" in name else {"flips": self.flips}
        if name != self.engine:
            return make_image_engine(name, **flips)
        budget = self.budget if name == "auto" or self.trains else {}
        return make_image_engine(name, **{**flips, **budget, **self.options})

    @property
    def trains(self) -> bool:
        """Whether the engine may train a network."""
        return self._info(self.engine).trains

    def _info(self, name: str) -> EngineInfo:
        return image_engine_info(name) if self.modality == "image" else engine_info(name)

    def ladder(self) -> tuple[Rung, ...]:
        """Return the rungs for classes of falling size: this engine, SMOTE for tables, repeats."""
        names = dict.fromkeys((self.engine, *(FALLBACKS if self.modality == "table" else FALLBACKS[1:])))
        infos = ((name, self._info(name)) for name in names)
        return tuple(Rung(name, info.min_rows, info.conditional) for name, info in infos)


def check_learnable(dataset: Dataset, engine: str) -> None:
    """Raise DataError where there is nothing to learn: every column but the label is constant or an id."""
    if isinstance(dataset, TabularDataset) and not dataset.schema.features and engine != "oversample":
        kinds = ", ".join(f"{shown(column.name)} ({column.kind})" for column in dataset.schema.columns[:10])
        raise DataError(
            f"there is no column to learn from: {kinds}; a column must vary and be no id: add one, "
            "or repeat rows with engine oversample"
        )


def complete(plan: BalancePlan, recipe: Recipe, *, small_class: SmallClass = "ladder") -> BalancePlan:
    """Return the plan with the trainings that the recipe needs."""
    return with_units(plan, recipe.ladder(), small_class=small_class, fine_tune=recipe.fine_tune)


def fit_unit(
    train: Dataset,
    plan: BalancePlan,
    unit: FitUnit,
    recipe: Recipe,
    *,
    seed: int,
    context: FitContext = FitContext(),  # noqa: B008  frozen
) -> Engine[Dataset]:
    """Return the unit's fitted engine. For a fine-tune, ``context.base`` is the trunk."""
    rows = train
    if unit.alone:
        codes = [train.classes.index(label) for label in unit.labels]
        rows = train.take(sum((train.label_codes == code for code in codes), start=train.label_codes < 0))
    want = {label: plan.classes[label].add for label in unit.labels}
    context = replace(context, want=want, shares=plan.shares)
    engine = recipe.make(unit.engine, tuned=plan.tuned)
    with own_engine(unit.engine):
        engine = engine.fit(rows, seed=derive(seed, "fit", unit.name), context=context)
        if not is_engine(engine):
            raise EngineError(
                f"engine {unit.engine!r} failed: its fit returned a {type(engine).__name__}, no engine with its facts"
            )
    return engine


def fit_all(
    train: Dataset,
    plan: BalancePlan,
    recipe: Recipe,
    *,
    seed: int,
    context: FitContext = FitContext(),  # noqa: B008  frozen
) -> dict[str, Engine[Dataset]]:
    """Return every unit's fitted engine by unit name, trunks before their fine-tunes."""
    engines: dict[str, Engine[Dataset]] = {}
    for unit in plan.units:
        base = engines[unit.base] if unit.base else None
        engines[unit.name] = fit_unit(train, plan, unit, recipe, seed=seed, context=replace(context, base=base))
    return engines


def sample_label(engine: Engine[Dataset], plan: BalancePlan, label: Label, *, seed: int, draw: int = 0) -> Dataset:
    """Return the rows that the plan adds for ``label``: all of them, or as many as a tuned engine chose.

    Rows that are real ones again say so.
    """
    name = plan.unit_of(label).engine
    with own_engine(name):
        rows, info = engine.sample(label, _count(engine, plan, label), seed=sample_seed(seed, label, draw)), engine.info
    if not isinstance(rows, TabularDataset | ImageDataset):
        raise EngineError(f"engine {name!r} failed: its sample returned a {type(rows).__name__}, no data set")
    return rows.as_repeats() if info.origin == "repeated" and rows.repeated is None else rows


def sample_seed(seed: int, label: Label, draw: int = 0) -> int:
    """Return the seed that an engine is given for a draw of ``label``, from the run's own."""
    return derive(seed, "sample", text_of(label), draw)


def _count(engine: Engine[Dataset], plan: BalancePlan, label: Label) -> int:
    add, choice = plan.classes[label].add, getattr(engine, "choice", None)
    if not plan.tuned or not isinstance(choice, Choice):
        return add
    if choice.per_row:
        counts = {other: known.have for other, known in plan.classes.items()}
        add = modest(counts, {label: add}, per_row=choice.per_row, shares=plan.shares)[label]
    return round(add * choice.amount)


def sample_all(engines: Mapping[str, Engine[Dataset]], plan: BalancePlan, *, seed: int, draw: int = 0) -> list[Dataset]:
    """Return one dataset of new rows per label that gets some, in the plan's order."""
    return [sample_label(engines[plan.unit_of(label).name], plan, label, seed=seed, draw=draw) for label in plan.adds()]


def rebalance(
    dataset: _D,
    plan: BalancePlan,
    recipe: Recipe,
    *,
    seed: int,
    context: FitContext = FitContext(),  # noqa: B008  frozen
) -> _D:
    """Return ``dataset`` followed by the rows that the plan asks for; the first len(dataset) rows are its own."""
    engines = fit_all(dataset, plan, recipe, seed=seed, context=context)
    return dataset.concat(*cast("list[_D]", sample_all(engines, plan, seed=seed)))
