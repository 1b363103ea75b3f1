"""Which rows are set aside: by a seeded hash of the row or group, so that a table that grows keeps its holdout.

What is split are ``Rows``: tables and images alike. May import data.dataset and data.hashing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from synthgen.data.dataset import TabularDataset, quoted
from synthgen.data.hashing import column_hashes, mix
from synthgen.data.physical import is_number, to_physical
from synthgen.data.schema import Label, listed
from synthgen.errors import ConfigError, DataError, TooFewRows
from synthgen.seeding import derive

MIN_TRAIN_ROWS = 5
BY_CHANCE_FROM = 50  # set aside of a class: chance alone then comes near enough to the share
MAX_DUPLICATES = 0.3
MAX_ATOM = 0.01


class Rows(Protocol):
    """What a split needs to know of a dataset; ``--group`` and ``--time`` need a table's columns too."""

    @property
    def classes(self) -> tuple[Label, ...]:
        """The label values, sorted."""
        ...

    @property
    def label_codes(self) -> np.ndarray:
        """(N,) each row's index into ``classes``."""
        ...

    def __len__(self) -> int: ...

    def feature_hashes(self) -> np.ndarray:
        """Return (N,) uint64: rows with equal features have equal hashes."""
        ...


@dataclass(frozen=True)
class Split:
    """Row positions (int64, ascending) of the two sides, and what a reader of the verdict should know of them."""

    train: np.ndarray
    holdout: np.ndarray
    notes: tuple[str, ...] = ()


def split_holdout(
    dataset: Rows, *, share: float, seed: int, group: str | None = None, time: str | None = None
) -> Split:
    """Set about ``share`` of every class aside: by row, by ``group`` (whole groups), or the latest rows by ``time``.

    Each row (or group) draws by its hash. Where a class would have 50 or more set aside, it is those below a fixed
    bound, so that a table that grows keeps its holdout; in a smaller class it is the lowest draws, ``share`` of the
    class and at least one, so that chance leaves none out: as it grows, rows near the bound change sides.

    Rows with the same features stay on one side; of a table not where more than 30 % of all rows are such duplicates,
    or the same features make up more than 1 % of the rows (a value of the population, not a copy of a person). Equal
    images always do. A class keeps at least 5 rows for training. Raises ConfigError for unusable columns or shares.
    """
    if not 0 < share < 1:
        raise ConfigError(f"--holdout must lie between 0 and 1, got {share}")
    if time is not None:
        return _by_time(dataset, share, time, group)
    keys, notes = row_keys(dataset, group=group)
    draw = mix(keys + np.uint64(derive(seed, "holdout")))
    codes = dataset.label_codes
    together = _together(draw, codes)
    aside = draw < np.uint64(int(share * 2.0**64))
    for code in range(len(dataset.classes)):
        members = np.flatnonzero(together.home == code)
        if share * len(members) < BY_CHANCE_FROM:
            members = members[np.argsort(draw[members])]
            aside[members] = _nearest(together.sizes(members), share)
    aside[together.rows] = aside[together.first]
    scarce = np.zeros(len(dataset.classes), dtype=bool)
    for code in range(len(dataset.classes)):
        rows = np.flatnonzero(codes == code)
        short = min(MIN_TRAIN_ROWS, len(rows)) - np.count_nonzero(~aside[rows])
        if short > 0:  # the rows that were nearest to staying come back; a whole group comes with them
            scarce[code] = True
            back = rows[aside[rows]][np.argsort(draw[rows[aside[rows]]])[::-1][:short]]
            aside[np.isin(draw, draw[back])] = False
    for code, label in enumerate(dataset.classes):
        own = codes == code
        if np.any(own) and (scarce[code] or not np.any(aside[own])):
            few = "rows" if len(np.unique(keys[own])) == np.count_nonzero(own) else "different rows"
            few = few if group is None else f"groups of {group!r}"
            notes = (*notes, f"class {quoted(label)} has too few {few} to set {100 * share:g}% of its rows aside")
    return Split(np.flatnonzero(~aside), np.flatnonzero(aside), notes)


def folds(dataset: Rows, *, n_folds: int, seed: int, group: str | None = None) -> list[Split]:
    """Deal all rows into ``n_folds`` stratified folds; duplicates (or groups) stay together.

    Every split's holdout is one fold. Raises ConfigError for fewer than 2 folds or an unusable ``group``.
    """
    keys, notes = row_keys(dataset, group=group)
    fold = dealt(keys, dataset.label_codes, n_folds=n_folds, seed=seed)
    return [Split(np.flatnonzero(fold != k), np.flatnonzero(fold == k), notes) for k in range(n_folds)]


def dealt(keys: np.ndarray, codes: np.ndarray, *, n_folds: int, seed: int) -> np.ndarray:
    """Return (N,) the fold of each row, of what must stay together (N,) and class codes (N,), as ``folds`` deals them.

    A class is dealt alike whatever larger classes there are beside it. Raises ConfigError for fewer than 2 folds.
    """
    if n_folds < 2:
        raise ConfigError(f"there must be 2 folds or more, got {n_folds}")
    draw = mix(keys + np.uint64(derive(seed, "folds")))
    together = _together(draw, codes)
    fold = np.zeros(len(codes), dtype=np.int16 if n_folds < 2**15 else np.int64)
    for code in np.unique(codes):
        members = np.flatnonzero(together.home == code)
        members = members[np.argsort(draw[members])]
        fold[members] = (np.arange(len(members)) + derive(seed, "deal", int(code)) % n_folds) % n_folds
    fold[together.rows] = fold[together.first]
    return fold


