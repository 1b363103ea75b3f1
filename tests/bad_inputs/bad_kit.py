"""What the tests of bad inputs share: the command line in process, and what refused and handled mean.

Every test's name holds the number of its row in the design's table of bad inputs, such as ``test_r26_...``; the name
also says whether the row is refused, handled, or goes on with a note. ``test_bad_every_row.py`` holds the table whole.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synthgen
from synthgen.cli import main
from synthgen.errors import DataError, SynthgenError
from synthgen.publication import BalanceResult
from synthgen.shards.manifest import Manifest

SECRET = "S3CRET"
QUICK = ("--engine", "oversample", "--holdout", 0)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        (line,) = self.out.splitlines()
        return json.loads(line)


def command(*arguments: object) -> Done:
    """Run ``synthgen`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    before, handler = sys.argv, signal.getsignal(signal.SIGTERM)
    sys.argv = ["synthgen", *map(str, arguments)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
        signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})  # what an interrupted main blocks
    return Done(code, out.getvalue(), err.getvalue())


def table(n: int = 40, rare: int = 8, **columns: object) -> pa.Table:
    """``n`` rows with a number, a category, the columns given and the label; the first ``rare`` are of the class 1."""
    rng = np.random.default_rng(0)
    base = {"x": rng.normal(size=n), "c": np.resize(["u", "v"], n)}
    label = (np.arange(n) < rare).astype(int)
    given = {name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()}
    return pa.table({**base, "label": label, **given})


def frame(n: int = 40, rare: int = 8, **columns: object) -> pd.DataFrame:
    """The same as a frame, for what no parquet file can hold."""
    return table(n, rare).to_pandas().assign(**columns)


def stored(folder: Path, rows: pa.Table, name: str = "rows.parquet") -> Path:
    path = folder / name
    pq.write_table(rows, path)
    return path


def state(folder: Path) -> dict[str, bytes | str]:
    """Every file and link under a folder, by its bytes or target."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
    return found


def refused(
    place: Path,
    source: object,
    *says: str,
    kind: type[SynthgenError] = DataError,
    options: tuple[object, ...] = QUICK,
    label: str | None = "label",
) -> str:
    """Balance into ``place / "out"``, where an earlier run published: an error of ``kind``, one line with ``says``.

    A path goes through the command line, anything else through ``balance``. Nothing under ``place`` changes.
    """
    out, before = place / "out", state(place)
    if isinstance(source, str | Path):
        named = () if label is None else ("--label", label)
        done = command("balance", source, *named, "--out", out, "--json", "--quiet", *options)
        assert done.code == kind.exit_code, done
        assert done.json["error"]["type"] == kind.__name__
        assert done.json["error"]["exit_code"] == done.code
        text = done.json["error"]["message"]
        assert done.err == f"error: {text}\n" or not text.isascii(), done.err
    else:
        text = _raised(source, out, kind, label)
    assert "\n" not in text
    assert SECRET not in text
    assert len(text) < 600
    assert "this is a bug" not in text
    for part in says:
        assert part in text, text
    assert state(place) == before
    return text


def _raised(source: object, out: Path, kind: type[SynthgenError], label: str | None) -> str:
    with pytest.raises(SynthgenError) as caught:
        synthgen.balance(source, label=label, engine="oversample", holdout=0, out=out)
    assert type(caught.value) is kind
    return str(caught.value)


def handled(
    place: Path, source: object, *, options: tuple[object, ...] = QUICK, label: str | None = "label"
) -> Manifest:
    """Balance into ``place / "out"``; the real rows published are the input's, value for value. Its manifest."""
    out = place / "out"
    if isinstance(source, str | Path):
        named = () if label is None else ("--label", label)
        done = command("balance", source, *named, "--out", out, "--json", "--quiet", *options)
        assert done.code == 0, done
        assert done.json["published"]
    else:
        result = synthgen.balance(source, label=label, engine="oversample", holdout=0, out=out)
        assert isinstance(result, BalanceResult)
        assert result.published
    shards = synthgen.read_shards(out)
    given = synthgen.load(source, label=label).table if isinstance(source, str | Path | pd.DataFrame) else source
    real = shards.train.origin("real").to_arrow()
    assert real.schema.names == given.schema.names
    assert real.schema.types == given.schema.types
    assert rows_of(real) == rows_of(given)
    return shards.manifest


def rows_of(rows: pa.Table) -> Counter[str]:
    """The rows as a multiset; text tells NaN from missing."""
    return Counter(map(repr, zip(*(column.to_pylist() for column in rows.columns), strict=True)))


def added(place: Path, name: str) -> list[object]:
    """The values that were added in a column."""
    shards = synthgen.read_shards(place / "out")
    part = shards.train.origin("synthetic", "repeated").to_arrow()
    return part.column(name).to_pylist()


def noted(manifest: Manifest, *says: str) -> None:
    """One of the manifest's notes says all of it."""
    assert any(all(part in note for part in says) for note in manifest.notes), manifest.notes
