"""The folder of every test of bad inputs: an earlier run is published in it, and nothing outside it may change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_kit import handled, stored, table


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    handled(folder, stored(folder, table(12, 4)))
    return folder / "out"


@pytest.fixture
def place(earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an earlier publication in ``out``. The working and the temporary folder stay empty."""
    inside = tmp_path / "inside"
    shutil.copytree(earlier, inside / "out", symlinks=True)
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    yield inside
    left = [path.name for name in ("here", "temporary") for path in (tmp_path / name).iterdir()]
    assert [name for name in left if not name.startswith("torchinductor")] == []  # torch makes that one by itself
    assert {path.name for path in tmp_path.iterdir()} == {"inside", "here", "temporary"}
