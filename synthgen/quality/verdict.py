"""The verdict: a value with everything it rests on, as pure JSON types on the way out and back.

May import the room's other values. Nothing here judges; that is quality.rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np

from synthgen.data.schema import Label
from synthgen.errors import ConfigError
from synthgen.quality.cells import Role as Role
from synthgen.quality.novelty import Copies
from synthgen.quality.stats import UNKNOWN, Estimate

Status = Literal["PASS", "NO LIFT", "FAIL", "INCONCLUSIVE", "NOT CHECKED"]
GateMode = Literal["report-only", "reject-fail", "require-pass"]
CheckKind = Literal["holdout", "cv", "none"]
Figures = Mapping[str, Mapping[str, Estimate]]
"""member -> figure -> estimate; the member "mean" is the panel's"""

MEAN = "mean"
EXIT_FAIL, EXIT_NOT_PASSED = 6, 7


@dataclass(frozen=True)
class Rail:
    """A figure that must not be lost: ``change`` against doing nothing, ``margin`` in the direction that is worse
    (negative where less is worse). ``past``: the estimate is beyond the margin; ``proven``: so is its bound, Holm's
    correction over all rails included. A rail that is not ``gating`` (one class of several) only counts when proven."""

    name: str
    change: Estimate
    margin: float
    past: bool
    proven: bool
    gating: bool = True


@dataclass(frozen=True)
class ArmFigures:
    """What an arm reached: ``figures`` by panel member ("mean" first) and figure, and its paired gain over doing
    nothing in the primary one."""

    name: str
    role: Role
    weighted: bool
    figures: Figures
    better_than_nothing: Estimate = UNKNOWN


@dataclass(frozen=True)
class Control:
    """The control's own verdict on both questions; it must never be PASS."""

    name: str
    status: Status
    better_than_nothing: Estimate
    better_than_free: Estimate


