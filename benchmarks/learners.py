"""Which learners gain from added rows where a class is rare? Every free arm, ours, five learners, gains with intervals.

    python benchmarks/learners.py                                   # tables that tables.py makes
    python benchmarks/learners.py --suite small --seeds 2           # tables that come with scikit-learn
    python benchmarks/learners.py adult.parquet bank.parquet --label target --arms taught,cwgan-gp

What ours gain over each of the others is told last, for the mean of three learners and the average of their ranks.

rare: 60 rows of the rarest class and up to 6,000 of the others are for training; up to 3,000 and 15,000 others are the
test. small: the rarest class is cut to 40 rows, and all rows are cross-fitted in five folds. A figure is a
test figure at the training share of the rare class; a gain is over adding nothing, its interval a bootstrap over
tables, won / lost the tables on which it is above .002 or below -.002. Learners are regularised, except for the two
single trees; "rank average" averages the ranks of the three others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from tables import mixed

from synthgen import Balancer

FREE = ("oversample", "smote", "smote-filter", "delta", "delta-filter", "copula", "copula-filter", "independent")
OURS = ("auto tuned", "taught", "cwgan-gp", "ctgan")
ARMS = ("class weights", *FREE, *OURS)
PANEL = ("logistic", "forest", "boosted")
SUMS = ("mean of three", "rank average")
BUNDLED = {"breast cancer": (load_breast_cancer, 0), "wine": (load_wine, 2), "digits": (load_digits, 8)}
Table = tuple[str, pd.DataFrame, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", type=Path, help="parquet files; without any, made or bundled tables")
    parser.add_argument("--label", default="label")
    parser.add_argument("--suite", choices=("rare", "small"), default="rare")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--arms", default=",".join(arm for arm in ARMS if arm != "ctgan"), help="ctgan takes minutes")
    parser.add_argument("--out", type=Path, help="write every row as JSON lines")
    args = parser.parse_args()
    arms, rows = ("none", *args.arms.split(",")), []
    if unknown := set(arms) - {"none", *ARMS}:
        parser.error(f"no such arms: {', '.join(sorted(unknown))}; there are: {', '.join(ARMS)}")
    for table in read(args.tables, args.label) if args.tables else made(args.suite):
        rows += judge(table, args.suite, args.seeds, arms)
        print(f"{table[0]} done", flush=True)
        if args.out:
            args.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = pd.DataFrame(rows)
    print(gains(found, over="none").to_string())
    for arm in (arm for arm in arms if arm not in OURS):
        table = gains(found[found.arm.isin((arm, *OURS))], over=arm)
        print(f"\nover {arm}\n{table[table.index.isin(OURS, level='arm')].loc[[*SUMS]].to_string()}")
    print(found.groupby("arm", sort=False).seconds.mean().round(1).to_string())


def read(paths: list[Path], label: str) -> Iterator[Table]:
    for path in paths:
        frame = pd.read_parquet(path)
        values = frame.pop(label)
        yield path.stem, frame, (values == values.value_counts().idxmin()).to_numpy().astype(int)


def made(suite: str) -> Iterator[Table]:
    if suite == "rare":
        for seed, n_columns in enumerate((5, 10, 15)):
            frame = mixed(20_000, n_columns, rare=0.06, seed=seed).to_pandas()
            yield f"made {n_columns} wide", frame, (frame.pop("label") == "yes").to_numpy().astype(int)
        return
    for name, (load, rare) in BUNDLED.items():
        frame, y = load(return_X_y=True, as_frame=True)
        yield name, frame, (y == rare).to_numpy().astype(int)


def splits(table: Table, suite: str, seeds: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the seed and the positions of training and test rows."""
    _, _, y = table
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        own, rest = (rng.permutation(np.flatnonzero(y == value)) for value in (1, 0))
        if suite == "small":
            kept = np.r_[own[:40], rest]
            for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(kept, y[kept]):
                yield seed, kept[train], kept[test]
            continue
        n_own, n_rest = min(60, len(own) // 2), min(6000, len(rest) // 2)
        test = np.r_[own[n_own : n_own + 3000], rest[n_rest : n_rest + 15000]]
        yield seed, np.r_[own[:n_own], rest[:n_rest]], test


def judge(table: Table, suite: str, seeds: int, arms: tuple[str, ...]) -> Iterator[dict[str, object]]:
    name, frame, target = table
    for text in frame.select_dtypes(["category", "object", "string"]):
        frame[text] = frame[text].astype(object).where(frame[text].notna(), "missing").astype(str)
    for seed, train, test in splits(table, suite, seeds):
        medians = frame.iloc[train].median(numeric_only=True)
        real, unseen = frame.iloc[train].fillna(medians).reset_index(drop=True), frame.iloc[test].fillna(medians)
        y, truth = target[train], target[test]
        share = np.where(truth == 1, y.mean() / truth.mean(), (1 - y.mean()) / (1 - truth.mean()))
        for arm in arms:
            start, (x, labels) = time.process_time(), (real, y)
            if arm not in ("none", "class weights"):
                engine, _, tuned = arm.partition(" ")
                sampler = Balancer(engine=engine, sampling_strategy=tuned or "auto", random_state=seed)
                x, labels = sampler.fit_resample(real, y)
            seconds = time.process_time() - start
            models = learners(x, "balanced" if arm == "class weights" else None)
            proba = {learner: model.fit(x, labels).predict_proba(unseen)[:, 1] for learner, model in models.items()}
            proba["rank average"] = np.mean([rankdata(proba[learner]) for learner in PANEL], axis=0)
            for learner, p in proba.items():
                ap, auc = average_precision_score(truth, p, sample_weight=share), roc_auc_score(truth, p)
                yield {"data": name, "seed": seed, "arm": arm, "learner": learner, "ap": ap, "auc": auc} | {
                    "seconds": seconds
                }


def learners(frame: pd.DataFrame, class_weight: str | None) -> dict[str, object]:
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    numbers = [name for name in frame if name not in texts]
    linear = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), texts))
    coder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    codes = make_column_transformer(("passthrough", numbers), (coder, texts))
    weighted = {"class_weight": class_weight}
    models = {
        "logistic": LogisticRegression(C=0.1, max_iter=500, **weighted),
        "forest": RandomForestClassifier(200, min_samples_leaf=5, random_state=0, **weighted),
        "boosted": HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=80, max_leaf_nodes=8, l2_regularization=5, random_state=0, **weighted
        ),
        "tree, leaves of 10": DecisionTreeClassifier(min_samples_leaf=10, random_state=0, **weighted),
        "tree, depth 6": DecisionTreeClassifier(max_depth=6, min_samples_leaf=5, random_state=0, **weighted),
    }
    return {name: make_pipeline(linear if name == "logistic" else codes, model) for name, model in models.items()}


