"""Whether to add rows, and how many, for whatever model comes after: a modest amount from one generator, or nothing.

May import data and its own room. Splits of a few dozen rows say little by themselves, so what they say is weighed
against what other tables have shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.engines import engine_info
from synthgen.engines.choose import Choice, Score, Table
from synthgen.engines.tournament import Budget, Options, make_folds

# the first whose least number of rows every wanted class has on every inner split, else the last, for the classes that
# have them; and how many rows are added for each real one at most, half of them the generator's
GENERATORS = (("cwgan-gp", 16), ("taught", 8))
CHEAPEST = "taught"  # what is fitted where nothing is added: no network is trained for no rows
SHARE = 0.25
# the gain in (AP + AUC) / 2 over adding nothing on other tables of some 40 rare rows: its mean, its spread over tables
LEAN, SPREAD = 0.003, 0.005


def modest(
    counts: Mapping[Label, int],
    want: Mapping[Label, int],
    *,
    per_row: int,
    shares: Mapping[Label, float] | None = None,
) -> dict[Label, int]:
    """Return ``want`` (label -> rows to add), held to ``per_row`` a real row and to a quarter of the largest class.

    A class that is less rare than that gets none. ``shares``: each class's part of the largest, where ``counts`` are
    of a part of the rows that does not show it.
    """
    most = max(counts.values(), default=0)
    held = {}
    for label, n in want.items():
        have = counts.get(label, 0)
        largest = have / shares[label] if shares else most
        held[label] = max(0, min(n, per_row * have, round(SHARE * largest) - have))
    return held


def tune(
    train: TabularDataset,
    *,
    want: Mapping[Label, int],
    seed: int,
    shares: Mapping[Label, float] | None = None,
    options: Mapping[str, Options] | None = None,
    budget: Budget = Budget(),  # noqa: B008
    group: str | None = None,
    report: Callable[[float, str], None] = lambda share, message: None,  # noqa: ARG005
) -> Choice:
    """Return whether ``modest`` rows are worth adding: amount 1 or 0 of them, with the figures.

    They are the network's where every wanted class has rows enough for it, else "taught" ones.

    The gain on inner splits, with its standard error, is averaged with the gain on other tables, each weighed by its
    precision; rows are added where the average is above 0. ``group``: a column whose groups stay on one side of
    every split.
    """
    for engine, per_row in GENERATORS:
        least = engine_info(engine).min_rows
        held = {label: n for label, n in modest(train.counts(), want, per_row=per_row, shares=shares).items() if n}
        folds = make_folds(train, held, seed=seed, budget=budget, mixed=True, least=least, options=options, group=group)
        if folds and min(fold.train.counts()[label] for fold in folds for label in held) >= least:
            break
    if not folds:
        few, common = "has rows enough to be judged on inner splits", f"is rarer than {SHARE:.0%} of the largest"
        why = few if held else f"{common}, up to which rows are added"
        return Choice(CHEAPEST, 0.0, f"no wanted class {why}", per_row=per_row)
    table = Table(folds, report, total=2 * budget.folds)
    nothing, some = (engine, 0.0), (engine, 1.0)
    for split in range(budget.folds):
        table.run(nothing, split)
        table.run(some, split)
    gain, error = table.gain(some, nothing)
    trust = SPREAD**2 / (SPREAD**2 + error**2)
    expected = (1 - trust) * LEAN + trust * gain
    told = f"gains {gain:+.3f} \u00b1 {error:.3f} over nothing; with {LEAN:+.3f} on other tables {expected:+.3f}"
    added = float(expected > 0)
    reason = f"{told}: {'added' if added else 'nothing added'}"
    lines = (
        Score(*nothing, budget.folds, *table.means(nothing), None, 0.0, 0.0, "nothing"),
        Score(*some, budget.folds, *table.means(some), None, gain, error, told),
    )
    return Choice(engine if added else CHEAPEST, added, reason, lines, per_row=per_row)
