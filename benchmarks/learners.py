"""Which learners gain from added rows where a class is rare? Every arm, five learners, gains with intervals.

    python benchmarks/learners.py adult.parquet bank.parquet ... --label target --seeds 1

From each table 60 rows of the rarest class and up to 6,000 of the others are for training; up to 3,000 and 15,000
others are the test. A figure is a test figure at the training share of the rare class; a gain is over adding nothing,
its interval a bootstrap over tables. Learners are regularised, except for the two single trees.
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
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from synthgen import Balancer

FREE = ("oversample", "smote", "smote-filter", "delta", "delta-filter", "copula", "copula-filter")
ARMS = {"none": None, "class weights": None} | {name: (name, "auto") for name in FREE}
OURS = {"auto tuned": ("auto", "tuned"), "taught": ("taught", "auto")}
PANEL = ("logistic", "forest", "boosted")


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


def splits(
    path: Path, label: str, seeds: int
) -> Iterator[tuple[int, pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]]:
    frame = pd.read_parquet(path)
    values = frame.pop(label)
    y = (values == values.value_counts().idxmin()).to_numpy().astype(int)
    for name in frame.select_dtypes(["category", "object", "string"]):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), "missing").astype(str)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        own, rest = (rng.permutation(np.flatnonzero(y == value)) for value in (1, 0))
        n_own, n_rest = min(60, len(own) // 2), min(6000, len(rest) // 2)
        train = np.r_[own[:n_own], rest[:n_rest]]
        test = np.r_[own[n_own : n_own + 3000], rest[n_rest : n_rest + 15000]]
        medians = frame.iloc[train].median(numeric_only=True)
        yield (
            seed,
            frame.iloc[train].fillna(medians).reset_index(drop=True),
            y[train],
            frame.iloc[test].fillna(medians),
            y[test],
        )


def judge(path: Path, label: str, seeds: int, arms: dict[str, tuple[str, str] | None]) -> Iterator[dict[str, object]]:
    for seed, train, y, test, truth in splits(path, label, seeds):
        share = np.where(truth == 1, y.mean() / truth.mean(), (1 - y.mean()) / (1 - truth.mean()))
        for arm, engine in arms.items():
            start, x, labels = time.perf_counter(), train, y
            if engine:
                balancer = Balancer(engine=engine[0], sampling_strategy=engine[1], random_state=seed)
                x, labels = balancer.fit_resample(train, y)
            seconds = time.perf_counter() - start
            models = learners(x, "balanced" if arm == "class weights" else None)
            proba = {name: model.fit(x, labels).predict_proba(test)[:, 1] for name, model in models.items()}
            proba["rank average"] = np.mean([rankdata(proba[name]) for name in PANEL], axis=0)
            for name, p in proba.items():
                ap, auc = average_precision_score(truth, p, sample_weight=share), roc_auc_score(truth, p)
                yield {"data": path.stem, "seed": seed, "arm": arm, "learner": name, "ap": ap, "auc": auc, "s": seconds}


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Return, per learner and arm, mean figures and the gain over none with a 95 % interval over tables."""
    mean = rows[rows.learner.isin(PANEL)].groupby(["data", "seed", "arm"], as_index=False)[["ap", "auc"]].mean()
    rows = pd.concat([rows, mean.assign(learner="mean of three")])
    rng, lines = np.random.default_rng(0), []
    for learner, part in rows.groupby("learner"):
        table = part.groupby(["data", "arm"])[["ap", "auc"]].mean().unstack("arm")
        for arm in rows.arm.unique():
            line: dict[str, object] = {"learner": learner, "arm": arm}
            for figure in ("ap", "auc"):
                gain = (table[figure][arm] - table[figure]["none"]).to_numpy()
                low, high = np.quantile(rng.choice(gain, (4000, len(gain))).mean(axis=1), [0.025, 0.975])
                wins, losses = int((gain > 0.002).sum()), int((gain < -0.002).sum())
                line[figure] = round(table[figure][arm].mean(), 3)
                line[f"{figure} gain"] = f"{gain.mean():+.3f} [{low:+.3f}, {high:+.3f}] {wins}/{losses}"
            lines.append(line)
    return pd.DataFrame(lines).set_index(["learner", "arm"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--label", required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write every row as JSON lines")
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    for path in args.tables:
        rows += judge(path, args.label, args.seeds, ARMS | OURS)
        if args.out:
            args.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(gains(pd.DataFrame(rows)).to_string())


if __name__ == "__main__":
    main()
