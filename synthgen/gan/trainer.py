"""The one training loop: any objective, condition and network; the averaged generator comes out. Torch only.

A step's randomness follows from (seed, step) alone, so that a run continues to the bit from what a checkpoint holds.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from synthgen.errors import ConfigError, DataError, Diverged
from synthgen.gan.anchors import Anchors, Neighbours
from synthgen.gan.base import Batch, Lesson
from synthgen.gan.checkpoint import Checkpoint, CheckpointFolder
from synthgen.gan.condition import Condition, condition_of
from synthgen.gan.config import TrainConfig
from synthgen.gan.files import Meta, layout_to_json
from synthgen.gan.fitted import Fitted, intra_op_threads
from synthgen.gan.image_anchors import ImageAnchors
from synthgen.gan.networks import build
from synthgen.gan.objective import OBJECTIVES, Objective
from synthgen.gan.optimise import end_to_end
from synthgen.gan.rows import ImageRows, LabelMix, Rows, TableRows, sha256_of
from synthgen.gan.state import Snapshot, TrainState
from synthgen.seeding import derive

__all__ = ["Anchors", "Fitted", "ImageAnchors", "ImageRows", "Neighbours", "Observer", "Progress", "TableRows", "train"]

_HALVINGS: Final = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a run is: generator ``step`` of ``steps``, ``seconds`` so far, figures averaged since the last look."""

    step: int
    steps: int
    seconds: float
    figures: dict[str, float]


Observer = Callable[[Progress], None]


def train(
    rows: Rows,
    labels: Tensor,
    *,
    n_labels: int,
    config: TrainConfig,
    seed: int,
    observer: Observer | None = None,
    checkpoints: Path | None = None,
    start: Fitted | None = None,
    anchors: Anchors | ImageAnchors | None = None,
    spent: float = 0.0,
) -> Fitted:
    """Train on ``rows`` with ``labels`` (N,) int64 in [0, n_labels) and return the averaged generator, on the CPU.

    With ``checkpoints`` the run is kept there every ``config.checkpoint_every`` steps and continued from there, equal
    to the bit to a run that never stopped (same device and versions; a run cut by ``max_minutes`` excepted). ``start``
    gives the first weights, with fresh optimisers. With ``anchors``, the same rows, ``config.anchored`` of the draws
    start from one, and so can samples (those of ``start`` where it has some). ``observer`` hears of step 0 and every
    look. ``spent``: seconds of ``config.max_minutes`` that went before.
    Raises DataError, ConfigError, and Diverged naming the step where halving the rate twice did not help.
    """
    began = time.monotonic()
    _check(rows, labels, n_labels)
    device = _device(config)
    with intra_op_threads(config.threads):
        anchors = anchors if config.anchored else None
        condition = condition_of(config, n_labels=n_labels, shown=anchors.width if anchors is not None else 0)
        generator, critic = build(rows.layout, condition, config, seed=seed)
        if start is not None:
            _check_start(start, rows, n_labels, config, anchored=anchors is not None)
            generator.load_state_dict(start.generator.state_dict())
            critic.load_state_dict(start.critic.state_dict())
        state = TrainState(generator.to(device), critic.to(device), config)
        folder = None
        if checkpoints is not None:
            key = _key(rows, labels, n_labels=n_labels, config=config, seed=seed, device=device, start=start)
            key["anchors"] = anchors.digest() if anchors is not None else None
            folder = CheckpointFolder(checkpoints, key=key)
        mix = LabelMix(condition.codes(labels.to(device)), n_labels=condition.n_codes, uniform=config.label_mix)
        near = anchors.to(device) if anchors is not None else None
        data = _Data(rows.to(device), mix, condition, near, share=config.anchored)
        run = _Run(state, data, config=config, seed=seed, device=device, spent=spent + time.monotonic() - began)
        run.execute(observer or _nobody, folder)
    before = start.seen if start is not None else ()
    return Fitted(
        generator=state.average.cpu(),
        critic=state.critic.cpu().eval().requires_grad_(False),
        config=config,
        layout=rows.layout,
        n_labels=n_labels,
        seen=tuple(sorted({*before, *torch.unique(labels).tolist()})),
        history=state.history,
        step=state.step,
        anchors=start.anchors if start is not None else anchors,
    )


