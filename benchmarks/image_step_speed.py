"""What does each way of making a step on images cheaper give? Paired ratios, all variants in one run.

    OMP_NUM_THREADS=1 python benchmarks/image_step_speed.py --side 28 --channels 1

A step is a generator step with its three critic steps at the default width and batch, on noise: speed does not depend
on what the pixels show. Timed is processor time, in rounds of all variants one after the other; a ratio is a variant's
time over the default's in the same round, so above 1 the default is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from unittest.mock import patch

import torch

from synthgen.data.layout import ImageLayout
from synthgen.gan import base, conv, style
from synthgen.gan.base import Batch, Critic
from synthgen.gan.config import preset
from synthgen.gan.conv import ConvCritic
from synthgen.gan.trainer import ImageRows, train

SHORT, LONG = 1, 7  # steps
Variant = Callable[[], contextlib.AbstractContextManager[object]]


@contextlib.contextmanager
def no_channels_last() -> Iterator[None]:
    with (
        patch.object(conv, "LAID_OUT", torch.contiguous_format),
        patch.object(style, "LAID_OUT", torch.contiguous_format),
    ):
        yield


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    with no_channels_last(), no_bfloat16(), double_backward():
        yield


def no_bfloat16() -> contextlib.AbstractContextManager[object]:
    return patch.object(conv, "_has_bfloat16", lambda _device: False)


def double_backward() -> contextlib.AbstractContextManager[object]:
    return patch.object(ConvCritic, "input_gradient", Critic.input_gradient)


def penalty_every_fourth() -> contextlib.AbstractContextManager[object]:
    calls, penalties = [0], base.gradient_penalties

    def now_and_then(critic: Critic, batch: Batch) -> torch.Tensor:
        calls[0] += 1
        return 4 * penalties(critic, batch) if calls[0] % 4 == 0 else torch.zeros(len(batch.blend))

    return patch.object(base, "gradient_penalties", now_and_then)


VARIANTS: dict[str, tuple[Variant, dict[str, object]]] = {
    "default": (contextlib.nullcontext, {}),
    "without channels_last": (no_channels_last, {}),
    "without bfloat16": (no_bfloat16, {}),
    "penalty by double backward": (double_backward, {}),
    "without all three": (nothing, {}),
    "penalty every fourth step": (penalty_every_fourth, {}),
    "hinge and spectral norm": (contextlib.nullcontext, {"objective": "hinge"}),
    "style network": (contextlib.nullcontext, {"network": "style"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=28)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    layout = ImageLayout(args.channels, args.side)
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for at in range(args.rounds + 1):
        for name, (variant, settings) in VARIANTS.items():
            with variant():
                took = step(layout, settings)
            if at:  # the first round pays what is paid once
                seconds[name].append(took)
    print(f"{args.side} x {args.side} x {args.channels}, {args.rounds} rounds, processor time of a step")
    for name, times in seconds.items():
        ratios = sorted(one / other for one, other in zip(times, seconds["default"], strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{name:28} {1e3 * statistics.median(times):6.0f} ms, over the default {spread}")


def step(layout: ImageLayout, settings: dict[str, object]) -> float:
    """Return the processor seconds of one step: what a long run takes longer than a short one."""
    rng = torch.Generator().manual_seed(0)
    rows = ImageRows(2 * torch.rand(256, layout.channels, layout.size, layout.size, generator=rng) - 1, layout)
    labels, took = torch.arange(256) % 10, []
    for steps in (SHORT, LONG):
        start = time.process_time()
        train(rows, labels, n_labels=10, config=preset("cwgan-gp", layout, steps=steps, **settings), seed=0)
        took.append(time.process_time() - start)
    return (took[1] - took[0]) / (LONG - SHORT)


if __name__ == "__main__":
    main()
