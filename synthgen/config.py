"""One frozen model for the command line's options, config files and the flow's form; merged at the edge.

Composes what the rooms need; may import errors and (inside functions) yaml. Reads the environment only in ``merged``.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from synthgen.errors import ConfigError

if TYPE_CHECKING:
    import yaml

Scalar = bool | int | float | str
# words that YAML 1.1 takes for a boolean, a number to another base or with marks in it, or a date
_TRAP = re.compile(
    r"(?i:yes|no|on|off)|[-+]?0[xXbB]?[0-9a-fA-F_]+|[-+]?[0-9]+_[0-9_]*"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
)
GateMode = Literal["report-only", "reject-fail", "require-pass"]

_ENV = "SYNTHGEN_"
_DEPTH = 10
# where and how fast, not what: the same shards come out whatever these say
_OUTSIDE_KEY = frozenset({"data", "out", "jobs", "work"})

_OF_TABLES = ("drop", "categorical", "drop_unlabelled", "inf", "group", "time", "provenance_column", "estimator")
_OF_IMAGES = ("size", "flips", "bad_images")
_NUMBERS = ("strategy", "max_ratio", "holdout", "steps", "max_minutes", "size", "threads", "jobs", "seed")


class BalanceConfig(BaseModel):
    """Everything that ``balance`` can be told. Field names are the command line's options; see ``synthgen balance
    --help`` for each. Raises ConfigError through ``make_config`` for unknown keys and values out of range."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: str | None = Field(None, description="parquet file or folder, CSV or TSV (also .gz); or a set of images")
    label: str | None = Field(None, description="the label column")
    out: str | None = Field(None, description="destination folder; default: DATA's stem + '-balanced' beside it")
    engine: str = Field("auto", description="generator: auto, a GAN preset, ctgan, delta, copula, smote ...")
    engine_options: dict[str, Scalar] = Field(default_factory=dict, description="options of a named engine")
    fine_tune: bool = Field(False, description="after the joint model, a short training per class")
    strategy: str | float | dict[Scalar, int] = Field("auto", description="how many rows each class gets")
    max_ratio: float = Field(10.0, gt=0, description="at most this many synthetic rows per real row of a class")
    holdout: float | None = Field(None, ge=0, lt=1, description="share set aside for the check; 0: no check")
    holdout_data: str | None = Field(None, description="the user's own untouched rows for the check")
    check: Literal["holdout", "cv"] | None = Field(None, description="default: cv below 1,000 rows of the rarest class")
    ship: Literal["all", "train"] | None = Field(None, description="publish every row, or leave the holdout out")
    on_fail: Literal["keep-old"] = Field("keep-old", description="what a FAIL publishes")
    group: str | None = Field(None, description="column whose groups stay on one side of the split")
    time: str | None = Field(None, description="column that orders rows; the latest are the holdout")
    drop: tuple[str, ...] = Field((), description="columns to leave out")
    categorical: tuple[str, ...] = Field((), description="columns to treat as categories")
    drop_unlabelled: bool = Field(False, description="leave rows without a label out")
    inf: Literal["error", "nan"] = Field("error", description="what an infinite number is: an error, or missing")
    steps: int | None = Field(None, ge=1, le=1_000_000, description="training budget in generator steps")
    max_minutes: float | None = Field(None, gt=0, description="training budget in minutes")
    size: int | None = Field(None, ge=8, le=512, description="side of images in pixels")
    flips: bool = Field(False, description="mirroring an image keeps its label")
    bad_images: Literal["error", "skip"] = Field("error", description="what an image that cannot be read is")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where networks are trained")
    threads: int = Field(1, ge=1, le=256, description="threads per training; changes the bytes, so part of the run key")
    jobs: int | None = Field(None, ge=1, description="processes side by side; default: the machine's cores")
    estimator: str | None = Field(None, description="pkg.mod:make, the user's own model for the check")
    metric: str = Field("average_precision", description="the gate's primary figure")
    gate: GateMode = Field("reject-fail", description="what the verdict may stop")
    format: Literal["parquet", "webdataset", "imagefolder"] | None = Field(
        None, description="shard format; default: parquet for tables, webdataset for images"
    )
    small_class: Literal["ladder", "skip", "error"] = Field("ladder", description="a class too small for the engine")
    provenance_column: str | None = Field(None, min_length=1, description="adds a column that names each row's origin")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of everything random")
    work: str | None = Field(None, description="run folder's parent; default: OUT/.staging")

    @field_validator("drop", "categorical", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value

    @field_validator(*_NUMBERS, mode="before")
    @classmethod
    def _no_truth(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("true and false are no numbers")
        return value

    @model_validator(mode="after")
    def _fits(self) -> BalanceConfig:
        if self.group and self.time:
            raise ValueError("group and time cannot be combined")
        if self.holdout_data and self.check == "cv":
            raise ValueError("holdout_data is checked on itself, so check cannot be cv")
        if self.holdout == 0 and (self.check or self.ship == "train" or self.holdout_data):
            raise ValueError("holdout 0 means no check and nothing set aside; leave check, ship and holdout_data out")
        if self.time and self.check == "cv":
            raise ValueError("rows split by time are checked on the latest ones, so check cannot be cv")
        if self.steps and self.max_minutes:
            raise ValueError("give steps or max_minutes, not both")
        return self

    def check_fits(self, *, images: bool) -> None:
        """Raise ConfigError for an option of tables where the input is images, or of images where it is a table."""
        for name in _OF_TABLES if images else _OF_IMAGES:
            if getattr(self, name) != BalanceConfig.model_fields[name].get_default(call_default_factory=True):
                fits = "for tables, and these are images" if images else "for images, and this is a table"
                raise ConfigError(f"--{name.replace('_', '-')} is {fits}; leave it out")
        if self.format not in (None, "parquet") and not images:
            raise ConfigError(f"--format {self.format} is for images; a table is published as parquet")

    def key_fields(self) -> dict[str, object]:
        """Return what belongs to the run key: all but where the result goes and how many processes work."""
        return {name: value for name, value in json.loads(self.model_dump_json()).items() if name not in _OUTSIDE_KEY}


def make_config(values: Mapping[str, object]) -> BalanceConfig:
    """Return the validated config. Raises ConfigError: one line with the key, what was got and what is known."""
    try:
        return BalanceConfig.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def merged(options: Mapping[str, object], *, file: Path | None = None, sets: tuple[str, ...] = ()) -> BalanceConfig:
    """Return the config of a command: options over SYNTHGEN_* over ``file`` (or [tool.synthgen] of ./pyproject.toml).

    ``sets`` are KEY.PATH=VALUE with a JSON value or plain text, over all the rest. In files and ``sets`` a key may
    be written as on the command line, with hyphens. Raises ConfigError.
    """
    found = _read(file) if file is not None else _pyproject()
    values: dict[str, object] = {str(key).replace("-", "_"): value for key, value in found.items()}
    _check_environment()
    for name in BalanceConfig.model_fields:
        if (text := os.environ.get(_ENV + name.upper())) is not None:
            values[name] = _parsed(text) if name in ("engine_options", "strategy") else text
    values.update({name: value for name, value in options.items() if value is not None})
    for item in sets:
        path, equals, text = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item!r}: write key.path=value")
        first, *rest = path.split(".")
        _assign(values, [first.replace("-", "_"), *rest], _parsed(text))
    return make_config(values)


def _check_environment() -> None:
    """Refuse a SYNTHGEN_ variable that nothing reads: one letter off, it would be ignored in silence."""
    known = {_ENV + name.upper() for name in BalanceConfig.model_fields} | {f"{_ENV}DEBUG"}
    for name in sorted(os.environ):
        if name.startswith(_ENV) and name not in known:
            close = difflib.get_close_matches(name, known, n=2)
            hint = f"did you mean {' or '.join(close)}?" if close else "it is SYNTHGEN_ and an option's name"
            raise ConfigError(f"the environment variable {name} is no option; {hint} Unset it, or correct its name")


def _assign(values: dict[str, object], path: list[str], value: object) -> None:
    for key in path[:-1]:
        inner = values.get(key, {})
        if not isinstance(inner, Mapping):
            raise ConfigError(f"--set {'.'.join(path)}: {key!r} is a single value, not a group of keys")
        values[key] = dict(inner)  # the caller's own stays as it is
        values = cast("dict[str, object]", values[key])
    values[path[-1]] = value


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _pyproject() -> dict[str, object]:
    path = Path("pyproject.toml")
    if not path.is_file():
        return {}
    try:
        found: object = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"pyproject.toml cannot be read: {error}") from None
    for key in ("tool", "synthgen"):
        found = found.get(key, {}) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise ConfigError(f"[tool.synthgen] of pyproject.toml must hold keys and values, got {type(found).__name__}")
    return found


