"""Trains on published shards, once without the added rows and once with them, and scores both on rows set aside.

    python examples/balance_from_python.py --out churn-balanced
    python examples/train_on_shards.py churn-balanced

The scores come from real rows that neither the generator nor the model saw: those in test/, which
``--ship train`` publishes, or a file of your own given as --test.
"""

import argparse
from pathlib import Path

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

import synthgen


def as_features(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the columns as floats (days for dates, NaN where missing) and categories."""
    features = {}
    for name in names:
        column = frame[name]
        if pd.api.types.infer_dtype(column, skipna=True) == "date":
            column = pd.to_datetime(column)
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        if pd.api.types.is_datetime64_dtype(column):
            column = (column - pd.Timestamp(0)).dt.total_seconds() / 86_400
        is_number = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
        features[name] = column.astype("float64" if is_number else "category")
    return pd.DataFrame(features)


def main() -> None:
    """Print the scores before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path, nargs="?", default=Path("churn-balanced"), help="what --out named")
    parser.add_argument("--test", type=Path, help="a parquet file of real rows that were never balanced")
    args = parser.parse_args()

    shards = synthgen.read_shards(args.shards)  # checks every byte, and tells real rows from added ones
    before = shards.train.origin("real").to_pandas()
    after = pd.read_parquet(args.shards / "current" / "train")  # all of train/, without synthgen
    if not args.test and not len(shards.test):
        parser.error(f"{args.shards} holds no test/: balance with --ship train, or give --test FILE")
    test = pd.read_parquet(args.test) if args.test else shards.test.to_pandas()

    label = shards.manifest.label
    rare = before[label].value_counts().idxmin()
    names = [column.name for column in shards.train.to_dataset().schema.features]  # neither ids nor constants
    # a regularised model: a gain that only repairs an overfitting one is no gain
    model = HistGradientBoostingClassifier(
        categorical_features="from_dtype", max_iter=150, learning_rate=0.05, max_leaf_nodes=8, l2_regularization=10.0
    )
    print(f"scored on {len(test):,} real rows set aside, {sum(test[label] == rare):,} of them {label} = {rare}")
    for title, train in (("before", before), ("after", after)):
        model.fit(as_features(train, names), train[label])
        score = model.predict_proba(as_features(test, names))[:, list(model.classes_).index(rare)]
        precision, auc = (figure(test[label] == rare, score) for figure in (average_precision_score, roc_auc_score))
        counts = f"{len(train):,} rows, {sum(train[label] == rare):,} of {label} = {rare}"
        print(f"{title:>6}: average precision {precision:.3f}, ROC AUC {auc:.3f}, trained on {counts}")
    verdict = shards.manifest.verdict
    print(f"what the check said, with intervals: {verdict.get('status')}: {verdict.get('sentence')}")


if __name__ == "__main__":
    main()
