"""Damaged files and odd frames end in rows or in a typed error; ten minutes of it: benchmarks/fuzz_load.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_load.py"
    spec = importlib.util.spec_from_file_location("fuzz_load", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_load"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
def test_five_seconds_of_odd_inputs_end_in_typed_errors(fuzz: ModuleType) -> None:
    tally = fuzz.run(seconds=5, seed=0)
    assert tally.bare == []
    assert tally.tried > 100
    assert tally.read > 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_minute_of_odd_inputs_ends_in_typed_errors(fuzz: ModuleType) -> None:
    assert fuzz.run(seconds=60, seed=1).bare == []
