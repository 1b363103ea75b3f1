"""The engines for images: those of the catalogue that make images, and what stands behind their names here.

Imports no engine. A generator that is for images in the catalogue comes mixed with repeats of real ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from synthgen.engines import build_engine, make_engine
from synthgen.engines.base import Engine, EngineInfo
from synthgen.engines.catalog import CATALOG, Row
from synthgen.errors import ConfigError

if TYPE_CHECKING:
    from synthgen.data.images import ImageDataset

FEW_IMAGES = 10  # too few to split, so nothing can be chosen for them
INNER_FOLDS = 3
_CANDIDATES = ("oversample", "cwgan-gp")  # the first is auto's default
_MIXED = "synthgen.engines.mixed:of_images"
_OWN = {
    "auto": ("synthgen.engines.auto_images:AutoImages", FEW_IMAGES),
    "oversample": ("synthgen.engines.repeats:Repeats", 1),
}


def _rows() -> dict[str, Row]:
    """The engines by name; ``auto`` may train a network where one is among its candidates."""
    rows = {name: Row(replace(CATALOG[name].info, min_rows=least), build) for name, (build, least) in _OWN.items()}
    for name, row in CATALOG.items():
        if "image" in row.info.modalities and name not in rows:
            rows[name] = Row(row.info, _MIXED, {"generator": name})
    trains = any(name in rows and rows[name].info.trains for name in _CANDIDATES)
    return rows | {"auto": replace(rows["auto"], info=replace(rows["auto"].info, trains=trains))}


IMAGES: Mapping[str, Row] = _rows()
CANDIDATES = tuple(name for name in _CANDIDATES if name in IMAGES)


def enough_for(candidates: Sequence[str], images: int) -> list[str]:
    """Return the engines that need no more of a class's ``images`` than an inner split leaves to learn from."""
    return [name for name in candidates if image_engine_info(name).min_rows <= images * (1 - 1 / INNER_FOLDS)]


def may_train(name: str, images: int) -> bool:
    """Return whether an engine may train a network where the largest class that it makes has so many ``images``."""
    names = enough_for(CANDIDATES, images) if name == "auto" else [name]
    return any(image_engine_info(name).trains for name in names)


def make_image_engine(name: str, /, **options: object) -> Engine[ImageDataset]:
    """Return an unfitted engine for images by name, or of a class of one's own given as "pkg.mod:Class".

    Raises ConfigError for an engine that is for tables alone, and for what ``make_engine`` raises it for.
    """
    if not isinstance(flips := options.get("flips", False), bool):
        raise ConfigError(f"flips is true or false, got {flips!r}")
    if name in IMAGES:
        return cast("Engine[ImageDataset]", build_engine(name, IMAGES[name], options))
    engine = make_engine(name, **options) if ":" in name else None
    if engine is None or "image" not in engine.info.modalities:
        known = "is for tables" if name in CATALOG or engine is not None else "does not exist"
        raise ConfigError(f"engine {name!r} {known}; engines for images are: {', '.join(IMAGES)}")
    return cast("Engine[ImageDataset]", engine)


def image_engine_info(name: str) -> EngineInfo:
    """Return the facts of an engine for images. Raises ConfigError as ``make_image_engine`` does."""
    return IMAGES[name].info if name in IMAGES else make_image_engine(name).info
