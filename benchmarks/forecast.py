"""Is ``synthgen plan`` right about the time? Runs plan, then balance, in processes of their own, and shows both.

    python benchmarks/forecast.py examples/data/churn.parquet --label churned

Further options go to both commands. The ratio is measured / told; between 0.5 and 2 is what plan promises.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time


def main() -> None:
    options = sys.argv[1:]
    told = json.loads(_run("plan", *options))
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        result = json.loads(_run("balance", *options, "--out", out, "--gate", "report-only", "--quiet"))
        took = time.perf_counter() - start
    expected = told["fit_seconds"] + told["check_seconds"]
    print(f"told {expected:.0f} s (fit {told['fit_seconds']:.0f}, check {told['check_seconds']:.0f})")
    print(f"took {took:.0f} s, ratio {took / expected:.2f}; verdict {result['verdict']['status']}")


def _run(command: str, *options: str) -> str:
    arguments = [sys.executable, "-m", "synthgen", command, *options, "--json"]
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
