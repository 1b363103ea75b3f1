"""Where a run works before it is published: its folder in ``.staging``, its lock and its heartbeat.

May import errors and its own room.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from synthgen.errors import PublishError
from synthgen.shards.commits import COMMITS, DATA, STAGING, commit_numbers
from synthgen.shards.files import Files
from synthgen.shards.manifest import RUN_ID, utc_now
from synthgen.shards.preflight import destination_errors, preflight

_BEAT_SECONDS = 5.0
_LOCK_SECONDS = 1.0
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


def lock_path(out: Path, run_id: str) -> Path:
    """Return the file whose lock the process holds that works on this run."""
    return out / STAGING / f"{run_id}.lock"


def heartbeat_path(out: Path, run_id: str) -> Path:
    """Return the file whose time says when this run was last worked on."""
    return out / STAGING / f"{run_id}.heartbeat"


class Stage:
    """A run's own folder, held by one process: ``with stage(out, run_id=...) as work:``; see ``stage``."""

    def __init__(self, out: Path, run_id: str, files: Files, *, parent: int, lock: int) -> None:
        self.out, self.run_id, self.files, self.parent = out, run_id, files, parent
        self._lock: int | None = lock
        self._beaten = float("-inf")

    @property
    def folder(self) -> Path:
        """The run folder, ``.staging/<run_id>``."""
        return self.out / STAGING / self.run_id

    def beat(self) -> None:
        """Tell that the run is alive: ``gc`` leaves it alone. Cheap, so call it at every report of progress."""
        now = time.monotonic()
        if now - self._beaten >= _BEAT_SECONDS:
            with contextlib.suppress(OSError):  # a destination in trouble says so where something is written
                self.files.touch(heartbeat_path(self.out, self.run_id))
            self._beaten = now

    def write(self, path: Path, data: bytes) -> None:
        """Write a small file of the run, whole and synced; PublishError where the destination refuses."""
        with destination_errors(self.out):
            self.files.make_folder(path.parent)
            self.files.write(path, data)

    def discard(self) -> None:
        """Remove the run folder and all that is left in it."""
        with destination_errors(self.out):
            if self.folder.exists():
                self.files.remove_tree(self.folder)

    def release(self) -> None:
        """Let go of the run. Its folder stays for the next attempt; a folder that is gone takes its traces along."""
        if self._lock is None:
            return
        handle, self._lock = self._lock, None
        try:
            if not self.folder.exists():
                remove_traces(self.files, self.out, self.run_id)
        finally:
            os.close(handle)

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with destination_errors(self.out):
            self.release()


def stage(out: Path, *, run_id: str, files: Files | None = None) -> Stage:
    """Return the run's folder ``out/.staging/<run_id>``, made, or as an earlier attempt left it, and locked.

    ``parent`` of the result is the highest commit right now (0 where there is none). Raises PublishError where
    ``out`` may not be written, its file system has no hard links, or another process works on the same run.
    """
    out, files = preflight(out), files or Files()
    if not RUN_ID.fullmatch(run_id):
        raise PublishError(f"run_id {run_id!r} is not twelve hex digits")
    with destination_errors(out):
        for name in (STAGING, DATA, COMMITS):
            files.make_folder(out / name)
        folder = out / STAGING / run_id
        if folder.is_symlink():
            raise PublishError(f"{folder} is a symlink; remove it, then give the same command again")
        handle = _acquire(files, out, run_id)
        try:
            _probe_links(files, out, run_id)
            files.make_folder(folder)
            held = Stage(out, run_id, files, parent=(commit_numbers(files, out) or [0])[-1], lock=handle)
            held.beat()
        except BaseException:
            os.close(handle)
            raise
    return held


@contextlib.contextmanager
def run_lock(files: Files, out: Path, run_id: str) -> Iterator[None]:
    """Hold a run without a folder for it; PublishError where another process has it."""
    handle = _acquire(files, out, run_id)
    try:
        yield
        if not (out / STAGING / run_id).exists():
            remove_traces(files, out, run_id)
    finally:
        os.close(handle)


def remove_traces(files: Files, out: Path, run_id: str) -> None:
    """Remove what lies beside a run's folder; only for who holds its lock, which goes last."""
    for suffix in ("commit", "current", "manifest", "heartbeat", "lock"):
        files.remove(out / STAGING / f"{run_id}.{suffix}")


def _acquire(files: Files, out: Path, run_id: str) -> int:
    path = lock_path(out, run_id)
    deadline = time.monotonic() + _LOCK_SECONDS  # gc holds a lock for moments
    while True:
        try:
            handle = files.lock(path)
        except BlockingIOError as error:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            raise PublishError(
                f"another process works on this very run ({path}, held by {_holder(path)}); wait for it, or choose "
                "another --out"
            ) from error
        note = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": utc_now()})
        with contextlib.suppress(OSError):  # only what a second process is told
            os.ftruncate(handle, 0)
            os.pwrite(handle, note.encode(), 0)
        return handle


def _holder(path: Path) -> str:
    try:
        note = json.loads(path.read_text())
        return f"process {note['pid']} on {note['host']} since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown process"


def _probe_links(files: Files, out: Path, run_id: str) -> None:
    """A commit is a hard link: a file system without them is refused now, not after hours of training."""
    probe, second = lock_path(out, run_id), out / STAGING / f"{run_id}.probe"
    files.remove(second)
    try:
        files.link(probe, second)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise PublishError(
            f"{out} is on a file system without hard links, which publishing needs ({error.strerror}); choose "
            "another --out"
        ) from error
    finally:
        files.remove(second)
