"""The engine that chooses for images: repeats alone, or a generator beside them, on inner splits of its images.

May import data, quality's network and its own room.
"""

from __future__ import annotations

from collections.abc import Sequence

from synthgen.data.images import ImageDataset
from synthgen.engines.base import Engine, EngineInfo, FitContext
from synthgen.engines.choose import Choice
from synthgen.engines.choose_images import STEPS, choose_for_images
from synthgen.engines.chooser import Chooser
from synthgen.engines.image_catalog import CANDIDATES, IMAGES, image_engine_info, make_image_engine
from synthgen.gan.config import preset


class AutoImages(Chooser[ImageDataset]):
    """Chooses among ``candidates`` in ``fit``, the first being the default; then is the winner.

    ``flips``: mirroring keeps the label. ``settings`` go to a candidate that trains a network.
    """

    def __init__(self, *, candidates: Sequence[str] = CANDIDATES, flips: bool = False, **settings: object) -> None:
        super().__init__()
        preset("cwgan-gp", **settings)  # an unknown setting is refused before anything is fitted
        self._candidates, self._flips, self._settings = tuple(candidates), flips, settings

    @property
    def _facts(self) -> EngineInfo:
        return IMAGES["auto"].info

    def _choose(self, train: ImageDataset, *, seed: int, context: FitContext) -> Choice:
        return choose_for_images(
            train,
            self._briefly,
            want=context.wanted(train.counts()),
            candidates=self._candidates,
            flips=self._flips,
            seed=seed,
            report=context.report,
        )

    def _make(self, choice: Choice) -> Engine[ImageDataset]:
        return self._engine(choice.engine)

    def _engine(self, name: str, **settings: object) -> Engine[ImageDataset]:
        known = {**self._settings, **settings} if image_engine_info(name).trains else {}
        return make_image_engine(name, flips=self._flips, **known)

    def _briefly(self, name: str) -> Engine[ImageDataset]:
        """An engine as it competes: a network trains a few hundred steps, whatever the budget of the winner."""
        return self._engine(name, steps=min(STEPS, int(str(self._settings.get("steps", STEPS)))), max_minutes=None)
