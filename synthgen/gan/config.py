"""What a training run is told: one frozen value, and the table of named models. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from synthgen.data.layout import ImageLayout, Layout
from synthgen.errors import ConfigError

ObjectiveName = Literal["gan", "wgan", "wgan-gp", "hinge"]
ConditionName = Literal["none", "label"]
OptimiserName = Literal["adam", "rmsprop"]
NetworkName = Literal["plain", "style"]
DeviceName = Literal["cpu", "cuda", "auto"]
PresetName = Literal["gan", "wgan", "wgan-gp", "cgan", "cwgan", "cwgan-gp", "dcgan", "cdcgan", "style"]

_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "objective": ("gan", "wgan", "wgan-gp", "hinge"),
    "condition": ("none", "label"),
    "network": ("plain", "style"),
    "optimiser": ("adam", "rmsprop"),
    "device": ("cpu", "cuda", "auto"),
}


@dataclass(frozen=True)
class _Range:
    """The numbers a field may hold: from ``low`` to ``high``, an open end where ``left_open`` / ``right_open``."""

    low: float
    high: float = math.inf
    integer: bool = False
    left_open: bool = False
    right_open: bool = False

    def __contains__(self, value: object) -> bool:
        allowed = (int,) if self.integer else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        above = value > self.low if self.left_open else value >= self.low
        return above and (value < self.high if self.right_open else value <= self.high)

    def __str__(self) -> str:
        kind = "an integer" if self.integer else "a number"
        if math.isinf(self.high):
            return f"{kind} {'above' if self.left_open else 'of at least'} {self.low:g}"
        low, high = "(" if self.left_open else "[", ")" if self.right_open else "]"
        return f"{kind} in {low}{self.low:g}, {self.high:g}{high}"


_RANGES: Final[Mapping[str, _Range]] = {
    "steps": _Range(1, integer=True),
    "max_minutes": _Range(0, left_open=True),
    "batch": _Range(2, integer=True),
    "critic_steps": _Range(1, 100, integer=True),
    "rate": _Range(0, left_open=True),
    "pace": _Range(0, left_open=True),
    "hold": _Range(0, 1),
    "ema": _Range(0, 1, right_open=True),
    "label_mix": _Range(0, 1),
    "anchored": _Range(0, 1),
    "ramp": _Range(0, 1),
    "augment": _Range(0, 1),
    "width": _Range(1, 4096, integer=True),
    "depth": _Range(1, 16, integer=True),
    "noise": _Range(1, 4096, integer=True),
    "embedding": _Range(1, 1024, integer=True),
    "temperature": _Range(0, left_open=True),
    "truncation": _Range(0, 1),
    "log_every": _Range(1, integer=True),
    "checkpoint_every": _Range(1, integer=True),
    "threads": _Range(1, 1024, integer=True),
}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run; the defaults are the measured recipe for tables.

    ``steps`` counts generator steps, each after ``critic_steps`` of the critic; ``max_minutes`` ends the run earlier.
    ``rate`` is the generator's, the critic's is ``pace`` times that (Heusel et al. 2017): a generator that outruns
    its critic circles around the data. ``rate`` holds for the share ``hold`` of the run and falls linearly to zero
    over the rest. ``label_mix`` is the share of draws whose label is uniform over the classes, the others having the
    rows' own frequencies. ``anchored`` is the share of draws that start from a real row or image.
    For images alone: what the networks hear of the class grows from nothing over the first share ``ramp`` of the run,
    ``augment`` is the probability with which images are moved and coloured before the critic sees them, ``flips`` lets
    them be mirrored too, and ``truncation`` below 1 draws samples of the style network towards their class's mean.
    ``ema`` is the decay of the averaged generator, ``temperature`` that of the Gumbel-softmax in training.
    ``log_every`` is the number of steps between two looks at the figures, the only times that a device is waited for.
    ``threads`` holds for training and sampling, and is restored after. Raises ConfigError naming field and range.
    """

    objective: ObjectiveName = "wgan-gp"
    condition: ConditionName = "label"
    steps: int = 300
    max_minutes: float | None = None
    batch: int = 128
    critic_steps: int = 3
    optimiser: OptimiserName = "adam"
    rate: float = 3e-4
    pace: float = 5.0
    betas: tuple[float, float] = (0.0, 0.9)
    hold: float = 0.5
    ema: float = 0.995
    label_mix: float = 0.5
    anchored: float = 0.5
    ramp: float = 0.0
    augment: float = 0.7
    flips: bool = False
    network: NetworkName = "plain"
    width: int = 96
    depth: int = 2
    noise: int = 64
    embedding: int = 16
    temperature: float = 0.3
    truncation: float = 1.0
    log_every: int = 50
    checkpoint_every: int = 200
    threads: int = 1
    device: DeviceName = "cpu"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
        for name, allowed in _RANGES.items():
            value = getattr(self, name)
            if value not in allowed and not (name == "max_minutes" and value is None):
                raise ConfigError(f"{name} must be {allowed}; got {value!r}")
        if not isinstance(self.flips, bool):
            raise ConfigError(f"flips must be true or false; got {self.flips!r}")
        unit = _Range(0, 1, right_open=True)
        betas = tuple(self.betas) if isinstance(self.betas, (tuple, list)) else ()
        if len(betas) != 2 or any(beta not in unit for beta in betas):
            raise ConfigError(f"betas must be two numbers in [0, 1); got {self.betas!r}")
        object.__setattr__(self, "betas", tuple(map(float, betas)))  # torch refuses an integer beside a float

    def to_json(self) -> dict[str, object]:
        """Return the settings as JSON values, one key a field."""
        return {**dataclasses.asdict(self), "betas": list(self.betas)}

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> TrainConfig:
        """Build from a mapping of fields; an unknown key is a ConfigError that names the known ones."""
        return _replace(cls(), values)


