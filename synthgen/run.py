"""The run folder: one balancing in the making. What is written where, and the rows each stage works on.

May import config, data, planning and seeding. Every file is JSON, Arrow, npz without objects, or an engine's own.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

import synthgen
from synthgen.config import BalanceConfig
from synthgen.data import image_arrays
from synthgen.data.convert import same_values
from synthgen.data.dataset import TabularDataset
from synthgen.data.image_store import load_images, save_images
from synthgen.data.images import ImageDataset
from synthgen.data.kinds import Dataset
from synthgen.data.physical import sorted_unique
from synthgen.data.pictures import ImagePolicy
from synthgen.data.read import is_images, load_table, read_images
from synthgen.data.schema import Label, index_columns
from synthgen.data.split import Split
from synthgen.data.table_store import load_rows, save_rows
from synthgen.errors import DataError
from synthgen.planning import BalancePlan

if TYPE_CHECKING:
    from synthgen.data.read import Source

CheckKind = Literal["cv", "holdout", "none"]
Ship = Literal["all", "train"]
Purpose = Literal["publish", "check"]

Report = Callable[[str, float, str], None]

DRAWS = 10
_LIBRARIES = ("torch", "numpy", "pandas", "scikit-learn", "pyarrow", "imbalanced-learn")
_INPUT, _IMAGES = "input.arrow", "input-images.npz"
_SIDE, _SIDE_ON_GPU = 32, 64


class RunRecord(BaseModel):
    """run.json: what the run is made from. Paths are absolute; nothing in it is data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    run_key: str
    config: BalanceConfig
    source: str
    source_name: str
    fingerprint: str
    holdout_fingerprint: str | None
    label: str
    check: CheckKind
    ship: Ship
    notes: tuple[str, ...]
    versions: dict[str, str]


class Run:
    """A run folder with its record. What is in memory already may be handed in: ``dataset``, ``split`` and the user's
    own ``holdout``."""

    def __init__(
        self,
        folder: Path,
        record: RunRecord,
        *,
        dataset: Dataset | None = None,
        split: Split | None = None,
        holdout: Dataset | None = None,
    ) -> None:
        self.folder = folder
        self.record = record
        if dataset is not None:
            self.__dict__["dataset"] = dataset
        if holdout is not None:
            self.__dict__["holdout"] = holdout
        if split is not None:
            self.__dict__["_split"] = split.train, split.holdout

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Return the run of a folder. Raises DataError where it holds none."""
        path = folder / "run.json"
        if not path.is_file():
            raise DataError(f"{folder} is no run folder: it holds no run.json")
        return cls(folder, RunRecord.model_validate_json(path.read_text("utf-8")))

    @property
    def config(self) -> BalanceConfig:
        """The configuration that the run was started with."""
        return self.record.config

    @cached_property
    def dataset(self) -> Dataset:
        """Every row of the input. Raises DataError where the file changed since the run was started."""
        source, kept = Path(self.record.source), self.folder.resolve()
        if source in (kept / _INPUT, kept / _IMAGES):
            dataset = _read_rows(source)
        else:
            dataset = read_input(source, self.config, label=self.record.label)
        self._check_unchanged(dataset, self.record.fingerprint, name=self.record.source_name)
        return dataset

    def _check_unchanged(self, dataset: Dataset, fingerprint: str | None, *, name: str) -> None:
        if dataset.fingerprint() != fingerprint:
            raise DataError(f"{name} changed since run {self.record.run_id} began; start again")

    @cached_property
    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        with np.load(self.folder / "split.npz", allow_pickle=False) as arrays:
            return arrays["train"], arrays["holdout"]

    @cached_property
    def train(self) -> Dataset:
        """The rows that the check's arms may see."""
        rows, aside = self._split
        return self.dataset if not len(aside) else self.dataset.take(rows)

    @cached_property
    def holdout(self) -> Dataset | None:
        """The rows set aside, or the user's own holdout; None without. Raises DataError where its file changed."""
        if self.config.holdout_data is not None:
            held = load_holdout(self.config, self.dataset)
            self._check_unchanged(held, self.record.holdout_fingerprint, name=Path(self.config.holdout_data).name)
            return held
        aside = self._split[1]
        return self.dataset.take(aside) if len(aside) else None

    def release(self) -> None:
        """Let go of the rows in memory; they are read again where they are asked for."""
        for name in ("dataset", "train", "holdout"):
            self.__dict__.pop(name, None)

    @property
    def shipped(self) -> Dataset:
        """The real rows that are published in train/, and that the published generator is fitted on."""
        return self.dataset if self.record.ship == "all" else self.train

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """The generators that the run needs: one to publish from, and one for the check where its rows differ."""
        apart = self.record.check == "holdout" and len(self.train) != len(self.shipped)
        return ("publish", "check") if apart else ("publish",)

    @property
    def plan(self) -> BalancePlan:
        """The plan as written. Raises DataError before ``pipeline.plan``."""
        return BalancePlan.from_json(self.read("plan.json"))

    def model_folder(self, unit: str, purpose: Purpose = "publish") -> Path:
        """Return where a unit's engine is kept."""
        return self.folder / "models" / unit / purpose

    def draw_path(self, label: Label, draw: int) -> Path:
        """Return where draw 0 (published) or a replica 1 to 9 (for the check) of a label's rows is kept."""
        name = f"draw-{draw:02d}.{'npz' if isinstance(self.dataset, ImageDataset) else 'arrow'}"
        return self.folder / "samples" / f"c{self.dataset.classes.index(label):03d}" / name

    def check_draws(self) -> WrittenDraws:
        """Return the draws of the rows that the check adds to its training rows."""
        # where the check has a generator of its own, its draws are numbered from DRAWS on
        first = DRAWS if "check" in self.purposes else 0
        labels = self.plan.adds()
        paths = [tuple(self.draw_path(label, first + draw) for label in labels) for draw in range(DRAWS)]
        return WrittenDraws(tuple(paths), self.dataset.take(np.arange(0)).apart())

    def write_rows(self, path: Path, rows: Dataset) -> None:
        """Write rows whole or not at all."""
        _write_rows(path, rows)

    def read_rows(self, path: Path) -> Dataset:
        """Return rows that ``write_rows`` wrote."""
        return _read_rows(path)

    def read(self, name: str) -> dict[str, object]:
        """Return a JSON file of the run folder."""
        path = self.folder / name
        if not path.is_file():
            raise DataError(f"{self.folder} has no {name} yet; run the earlier stages first")
        data: dict[str, object] = json.loads(path.read_text("utf-8"))
        return data

    def write(self, name: str, data: object) -> Path:
        """Write a JSON file whole or not at all."""
        return write_json(self.folder / name, data)


