"""The main job from Python: balance a table, publish shards, read the verdict.

    python examples/balance_from_python.py --out churn-balanced

A fifth of the real rows is set aside before anything is fitted; it judges the added rows and is published beside them.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

import synthgen

CHURN = Path(__file__).resolve().parent / "data" / "churn.parquet"


def show(stage: str, share: float, message: str) -> None:
    """Print progress to stderr; any function of these three arguments can listen."""
    print(f"\r{stage:>9} {share:4.0%}  {message:<60.60}", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Run the job and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("churn-balanced"))
    parser.add_argument("--rows", type=int, help="use about this many of the 10,000 rows")
    parser.add_argument("--engine", default="delta", help="see 'synthgen engines'; auto tries several, cwgan-gp trains")
    parser.add_argument("--gate", default="reject-fail", help="report-only publishes whatever the verdict is")
    args = parser.parse_args()

    frame = pd.read_parquet(CHURN)
    if args.rows:
        frame = frame.groupby("churned").sample(frac=args.rows / len(frame), random_state=0).sort_index()
    result = synthgen.balance(
        frame,
        label="churned",
        out=args.out,
        engine=args.engine,
        check="holdout",
        ship="train",
        gate=args.gate,
        seed=0,
        report=show,
    )
    print(file=sys.stderr)

    for label, counts in result.counts.items():
        print(f"churned = {label}: {counts.real:,} real rows, {counts.synthetic:,} synthetic")
    print(f"{result.verdict.status}: {result.verdict.sentence}")
    if result.answered:
        print("published before by the same data, settings and seed; nothing was done again")
    if result.published:
        print(f"shards: {result.folder}\nnow try: python examples/train_on_shards.py {args.out}")
    else:
        print(f"nothing was published; the run is kept in {result.folder}")


if __name__ == "__main__":
    main()
