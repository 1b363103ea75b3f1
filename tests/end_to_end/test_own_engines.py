"""An engine of one's own that fails is named, wherever it is asked; its words, which may quote rows, are not told."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Self

import pytest
from road_kit import Harmful, frame
from run_kit import quick

from synthgen.data.dataset import TabularDataset
from synthgen.engines import engine_info, save_engine
from synthgen.engines.base import EngineInfo, FitContext
from synthgen.errors import ConfigError, DataError, EngineError
from synthgen.judge import draw

ROWS = frame()


class Fit(Harmful):
    def fit(self, train: TabularDataset, *, seed: int, context: FitContext | None = None) -> Self:
        raise ValueError("secret cell")


class Sample(Harmful):
    def sample(self, label: object, n: int, *, seed: int) -> TabularDataset:
        raise KeyError("secret cell")


class Save(Harmful):
    def save(self, folder: Path) -> None:
        raise RuntimeError("secret cell")


class Load(Harmful):
    @classmethod
    def load(cls, folder: Path) -> Self:
        raise RuntimeError("secret cell")


class NoRows(Harmful):
    def sample(self, label: object, n: int, *, seed: int) -> None:  # type: ignore[override]
        """Forget to return them."""


class NoSelf(Harmful):
    def fit(self, train: TabularDataset, *, seed: int, context: FitContext | None = None) -> None:  # type: ignore[override]
        """Forget to return itself."""


class LateFacts(Harmful):
    @property
    def info(self) -> EngineInfo:  # type: ignore[override]
        if hasattr(self, "train"):
            raise RuntimeError("secret cell")
        return Harmful.info


class NoLateFacts(Harmful):
    @property
    def info(self) -> EngineInfo:  # type: ignore[override]
        return None if hasattr(self, "train") else Harmful.info  # type: ignore[return-value]


class FullDisk(Harmful):
    def save(self, folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


class Words(Harmful):
    def fit(self, train: TabularDataset, *, seed: int, context: FitContext | None = None) -> Self:
        raise DataError("in words of its own")


class Facts(Harmful):
    @property
    def info(self) -> EngineInfo:  # type: ignore[override]
        raise RuntimeError("no facts yet")


class NoFacts(Harmful):
    info = None  # type: ignore[assignment]


class Refuses(Harmful):
    def __init__(self) -> None:
        raise EngineError("in words of its own")


@pytest.mark.parametrize("engine", [Fit, Sample, Save, Load, LateFacts, NoRows])
def test_what_fails_in_mid_run_is_the_engine_s_own_error(tmp_path: Path, engine: type) -> None:
    """Red when it ends as a bug of ours, or with words that may quote rows."""
    name = f"test_own_engines:{engine.__name__}"
    with pytest.raises(EngineError, match=f"engine '{name}' failed: ") as failed:
        quick(ROWS, tmp_path / "out", engine=name)
    assert "secret cell" not in str(failed.value)
    assert not (tmp_path / "out" / "current").exists()


@pytest.mark.parametrize(("engine", "kind"), [(NoSelf, "NoneType"), (NoLateFacts, "NoLateFacts")])
def test_what_fit_returns_is_an_engine(tmp_path: Path, engine: type, kind: str) -> None:
    name = f"test_own_engines:{engine.__name__}"
    with pytest.raises(EngineError, match=f"^engine '{name}' failed: its fit returned a {kind}, no engine"):
        quick(ROWS, tmp_path / "out", engine=name)


def test_an_engine_s_own_error_passes_and_what_cannot_be_made_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^in words of its own$"):
        quick(ROWS, tmp_path / "out", engine="test_own_engines:Words")
    with pytest.raises(EngineError, match=r"^in words of its own$"):
        engine_info("test_own_engines:Refuses")
    with pytest.raises(ConfigError, match=r"'test_own_engines:Facts' could not be made \(RuntimeError: no facts yet\)"):
        engine_info("test_own_engines:Facts")
    with pytest.raises(ConfigError, match="'test_own_engines:NoFacts' is not an engine: it needs info"):
        engine_info("test_own_engines:NoFacts")


def test_a_full_disk_is_no_fault_of_the_engine_s(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        save_engine(FullDisk(), tmp_path)


def test_drawing_more_rows_names_the_engine_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "road_kit:Harmful"
    quick(ROWS, tmp_path / "out", engine=name)
    monkeypatch.setattr(Harmful, "sample", Sample.sample)
    with pytest.raises(EngineError, match=f"engine '{name}' failed: KeyError at test_own_engines.py"):
        draw(tmp_path / "out", "1", 3, seed=0, out=tmp_path / "more.parquet", trusted=(name,))
    assert not (tmp_path / "more.parquet").exists()
