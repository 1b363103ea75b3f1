"""Balancer inside cross-validation, on a table that scikit-learn bundles: breast cancer, its tumours made rare.

    python examples/balance_breast_cancer.py
    python examples/balance_breast_cancer.py --engine cwgan-gp --steps 300

Only the training folds are balanced; every score comes from real rows. Compare with the free alternative, class
weights, and with the spread over folds: a difference smaller than that is none.
"""

import argparse

import pandas as pd
from imblearn.pipeline import make_pipeline
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.preprocessing import StandardScaler

import synthgen

SHAPE = ("texture", "smoothness", "symmetry", "fractal dimension")  # with a tumour's size, nothing is left to find


def rare_tumours(n_rare: int) -> tuple[pd.DataFrame, pd.Series]:
    """Return the 357 benign rows and ``n_rare`` malignant ones, twelve columns of shape; label 1 is malignant."""
    frame = load_breast_cancer(as_frame=True).frame
    benign, malignant = frame[frame["target"] == 1], frame[frame["target"] == 0]
    kept = pd.concat([benign, malignant.sample(n_rare, random_state=0)], ignore_index=True)
    return kept[[name for name in kept if any(part in name for part in SHAPE)]], 1 - kept["target"]


def main() -> None:
    """Print the average precision of a model alone, with class weights, and after balancing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="delta", help="see 'synthgen engines'")
    parser.add_argument("--steps", type=int, help="training budget, for engines that train a network")
    parser.add_argument("--rare", type=int, default=30, help="malignant rows kept, of 212")
    parser.add_argument("--folds", type=int, default=5)
    args = parser.parse_args()

    X, y = rare_tumours(args.rare)
    options = {"steps": args.steps} if args.steps else None
    balancer = synthgen.Balancer(engine=args.engine, engine_options=options, random_state=0)
    model = LogisticRegression(C=0.1, max_iter=1000)
    arms = {
        "alone": make_pipeline(StandardScaler(), model),
        "class weights": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced")),
        f"Balancer({args.engine})": make_pipeline(balancer, StandardScaler(), model),
    }
    folds = StratifiedKFold(args.folds, shuffle=True, random_state=0)
    print(f"{len(X)} rows, {y.sum()} malignant; average precision, mean ± standard deviation over {args.folds} folds")
    for name, pipeline in arms.items():
        scores = cross_val_score(pipeline, X, y, cv=folds, scoring="average_precision")
        print(f"{name:>22}  {scores.mean():.3f} ± {scores.std():.3f}")


if __name__ == "__main__":
    main()
