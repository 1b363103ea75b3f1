"""The engine that chooses for images: repeats alone, or a generator beside them, on inner splits of its images.

May import data, quality's network and its own room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

from synthgen.data.images import ImageDataset
from synthgen.data.schema import Label
from synthgen.engines import load_engine, save_engine
from synthgen.engines.base import Engine, EngineInfo, FitContext, fitted, read_state, reading, write_state
from synthgen.engines.choose import Choice
from synthgen.engines.choose_images import STEPS, choose_for_images
from synthgen.engines.image_catalog import CANDIDATES, IMAGES, image_engine_info, make_image_engine
from synthgen.gan.config import preset
from synthgen.seeding import derive

_CHOOSING = 0.5


class AutoImages:
    """Chooses among ``candidates`` in ``fit``, the first being the default; then is the winner.

    ``flips``: mirroring keeps the label. ``settings`` go to a candidate that trains a network.
    """

    def __init__(self, *, candidates: Sequence[str] = CANDIDATES, flips: bool = False, **settings: object) -> None:
        preset("cwgan-gp", **settings)  # an unknown setting is refused before anything is fitted
        self._candidates, self._flips, self._settings = tuple(candidates), flips, settings
        self._choice: Choice | None = None
        self._winner: Engine | None = None

    @property
    def info(self) -> EngineInfo:
        """The facts; once fitted, origin and training are the winner's."""
        facts = IMAGES["auto"].info
        if self._winner is None:
            return facts
        return replace(facts, origin=self._winner.info.origin, trains=self._winner.info.trains)

    @property
    def choice(self) -> Choice:
        """What was chosen and why. Raises EngineError before ``fit``."""
        return fitted(self._choice, self)

    @property
    def history(self) -> list[dict[str, float]]:
        """The winner's training curves; empty where it trains no network."""
        return list(getattr(self._winner, "history", []))

    def fit(self, train: ImageDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        """Choose on inner splits of ``train``, then fit the winner on all its images.

        With another AutoImages as ``context.base`` the choice is that one's, and a network continues from its network.
        """
        if isinstance(context.base, AutoImages):
            return self._continue(context.base, train, seed=seed, context=context)
        share = _CHOOSING if len(self._candidates) > 1 else 0.0
        choice = choose_for_images(
            train,
            self._briefly,
            want=context.wanted(train.counts()),
            candidates=self._candidates,
            flips=self._flips,
            seed=derive(seed, "choose"),
            report=lambda part, message: context.report(share * part, message),
        )
        inner = replace(context, report=lambda part, message: context.report(share + (1 - share) * part, message))
        winner = self._make(choice.engine)
        self._winner = winner.fit(train, seed=derive(seed, "winner"), context=inner)  # type: ignore[arg-type]  # images
        self._choice = choice
        return self

    def _continue(self, base: AutoImages, train: ImageDataset, *, seed: int, context: FitContext) -> Self:
        self._choice, self._winner = base.choice, fitted(base._winner, base)
        if self._winner.info.trains:
            inner, seed = replace(context, base=self._winner), derive(seed, "winner")
            self._winner = self._make(base.choice.engine).fit(train, seed=seed, context=inner)  # type: ignore[arg-type]
        return self

    def _make(self, name: str, **settings: object) -> Engine:
        known = {**self._settings, **settings} if image_engine_info(name).trains else {}
        return make_image_engine(name, flips=self._flips, **known)

    def _briefly(self, name: str) -> Engine:
        """An engine as it competes: a network trains a few hundred steps, whatever the budget of the winner."""
        return self._make(name, steps=min(STEPS, int(str(self._settings.get("steps", STEPS)))), max_minutes=None)

    def sample(self, label: Label, n: int, *, seed: int) -> ImageDataset:
        """Return ``n`` images of ``label`` by the winner."""
        return cast("ImageDataset", fitted(self._winner, self).sample(label, n, seed=seed))

    def save(self, folder: Path) -> None:
        """Write engine.json with the choice, and the winner."""
        write_state(folder, self, {"choice": self.choice.to_json()})
        save_engine(fitted(self._winner, self), folder / "winner")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote."""
        state = read_state(folder)
        engine = cls()
        with reading(folder):
            engine._choice = Choice.from_json(cast("dict[str, object]", state["choice"]))
        engine._winner = load_engine(folder / "winner")
        return engine
