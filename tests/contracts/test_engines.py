"""Every registered engine keeps every promise of engines/contract.py; networks train a few steps only."""

from __future__ import annotations

from functools import cache

import pytest

from synthgen.engines import ENGINES, engine_info, make_engine
from synthgen.engines.contract import CHECKS, Kit
from synthgen.engines.image_contract import IMAGE_CHECKS, ImageKit

OPTIONS: dict[str, dict[str, object]] = {
    name: {"steps": 6, "width": 16, "noise": 8} for name in ENGINES if engine_info(name).trains
}
OPTIONS["ctgan"] = {"epochs": 1}
FOR_TABLES = [name for name in ENGINES if "table" in engine_info(name).modalities]
NETWORKS_OF_IMAGES = [name for name in OPTIONS if "image" in engine_info(name).modalities]
OPTIONS["auto"] = {"candidates": ("delta", "copula-filter", "oversample")}


@cache
def kit(name: str) -> Kit:
    return Kit(lambda: make_engine(name, **OPTIONS.get(name, {})))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", [*FOR_TABLES, "independent"])
def test_engine_keeps_its_promise(name: str, check: str) -> None:
    CHECKS[check](kit(name))


@pytest.mark.parametrize("check", ["counts", "save_load", "determinism", "label"])
def test_raw_network_keeps_its_promise(check: str) -> None:
    CHECKS[check](Kit(lambda: make_engine("cwgan-gp", steps=3, width=16, filter=False)))


@cache
def image_kit(name: str) -> ImageKit:
    return ImageKit(lambda: make_engine(name, steps=2, width=4, batch=8, noise=8, embedding=4))


@pytest.mark.parametrize("check", IMAGE_CHECKS)
@pytest.mark.parametrize("name", NETWORKS_OF_IMAGES)
def test_network_keeps_its_promise_on_images(name: str, check: str) -> None:
    IMAGE_CHECKS[check](image_kit(name))
