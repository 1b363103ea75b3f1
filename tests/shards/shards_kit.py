"""What the tests of shards share: small runs to publish, and file operations that fail on demand."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa

from synthgen.shards.files import Files, Output
from synthgen.shards.manifest import ClassCounts, FileEntry, InputInfo, LabelName, Manifest, run_id_of
from synthgen.shards.parquet import write_shards
from synthgen.shards.publish import Published, list_files, publish
from synthgen.shards.reader import read_shards, verify
from synthgen.shards.stage import Stage, stage

N_REAL, N_SYNTHETIC = 7, 5


def key_of(marker: int) -> str:
    return hashlib.sha256(f"run {marker}".encode()).hexdigest()


def table_of(marker: int, n_rows: int) -> pa.Table:
    """Rows that all carry the run's marker, so that a mix of two runs shows."""
    return pa.table(
        {
            "run": [marker] * n_rows,
            "row": list(range(n_rows)),
            "fraud": ["yes", "no"] * (n_rows // 2) + ["no"] * (n_rows % 2),
        }
    )


def manifest_of(
    marker: int, entries: tuple[FileEntry, ...] = (), *, fingerprint: str = "input", status: str = "PASS"
) -> Manifest:
    counts: dict[str, ClassCounts] = {}
    if entries:
        real, added = table_of(marker, N_REAL), table_of(marker, N_SYNTHETIC)
        for text in ("no", "yes"):
            counts[text] = ClassCounts(
                real=real["fraud"].to_pylist().count(text), synthetic=added["fraud"].to_pylist().count(text)
            )
    return Manifest(
        run_id=run_id_of(key_of(marker)),
        run_key=key_of(marker),
        created="2026-01-01T00:00:00+00:00",
        input=InputInfo(fingerprint=fingerprint, name="fraud.parquet", rows=N_REAL),
        config={"engine": "oversample"},
        seeds={"run": 0},
        versions={"synthgen": "0.1.0"},
        engine="oversample",
        strategy="auto",
        label="fraud",
        labels=(LabelName(code=0, text="no", value="no"), LabelName(code=1, text="yes", value="yes")),
        counts=counts,
        files=entries,
        verdict={"status": status},
        priors_before={"no": 0.5, "yes": 0.5},
        priors_after={"no": 0.5, "yes": 0.5},
    )


def fill(work: Stage, marker: int, *, fingerprint: str = "input") -> Manifest:
    """Write a run's files below ``work.folder / "out"``; return their manifest."""
    root = work.folder / "out"
    entries = []
    for prefix, n_rows in (("real", N_REAL), ("synthetic", N_SYNTHETIC)):
        entries += write_shards(
            table_of(marker, n_rows),
            root / "train",
            prefix=prefix,
            seed=0,
            run_id=work.run_id,
            root=root,
            rows_per_file=4 if prefix == "real" else 100,
            files=work.files,
        )
    work.write(root / "labels.json", b"{}\n")
    (root / "report.html").write_text(f"run {marker}")  # by a writer that knows nothing of syncing
    if isinstance(work.files, PowerCut):
        work.files.dirty(root / "report.html")
    return manifest_of(marker, list_files(root, known=entries, files=work.files), fingerprint=fingerprint)


def publish_run(out: Path, marker: int, *, fingerprint: str = "input", files: Files | None = None) -> Published:
    """Stage, write and publish a run; whatever happens on the way comes out."""
    with stage(out, run_id=run_id_of(key_of(marker)), files=files or Unsynced()) as work:
        published = publish(work, manifest=fill(work, marker, fingerprint=fingerprint), folder=work.folder / "out")
        work.discard()
    return published


def marker_in(frame: pd.DataFrame) -> int:
    """The one marker of a complete run; fails on anything else."""
    markers = set(frame["run"])
    assert len(markers) == 1, f"rows of several runs: {markers}"
    assert len(frame) == N_REAL + N_SYNTHETIC, "not all rows"
    return int(markers.pop())


def seen(out: Path) -> int:
    """What a reader of the destination sees, after everything in it was verified."""
    report = verify(out)
    assert report.ok, report.problems
    marker = marker_in(read_shards(out).to_pandas())
    assert marker_in(pd.read_parquet(out / "current" / "train")) in (marker, marker - 1)
    return marker


class Killed(BaseException):
    """The process is gone: nothing after this touches the destination."""


class Unsynced(Files):
    """Announces its syncs and spares the disk: what a sync is for, PowerCut tests."""

    def _sync(self, path: Path, handle: int) -> None:
        self.step("fsync", path)


class Counting(Unsynced):
    """Notes every operation."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, Path]] = []

    def step(self, operation: str, path: Path) -> None:
        self.operations.append((operation, path))


class FailAt(Unsynced):
    """Fails at operation number ``at`` (and, killed, at all later ones)."""

    def __init__(self, at: int, fault: str) -> None:
        self.at, self.fault, self.count = at, fault, 0
        self.failed: tuple[str, Path] | None = None

    def step(self, operation: str, path: Path) -> None:
        self.count += 1
        if self.count <= self.at:
            return
        if self.fault == "exit":
            os._exit(9)
        if self.fault == "kill":
            self.failed = self.failed or (operation, path)
            raise Killed
        if self.failed is None:
            self.failed = (operation, path)
            number = getattr(errno, self.fault)
            raise OSError(number, os.strerror(number), str(path))


class PowerCut(FailAt):
    """Dies like FailAt, and can then lose what was not synced: contents, names, or both."""

    def __init__(self, at: int, out: Path, backups: Path) -> None:
        super().__init__(at, "kill")
        self._out, self._backups = out, backups
        self._dirty: set[int] = set()
        self._names: list[tuple[int, str, Callable[[Path], object]]] = []
        backups.mkdir(exist_ok=True)

    def dirty(self, path: Path) -> None:
        """Note a file that somebody else wrote without syncing it."""
        self._dirty.add(path.stat().st_ino)
        self._name(path, Path.unlink)

    def lose(self, what: str) -> None:
        """Lose all that is not synced yet; with "names but commits" the newest commit happens to be on disk."""
        folders = {self._out.stat().st_ino: self._out}
        for folder, names, files in os.walk(self._out):
            folders |= {Path(folder, name).stat().st_ino: Path(folder, name) for name in names}
            for path in (Path(folder, name) for name in files):
                if what in ("contents", "all") and not path.is_symlink() and path.stat().st_ino in self._dirty:
                    os.truncate(path, 0)
        for inode, name, undo in reversed(self._names if what != "contents" else []):
            parent = folders.get(inode)
            if parent is not None and not (what == "names but commits" and parent.name == "commits"):
                with contextlib.suppress(OSError):
                    undo(parent / name)

    def step(self, operation: str, path: Path) -> None:
        super().step(operation, path)
        if operation == "mkdir":
            self._name(path, Path.rmdir)

    @contextlib.contextmanager
    def create(self, path: Path) -> Iterator[Output]:
        new = not os.path.lexists(path)
        with super().create(path) as output:
            self._dirty.add(path.stat().st_ino)
            if new:
                self._name(path, Path.unlink)
            yield output

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._name(target, lambda now: now.rename(source))

    def replace(self, source: Path, target: Path) -> None:
        restore = self._backup(target)
        super().replace(source, target)
        self._name(target, lambda now: (now.unlink(), restore(now)))

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self._name(target, Path.unlink)

    def symlink(self, points_to: str, path: Path) -> None:
        super().symlink(points_to, path)
        self._name(path, Path.unlink)

    def remove(self, path: Path) -> None:
        restore = self._backup(path)
        super().remove(path)
        self._name(path, restore)

    def _name(self, path: Path, undo: Callable[[Path], object]) -> None:
        self._names.append((path.parent.stat().st_ino, path.name, undo))

    def _backup(self, path: Path) -> Callable[[Path], object]:
        if not os.path.lexists(path):
            return lambda now: None
        kept = self._backups / str(sum(1 for _ in self._backups.iterdir()))
        os.link(path, kept, follow_symlinks=False)
        return lambda now: os.link(kept, now, follow_symlinks=False)

    def _sync(self, path: Path, handle: int) -> None:
        super()._sync(path, handle)
        inode = os.fstat(handle).st_ino
        self._names = [entry for entry in self._names if entry[0] != inode]
        self._dirty.discard(inode)
