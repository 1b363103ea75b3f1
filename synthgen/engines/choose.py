"""Which generator, and how many rows: a cross-fitted tournament on inner splits of the training rows.

May import data and its own room. Evidence at this size is weak, so a candidate must beat the default by more than
its standard error, by two where engines compete; the choice and its figures can be read afterwards.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.engines import engine_info
from synthgen.engines.base import EngineInfo
from synthgen.engines.tournament import Budget, Fold, Options, make_folds
from synthgen.errors import ConfigError

# the first is the default: on inner splits of nine tables of 40 positives it gained most over adding nothing, in AUC
# and tuned balanced accuracy, and lost least in AP
CANDIDATES = (
    *("taught", "delta-filter", "delta", "copula-filter", "copula", "smote-filter", "smote", "oversample"),
    "cwgan-gp",
)
AMOUNTS = (0.0, 0.1, 0.25, 0.5, 1.0)
PROBE = 0.25
LAST = "oversample"
RACE = 1.0
# standard errors to beat the default by: of many engines that are no better one would pass a single error by chance,
# amounts of one engine rise and fall together
MARGIN, MARGIN_OF_AMOUNTS = 2.0, 1.0

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Score:
    """One arm's figures: mean AP and AUC on the splits it ran on, their mean rank, the gain over the default in
    (AP + AUC) / 2 with its standard error, and what followed from it. Without figures where it did not run."""

    engine: str
    amount: float
    splits: int
    ap: float | None
    auc: float | None
    rank: float | None
    gain: float | None
    error: float | None
    reason: str


@dataclass(frozen=True)
class Choice:
    """The engine and the share of the wanted rows to add, why, and the table behind it.

    ``per_row``: the share is one of the wanted rows held to so many for each real one (``tuned.modest``); 0: it is not.
    """

    engine: str
    amount: float
    reason: str
    scores: tuple[Score, ...] = ()
    per_row: int = 0

    @property
    def against(self) -> str:
        """Why nothing is added, where nothing is: what inner splits showed, or why they could show nothing."""
        if any(score.amount > 0 and score.splits for score in self.scores):
            return "inner splits of the training rows spoke against adding rows"
        return f"whether added rows help could not be judged ({self.reason})"

    def to_json(self) -> dict[str, object]:
        """Return the choice as JSON types."""
        return asdict(self) | {"scores": [asdict(score) for score in self.scores]}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Choice:
        """Return the choice that ``to_json`` wrote."""
        scores = cast("list[dict[str, object]]", data["scores"])
        return cls(
            str(data["engine"]),
            float(str(data["amount"])),
            str(data["reason"]),
            tuple(Score(**score) for score in scores),  # type: ignore[arg-type]
            int(str(data["per_row"])),
        )


Arm = tuple[str, float]


def _silent(share: float, message: str) -> None:
    """Report nothing."""


def choose(
    train: TabularDataset,
    *,
    want: Mapping[Label, int],
    candidates: Sequence[str] = CANDIDATES,
    amounts: Sequence[float] = (1.0,),
    seed: int,
    options: Mapping[str, Options] | None = None,
    budget: Budget = Budget(),  # noqa: B008
    group: str | None = None,
    report: Report = _silent,
) -> Choice:
    """Return the candidate, and the share of ``want`` (label -> rows to add), that helps most on inner splits.

    The first candidate is the default: another is taken where its gain exceeds two standard errors, the one with the
    highest lower bound. With several ``amounts`` the engines meet at the one nearest a quarter, then the winner's
    amounts meet; 0 (nothing added) is the default there, where it is among them. ``options``: by candidate.
    ``group``: a column whose groups stay on one side of every split.
    Raises ConfigError for no candidates, an amount outside [0, 1], or several amounts for rows of one class alone,
    which hold nothing to judge them by.
    """
    check_arms(candidates, amounts)
    if len(amounts) > 1 and len(np.unique(train.label_codes)) < 2:
        raise ConfigError(
            f"how many rows to add cannot be tuned for {candidates[0]!r}, which is given one class's rows alone; "
            "choose an engine for all classes (cwgan-gp, delta ...), or another --strategy"
        )
    wanted = {label: n for label, n in want.items() if n > 0}
    usable, left_out = _usable(train, wanted, candidates)
    unjudged = amounts[0] if len(amounts) == 1 else min(amounts)
    if not usable:
        why = "no candidate fits these rows" if wanted else "nothing is wanted"
        return Choice(LAST, unjudged, f"{why}: {LAST}", left_out)
    splits = make_folds(train, wanted, seed=seed, budget=budget, options=options, group=group)
    fit, unfit = _fit_for(splits, usable, budget)
    if not fit:
        why = "no wanted class has rows enough to be judged on inner splits"
        return Choice(usable[0], unjudged, f"{why}: the default", (*left_out, *unfit))
    usable, left_out = fit, (*left_out, *unfit)
    positive = sorted(amount for amount in amounts if amount > 0)
    probe = min(positive, key=lambda amount: abs(amount - (PROBE if len(positive) > 1 else positive[-1])), default=0.0)
    table = Table(splits, report, total=len(usable) * len(splits) + (len(amounts) - 1) * len(splits))
    winner, scores = usable[0], left_out
    if len(usable) > 1 and positive:
        (winner, _), scores = _meet(table, [(name, probe) for name in usable], budget)
        scores += left_out
    if len(amounts) == 1:
        best = next(score for score in scores if score.engine == winner) if len(usable) > 1 else None
        return Choice(winner, amounts[0], best.reason if best else "the only candidate", scores)
    arms = [(winner, amount) for amount in sorted(amounts)]
    (_, amount), more = _meet(table, arms, budget)
    reason = next(score.reason for score in more if score.amount == amount)
    return Choice(winner, amount, reason, (*scores, *(s for s in more if len(usable) == 1 or s.amount != probe)))


def check_arms(candidates: Sequence[str], amounts: Sequence[float]) -> None:
    """Raise ConfigError unless these are engines and shares of the wanted rows that ``choose`` can choose from."""
    if not isinstance(candidates, (tuple, list)) or not all(isinstance(name, str) for name in candidates):
        raise ConfigError(f"candidates must be a list of engines' names, got {candidates!r}")
    if not candidates:
        raise ConfigError("there are no candidates to choose from")
    for name in candidates:
        if name == "auto":
            raise ConfigError("auto cannot be a candidate of itself")
        engine_info(name)
    shares = amounts if isinstance(amounts, (tuple, list)) else ()
    if not shares or not all(isinstance(share, numbers.Real) and 0 <= float(share) <= 1 for share in shares):
        raise ConfigError(f"amounts must be numbers between 0 and 1, got {amounts!r}")


def _usable(
    train: TabularDataset, wanted: Mapping[Label, int], candidates: Sequence[str]
) -> tuple[list[str], tuple[Score, ...]]:
    """Return the candidates for tables that every wanted class has rows enough for, and a line on each other one."""
    counts = train.counts()
    fewest = min((counts.get(label, 0) for label in wanted), default=0)
    usable, left_out = [], []
    for name in candidates:
        info = engine_info(name)
        if "table" not in info.modalities:
            left_out.append(_out(name, "makes no rows of a table"))
        elif fewest < info.min_rows:
            left_out.append(_out(name, f"needs {info.min_rows} rows of a class, the smallest wanted one has {fewest}"))
        elif not info.conditional:
            left_out.append(_out(name, "models one class at a time"))
        else:
            usable.append(name)
    return usable, tuple(left_out)


def _fit_for(splits: Sequence[Fold], usable: Sequence[str], budget: Budget) -> tuple[list[str], tuple[Score, ...]]:
    """Return the candidates that every split has rows enough for, and a line on each other one; none without splits.

    A network among others needs them on the first split; one alone is looked at where it runs.
    """
    fewest = min((fold.train.counts()[label] for fold in splits for label in fold.adds), default=0)
    fit, left_out = [], []
    for name in usable if splits else ():
        info, why = engine_info(name), ""
        if info.trains:
            why = _network_bar(splits[0], info, 0, budget, alone=False) if len(usable) > 1 else ""
        elif info.min_rows > fewest:
            why = f"needs {info.min_rows} rows of a class, the smallest has {fewest} on an inner split"
        if why:
            left_out.append(_out(name, why))
        else:
            fit.append(name)
    return fit, tuple(left_out)


def _out(name: str, reason: str) -> Score:
    return Score(name, 1.0, 0, None, None, None, None, None, reason)


class Table:
    """Scores as they come in: arm -> split -> (2, 1 + resamples)."""

    def __init__(self, splits: Sequence[Fold], report: Report, *, total: int) -> None:
        self.splits, self._report, self._total, self._done = splits, report, total, 0
        self.scores: dict[Arm, dict[int, np.ndarray]] = {}

    def run(self, arm: Arm, split: int) -> None:
        """Score an arm on a split, once."""
        cells = self.scores.setdefault(arm, {})
        if split not in cells:
            name, amount = arm
            cells[split] = self.splits[split].scores(name, amount)
            self._done += 1
            self._report(min(1.0, self._done / self._total), f"trying {name} on inner split {split + 1}")

    def means(self, arm: Arm) -> tuple[float, float]:
        """Return mean AP and AUC on the splits that the arm ran on."""
        ap, auc = np.mean([cell[:, 0] for cell in self.scores[arm].values()], axis=0)
        return float(ap), float(auc)

    def gain(self, arm: Arm, over: Arm) -> tuple[float, float]:
        """Return the gain in (AP + AUC) / 2 on the splits that both ran on, and its standard error."""
        mine, base = self.scores[arm], self.scores[over]
        both = [split for split in mine if split in base]
        gains = np.mean([(mine[split] - base[split]).mean(axis=0) for split in both], axis=0)
        spread = np.std(gains[1:], ddof=1)
        return float(gains[0]), float(spread)


def _meet(table: Table, arms: Sequence[Arm], budget: Budget) -> tuple[Arm, tuple[Score, ...]]:
    """Run ``arms`` against the first of them; return the winner and a line on each."""
    default, alive, notes = arms[0], list(arms), dict[Arm, str]()
    alone = len({name for name, _ in arms}) == 1
    for split in range(len(table.splits)):
        for arm in list(alive):
            info, why = engine_info(arm[0]), ""
            if info.trains and arm[1] > 0:
                why = _network_bar(table.splits[split], info, split, budget, alone=alone)
            if not why:
                table.run(arm, split)
            elif not table.scores.get(arm):
                alive.remove(arm)
                notes[arm] = why
        for arm in [arm for arm in alive if arm != default and arm in table.scores]:
            gain, error = table.gain(arm, default)
            if split + 1 < len(table.splits) and gain < -RACE * error and not engine_info(arm[0]).trains:
                alive.remove(arm)
                notes[arm] = f"left the race after split {split + 1}"
    gains = {arm: table.gain(arm, default) for arm in alive if arm != default}
    margin = MARGIN_OF_AMOUNTS if alone else MARGIN
    lower = {arm: gain - margin * error for arm, (gain, error) in gains.items()}
    best = max(lower, key=lambda arm: lower[arm], default=default)
    winner = best if lower.get(best, 0.0) > 0 else default
    return winner, _lines(table, arms, default=default, winner=winner, notes=notes)


def _network_bar(fold: Fold, info: EngineInfo, split: int, budget: Budget, *, alone: bool) -> str:
    """Return why a network does not run on a split, or nothing."""
    counts = fold.train.counts()
    fewest = min(counts[label] for label in fold.adds)
    least = info.min_rows if alone else max(budget.network_rows, info.min_rows)
    if fewest < least:
        return f"the smallest class has {fewest} rows on an inner split, a network is tried from {least}"
    return "its splits are used up" if split >= budget.network_folds else ""


def _lines(
    table: Table, arms: Sequence[Arm], *, default: Arm, winner: Arm, notes: Mapping[Arm, str]
) -> tuple[Score, ...]:
    means = {arm: np.mean([cell[:, 0] for cell in cells.values()], axis=0) for arm, cells in table.scores.items()}
    full = [arm for arm in arms if len(table.scores.get(arm, {})) == len(table.splits)]
    ranks = {arm: np.mean([1 + sum(means[o][f] > means[arm][f] for o in full) for f in (0, 1)]) for arm in full}
    lines = []
    for arm in arms:
        if arm not in means:
            lines.append(Score(*arm, 0, None, None, None, None, None, notes.get(arm, "did not run")))
            continue
        gain, error = (0.0, 0.0) if arm == default else table.gain(arm, default)
        reason = notes.get(arm) or _reason(arm, default, winner, gain, error)
        if arm == default and len(means) == 1 and notes:
            reason = f"the default; nothing else could be tried: {next(iter(notes.values()))}"
        rank = float(ranks[arm]) if arm in ranks else None
        ap, auc = (float(value) for value in means[arm])
        lines.append(Score(*arm, len(table.scores[arm]), ap, auc, rank, gain, error, reason))
    return tuple(lines)


def _reason(arm: Arm, default: Arm, winner: Arm, gain: float, error: float) -> str:
    name = arm[0] if arm[0] != default[0] else f"{arm[1]:.0%}"
    base = default[0] if arm[0] != default[0] else f"{default[1]:.0%}"
    told = f"gains {gain:+.3f} ± {error:.3f} over {base}"
    if arm == default:
        return "the default; no other gains clearly more" if arm == winner else "the default"
    if arm == winner:
        return f"{name} {told}: taken"
    margin = MARGIN if arm[0] != default[0] else MARGIN_OF_AMOUNTS
    return f"{told}: too little to tell" if abs(gain) <= margin * error else told
