"""An engine of one's own in under forty lines: rows of a class drawn again, every number moved a little."""

from pathlib import Path
from typing import Self

from synthgen import TabularDataset
from synthgen.encode.base import EncodedTable
from synthgen.engines.base import EngineInfo, FitContext, check_count, fitted, read_state, write_state
from synthgen.engines.pool import Pool
from synthgen.seeding import numpy_rng


class Jitter:
    info = EngineInfo(name="jitter", summary="rows moved a little", modalities=("table",), origin="synthetic",
                      trains=False, conditional=True, min_rows=2, when="a first try, and an example")  # fmt: skip

    def __init__(self, noise: float = 0.1) -> None:  # in standard deviations of a column's normal scores
        self.noise = noise
        self.pool: Pool | None = None

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        self.pool = Pool.of(train, context.wanted(train.counts()), seed=seed)  # a codec, and the rows it encoded
        return self

    def sample(self, label: str | int | float | bool, n: int, *, seed: int) -> TabularDataset:
        pool, rng = fitted(self.pool, self), numpy_rng(seed, "jitter")
        rows = pool.encoded.take(rng.choice(pool.own(label, engine="jitter"), check_count(n)))
        moved = rows.numeric + self.noise * rng.standard_normal(rows.numeric.shape, dtype="float32")
        return pool.codec.decode(EncodedTable(moved, rows.codes), label=label, seed=seed)

    def save(self, folder: Path) -> None:
        fitted(self.pool, self).save(folder)
        write_state(folder, self, {"noise": self.noise})

    @classmethod
    def load(cls, folder: Path) -> Self:
        engine = cls(**read_state(folder))
        engine.pool = Pool.load(folder)
        return engine


def main() -> None:
    """Run every check that the built-in engines pass, then balance the churn table with it.

    From the command line: PYTHONPATH=examples synthgen balance DATA --label churned --engine own_engine:Jitter
    """
    import argparse

    import synthgen
    from synthgen.engines.contract import CHECKS, check_engine

    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=3_000, help="use about this many of the 10,000 rows")
    args = parser.parse_args()
    check_engine(Jitter)
    print(f"jitter keeps all {len(CHECKS)} promises of an engine")

    churn = synthgen.load(Path(__file__).resolve().parent / "data" / "churn.parquet", label="churned")
    table = churn.to_arrow().take(list(range(0, len(churn), max(1, len(churn) // args.rows))))
    result = synthgen.balance(
        table, label="churned", engine="own_engine:Jitter", engine_options={"noise": 0.2}, check="holdout", seed=0
    )
    print(f"{result.plan.total} rows made\n{result.verdict.status}: {result.verdict.sentence}")


if __name__ == "__main__":
    main()
