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
    text = "\x1f".join([str(int(seed)), *map(_named, path)])
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def _named(part: str | int) -> str:
    """One step of a path, so that no two paths read alike: 1 is not "1", and a separator in a name is doubled."""
    plain = part.item() if isinstance(part, np.generic) else part
    return f"{type(plain).__name__}:{plain}".replace("\x1f", "\x1f\x1f")


def numpy_rng(seed: int, *path: str | int) -> np.random.Generator:
    """Return a numpy generator for the purpose named by ``path``."""
    return np.random.default_rng(derive(seed, *path))


def torch_rng(seed: int, *path: str | int, device: str = "cpu") -> torch.Generator:
    """Return a torch generator on ``device`` for the purpose named by ``path``."""
    import torch

    return torch.Generator(device).manual_seed(derive(seed, *path))
