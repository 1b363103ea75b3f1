"""``gc``: what no kept commit names, and work that nobody continues, is removed; nothing else ever is.

May import errors and its own room. Never called while writing.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthgen.errors import ConfigError, DataError, PublishError
from synthgen.shards.commits import (
    COMMITS,
    DATA,
    STAGING,
    commit_numbers,
    commit_path,
    current_target,
    read_commit,
    read_loose_manifest,
)
from synthgen.shards.files import Files
from synthgen.shards.manifest import MANIFEST_NAME, RUN_ID
from synthgen.shards.preflight import destination_errors, preflight
from synthgen.shards.stage import heartbeat_path, lock_path, remove_traces
from synthgen.shards.verify import check_files

_DAY_SECONDS = 86_400.0
_GONE = re.compile(r"[0-9a-f]{12}\.gone")


@dataclass(frozen=True)
class Garbage:
    """One thing that ``gc`` removed, or would: its path below the destination, its size, and why."""

    path: str
    size_bytes: int
    reason: str


def gc(
    out: Path,
    *,
    keep: int = 3,
    older_than_seconds: float = _DAY_SECONDS,
    dry_run: bool = False,
    files: Files | None = None,
) -> tuple[Garbage, ...]:
    """Remove old runs and dead work from a destination; return what was removed, or with ``dry_run`` would be.

    Old are commits that are neither among the last ``keep`` (1 or more) nor younger than ``older_than_seconds``, and
    runs that no other commit and not ``current`` names. Dead is staging whose heartbeat is that old and whose lock
    nobody holds. Quarantine stays, a folder with a file that its manifest does not list stays, and so does
    everything that synthgen did not make. Raises PublishError where a commit cannot be read: then nothing is removed.
    """
    if keep < 1 or older_than_seconds < 0:
        raise ConfigError(f"keep is {keep} and older_than {older_than_seconds:g} s; give 1 or more, and 0 or more")
    if not out.exists():
        raise PublishError(f"{out} does not exist; give the folder that --out named")
    out, files = preflight(out), files or Files()
    collector = _Collector(out, files, time.time() - older_than_seconds, dry_run)
    with destination_errors(out):
        collector.old_commits(keep)
        for name in files.names(out / DATA):
            collector.run(name)
        for name in files.names(out / STAGING):
            collector.staging(name)
    return tuple(collector.garbage)


class _Collector:
    def __init__(self, out: Path, files: Files, before: float, dry_run: bool) -> None:
        self._out, self._files, self._before, self._dry_run = out, files, before, dry_run
        self._dropped: set[int] = set()
        self.garbage: list[Garbage] = []

    def old_commits(self, keep: int) -> None:
        numbers = commit_numbers(self._files, self._out)
        commits = {number: read_commit(self._files, self._out, number) for number in numbers}
        named = {commits[number].run_id for number in numbers[-keep:]}
        for number in numbers[:-keep]:
            path, run_id = commit_path(number), commits[number].run_id
            lasting = current_target(self._out) == f"{DATA}/{run_id}" and run_id not in named
            if lasting or not self._old(self._out / path):
                break  # only from the old end, so that the kept ones are contiguous
            self._dropped.add(number)
            self._note(path, f"not among the last {keep} commits")
            if not self._dry_run:
                self._files.remove(self._out / path)
                self._files.sync(self._out / COMMITS)

    def run(self, name: str) -> None:
        folder = self._out / DATA / name
        if not RUN_ID.fullmatch(name) or folder.is_symlink() or not self._spare(folder, name):
            return
        with self._lock(name) as held:
            if held and self._spare(folder, name):  # as seen now that nobody can publish it
                self._note(f"{DATA}/{name}", "named by no commit")
                self._set_aside(folder, name)

    def staging(self, name: str) -> None:
        folder = self._out / STAGING / name
        if _GONE.fullmatch(name) and not folder.is_symlink():
            with self._lock(name.removesuffix(".gone")) as held:
                if held and folder.exists():
                    self._note(f"{STAGING}/{name}", "left of an earlier gc")
                    if not self._dry_run:
                        self._files.remove_tree(folder)
        elif name.endswith(".heartbeat") and RUN_ID.fullmatch(run_id := name.removesuffix(".heartbeat")):
            heartbeat, work = heartbeat_path(self._out, run_id), self._out / STAGING / run_id
            if work.is_symlink() or not self._old(heartbeat):
                return
            with self._lock(run_id) as held:
                if held and self._old(heartbeat):
                    self._note(f"{STAGING}/{run_id}", "its heartbeat lapsed and nobody works on it")
                    self._set_aside(work, run_id)

    def _spare(self, folder: Path, run_id: str) -> bool:
        """Whether neither ``current`` nor a commit that stays names the run, and it is old and without strangers."""
        if current_target(self._out) == f"{DATA}/{run_id}":
            return False
        for number in commit_numbers(self._files, self._out):
            if number not in self._dropped:
                with contextlib.suppress(FileNotFoundError):
                    if read_commit(self._files, self._out, number).run_id == run_id:
                        return False
        try:
            manifest = read_loose_manifest(self._files, folder)
        except (DataError, OSError):  # not a folder of ours, or one that only a person can judge
            return False
        problems = check_files(self._files, folder, manifest, hashes=False)
        foreign = any(problem.kind == "foreign" for problem in problems)
        return manifest.run_id == run_id and not foreign and self._old(folder / MANIFEST_NAME)

    def _set_aside(self, folder: Path, run_id: str) -> None:
        """Take the folder out of sight in one step, then remove it; a death in between leaves a ``.gone`` folder."""
        if self._dry_run:
            return
        gone = self._out / STAGING / f"{run_id}.gone"
        if gone.exists():
            self._files.remove_tree(gone)
        if folder.exists():
            self._files.make_folder(gone.parent)
            self._files.rename(folder, gone)
            self._files.sync(folder.parent)
            self._files.remove_tree(gone)

    @contextlib.contextmanager
    def _lock(self, run_id: str) -> Iterator[bool]:
        """Hold the run if nobody does; what was left of it goes along when its folder is gone."""
        path = lock_path(self._out, run_id)
        if self._dry_run and not path.exists():
            yield True
            return
        self._files.make_folder(path.parent)
        try:
            handle = self._files.lock(path)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
            if not self._dry_run and not (self._out / STAGING / run_id).exists():
                remove_traces(self._files, self._out, run_id)
        finally:
            os.close(handle)

    def _old(self, path: Path) -> bool:
        try:
            return path.lstat().st_mtime <= self._before
        except FileNotFoundError:
            return False

    def _note(self, path: str, reason: str) -> None:
        place = self._out / path
        tree = self._files.tree(place) if place.is_dir() else {}
        size = sum(status.st_size for status in tree.values()) if tree else _size(place)
        self.garbage.append(Garbage(path, size, reason))


def _size(path: Path) -> int:
    return path.lstat().st_size if os.path.lexists(path) else 0