def _replace(config: TrainConfig, values: Mapping[str, object]) -> TrainConfig:
    known = [field.name for field in dataclasses.fields(TrainConfig)]
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown training setting {key!r}; known are: {', '.join(known)}")
    return dataclasses.replace(config, **cast("dict[str, object]", dict(values)))  # type: ignore[arg-type]


_GAN = TrainConfig(
    objective="gan", steps=600, critic_steps=1, rate=2e-4, betas=(0.5, 0.999), hold=1.0, pace=1.0, anchored=0.0
)
_WGAN = TrainConfig(
    objective="wgan", steps=600, critic_steps=5, optimiser="rmsprop", rate=5e-5, hold=1.0, pace=1.0, anchored=0.0
)
_WGAN_GP = TrainConfig(objective="wgan-gp")
# what is another value where the data are images, whatever the model; and what Gulrajani et al. 2017 give for them
_FOR_IMAGES: Final[Mapping[str, object]] = {
    **{"steps": 2000, "batch": 64, "pace": 1.0, "ema": 0.999, "label_mix": 1.0, "anchored": 0.0, "ramp": 0.2},
    **{"width": 32, "embedding": 64},
}
_IMAGE_RATES: Final[Mapping[str, float]] = {"wgan-gp": 2e-4}

PRESETS: Final[Mapping[str, TrainConfig]] = {
    "gan": dataclasses.replace(_GAN, condition="none"),
    "wgan": dataclasses.replace(_WGAN, condition="none"),
    "wgan-gp": dataclasses.replace(_WGAN_GP, condition="none", anchored=0.0),
    "cgan": dataclasses.replace(_GAN, condition="label"),
    "cwgan": dataclasses.replace(_WGAN, condition="label"),
    "cwgan-gp": dataclasses.replace(_WGAN_GP, condition="label"),
    "dcgan": dataclasses.replace(_GAN, condition="none"),
    "cdcgan": dataclasses.replace(_GAN, condition="label"),
    "style": dataclasses.replace(_WGAN_GP, condition="label", network="style"),
}
"""The named models: a row is an objective, a condition and the optimiser's settings its paper gives.

The network follows from the data: dcgan and cdcgan are gan and cgan under the names that they have on images.
"""

IMAGES_ONLY: Final = ("dcgan", "cdcgan", "style")

DEFAULT_PRESET: Final[PresetName] = "cwgan-gp"


def preset(name: str = DEFAULT_PRESET, layout: Layout | None = None, /, **overrides: object) -> TrainConfig:
    """Return the named row of PRESETS, for images where ``layout`` is theirs, with ``overrides`` applied.

    Raises ConfigError naming the known names or keys.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown model {name!r}; known are: {', '.join(PRESETS)}")
    config = PRESETS[name]
    if isinstance(layout, ImageLayout):
        config = _replace(config, {**_FOR_IMAGES, "rate": _IMAGE_RATES.get(config.objective, config.rate)})
    return _replace(config, overrides)
