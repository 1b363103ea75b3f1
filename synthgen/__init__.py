"""synthgen balances rare classes with generated rows or images, and proves on real ones whether that helped.

The public names are resolved on first use, so that ``import synthgen`` loads neither torch nor prefect nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthgen.config import BalanceConfig as BalanceConfig
    from synthgen.data.dataset import TabularDataset as TabularDataset
    from synthgen.data.images import ImageDataset as ImageDataset
    from synthgen.data.read import load as load
    from synthgen.engines import make_engine as make_engine
    from synthgen.engines.base import Engine as Engine
    from synthgen.errors import SynthgenError as SynthgenError
    from synthgen.pipeline import balance as balance
    from synthgen.planning import BalancePlan as BalancePlan
    from synthgen.planning import make_plan as make_plan
    from synthgen.publication import BalanceResult as BalanceResult
    from synthgen.quality.gate import Gate as Gate
    from synthgen.quality.gate import Verdict as Verdict
    from synthgen.quality.gate import assess as assess
    from synthgen.sampler import Balancer as Balancer
    from synthgen.shards.manifest import Manifest as Manifest
    from synthgen.shards.reader import read_shards as read_shards

__version__ = "0.1.0"

_HOME = {
    "BalanceConfig": "synthgen.config",
    "BalancePlan": "synthgen.planning",
    "BalanceResult": "synthgen.publication",
    "Balancer": "synthgen.sampler",
    "Engine": "synthgen.engines.base",
    "Gate": "synthgen.quality.gate",
    "ImageDataset": "synthgen.data.images",
    "Manifest": "synthgen.shards.manifest",
    "SynthgenError": "synthgen.errors",
    "TabularDataset": "synthgen.data.dataset",
    "Verdict": "synthgen.quality.gate",
    "assess": "synthgen.quality.gate",
    "balance": "synthgen.pipeline",
    "load": "synthgen.data.read",
    "make_engine": "synthgen.engines",
    "make_plan": "synthgen.planning",
    "read_shards": "synthgen.shards.reader",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'synthgen' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
