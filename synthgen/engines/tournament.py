"""Inner splits of the training rows on which engines compete: each is fitted on the inner train rows, and its rows
help quick learners that are scored on inner held-out real rows. The only rows seen are the training rows.

May import data, encode and its own room; scikit-learn only inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.data.split import Split, folds, row_keys
from synthgen.encode.base import EncodedTable
from synthgen.encode.tabular import TabularCodec
from synthgen.engines import make_engine, make_raw
from synthgen.engines.base import Engine, FitContext
from synthgen.engines.belief import Belief
from synthgen.engines.catalog import CATALOG
from synthgen.engines.filter import Filtered, seen_rows
from synthgen.engines.learners import (
    Bins,
    TreeSettings,
    boosted_trees,
    linear_features,
    logistic,
    one_thread,
)
from synthgen.engines.mixed import of_rows
from synthgen.seeding import derive, numpy_rng

MIN_JUDGED = 9
MAX_JUDGED = 10
OTHERS = -1

Options = Mapping[str, object]  # as make_engine takes them


@dataclass(frozen=True)
class Budget:
    """What a tournament may cost: figures of work, not of time, so that the same rows give the same choice unless
    ``max_minutes`` among an engine's own settings ends a training.

    ``folds`` inner splits, each thinned so that its training rows come to about ``rows`` with those added; of a
    judged class ``own`` rows stay if it has them. Its ``rounds`` of boosting; ``resamples`` for the standard error.
    Networks train ``network_steps`` on the first ``network_folds`` splits, if every class has ``network_rows`` rows;
    fewer, or for less time, where the own settings of the engine say so.
    """

    folds: int = 3
    rows: int = 6_000
    own: int = 1_000
    rounds: int = 40
    resamples: int = 60
    network_steps: int = 300
    network_folds: int = 1
    network_rows: int = 40

    def brief(self, name: str, options: Options) -> Options:
        """Return an engine's ``options`` for a fit that competes: a network's steps (or epochs) are held."""
        if name not in CATALOG or not CATALOG[name].info.trains:
            return options
        length = "epochs" if options.get("epochs") is not None else "steps"
        asked = options.get(length)
        return {**options, length: self.network_steps if asked is None else min(self.network_steps, cast("int", asked))}


@dataclass(eq=False)
class Fold:
    """One inner split, encoded, with what engines share on it: raw generators, the belief, hashes of its rows."""

    train: TabularDataset
    held: TabularDataset
    adds: dict[Label, int]
    judged: tuple[Label, ...]
    weights: np.ndarray  # (1 + resamples, n_held): the first row scores, the others resample
    budget: Budget
    seed: int
    mixed: bool
    options: Mapping[str, Options]
    _raw: dict[str, Engine] = field(default_factory=dict)
    _belief: Belief | None = None
    _seen: np.ndarray | None = None
    _rows: dict[str, dict[Label, TabularDataset]] = field(default_factory=dict)

    @cached_property
    def _codec(self) -> TabularCodec:
        return TabularCodec(numeric="standard").fit(self.train)

    @cached_property
    def _encoded(self) -> EncodedTable:
        return self._codec.encode(self.train, seed=self.seed)

    @cached_property
    def _bins(self) -> Bins:
        return Bins.fit(self._encoded, self.train.label_codes)

    @cached_property
    def _encoded_held(self) -> EncodedTable:
        return self._codec.encode(self.held, seed=self.seed)

    def scores(self, engine: str, amount: float) -> np.ndarray:
        """Return (2, 1 + resamples): macro AP and AUC of the learners' mean, with ``amount`` of the rows added."""
        added, labels = [self._encoded], [self.train.label_codes]
        if amount > 0:
            for label, rows in self._sampled(engine).items():
                part = rows.take(np.arange(round(amount * self.adds[label])))
                added.append(self._codec.encode(part, seed=self.seed))
                labels.append(part.label_codes)
        together = EncodedTable(
            numeric=np.concatenate([part.numeric for part in added]),
            codes=np.concatenate([part.codes for part in added]),
        )
        return self._judge(together, np.concatenate(labels))

    def _sampled(self, engine: str) -> dict[Label, TabularDataset]:
        if engine not in self._rows:
            fitted = self._fitted(engine)
            if self.mixed:
                fitted = of_rows(fitted).beside(self.train, self.adds)
            seed = derive(self.seed, "sample")
            self._rows[engine] = {
                label: fitted.sample(label, n, seed=derive(seed, k)) for k, (label, n) in enumerate(self.adds.items())
            }
        return self._rows[engine]

    def _fitted(self, name: str) -> Engine:
        context, row, options = FitContext(want=self.adds), CATALOG.get(name), self.options.get(name, {})
        if row is None or "inner" not in row.options or options:
            alone = make_engine(name, **self.budget.brief(name, options))
            return alone.fit(self.train, seed=derive(self.seed, "fit"), context=context)
        inner = str(row.options["inner"])
        if inner not in self._raw:
            self._raw[inner] = make_raw(inner).fit(self.train, seed=derive(self.seed, "fit"), context=context)
        engine, overdraw = self._raw[inner], float(str(row.options.get("overdraw", 1.0)))
        if overdraw > 1 and self._belief is None:
            self._belief = Belief.fit(self.train, self.adds, seed=self.seed, codec=self._codec)
        if self._seen is None:
            self._seen = seen_rows(self.train)
        return Filtered(engine, overdraw=overdraw, name=name).equip(
            belief=self._belief if overdraw > 1 else None, seen=self._seen, ids=None
        )

    def _judge(self, rows: EncodedTable, labels: np.ndarray) -> np.ndarray:
        from scipy.stats import rankdata

        codes = [self.train.classes.index(label) for label in self.judged]
        labels = np.where(np.isin(labels, codes), labels, OTHERS)
        layout, n_classes = self._codec.layout, len(np.unique(labels))
        rounds = self.budget.rounds if n_classes == 2 else max(10, 2 * self.budget.rounds // n_classes)
        trees = boosted_trees(layout, TreeSettings(rounds=rounds, rate=0.1), seed=0)
        line, bins = logistic(), self._bins
        with one_thread():
            believed = [
                trees.fit(bins.features(rows), labels).predict_proba(bins.features(self._encoded_held)),
                line.fit(linear_features(rows, layout), labels).predict_proba(
                    linear_features(self._encoded_held, layout)
                ),
            ]
        total, present = np.zeros((2, len(self.weights))), np.unique(labels)
        for code in codes:
            truth, column = self.held.label_codes == code, int(np.searchsorted(present, code))
            shares = [proba[:, column] for proba in believed]
            shares.append(np.sum([rankdata(share) for share in shares], axis=0))
            for share in shares:
                total += ranking_figures(truth, share, self.weights)
        return np.asarray(total / (3 * len(self.judged)))


def ranking_figures(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (2, B): average precision and ROC AUC of ``scores`` (N,) for ``truth`` (N,) under ``weights`` (B, N).

    Equal scores count as one threshold. A resample without both classes gets the prior and one half.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    ordered = weights[:, order]
    hits = np.cumsum(np.where(truth[order], ordered, 0.0), axis=1)[:, ends]
    alarms = np.cumsum(np.where(truth[order], 0.0, ordered), axis=1)[:, ends]
    n_hits, n_alarms = hits[:, -1:], alarms[:, -1:]
    usable = (n_hits > 0) & (n_alarms > 0)
    recall = hits / np.where(usable, n_hits, 1.0)
    fall_out = alarms / np.where(usable, n_alarms, 1.0)
    precision = hits / np.maximum(hits + alarms, 1e-300)
    step = np.diff(recall, axis=1, prepend=0.0)
    ap = (step * precision).sum(axis=1)
    auc = (np.diff(fall_out, axis=1, prepend=0.0) * (recall - step / 2)).sum(axis=1)
    return np.where(usable.T, np.stack([ap, auc]), np.stack([truth.mean() + 0 * ap, 0.5 + 0 * auc]))


def judgeable(train: TabularDataset, want: Mapping[Label, int]) -> tuple[Label, ...]:
    """Return the wanted classes with rows enough for inner splits, equal ones counted, the ten rarest at most.

    None where there is no other class to tell them from.
    """
    counts = train.counts()
    if sum(n > 0 for n in counts.values()) < 2:
        return ()
    enough = [label for label, n in want.items() if n > 0 and counts.get(label, 0) >= MIN_JUDGED]
    return tuple(sorted(enough, key=lambda label: counts[label])[:MAX_JUDGED])


def make_folds(
    train: TabularDataset,
    want: Mapping[Label, int],
    *,
    seed: int,
    budget: Budget,
    mixed: bool = False,
    least: int = 1,
    options: Mapping[str, Options] | None = None,
    group: str | None = None,
) -> list[Fold]:
    """Return the inner splits, none where no class can be judged; duplicates, or a column's groups, stay together.

    Judged, and given rows in the planned ratio, are ``judgeable`` classes that stand on both sides of every split, with
    others beside them and ``least`` rows to learn from: a class of many equal rows may not.
    ``mixed``: half of the rows are real ones again, as ``Mixed`` draws them. ``options``: by engine, the user's own.
    """
    judged = judgeable(train, want)
    splits = folds(train, n_folds=budget.folds, seed=derive(seed, "inner"), group=group) if judged else []
    judged = tuple(label for label in judged if all(_tells(train, split, label, least=least) for split in splits))
    if not judged:
        return []
    grows = np.zeros(len(train.classes))  # rows to add per real row
    counts = train.counts()
    for label in judged:
        grows[train.classes.index(label)] = want[label] / counts[label]
    out = []
    for k, split in enumerate(splits):
        sub = derive(seed, "fold", k)
        have = np.bincount(train.label_codes[split.train], minlength=len(grows))
        share = min(1.0, budget.rows / float(have @ (1 + grows)))
        inner = train.take(_thinned(train, split.train, share, grows > 0, budget.own, seed=derive(sub, "train")))
        held_rows = _thinned(train, split.holdout, share, grows > 0, budget.own, seed=derive(sub, "held"))
        weights = _prior(train, split.holdout, held_rows)
        held = train.take(held_rows)
        resampled = _resampled(held, group, budget.resamples, seed=sub)
        adds = {train.classes[code]: max(1, round(share * have[code] * grows[code])) for code in np.flatnonzero(grows)}
        both = np.concatenate([weights[None], weights * resampled])
        out.append(Fold(inner, held, adds, judged, both, budget, sub, mixed, options or {}))
    return out


def _resampled(held: TabularDataset, group: str | None, resamples: int, *, seed: int) -> np.ndarray:
    """Return (resamples, N) how often each held-out row is drawn: by itself, or with all of its group."""
    rng = numpy_rng(seed, "resamples")
    if group is None:
        return rng.poisson(1.0, (resamples, len(held)))
    groups, unit = np.unique(row_keys(held, group=group)[0], return_inverse=True)
    return np.asarray(rng.poisson(1.0, (resamples, len(groups)))[:, unit])


def _tells(train: TabularDataset, split: Split, label: Label, *, least: int) -> bool:
    """Whether both sides of a split have rows of a class and of others, ``least`` of its own to learn from."""
    own = train.label_codes == train.classes.index(label)
    learnt, judged = own[split.train], own[split.holdout]
    return bool(least <= learnt.sum() < len(learnt) and 0 < judged.sum() < len(judged))


def _thinned(
    train: TabularDataset, rows: np.ndarray, share: float, judged: np.ndarray, own: int, *, seed: int
) -> np.ndarray:
    """Return ascending positions of a ``share`` of every class in ``rows``; of a judged one at least ``own`` in all.

    ``own`` is shared by the judged classes: their rows are the evidence, and stay where they are few.
    """
    codes, rng = train.label_codes[rows], numpy_rng(seed, "thinned")
    least = own // max(1, int(judged.sum()))
    kept = []
    for code in np.unique(codes):
        group = rows[codes == code]
        n = max(1, round(share * len(group)), least if judged[code] else 0)
        kept.append(rng.choice(group, n, replace=False) if n < len(group) else group)
    return np.sort(np.concatenate(kept))


def _prior(train: TabularDataset, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the weight of each kept row that gives every class back its share."""
    size = len(train.classes)
    before = np.bincount(train.label_codes[rows], minlength=size)
    after = np.bincount(train.label_codes[kept], minlength=size)
    return np.asarray((before / np.maximum(after, 1))[train.label_codes[kept]])
