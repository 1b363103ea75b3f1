"""A generator of images with real ones again beside its own: what is generated is realistic, and too much alike.

May import data and its own room.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self, cast

from synthgen.data.images import ImageDataset
from synthgen.data.schema import Label
from synthgen.engines import load_engine, make_engine, save_engine
from synthgen.engines.base import (
    EngineInfo,
    FitContext,
    check_count,
    code_of,
    fitted,
    read_state,
    write_state,
)
from synthgen.engines.repeats import Repeats
from synthgen.seeding import derive

SHARE = 0.5  # of what a class gets is generated
MOST = 2.0  # generated images for each real one


class Mixed:
    """Of ``n`` images of a class, half are ``generator``'s, at most two for each real one; the others are repeats.

    The repeats come first; a class of fewer images than the generator needs gets nothing else. ``flips``: mirroring
    keeps the label, which both are told. ``settings`` are the generator's.
    """

    def __init__(self, *, generator: str, flips: bool = False, **settings: object) -> None:
        self._repeats = Repeats(flips=flips)
        self._engine = make_engine(generator, **settings, **({"flips": True} if flips else {}))
        self._have: dict[Label, int] | None = None

    @property
    def info(self) -> EngineInfo:
        """The generator's facts."""
        return self._engine.info

    @property
    def history(self) -> list[dict[str, float]]:
        """The generator's training curves."""
        return list(getattr(self._engine, "history", []))

    def fit(self, train: ImageDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        """Fit the generator, and keep the images that are repeated."""
        base = context.base
        self._have = {label: n for label, n in train.counts().items() if n}
        wanted = context.wanted(self._have)
        large = {label: n for label, n in wanted.items() if self._have.get(label, 0) >= self.info.min_rows}
        inner = replace(context, base=base._engine if isinstance(base, Mixed) else base, want=large)
        self._repeats.fit(train, seed=seed, context=FitContext(want=wanted))
        self._engine = self._engine.fit(train, seed=seed, context=inner)  # type: ignore[arg-type]  # of images
        return self

    def sample(self, label: Label, n: int, *, seed: int) -> ImageDataset:
        """Return ``n`` images of ``label``: repeats, then generated ones."""
        have, n = fitted(self._have, self), check_count(n)
        known = list(have)[code_of(tuple(have), label, engine=self.info.name)]
        enough = have[known] >= self.info.min_rows
        made = min(int(n * SHARE), int(MOST * have[known])) if enough else 0
        again = self._repeats.sample(known, n - made, seed=derive(seed, "repeats"))
        if not made:
            return again
        return again.concat(cast("ImageDataset", self._engine.sample(known, made, seed=seed)))

    def save(self, folder: Path) -> None:
        """Write engine.json, the repeats and the generator."""
        have = fitted(self._have, self)
        write_state(folder, self, {"have": [[label, n] for label, n in have.items()]})
        save_engine(self._engine, folder / "generator")
        self._repeats.save(folder / "repeats")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote."""
        state = read_state(folder)
        engine = cls.__new__(cls)
        engine._have = {label: int(n) for label, n in cast("list[tuple[Label, int]]", state["have"])}
        engine._repeats = Repeats.load(folder / "repeats")
        engine._engine = load_engine(folder / "generator")
        return engine