@dataclass(frozen=True)
class WrittenDraws:
    """Draws that ``generate`` wrote, by number; ``like`` has the columns and classes and no rows. A check's workers are
    handed this and read what they need: never the table."""

    paths: tuple[tuple[Path, ...], ...]
    like: Dataset

    def __call__(self, number: int) -> Dataset:
        return self.like.concat(*(_read_rows(path) for path in self.paths[number]))


def _write_rows(path: Path, rows: Dataset) -> None:
    if isinstance(rows, ImageDataset):
        save_images(path, rows)
    else:
        save_rows(path, cast("TabularDataset", rows))


def _read_rows(path: Path) -> Dataset:
    return load_images(path) if path.suffix == ".npz" else load_rows(path)


def write_json(path: Path, data: object) -> Path:
    """Write ``data`` (JSON types) whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    partial.replace(path)
    return path


def save_input(folder: Path, dataset: Dataset) -> Path:
    """Keep a dataset that came from memory, so that a later stage or process finds it as it is; return where."""
    path = folder.resolve() / (_IMAGES if isinstance(dataset, ImageDataset) else _INPUT)
    _write_rows(path, dataset)
    return path


def read_input(
    source: Source, config: BalanceConfig, *, label: str | None, like: Dataset | None = None, real: bool = True
) -> Dataset:
    """Return the dataset of a source, read as the configuration says; images at the size of ``like``, to which they
    are additions, of one class or more; ``real`` images alone, or generated ones too.

    Raises ConfigError for options of tables with images and of images with a table.
    """
    images = is_images(source)
    config.check_fits(images=images)
    if images:
        size = like.shape[0] if isinstance(like, ImageDataset) else config.size
        side = _SIDE_ON_GPU if _on_gpu(config.device) else _SIDE
        policy = ImagePolicy(size, side, bad=config.bad_images, least=2 if like is None else 1, real=real)
        return read_images(source, policy, label=label)
    return load_table(
        source,
        label=label,
        drop=config.drop,
        categorical=config.categorical,
        drop_unlabelled=config.drop_unlabelled,
        inf=config.inf,
    )


def _on_gpu(device: str) -> bool:
    """Whether a network is trained on a GPU: images are read in larger there."""
    if device != "auto":
        return device != "cpu"
    import torch

    return torch.cuda.is_available()


def load_holdout(config: BalanceConfig, dataset: Dataset) -> Dataset:
    """Return the user's own holdout with the input's classes. Raises DataError where the two tables differ."""
    path = Path(str(config.holdout_data))
    held = read_input(path, config, label=dataset.label, like=dataset)
    return untouched(aligned(held, dataset, name=path.name), dataset, name=path.name)


def untouched(held: Dataset, train: Dataset, *, name: str) -> Dataset:
    """Return ``held``. Raises DataError where more of its rows stand in ``train`` than real rows repeat by nature.

    A holdout cut out of the table that is trained on would be judged on rows that the learners have seen.
    """
    known = train.feature_hashes()
    shared = np.isin(held.feature_hashes(), known)
    repeats = 1 - len(sorted_unique(known)) / max(1, len(known))
    if shared.mean() > max(0.1, 2 * repeats):
        raise DataError(
            f"{int(shared.sum())} of the {len(held)} rows of {name} are also in the table that is trained on; "
            "a holdout must hold rows that nothing was trained on: leave them out of one of the two"
        )
    return held


def aligned(rows: Dataset, like: Dataset, *, name: str) -> Dataset:
    """Return ``rows`` in the columns, types and classes of ``like``; a type is changed where no value is.

    Raises DataError naming what differs.
    """
    if isinstance(rows, ImageDataset) and isinstance(like, ImageDataset):
        return image_arrays.aligned(rows, like, name=name)
    if not isinstance(rows, TabularDataset) or not isinstance(like, TabularDataset):
        raise DataError(f"of the input and {name} one is a table and one holds images; give two of a kind")
    table, ours = rows.table, like.schema.arrow
    # a pandas index is row names: one that the other table lacks is dropped, or left empty
    table = table.drop_columns([column for column in index_columns(table.schema) if column not in ours.names])
    for column in index_columns(ours) - set(table.schema.names):
        table = table.append_column(ours.field(column), pa.nulls(len(table), ours.field(column).type))
    theirs = table.schema
    for column in dict.fromkeys([*ours.names, *theirs.names]):
        if column not in ours.names or column not in theirs.names:
            only = "the input" if column in ours.names else name
            raise DataError(f"column {column!r} is only in {only}; both must have the same columns")
        if table.column(column).null_count and not ours.field(column).nullable:
            raise DataError(f"column {column!r} has missing values in {name}, which it may not in the input; fill them")
        if ours.field(column).type != theirs.field(column).type:
            at = theirs.get_field_index(column)
            table = table.set_column(at, ours.field(column), _converted(table.column(at), ours.field(column), name))
    unknown = [value for value in _values(table.column(like.label)) if value not in like.classes]
    if unknown:
        raise DataError(f"{name} has class {unknown[0]!r}, which the input has not; remove its rows")
    return TabularDataset(table.select(ours.names).cast(ours), like.schema, like.classes)


def _converted(column: pa.ChunkedArray, field: pa.Field, name: str) -> pa.ChunkedArray:
    try:
        return same_values(column, field.type)
    except ValueError as error:
        raise DataError(
            f"column {field.name!r} is {field.type} in the input and {column.type} in {name}: {error}; "
            "make the types alike"
        ) from None


def _values(column: pa.ChunkedArray) -> list[object]:
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    found: list[object] = plain.unique().to_pylist()
    return found


def run_key(dataset_fingerprint: str, holdout_fingerprint: str | None, config: BalanceConfig) -> str:
    """Return the sha256 (hex) of all that decides the published bytes: input, config, seed, version."""
    whole = {
        "input": dataset_fingerprint,
        "holdout": holdout_fingerprint,
        "config": config.key_fields(),
        "version": synthgen.__version__,
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    found = {"synthgen": synthgen.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
