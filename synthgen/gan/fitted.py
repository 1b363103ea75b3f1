"""What training returns: an averaged generator that samples, saves and loads. Torch and safetensors only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
from torch import Tensor

from synthgen.data.layout import Layout, TableLayout
from synthgen.errors import ConfigError, EngineError
from synthgen.gan.anchors import Anchors
from synthgen.gan.base import Critic, Generator
from synthgen.gan.condition import condition_of
from synthgen.gan.config import TrainConfig
from synthgen.gan.files import Meta, layout_from_json, layout_to_json, read_checked, write_checked
from synthgen.gan.image_anchors import ImageAnchors
from synthgen.gan.networks import build
from synthgen.gan.rows import sha256_of
from synthgen.gan.state import History
from synthgen.seeding import torch_rng

SCHEMA: Final = 1
_STEM: Final = "model"


def anchors_of(tensors: Mapping[str, Tensor], layout: Layout) -> Anchors | ImageAnchors:
    """Return the anchors whose ``tensors`` these are."""
    if isinstance(layout, TableLayout):
        return Anchors.of(tensors, layout)
    return ImageAnchors.of(tensors, layout)


@contextmanager
def intra_op_threads(n: int) -> Iterator[None]:
    """Run with ``n`` threads inside torch's operators, then go back to what it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model, on the CPU and in eval mode: ``generator`` is the averaged one.

    ``seen`` are the labels that had rows; ``history`` has a row of figures for each look at the run, ``step`` is the
    generator step it reached. ``anchors`` are the real rows that samples can start from: then the model holds them.
    """

    generator: Generator
    critic: Critic
    config: TrainConfig
    layout: Layout
    n_labels: int
    seen: tuple[int, ...]
    history: History
    step: int
    anchors: Anchors | ImageAnchors | None = None

    def sample(self, label: int, n: int, *, seed: int, first: int = 0, anchored: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return samples ``first`` to ``first + n`` of the endless row of them that label and ``seed`` give.

        Numbers (n, *) float32 and category codes (n, Q) int64, the same however the range is cut. Raises
        ConfigError for a label that no training row had. The share ``anchored`` of them starts from real rows.
        """
        if label not in self.seen:
            raise ConfigError(f"label {label} had no training rows; this model has {', '.join(map(str, self.seen))}")
        if n < 0 or first < 0:
            raise ConfigError(f"n and first must be 0 or more; got {n} and {first}")
        size = self.generator.block
        parts: list[tuple[Tensor, Tensor]] = []
        with torch.inference_mode(), intra_op_threads(self.config.threads):
            for block in range(first // size, -(-(first + n) // size)):
                low, high = max(first - block * size, 0), min(first + n - block * size, size)
                numeric, codes = self._block(label, block, seed, anchored)
                parts.append((numeric[low:high], codes[low:high]))
            if not parts:
                numeric, codes = self._block(label, 0, seed, anchored)
                parts.append((numeric[:0], codes[:0]))
            numeric, codes = (torch.cat(part) for part in zip(*parts, strict=True))
        return numeric.clone(), codes.clone()

    def _block(self, label: int, block: int, seed: int, anchored: float) -> tuple[Tensor, Tensor]:
        rng, size = torch_rng(seed, "sample", label, block), self.generator.block
        noise = self.generator.noise(size, rng)
        condition = condition_of(self.config, n_labels=self.n_labels)
        told = condition.one_hot(condition.codes(torch.full((size,), label)))
        if self.anchors is not None:
            told = torch.cat([told, self.anchors.shown(label, size, share=anchored, rng=rng)], 1)
        return self.generator.sample(noise, told)

    def digest(self) -> str:
        """Return the sha256 (hex) of the weights."""
        states = [*self.generator.state_dict().values(), *self.critic.state_dict().values()]
        return sha256_of(*states)

    def save(self, folder: Path) -> None:
        """Write safetensors and JSON into ``folder``; raises EngineError where the disk refuses."""
        tensors = {f"generator/{name}": tensor for name, tensor in self.generator.state_dict().items()}
        tensors |= {f"critic/{name}": tensor for name, tensor in self.critic.state_dict().items()}
        meta: Meta = {
            "schema": SCHEMA,
            "config": self.config.to_json(),
            "layout": layout_to_json(self.layout),
            "n_labels": self.n_labels,
            "seen": list(self.seen),
            "step": self.step,
            "torch": torch.__version__,
            "history": self.history,
        }
        if self.anchors is not None:
            tensors |= {f"anchors/{name}": tensor for name, tensor in self.anchors.tensors().items()}
        write_checked(folder, _STEM, tensors=tensors, meta=meta)

    @classmethod
    def load(cls, folder: Path) -> Fitted:
        """Read what ``save`` wrote; it samples the same bits. Raises EngineError where the files are damaged."""
        tensors, meta = read_checked(folder, _STEM)
        if meta["schema"] != SCHEMA:
            raise EngineError(f"model in {folder} has schema {meta['schema']}; this version reads schema {SCHEMA}")
        config = TrainConfig.from_json(cast("Meta", meta["config"]))
        layout = layout_from_json(cast("Meta", meta["layout"]))
        n_labels = cast("int", meta["n_labels"])
        kept = {k.removeprefix("anchors/"): v for k, v in tensors.items() if k.startswith("anchors/")}
        anchors = anchors_of(kept, layout) if kept else None
        shown = anchors.width if anchors is not None else 0
        generator, critic = build(layout, condition_of(config, n_labels=n_labels, shown=shown), config)
        for part, module in (("generator/", generator), ("critic/", critic)):
            module.load_state_dict({k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)})
        return cls(
            generator=generator.eval().requires_grad_(False),
            critic=critic.eval().requires_grad_(False),
            config=config,
            layout=layout,
            n_labels=n_labels,
            seen=tuple(cast("list[int]", meta["seen"])),
            history=cast("History", meta["history"]),
            step=cast("int", meta["step"]),
            anchors=anchors,
        )