@dataclass(frozen=True)
class _Data:
    """The real rows on the device, the draw of their conditions, and how a condition is told."""

    rows: Rows
    mix: LabelMix
    condition: Condition
    anchors: Anchors | ImageAnchors | None
    share: float

    def draw(self, n: int, rng: torch.Generator, *, heard: float) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the rows (n,) of real samples, what the networks are told of them (n, *), and weights (n,) to blend.

        The condition is told at the loudness ``heard``, 1 when it is heard in full.
        """
        index, codes, blend = self.mix.draw(n, rng)
        told = heard * self.condition.one_hot(codes)
        if self.anchors is None:
            return index, told, blend
        beside, shown = self.anchors.pairs(index, share=self.share, rng=rng)
        return beside, torch.cat([told, shown], 1), blend


class _Run:
    """A state on its way through the steps of ``config``."""

    def __init__(
        self, state: TrainState, data: _Data, *, config: TrainConfig, seed: int, device: torch.device, spent: float
    ) -> None:
        self._state = state
        self._data = data
        self._config = config
        self._objective = OBJECTIVES[config.objective]
        self._seed = seed
        self._rng = torch.Generator(device)
        self._began = time.monotonic() - spent
        self._sums = torch.zeros(4, device=device)
        self._since = 0

    def execute(self, observer: Observer, folder: CheckpointFolder | None) -> None:
        """Step until the budget is spent, from the newest checkpoint where there is one."""
        state, config = self._state, self._config
        found = folder.load() if folder is not None else None
        if found is not None:
            state.restore(found.snapshot)
            self._began -= found.seconds
            logger.info("training continues at step %d", state.step)
        good = state.snapshot()
        observer(self._progress())
        saved = state.step if found is not None else -1
        over = self._over()
        while not over:
            self._advance()
            over = self._over()
            due = state.step % config.checkpoint_every == 0
            if over or due or state.step % config.log_every == 0:
                good = self._look(good)
                over = self._over()
                observer(self._progress())
                if folder is not None and (over or due) and saved != state.step == good.step:
                    folder.save(Checkpoint(good, seconds=self._seconds()))
                    saved = state.step

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _progress(self) -> Progress:
        figures = dict(self._state.history[-1]) if self._state.history else {}
        return Progress(self._state.step, self._config.steps, self._seconds(), figures)

    def _spent(self) -> float:
        """The share of the budget that is used up, in steps or minutes, whichever is nearer its end."""
        share = self._state.step / self._config.steps
        if self._config.max_minutes is None:
            return share
        return max(share, self._seconds() / (60.0 * self._config.max_minutes))

    def _over(self) -> bool:
        return self._state.step > 0 and self._spent() >= 1.0

    def _rate(self) -> float:
        config = self._config
        falling = max(1.0 - self._spent(), 0.0) / (1.0 - config.hold) if config.hold < 1.0 else 1.0
        return config.rate * 0.5**self._state.halvings * min(1.0, falling)

    def _heard(self) -> float:
        """How loud the condition is: on few images, one that is loud at once collapses (Shahbazi et al. 2022)."""
        ramp = self._config.ramp
        return min(1.0, self._spent() / ramp) if ramp else 1.0

    def _advance(self) -> None:
        state = self._state
        state.set_rate(self._rate())
        self._rng.manual_seed(derive(self._seed, "step", state.step))
        self._sums += _step(state, self._data, self._objective, self._config, self._rng, self._heard())
        state.step += 1
        self._since += 1

    def _look(self, good: Snapshot) -> Snapshot:
        """Wait for the device once: note the figures and keep the state, or go back to the last good one."""
        state = self._state
        finite = state.is_finite().to(torch.float32).reshape(1)
        *figures, is_finite = torch.cat([self._sums / self._since, finite]).tolist()
        self._sums.zero_()
        self._since = 0
        if is_finite and all(math.isfinite(figure) for figure in figures):
            names = ("critic_loss", self._objective.gap, "penalty", "generator_loss")
            row = {"step": float(state.step), **dict(zip(names, figures, strict=True))}
            state.history.append({**row, "rate": self._config.rate * 0.5**state.halvings})
            return state.snapshot()
        if state.halvings == _HALVINGS:
            raise Diverged(
                f"training left the finite numbers before step {state.step}, last good step {good.step}, at a quarter "
                f"of the rate {self._config.rate:g}; lower the rate or look for extreme values"
            )
        halvings = state.halvings + 1
        logger.warning("training diverged before step %d: back to step %d at half the rate", state.step, good.step)
        state.restore(good)
        state.halvings = halvings
        return good


def _step(
    state: TrainState,
    data: _Data,
    objective: Objective,
    config: TrainConfig,
    rng: torch.Generator,
    heard: float,
) -> Tensor:
    """Take the critic's steps, then the generator's; return critic loss, gap, penalty and generator loss (4,).

    The step's random numbers and all of its samples are made at once: the generator stays until its own step.
    """
    n, of_critic = config.batch, config.batch * config.critic_steps
    index, condition, blend = data.draw(of_critic + n, rng, heard=heard)
    noise = state.generator.noise(of_critic + n, rng)
    real = data.rows.batch(index[:of_critic])
    made, backward = state.generator.traced(noise, condition, last=n)
    parts = (state.critic.augment(real, rng), state.critic.augment(made[:of_critic], rng), condition, blend)
    batches = [Batch(*(part[at : at + n] for part in parts)) for at in range(0, of_critic, n)]
    lessons = [_critic_step(state, objective, batch) for batch in batches]
    loss, into = state.critic.verdict(objective, made[of_critic:], condition[of_critic:], rng)
    state.generator_optimiser.step(end_to_end(backward(into)))
    state.update_average()
    on_real, on_fake = torch.cat([it.on_real for it in lessons]), torch.cat([it.on_fake for it in lessons])
    penalty = torch.cat([it.penalties for it in lessons]).mean()
    critic_loss = objective.critic_loss(on_real, on_fake) + objective.penalty * penalty
    return torch.stack([critic_loss, on_real.mean() - on_fake.mean(), penalty, loss])


def _critic_step(state: TrainState, objective: Objective, batch: Batch) -> Lesson:
    """Take one critic step; return what it was taught by."""
    lesson = state.critic.lesson(objective, batch)
    state.critic_optimiser.step(end_to_end(lesson.gradients))
    if objective.clip is not None:
        state.clip_critic(objective.clip)
    return lesson


def _nobody(progress: Progress) -> None:
    """Hear nothing."""


def _check(rows: Rows, labels: Tensor, n_labels: int) -> None:
    if labels.dtype != torch.int64 or labels.shape != (len(rows),):
        raise DataError(f"labels must be int64 of shape ({len(rows)},); got {labels.dtype} of {tuple(labels.shape)}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_labels:
        raise DataError(f"labels must lie in [0, {n_labels}); got {low} to {high}")


def _check_start(start: Fitted, rows: Rows, n_labels: int, config: TrainConfig, *, anchored: bool) -> None:
    """Refuse first weights of another shape, naming what differs."""
    before: dict[str, object] = {"layout": start.layout, "n_labels": start.n_labels}
    now: dict[str, object] = {"layout": rows.layout, "n_labels": n_labels}
    for name in ("condition", "network", "width", "depth", "noise", "embedding", "temperature"):
        before[name], now[name] = getattr(start.config, name), getattr(config, name)
    before["anchored"], now["anchored"] = start.anchors is not None, anchored
    before["critic_norm"] = OBJECTIVES[start.config.objective].critic_norm
    now["critic_norm"] = OBJECTIVES[config.objective].critic_norm
    for name, value in before.items():
        if value != now[name]:
            raise ConfigError(f"cannot continue from a model of another {name}: {value!r} there and {now[name]!r} here")


def _device(config: TrainConfig) -> torch.device:
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ConfigError("device is 'cuda' and torch sees none; choose cpu or auto")
    return torch.device("cuda" if available and config.device != "cpu" else "cpu")


def _key(
    rows: Rows,
    labels: Tensor,
    *,
    n_labels: int,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    start: Fitted | None,
) -> Meta:
    """All that has to be equal for two runs to be the same."""
    return {
        "config": config.to_json(),
        "seed": seed,
        "layout": layout_to_json(rows.layout),
        "n_labels": n_labels,
        "data": f"{rows.digest()} {sha256_of(labels)}",
        "start": start.digest() if start is not None else None,
        "torch": torch.__version__,
        "device": device.type,
    }
