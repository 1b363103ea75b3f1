"""The plan: how many rows every class gets and which generator makes them. Data, made before anything trains.

May import errors and what a label is; knows engines only as rungs (a name and what it needs).
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from synthgen.data.dataset import quoted, text_of
from synthgen.data.schema import Label
from synthgen.errors import ConfigError, DataError, TooFewRows

SmallClass = Literal["ladder", "skip", "error"]
Strategy = str | float | Mapping[Label, int]

WORDS = ("auto", "minority", "not minority", "not majority", "all", "tuned")
MAX_ROWS = 100_000_000
FEW_ROWS = 5


@dataclass(frozen=True)
class Rung:
    """An engine as planning sees it: its name, the fewest rows of a class it learns from, whether one model
    serves all classes (``conditional``) or each class needs its own."""

    engine: str
    min_rows: int
    conditional: bool


@dataclass(frozen=True)
class Limits:
    """``max_ratio`` caps synthetic rows per real row of a class; None: no cap."""

    max_ratio: float | None = 10.0


@dataclass(frozen=True)
class ClassPlan:
    """Rows of one class: real ones there are, rows wanted in all, rows to add."""

    have: int
    want: int
    add: int


@dataclass(frozen=True)
class FitUnit:
    """One training: an engine for some labels, from the rows of all classes or (``alone``) of its labels only.

    ``base`` names the unit whose fitted engine this one starts from (a fine-tune).
    """

    name: str
    engine: str
    labels: tuple[Label, ...]
    alone: bool = False
    base: str | None = None


@dataclass(frozen=True)
class BalancePlan:
    """Counts per class, the trainings, and what a reader should know (a cap that bites, a rung taken).

    ``shares``: of a plan that was scaled, each class's rows as a share of the largest's among all rows.
    """

    classes: Mapping[Label, ClassPlan]
    tuned: bool = False
    units: tuple[FitUnit, ...] = ()
    notes: tuple[str, ...] = ()
    shares: Mapping[Label, float] | None = None

    @property
    def total(self) -> int:
        """Rows to add in all."""
        return sum(plan.add for plan in self.classes.values())

    def adds(self) -> dict[Label, int]:
        """Return the labels that get rows, with how many."""
        return {label: plan.add for label, plan in self.classes.items() if plan.add}

    def unit_of(self, label: Label) -> FitUnit:
        """Return the training that makes ``label``'s rows: the last one that names it, so a fine-tune wins."""
        return [unit for unit in self.units if label in unit.labels][-1]

    def scaled(self, counts: Mapping[Label, int]) -> BalancePlan:
        """Return the counts for a part of the rows, such as a fold: the same share added to every class; no units."""
        classes = {}
        for label, have in counts.items():
            whole = self.classes.get(label, ClassPlan(0, 0, 0))  # a class without rows is not in the plan
            add = round(whole.add * have / whole.have) if whole.have else 0
            classes[label] = ClassPlan(have, have + add, add)
        most = max((whole.have for whole in self.classes.values()), default=0)
        shares = {label: whole.have / most for label, whole in self.classes.items() if most}
        return BalancePlan(classes, tuned=self.tuned, shares=self.shares or shares)

    def to_json(self) -> dict[str, object]:
        """Return the plan as JSON types."""
        return {
            "classes": [
                {"label": label, "have": plan.have, "want": plan.want, "add": plan.add}
                for label, plan in self.classes.items()
            ],
            "tuned": self.tuned,
            "units": [
                {"name": u.name, "engine": u.engine, "labels": list(u.labels), "alone": u.alone, "base": u.base}
                for u in self.units
            ],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> BalancePlan:
        """Return the plan that ``to_json`` wrote."""
        classes = cast("list[dict[str, int]]", data["classes"])
        units = cast("list[dict[str, str]]", data["units"])
        return cls(
            classes={c["label"]: ClassPlan(c["have"], c["want"], c["add"]) for c in classes},
            tuned=bool(data["tuned"]),
            units=tuple(
                FitUnit(u["name"], u["engine"], tuple(u["labels"]), bool(u["alone"]), u["base"] or None) for u in units
            ),
            notes=tuple(cast("list[str]", data["notes"])),
        )


def make_plan(counts: Mapping[Label, int], strategy: Strategy = "auto", *, limits: Limits = Limits()) -> BalancePlan:
    """Return how many rows each class of ``counts`` (label -> real rows) gets.

    ``strategy`` is imbalanced-learn's ``sampling_strategy``: ``auto`` or ``not majority`` (every class up to the
    largest), ``minority``, ``not minority``, ``all``, a ratio of the largest class in (0, 1], or {label: rows
    wanted in all}; or ``tuned``, which is ``auto`` as an upper bound. As text also "0.5" and "fraud=500,theft=90".

    Raises ConfigError for an unknown label, a count below what is there, a ratio that would delete rows, and
    more than 100 million rows; DataError for fewer than two classes.
    """
    if limits.max_ratio is not None and not limits.max_ratio > 0:
        raise ConfigError(f"--max-ratio must be above 0, got {limits.max_ratio}")
    present = {label: n for label, n in counts.items() if n}
    if len(present) < 2:
        raise DataError(f"there are rows of {len(present)} class only; add rows of another, or choose another --label")
    strategy = parse_strategy(strategy, present)
    notes: list[str] = []
    most = _most(tuned=strategy == "tuned")
    classes = {}
    for label, want in _wanted(present, strategy).items():
        have = present[label]
        cap = math.inf if limits.max_ratio in (None, math.inf) else math.floor(limits.max_ratio * have)
        add = want - have
        if add > cap:
            if isinstance(strategy, Mapping):
                raise ConfigError(
                    f"{add} rows for class {quoted(label)} are more than {limits.max_ratio:g} times its {have} real "
                    "rows; raise --max-ratio or ask for fewer"
                )
            notes.append(
                f"class {quoted(label)} gets {most}{cap} rows, not the {add} asked for: "
                f"--max-ratio {limits.max_ratio:g}"
            )
            add = int(cap)
        classes[label] = ClassPlan(have, have + add, add)
    total = sum(plan.want for plan in classes.values())
    if total > MAX_ROWS:
        raise ConfigError(f"the plan comes to {total:,} rows, more than the {MAX_ROWS:,} that one run may make")
    return BalancePlan(classes, tuned=strategy == "tuned", notes=tuple(notes))


def _most(*, tuned: bool) -> str:
    """What stands before a count: a tuned plan's are bounds."""
    return "up to " if tuned else ""


def parse_strategy(strategy: Strategy, counts: Mapping[Label, int]) -> Strategy:
    """Return a strategy with text forms resolved: "0.5" -> 0.5, "fraud=500" -> {"fraud": 500}."""
    if not isinstance(strategy, str) or strategy in WORDS:
        return strategy
    if "=" in strategy:
        wanted: dict[Label, int] = {}
        for part in strategy.split(","):
            name, _, number = part.rpartition("=")
            if not number.strip().isdecimal() or len(number) > 18:
                raise ConfigError(f"--strategy {part.strip()!r}: write label=count with a whole number")
            label = match_label(name.strip(), counts)
            if label in wanted:
                raise ConfigError(f"--strategy names class {quoted(label)} twice; give it one count")
            wanted[label] = int(number)
        return wanted
    try:
        return float(strategy)
    except ValueError:
        words = ", ".join(WORDS)
        raise ConfigError(
            f"--strategy {strategy!r} is not known; use {words}, a ratio like 0.5, or label=count,label=count"
        ) from None


def match_label(text: Label, labels: Mapping[Label, int] | Sequence[Label]) -> Label:
    """Return the class whose value is ``text``, or which users would write so. Raises ConfigError that lists them."""
    for label in labels:
        if label == text and type(label) is type(text):
            return label
    for label in labels:
        if str(label) == str(text) or text_of(label) == text_of(text):
            return label
    for label in labels:
        if isinstance(label, bool) and text_of(label) == str(text).lower():
            return label
    listed = ", ".join(text_of(label) for label in list(labels)[:20]) + (", ..." if len(labels) > 20 else "")
    hint = "; in YAML, quote labels like no and 012" if isinstance(text, bool) else ""
    raise ConfigError(f"class {text!r} does not occur; classes are: {listed}{hint}")


def _wanted(counts: Mapping[Label, int], strategy: Strategy) -> dict[Label, int]:
    largest = max(counts.values())
    wanted = dict(counts)
    if isinstance(strategy, str):
        if strategy not in WORDS:
            raise ConfigError(f"strategy {strategy!r} is not known; use one of {', '.join(WORDS)}")
        smallest = min(counts, key=lambda label: counts[label])
        for label in counts:
            if (strategy == "minority" and label != smallest) or (strategy == "not minority" and label == smallest):
                continue
            wanted[label] = largest
        return wanted
    if isinstance(strategy, Mapping):
        for name, count in strategy.items():
            label = match_label(name, counts)
            if isinstance(count, bool) or not _is_whole(count) or count < counts[label]:
                raise ConfigError(
                    f"class {quoted(label)} has {counts[label]} real rows and rows are never removed; "
                    f"its count must be a whole number of at least that, got {count}"
                )
            wanted[label] = int(count)
        return wanted
    ratio = float(strategy)
    if not 0 < ratio <= 1:
        raise ConfigError(f"a ratio must lie in (0, 1], got {ratio:g}")
    goal = math.floor(ratio * largest + 1e-9)
    if all(n > goal for label, n in counts.items() if n < largest) and min(counts.values()) < largest:
        raise ConfigError(f"the ratio {ratio:g} would delete rows: every class already has more than {goal}")
    return {label: max(n, goal) for label, n in counts.items()}


def _is_whole(count: object) -> bool:
    """Whether it is a whole number, of numpy's types too."""
    if isinstance(count, numbers.Real):
        return math.isfinite(count) and count == math.floor(count)
    return False


def with_units(
    plan: BalancePlan, ladder: Sequence[Rung], *, small_class: SmallClass = "ladder", fine_tune: bool = False
) -> BalancePlan:
    """Return the plan with its trainings: each class by the first rung of ``ladder`` that it has rows enough for.

    A conditional engine is one unit over all rows, with a fine-tune unit per class after it where ``fine_tune``; any
    other engine is one unit per class, from that class's rows. ``small_class`` says what a class gets that has too
    few rows for the first rung: the next rung (``ladder``), nothing (``skip``) or TooFewRows (``error``).
    """
    first, most = ladder[0], _most(tuned=plan.tuned)
    classes, notes, chosen = dict(plan.classes), list(plan.notes), dict[str, list[Label]]()
    for label, add in plan.adds().items():
        have = classes[label].have
        rung = next(rung for rung in (*ladder, Rung("oversample", 1, True)) if have >= rung.min_rows)
        if rung is not first and rung.engine != first.engine:
            reason = f"class {quoted(label)} has {have} rows, {first.engine} needs {first.min_rows}"
            if small_class == "error":
                raise TooFewRows(f"{reason}; add rows, or use --small-class ladder or skip")
            if small_class == "skip":
                notes.append(f"{reason}: nothing added")
                classes[label] = ClassPlan(have, have, 0)
                continue
            notes.append(f"{reason}: its {most}{add} rows come from {rung.engine}")
        elif have <= FEW_ROWS:
            notes.append(
                f"class {quoted(label)} has {have} rows only: its {most}{add} rows by {rung.engine} stay close to them"
            )
        chosen.setdefault(rung.engine, []).append(label)
    conditional = {rung.engine: rung.conditional for rung in ladder}
    units: list[FitUnit] = []
    for engine, labels in chosen.items():
        name = re.sub(r"[^\w-]+", "-", engine)  # it names a folder
        if conditional.get(engine, True):
            units.append(FitUnit(name, engine, tuple(labels)))
            if fine_tune and engine == first.engine:
                units += [FitUnit(f"{name}-c{k:03d}", engine, (label,), True, name) for k, label in enumerate(labels)]
        else:
            units += [FitUnit(f"{name}-c{k:03d}", engine, (label,), True) for k, label in enumerate(labels)]
    return replace(plan, classes=classes, notes=tuple(notes), units=tuple(units))