def _read(path: Path) -> dict[object, object]:
    import yaml

    if not path.is_file():
        raise ConfigError(f"--config {path} does not exist")
    try:
        text = path.read_text("utf-8")
        data: object = tomllib.loads(text) if path.suffix.lower() == ".toml" else _yaml(text, path.name)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, ValueError, OSError, RecursionError) as error:
        raise ConfigError(f"--config {path.name} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"--config {path.name} must hold keys and values, got {type(data).__name__}")
    return data


def _yaml(text: str, name: str) -> object:
    """YAML without its traps: no aliases, no tags, no key twice, and no plain word that is not what it looks like."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"--config {name} line {_line(event.start_mark)}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigError(f"{where}: anchors and aliases are not read; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise ConfigError(f"{where}: more than {_DEPTH} groups within groups; a config is flat")
        if tag := getattr(event, "tag", None):
            raise ConfigError(f"{where}: the tag {tag} is not read; write a plain value")
        if isinstance(event, yaml.ScalarEvent) and event.style is None and _TRAP.fullmatch(event.value):
            raise ConfigError(
                f"{where}: YAML does not read {event.value!r} as it is written; put it in quotes if it is text, "
                "else write true, false or a plain number"
            )
    _check_keys(yaml.compose(text, Loader=yaml.SafeLoader), name)
    return yaml.safe_load(text)


def _check_keys(node: yaml.Node | None, name: str) -> None:
    import yaml

    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise ConfigError(f"--config {name} line {_line(node.start_mark)}: a key occurs twice; keep one")
        for _, value in node.value:
            _check_keys(value, name)


def _line(mark: object) -> int:
    return int(getattr(mark, "line", 0)) + 1


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"unknown key {name!r}; known keys are: {', '.join(sorted(BalanceConfig.model_fields))}"
    message = first["msg"].removeprefix("Value error, ")
    if not name:
        return message
    got = repr(first["input"])
    if name == "strategy":  # pydantic tells of the first of three types alone
        return f"strategy: it is a word, a ratio like 0.5, or label: count with whole numbers, got {got[:80]}"
    return f"{name.replace('_', '-')}: {message[0].lower()}{message[1:]}, got {got[:80]}"
