"""The manifest of a published run: what went in, what came out, every file with its hash, and the verdict.

Frozen pydantic models; may import errors and its own room.
"""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from synthgen.errors import DataError
from synthgen.shards.sealed import seal, unseal

Origin = Literal["real", "synthetic", "repeated"]

MANIFEST_NAME = "manifest.json"
MANIFEST_LIMIT_BYTES = 64 << 20
SCHEMA_VERSION = 1
SYNTHETIC_SOURCE_TYPE = "trainedAlgorithmicMedia"
RUN_ID = re.compile(r"[0-9a-f]{12}")


def run_id_of(run_key: str) -> str:
    """Return the name of the run with this key: its first 12 hex digits."""
    return run_key[:12]


def utc_now() -> str:
    """Return the time as the manifest writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _inside(path: str) -> str:
    parts = path.split("/")
    if not path or "\\" in path or "\0" in path or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} is not a plain path below the run's folder")
    return path


def _storable(value: object) -> object:
    """JSON has no NaN and no infinity, UTF-8 no lone surrogate: such a figure becomes null, such a letter '?'."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value]
    return value


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
RelativePath = Annotated[str, AfterValidator(_inside)]
JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_storable)]
Text = Annotated[str, BeforeValidator(_storable)]


class Value(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(Value):
    """One published file. ``rows`` and ``origin`` are None for what holds no rows (labels, report, model)."""

    path: RelativePath
    size_bytes: int = Field(ge=0)
    sha256: Sha256
    rows: int | None = Field(default=None, ge=0)
    origin: Origin | None = None
    digital_source_type: str | None = None

    @property
    def part(self) -> str:
        """The folder the file is in, ``train`` or ``test`` for rows; empty at the top."""
        return self.path.rpartition("/")[0]


class InputInfo(Value):
    """The table that went in: the fingerprint of its content, the name it had, its rows."""

    fingerprint: str = Field(min_length=1)
    name: Text
    rows: int = Field(ge=0)


class ClassCounts(Value):
    """Rows of one class in the train part, by origin."""

    real: int = Field(default=0, ge=0)
    synthetic: int = Field(default=0, ge=0)
    repeated: int = Field(default=0, ge=0)


class LabelName(Value):
    """One class: its code (the index in a training job), the text that other fields use as key, the value itself."""

    code: int = Field(ge=0)
    text: str
    value: StrictBool | StrictInt | StrictFloat | StrictStr


class HoldoutInfo(Value):
    """The rows set aside for the check; their hashes lie in a published file or are given as one digest."""

    rows: int = Field(default=0, ge=0)
    source: Literal["none", "split", "cv", "file"] = "none"
    published: bool = False
    row_hashes_path: RelativePath | None = None
    row_hashes_sha256: Sha256 | None = None


class Privacy(Value):
    """No guarantee is given; ``evidence`` says what was looked at."""

    guarantee: Literal["none"] = "none"
    evidence: tuple[JsonValue, ...] = ()


class Manifest(Value):
    """A published run. ``created`` is the only field that may differ between two runs of one ``run_key``."""

    schema_version: Literal[1] = 1
    run_id: RunId
    run_key: Sha256
    created: str = Field(default_factory=utc_now)
    input: InputInfo
    config: JsonObject
    seeds: dict[str, int]
    versions: dict[str, str]
    engine: str
    strategy: str
    label: str
    labels: tuple[LabelName, ...]
    counts: dict[str, ClassCounts]
    files: tuple[FileEntry, ...]
    verdict: JsonObject
    priors_before: dict[str, float]
    priors_after: dict[str, float]
    class_weights: dict[str, float] = {}
    holdout: HoldoutInfo = HoldoutInfo()
    privacy: Privacy = Privacy()
    training: JsonObject = {}
    notes: tuple[Text, ...] = ()
    warnings: tuple[Text, ...] = ()
    reproducible: bool = True

    @property
    def status(self) -> str:
        """The verdict's word: PASS, NO LIFT, FAIL, INCONCLUSIVE or NOT CHECKED."""
        return str(self.verdict.get("status", "NOT CHECKED"))

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if self.run_id != run_id_of(self.run_key):
            raise ValueError(f"run_id {self.run_id} is not the start of run_key {self.run_key}")
        paths = Counter(entry.path for entry in self.files)
        twice = sorted(path for path, times in paths.items() if times > 1)
        if twice or MANIFEST_NAME in paths:
            raise ValueError(f"a file is listed twice, or is the manifest itself: {[*twice, MANIFEST_NAME][0]}")
        unknown = sorted(set(self.counts) - {label.text for label in self.labels})
        if unknown:
            raise ValueError(f"counts name the class {unknown[0]!r}, which labels do not")
        self._counts_match_files()
        return self

    def _counts_match_files(self) -> None:
        train = [entry for entry in self.files if PurePosixPath(entry.path).parts[0] == "train"]
        if any(entry.rows is None or entry.origin is None for entry in train):
            return  # image tars mix origins; their counts are checked where they are written
        for origin in ("real", "synthetic", "repeated"):
            listed = sum(entry.rows or 0 for entry in train if entry.origin == origin)
            counted = sum(int(getattr(counts, origin)) for counts in self.counts.values())
            if listed != counted:
                raise ValueError(f"counts say {counted} {origin} rows in train, its files have {listed}")


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the manifest as its file holds it: canonical JSON with a seal over its content."""
    return seal(cast("dict[str, JsonValue]", manifest.model_dump(mode="json")))


def parse_manifest(data: bytes, *, name: str = MANIFEST_NAME) -> Manifest:
    """Return the manifest that ``manifest_bytes`` wrote; DataError naming ``name`` where it is damaged or newer."""
    try:
        fields = unseal(data)
        version = fields.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise DataError(
                f"{name} has schema version {version} and was written by a newer synthgen; this one reads up to "
                f"{SCHEMA_VERSION}: upgrade synthgen"
            )
        return Manifest.model_validate(fields)
    except (ValueError, ValidationError) as error:
        raise DataError(f"{name} is damaged: {first_line(error)}; publish again, or restore it from a copy") from error


def first_line(error: Exception) -> str:
    """Return what an error says, in one line; of several validation errors the first."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
    return str(error).split("\n", 1)[0]