def gains(rows: pd.DataFrame, *, over: str) -> pd.DataFrame:
    """Return, per learner and arm, mean figures and the gain over an arm with a 95 % interval over tables."""
    mean = rows[rows.learner.isin(PANEL)].groupby(["data", "seed", "arm"], as_index=False)[["ap", "auc"]].mean()
    rows = pd.concat([rows, mean.assign(learner="mean of three")])
    rng, lines = np.random.default_rng(0), []
    for learner, part in rows.groupby("learner"):
        table = part.groupby(["data", "arm"])[["ap", "auc"]].mean().unstack("arm")
        for arm in rows.arm.unique():
            line: dict[str, object] = {"learner": learner, "arm": arm}
            for figure in ("ap", "auc"):
                gain = (table[figure][arm] - table[figure][over]).to_numpy()
                low, high = np.quantile(rng.choice(gain, (4000, len(gain))).mean(axis=1), [0.025, 0.975])
                wins, losses = int((gain > 0.002).sum()), int((gain < -0.002).sum())
                line[figure] = round(table[figure][arm].mean(), 3)
                line[f"{figure} gain"] = f"{gain.mean():+.3f} [{low:+.3f}, {high:+.3f}] {wins}/{losses}"
            lines.append(line)
    return pd.DataFrame(lines).set_index(["learner", "arm"])


if __name__ == "__main__":
    main()
