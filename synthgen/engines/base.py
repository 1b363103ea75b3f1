"""What an engine is: fitted on a data set, it makes rows of one class. Facts, context and the protocol.

May import errors and data; nothing heavy, so that planning and the command line can ask for facts.
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self, cast, runtime_checkable

from typing_extensions import TypeVar

from synthgen.errors import ConfigError, DataError, EngineError

if TYPE_CHECKING:
    from synthgen.data.dataset import TabularDataset
    from synthgen.data.kinds import Dataset
    from synthgen.data.schema import Label

ENGINE_FILE = "engine.json"
FORMAT = 1

Data = TypeVar("Data", bound="Dataset", default="TabularDataset")
T = TypeVar("T")


@dataclass(frozen=True)
class EngineInfo:
    """Facts about an engine that hold before it is fitted.

    ``modalities`` are among "table" and "image". ``origin`` says what its rows are: generated, or real rows again.
    ``conditional``: one fit serves every class; otherwise the planner fits one engine per class, on that class's
    rows alone. ``min_rows``: the fewest rows of a class that it can learn from. ``when``: advice, one sentence.
    """

    name: str
    summary: str
    modalities: tuple[str, ...]
    origin: Literal["synthetic", "repeated"]
    trains: bool
    conditional: bool
    min_rows: int
    when: str


def _silent(share: float, message: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class FitContext:
    """What a fit may know besides its rows.

    ``report(share, message)`` hears of progress, share in [0, 1]. ``checkpoints`` is a folder to resume from.
    ``base`` is a fitted engine of the same kind to continue from. ``jobs`` bounds parallel work.
    ``want``: how many rows of which labels will be asked for; None: each class up to the largest.
    ``shares``: each class's rows as a share of the largest's, where the rows given are a part that does not keep them.
    ``group`` names a column of the table whose groups stay on one side of every inner split.
    """

    report: Callable[[float, str], None] = _silent
    checkpoints: Path | None = None
    base: Informed | None = None
    jobs: int = 1
    want: Mapping[Label, int] | None = None
    shares: Mapping[Label, float] | None = None
    group: str | None = None

    def wanted(self, counts: Mapping[Label, int]) -> dict[Label, int]:
        """Return rows to add per label, only labels with some: ``want``, or every class up to the largest.

        Rows of one class alone are wanted once more.
        """
        if self.want is not None:
            return {label: n for label, n in self.want.items() if n > 0}
        present = {label: n for label, n in counts.items() if n}
        if len(present) == 1:
            return present
        most = max(present.values(), default=0)
        return {label: most - n for label, n in present.items() if n < most}


@runtime_checkable
class Engine(Protocol[Data]):
    """Data set in, data set out. A class of one's own with these members is an engine: see engines/contract.py.

    ``Engine`` alone is one of rows; one of images is an ``Engine[ImageDataset]``, and its ``info.modalities`` hold
    "image".
    """

    @property
    def info(self) -> EngineInfo:
        """Facts; after ``fit`` they may be narrower than before."""
        ...

    def fit(self, train: Data, *, seed: int, context: FitContext = ...) -> Self:
        """Learn from ``train`` and return self; ``train`` is not changed."""
        ...

    def sample(self, label: Label, n: int, *, seed: int) -> Data:
        """Return exactly ``n`` new rows, all of ``label``, of the training schema; the same for the same seed."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything ``sample`` needs to ``folder``, without pickle."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote; it samples the same rows."""
        ...


class Informed(Protocol):
    """What has facts: an engine of rows, or of images."""

    @property
    def info(self) -> EngineInfo:
        """The facts."""
        ...


def class_path(engine: object) -> str:
    """Return the "module:class" of an engine."""
    return f"{type(engine).__module__}:{type(engine).__qualname__}"


def write_state(folder: Path, engine: Informed, state: Mapping[str, object]) -> None:
    """Write engine.json: the engine's name, its class and ``state`` (JSON types)."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = {"format": FORMAT, "engine": engine.info.name, "class": class_path(engine), "state": dict(state)}
    (folder / ENGINE_FILE).write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_meta(folder: Path) -> dict[str, object]:
    """Return engine.json as written. Raises EngineError where it is missing, broken or of another format."""
    path = folder / ENGINE_FILE
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngineError(f"{folder} holds no {ENGINE_FILE}; it is not the folder of a saved engine") from None
    except (OSError, ValueError) as error:
        raise EngineError(f"{path} cannot be read ({error}); fit the engine again") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        got = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
        raise EngineError(f"{path} has format {got!r}, this version reads {FORMAT}; fit the engine again")
    return meta


def read_state(folder: Path) -> dict[str, object]:
    """Return the ``state`` that ``write_state`` wrote."""
    state = read_meta(folder).get("state")
    if not isinstance(state, dict):
        raise EngineError(f"{folder / ENGINE_FILE} holds no state; fit the engine again")
    return state


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a saved engine is read into one EngineError that names the folder."""
    try:
        yield
    except (OSError, LookupError, TypeError, ValueError, DataError) as error:
        raise EngineError(f"{folder} is not a complete saved engine ({error}); fit it again") from None


def fitted(part: T | None, engine: Informed) -> T:
    """Return ``part``, which ``fit`` sets; raises EngineError where the engine is not fitted."""
    if part is None:
        raise EngineError(f"engine {engine.info.name!r} is not fitted; call fit(train, seed=...) first")
    return part


def code_of(classes: Sequence[Label], label: Label, *, engine: str) -> int:
    """Return the index of ``label``, also of a numpy scalar. Raises ConfigError that lists the labels there are."""
    plain = label.item() if hasattr(label, "item") else label
    for code, known in enumerate(classes):
        if known == plain and isinstance(known, bool) == isinstance(plain, bool):
            return code
    listed = ", ".join(map(repr, classes[:20])) + (", ..." if len(classes) > 20 else "")
    raise ConfigError(f"engine {engine!r} knows no class {plain!r}; classes are: {listed}")


def check_count(n: int) -> int:
    """Return ``n`` as int. Raises ConfigError where it is negative or not whole."""
    return check_whole("the number of rows to sample", n, least=0)


def check_whole(name: str, value: object, *, least: int = 1) -> int:
    """Return ``value`` as int, of numpy's types too. Raises ConfigError naming it where it is no whole number from
    ``least`` on."""
    number = cast("float", value if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan)
    if not number >= least or number % 1 != 0:
        raise ConfigError(f"{name} must be a whole number from {least} on, got {value!r}")
    return int(number)


def labels_to_json(classes: Sequence[Label]) -> list[Label]:
    """Return class values as JSON types (text, whole numbers, floats and booleans keep theirs)."""
    return [cast("Label", value.item()) if hasattr(value, "item") else value for value in classes]
