"""Engines make rows of a class: data set in, data set out. Names resolve lazily: torch, scikit-learn and
imbalanced-learn load only with the engine that needs them.

    engine = make_engine("cwgan-gp", steps=400).fit(train, seed=0)
    rows = engine.sample("fraud", 100, seed=1)
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import cast

from synthgen.engines.base import (
    ENGINE_FILE,
    Data,
    Engine,
    EngineInfo,
    FitContext,
    class_path,
    read_meta,
    write_state,
)
from synthgen.engines.catalog import CATALOG, LOADABLE, RAW, Row
from synthgen.errors import ConfigError, EngineError, own_code

__all__ = [
    "ENGINES",
    "Engine",
    "EngineInfo",
    "FitContext",
    "engine_info",
    "is_engine",
    "load_engine",
    "make_engine",
    "own_engine",
    "save_engine",
]

# name -> "module:callable", in the order in which they are offered
ENGINES: Mapping[str, str] = {name: row.builder for name, row in CATALOG.items() if row.public}
IDENTITY = ("name", "preset", "inner", "generator")  # builders' options that are the catalogue's, never a caller's


def make_engine(name: str, /, **options: object) -> Engine:
    """Return an unfitted engine by name, or of a class of one's own given as "pkg.mod:Class".

    Raises ConfigError for a name that does not exist (it lists those that do) or an option that the engine
    does not take, or not with that value.
    """
    if name not in CATALOG and ":" not in name:
        raise ConfigError(_unknown(name))
    return build_engine(name, CATALOG.get(name), options)


def build_engine(name: str, row: Row | None, options: Mapping[str, object]) -> Engine:
    """Return the unfitted engine of a catalogue's row, or of the class that ``name`` is. Raises ConfigError."""
    for option in IDENTITY if row else ():
        if option in options:
            raise ConfigError(f"engine {name!r} does not take the option {option!r}: its name says which engine it is")
    build = cast("Callable[..., Engine]", _resolve(row.builder if row else name))
    given = ", ".join(sorted(options))
    if row is None:
        failed = f"engine {name!r} could not be made" + (f" with {given}" if given else "")
        with own_code(failed, ConfigError, sees_rows=False):
            engine = build(**options)
            whole = is_engine(engine)
        if not whole:
            raise ConfigError(f"{name!r} is not an engine: it needs info (an EngineInfo), fit, sample, save and load")
        return engine
    try:
        return build(**{**row.options, **options})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"engine {name!r} does not take these options ({given or 'none'}): {error}") from error


def make_raw(name: str) -> Engine:
    """Return the generator behind ``name`` alone, its copies of real rows included; for Filtered."""
    if name not in RAW:
        raise ConfigError(f"no generator is called {name!r}; generators are: {', '.join(RAW)}")
    return cast("Callable[[], Engine]", _resolve(RAW[name]))()


def is_engine(made: object) -> bool:
    """Return whether an object has what an engine needs, its facts among it, which it is asked for."""
    return isinstance(made, Engine) and isinstance(made.info, EngineInfo)


def engine_info(name: str) -> EngineInfo:
    """Return the facts of an engine without importing it (a class of one's own is imported)."""
    return CATALOG[name].info if name in CATALOG else make_engine(name).info


def own_engine(name: str) -> AbstractContextManager[None]:
    """Let what an engine of the user's raises come out as EngineError that names it, by "pkg.mod:Class"; what a
    built-in one raises is a bug of ours."""
    own = ":" in name and name not in LOADABLE
    return own_code(f"engine {name!r} failed", EngineError) if own else nullcontext()


def save_engine(engine: Engine[Data], folder: Path) -> None:
    """Save an engine so that ``load_engine`` finds its class, also one that writes no engine.json of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with own_engine(class_path(engine)):
        engine.save(folder)
        if not (folder / ENGINE_FILE).exists():
            write_state(folder, engine, {})


def load_engine(folder: str | Path, *, trusted: Sequence[str] = ()) -> Engine:
    """Return the engine saved in ``folder``.

    A folder may come from anywhere, so only this package's own classes are imported by what it says;
    a class of one's own must be named in ``trusted`` as "pkg.mod:Class". Raises EngineError otherwise.
    """
    folder = Path(folder)
    path = str(read_meta(folder).get("class"))
    if path not in LOADABLE and path not in trusted:
        raise EngineError(
            f"{folder / ENGINE_FILE} names the class {path!r}, which is not part of synthgen; "
            f"load it with trusted=[{path!r}] if it is yours"
        )
    found = cast("type[Engine]", _resolve(path))
    with own_engine(path):
        engine = found.load(folder)
    if path not in LOADABLE and class_path(engine) != path:
        raise EngineError(f"{path!r} loaded an engine of another class, {class_path(engine)!r}")
    return engine


def _resolve(target: str) -> object:
    module, _, name = target.partition(":")
    with own_code(f"engine {target!r} cannot be imported", ConfigError, sees_rows=False):
        found: object = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    return found


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, CATALOG, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown engine {name!r}{hint}; engines are: {', '.join(ENGINES)}, or a class of your own as pkg.mod:Class"