@dataclass(frozen=True)
class _Together:
    """Which rows stay together. ``home`` (N,): the class that a row is dealt in, the rarest that its key occurs in;
    -1 for a row that follows another. ``rows`` (M,) are those whose key is not theirs alone, ``first`` (M,) the row
    that each follows, itself for one of each key."""

    home: np.ndarray
    rows: np.ndarray
    first: np.ndarray

    def sizes(self, members: np.ndarray) -> np.ndarray:
        """Return how many rows stand or fall with each of ``members``, itself included."""
        if not len(self.rows):
            return np.ones(len(members), dtype=np.int64)
        counts = np.bincount(self.first, minlength=len(self.home))
        return np.asarray(np.maximum(1, counts[members]))


def _together(draw: np.ndarray, codes: np.ndarray) -> _Together:
    ordered = np.sort(draw)
    doubled = ordered[1:][ordered[1:] == ordered[:-1]]
    del ordered
    shared = np.empty(0, dtype=np.int64)
    if len(doubled):
        shared = np.flatnonzero(doubled[np.searchsorted(doubled, draw).clip(max=len(doubled) - 1)] == draw)
    # a key is dealt within the rarest class that it occurs in, so that each class spreads evenly
    rows = shared[np.lexsort((codes[shared], draw[shared], np.bincount(codes)[codes[shared]]))]
    _, first, inverse = np.unique(draw[rows], return_index=True, return_inverse=True)
    home = codes.copy()
    home[rows] = -1
    home[rows[first]] = codes[rows[first]]  # np.unique gives the first occurrence: the rarest class
    return _Together(home, rows, rows[first][inverse])


def _nearest(sizes: np.ndarray, share: float) -> np.ndarray:
    """Return which of a class's keys, of ``sizes`` rows and in the order of their draws, come nearest to ``share`` of
    its rows, or to one row: each is taken that brings their number nearer."""
    taken, missing = np.zeros(len(sizes), dtype=bool), max(1, round(share * int(sizes.sum())))
    for k, size in enumerate(sizes.tolist()):
        if size < 2 * missing:
            taken[k] = True
            missing -= size
    return taken


def row_keys(dataset: Rows, *, group: str | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (N,) uint64 keys of what must stay together, with notes for the verdict."""
    if group is not None:
        return column_hashes(_column(dataset, "--group", group)), ()
    keys = dataset.feature_hashes()
    if not isinstance(dataset, TabularDataset):
        return keys, ()  # equal pixels are a copy, however many there are; rows of few columns are equal by nature
    ordered = np.sort(keys)  # all that most tables need, and a small part of what counting takes
    share = np.count_nonzero(ordered[1:] == ordered[:-1]) / max(1, len(keys))
    often = int(max(20, MAX_ATOM * len(keys)))
    if share <= MAX_DUPLICATES and not np.any(ordered[often:] == ordered[:-often]):
        return keys, ()
    del ordered
    _, inverse, repeats = np.unique(keys, return_inverse=True, return_counts=True)
    if share > MAX_DUPLICATES:
        apart = np.ones(len(repeats), dtype=bool)
        note = f"{share:.0%} of the rows repeat another row's features, so equal rows stand on both sides of the split"
    else:
        apart = repeats > max(20, MAX_ATOM * len(keys))
        note = (
            f"rows that occur more than {MAX_ATOM:.0%} of the time are split like any other, "
            "so they stand on both sides of the split"
        )
    order = np.argsort(inverse, kind="stable")
    starts = np.r_[0, np.cumsum(repeats)[:-1]]
    occurrence = np.empty(len(keys), dtype=np.uint64)
    occurrence[order] = np.arange(len(keys)) - starts[inverse[order]]
    single = mix(keys + occurrence * np.uint64(0x9E3779B97F4A7C15))
    return np.where(apart[inverse], single, keys), (note,)


def _column(dataset: Rows, option: str, name: str) -> pa.ChunkedArray:
    if not isinstance(dataset, TabularDataset):
        raise ConfigError(f"{option} names a column, and images have none")
    names = dataset.schema.arrow.names
    if name not in names:
        raise ConfigError(f"{option} names {name!r}, which is not a column; columns are: {listed(names)}")
    if name == dataset.label:
        raise ConfigError(f"{option} names the label column {name!r}; choose another column")
    return dataset.column(name)


def _by_time(dataset: Rows, share: float, time: str, group: str | None) -> Split:
    if group is not None:
        raise ConfigError("--group and --time cannot be combined; choose how rows are set aside")
    column = _column(dataset, "--time", time)
    if not is_number(column.type):
        raise ConfigError(f"--time names {time!r}, a column of type {column.type}; it must be a date, time or number")
    stamps = to_physical(column)
    if not stamps.valid.all():
        missing = int(np.count_nonzero(~stamps.valid))
        raise DataError(
            f"column {time!r} orders the rows by time but is missing in {missing} of them; remove those rows first"
        )
    cut = np.sort(stamps.values)[min(int(np.ceil(len(dataset) * (1 - share))), len(dataset) - 1)]
    aside = stamps.values >= cut
    for code, label in enumerate(dataset.classes):
        rows = dataset.label_codes == code
        before = int(np.count_nonzero(rows & ~aside))
        if before < min(MIN_TRAIN_ROWS, int(np.count_nonzero(rows))):
            raise TooFewRows(
                f"before the cut by {time!r} there are {before} rows of class {quoted(label)}, too few to learn from; "
                "lower --holdout, or leave --time out"
            )
    return Split(np.flatnonzero(~aside), np.flatnonzero(aside))
