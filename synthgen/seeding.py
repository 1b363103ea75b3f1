"""Seeds by name: every random draw has a seed derived from the run's seed and the names of its purpose.

Imports numpy alone; torch only inside the function that needs it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *path: str | int) -> int:
    """Return the seed of the purpose named by ``path``: an integer in [0, 2**63), equal on every machine.

    >>> derive(0, "fit", "fraud", 12) == derive(0, "fit", "fraud", 12) != derive(1, "fit", "fraud", 12)
    True
    """
    text = "\x1f".join([str(int(seed)), *(f"{type(part).__name__}:{part}" for part in path)])
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def numpy_rng(seed: int, *path: str | int) -> np.random.Generator:
    """Return a numpy generator for the purpose named by ``path``."""
    return np.random.default_rng(derive(seed, *path))


def torch_rng(seed: int, *path: str | int, device: str = "cpu") -> torch.Generator:
    """Return a torch generator on ``device`` for the purpose named by ``path``."""
    import torch

    return torch.Generator(device).manual_seed(derive(seed, *path))
