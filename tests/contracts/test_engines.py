"""Every registered engine keeps every promise of engines/contract.py; networks train a few steps only."""

from __future__ import annotations

from functools import cache

import pytest

from synthgen.engines import ENGINES, engine_info, make_engine
from synthgen.engines.contract import CHECKS, Kit

OPTIONS: dict[str, dict[str, object]] = {
    name: {"steps": 6, "width": 16, "noise": 8} for name in ENGINES if engine_info(name).trains
}
OPTIONS["ctgan"] = {"epochs": 1}
OPTIONS["auto"] = {"candidates": ("delta", "copula-filter", "oversample")}


@cache
def kit(name: str) -> Kit:
    return Kit(lambda: make_engine(name, **OPTIONS.get(name, {})))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", [*ENGINES, "independent"])
def test_engine_keeps_its_promise(name: str, check: str) -> None:
    CHECKS[check](kit(name))


@pytest.mark.parametrize("check", ["counts", "save_load", "determinism", "label"])
def test_raw_network_keeps_its_promise(check: str) -> None:
    CHECKS[check](Kit(lambda: make_engine("cwgan-gp", steps=3, width=16, filter=False)))
