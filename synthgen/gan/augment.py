"""What is done to images before the critic sees them, real and synthetic alike, differentiably. Torch only.

A generator trained against augmented images could learn the augmentation; where each happens with a probability below
.8, it does not (Karras et al. 2020, section 2.2). No cutout: in small images it shows up in samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

_REACH: Final = 8  # an image is moved by up to one part in eight of its side (Zhao et al. 2020)


@dataclass(frozen=True)
class Augmentation:
    """Moves with probability ``p`` and, where told, colours with probability ``p`` and mirrors with one half."""

    p: float
    colour: bool
    flips: bool

    def __call__(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Return images (N, C, S, S) in [-1, 1], each moved, mirrored and coloured by draws of its own."""
        if not self.p and not self.flips:
            return x
        chance = torch.rand(8, len(x), generator=rng, device=rng.device)
        x = self._moved(x, chance[:4])
        return self._coloured(x, chance[4:]) if self.colour else x

    def _moved(self, x: Tensor, chance: Tensor) -> Tensor:
        """Shift rows and columns, the edge repeated; as products with 0 and 1, which are exact and fast backwards."""
        side = x.shape[2]
        reach = max(1, round(side / _REACH))
        steps = (chance[1:3] * (2 * reach + 1)).floor() - reach
        steps = steps * (chance[0] < self.p)
        at = torch.arange(side, device=x.device)
        wanted = (at + steps.unsqueeze(2)).clamp_(0, side - 1)
        if self.flips:
            wanted[1] = torch.where((chance[3] < 0.5).unsqueeze(1), side - 1 - wanted[1], wanted[1])
        rows, columns = (wanted.unsqueeze(3) == at).to(x.dtype).unsqueeze(2)
        moved: Tensor = rows @ x @ columns.transpose(2, 3)
        return moved

    def _coloured(self, x: Tensor, chance: Tensor) -> Tensor:
        """Change brightness, saturation and contrast (DiffAugment, Zhao et al. 2020)."""
        happens, *amounts = chance[:, :, None, None, None]
        brightness, saturation, contrast = amounts
        out = x + (brightness - 0.5)
        gray = out.mean(1, keepdim=True)
        out = torch.lerp(gray, out, 2.0 * saturation)
        middle = out.mean((1, 2, 3), keepdim=True)
        out = torch.lerp(middle, out, contrast + 0.5)
        return torch.where(happens < self.p, out, x)
