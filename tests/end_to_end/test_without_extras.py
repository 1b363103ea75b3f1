"""Prefect and ctgan are imported on use only: without them everything about tables works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("prefect", "ctgan", "fastapi", "sqlalchemy"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Missing())
import synthgen
from road_kit import frame
result = synthgen.balance(frame(), label="fraud", engine="cwgan-gp", steps=3, holdout=0)
print(len(result.dataset))
"""


def test_the_table_path_works_without_prefect_and_ctgan():
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": f"{here.parents[1]}{os.pathsep}{here}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "680"