@dataclass(frozen=True)
class Verdict:
    """What the check says. ``better_than_nothing`` and ``better_than_free`` are the primary figure's gains over doing
    nothing and over the best free arm; ``best_free`` is the one chosen most often; ``resolution`` is the smallest gain
    that this check could have shown; bounds are one-sided at ``alpha`` each."""

    status: Status
    sentence: str
    check: CheckKind = "none"
    metric: str = "average_precision"
    alpha: float = 0.05
    useful_effect: float = 0.01
    better_than_nothing: Estimate = UNKNOWN
    better_than_free: Estimate = UNKNOWN
    best_free: str | None = None
    resolution: float | None = None
    rare_rows: int = 0
    cells: int = 0
    draws: int = 0
    rebalanced: tuple[Label, ...] = ()
    rails: tuple[Rail, ...] = ()
    copies: Copies | None = None
    control: Control | None = None
    arms: tuple[ArmFigures, ...] = field(default=())
    notes: tuple[str, ...] = ()

    @classmethod
    def not_checked(cls, why: str) -> Verdict:
        """Return the verdict of a check that was not made."""
        return cls("NOT CHECKED", f"Not checked: {why}")

    def arm(self, name: str) -> ArmFigures | None:
        """Return the figures of the arm ``name``, or None where it was left out."""
        return next((arm for arm in self.arms if arm.name == name), None)

    def exit_code(self, mode: GateMode) -> int:
        """Return 0, 6 for a FAIL that ``mode`` stops, 7 for anything else but PASS under require-pass."""
        if mode not in ("report-only", "reject-fail", "require-pass"):
            raise ConfigError(f"unknown gate {mode!r}; known are: report-only, reject-fail, require-pass")
        if mode == "report-only" or self.status == "PASS":
            return 0
        if self.status == "FAIL":
            return EXIT_FAIL
        return EXIT_NOT_PASSED if mode == "require-pass" else 0

    def blocks(self, mode: GateMode) -> bool:
        """Return whether ``mode`` keeps what was judged from being published."""
        return self.exit_code(mode) != 0

    def to_json(self) -> dict[str, object]:
        """Return the verdict as JSON types (no NaN, no tuples); ``from_json`` reads it back."""
        return {
            "status": self.status,
            "sentence": self.sentence,
            "check": self.check,
            "metric": self.metric,
            "alpha": self.alpha,
            "useful_effect": self.useful_effect,
            "better_than_nothing": self.better_than_nothing.to_json(),
            "better_than_free": self.better_than_free.to_json(),
            "best_free": self.best_free,
            "resolution": self.resolution,
            "rare_rows": self.rare_rows,
            "cells": self.cells,
            "draws": self.draws,
            "rebalanced": list(self.rebalanced),
            "rails": [_rail_json(rail) for rail in self.rails],
            "copies": self.copies.to_json() if self.copies else None,
            "control": _control_json(self.control) if self.control else None,
            "arms": [_arm_json(arm) for arm in self.arms],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Verdict:
        """Return the verdict that ``to_json`` wrote."""
        values = dict(data)
        for name in ("better_than_nothing", "better_than_free"):
            values[name] = Estimate.from_json(cast("dict[str, float | None]", data[name]))
        values["rebalanced"] = tuple(cast("Sequence[Label]", data["rebalanced"]))
        values["notes"] = tuple(cast("Sequence[str]", data["notes"]))
        values["rails"] = tuple(_rail(each) for each in cast("Sequence[dict[str, object]]", data["rails"]))
        values["arms"] = tuple(_arm(each) for each in cast("Sequence[dict[str, object]]", data["arms"]))
        copies, control = data["copies"], data["control"]
        values["copies"] = Copies.from_json(cast("dict[str, object]", copies)) if copies else None
        values["control"] = _control(cast("dict[str, object]", control)) if control else None
        return cls(**values)  # type: ignore[arg-type]


def _rail_json(rail: Rail) -> dict[str, object]:
    return {
        "name": rail.name,
        "change": rail.change.to_json(),
        "margin": rail.margin,
        "past": rail.past,
        "proven": rail.proven,
        "gating": rail.gating,
    }


def _rail(data: Mapping[str, object]) -> Rail:
    change = Estimate.from_json(cast("dict[str, float | None]", data["change"]))
    return Rail(**{**data, "change": change})  # type: ignore[arg-type]


def _control_json(control: Control) -> dict[str, object]:
    return {
        "name": control.name,
        "status": control.status,
        "better_than_nothing": control.better_than_nothing.to_json(),
        "better_than_free": control.better_than_free.to_json(),
    }


def _control(data: Mapping[str, object]) -> Control:
    nothing, free = (
        Estimate.from_json(cast("dict[str, float | None]", data[name]))
        for name in ("better_than_nothing", "better_than_free")
    )
    return Control(str(data["name"]), cast("Status", data["status"]), nothing, free)


def _arm_json(arm: ArmFigures) -> dict[str, object]:
    figures = {
        member: {name: estimate.to_json() for name, estimate in each.items()} for member, each in arm.figures.items()
    }
    gain = arm.better_than_nothing.to_json()
    return {
        "name": arm.name,
        "role": arm.role,
        "weighted": arm.weighted,
        "figures": figures,
        "better_than_nothing": gain,
    }


def _arm(data: Mapping[str, object]) -> ArmFigures:
    table = cast("dict[str, dict[str, dict[str, float | None]]]", data["figures"])
    figures = {member: {name: Estimate.from_json(each) for name, each in row.items()} for member, row in table.items()}
    gain = Estimate.from_json(cast("dict[str, float | None]", data["better_than_nothing"]))
    return ArmFigures(str(data["name"]), cast("Role", data["role"]), bool(data["weighted"]), figures, gain)


def finite(x: float) -> float | None:
    """Return ``x``, or None where it is not finite."""
    return float(x) if np.isfinite(x) else None
