"""Publication: a finished folder becomes what readers see, in one step, or does not.

The protocol: every file and folder synced, the manifest last, the folder renamed to ``data/<run_id>``, then the
commit (see commits), then ``current``. Killed anywhere, readers see the earlier content or the new one, and the same
call again completes. May import errors and its own room.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgen.errors import PublishError
from synthgen.shards.commits import (
    COMMITS,
    DATA,
    QUARANTINE,
    STAGING,
    Commit,
    add_commit,
    commit_numbers,
    point_current,
    read_head,
    read_loose_manifest,
    read_manifest,
    refuse_other_input,
)
from synthgen.shards.files import Files
from synthgen.shards.manifest import MANIFEST_NAME, FileEntry, Manifest, manifest_bytes, run_id_of
from synthgen.shards.preflight import destination_errors, preflight
from synthgen.shards.stage import Stage, run_lock
from synthgen.shards.verify import check_files


@dataclass(frozen=True)
class Published:
    """A publication: its commit number, its immutable folder, its manifest. ``new``: made by this call."""

    commit: int
    folder: Path
    manifest: Manifest
    new: bool


def list_files(folder: Path, *, known: Sequence[FileEntry] = (), files: Files | None = None) -> tuple[FileEntry, ...]:
    """Return an entry for every file below ``folder`` in order of path; those of ``known`` as they are.

    The manifest itself is left out.
    """
    files, by_path = files or Files(), {entry.path: entry for entry in known}
    with destination_errors(folder):
        for path in files.tree(folder):
            if path not in by_path and path != MANIFEST_NAME:
                digest = files.digest(folder, path)
                by_path[path] = FileEntry(path=path, size_bytes=digest.size_bytes, sha256=digest.sha256)
    return tuple(by_path[path] for path in sorted(by_path))


def publish(stage: Stage, *, manifest: Manifest, folder: Path | None = None) -> Published:
    """Publish ``folder`` (the run folder, or one inside it), which holds the files of ``manifest`` and no other.

    Idempotent: a run that is already the head is answered, one that died half-way is completed. Raises
    DestinationChanged where a run from another input was published since ``stage`` was taken, PublishError where the
    destination refuses or the folder is not what the manifest says; in all cases the earlier content stays.
    """
    folder, out, files = folder or stage.folder, stage.out, stage.files
    _refuse_other_run(stage, manifest, folder)
    with destination_errors(out):
        if (done := _published(files, out, manifest.run_key)) is not None:
            return _settle(files, out, done)
        refuse_other_input(files, out, manifest, parent=stage.parent)
        placed = _placed(files, out, manifest.run_key)
        if placed is None:
            _seal(files, folder, manifest, draft=out / STAGING / f"{stage.run_id}.manifest")
            files.make_folder(out / DATA)
            files.rename(folder, _data(out, manifest))
            files.sync(folder.parent)
        return _commit(files, out, placed or manifest, parent=stage.parent)


def complete(out: Path, *, run_key: str, files: Files | None = None) -> Published | None:
    """Publish again a run whose folder is in place without being the head: one that died before its commit, or one
    that others were published after. None where there is no such folder; PublishError as for ``publish``.
    """
    out, files = preflight(out), files or Files()
    run_id = run_id_of(run_key)
    with destination_errors(out):
        if not (out / DATA / run_id).exists():
            return None
        files.make_folder(out / COMMITS)
        files.make_folder(out / STAGING)
        with run_lock(files, out, run_id):
            if (done := _published(files, out, run_key)) is not None:
                return _settle(files, out, done)
            placed = _placed(files, out, run_key)
            if placed is None:
                return None
            return _commit(files, out, placed, parent=(commit_numbers(files, out) or [0])[-1])


def find_published(out: Path, *, run_key: str) -> Published | None:
    """Return the publication of this run where it is the head, whole (by name and size); None where it is not.

    Raises PublishError where it is the head and damaged.
    """
    out = Path(os.path.realpath(out))
    with destination_errors(out):
        return _published(Files(), out, run_key)


def quarantine(stage: Stage, *, manifest: Manifest) -> Path:
    """Move the run folder, whole, to ``out/quarantine/<run_id>``; ``current`` and the commits stay as they are.

    Returns the new place; where this run is there already, nothing is moved.
    """
    out, files = stage.out, stage.files
    _refuse_other_run(stage, manifest, stage.folder)
    target = out / QUARANTINE / stage.run_id
    with destination_errors(out):
        if find_quarantined(out, run_key=manifest.run_key) is None:
            files.write(stage.folder / MANIFEST_NAME, manifest_bytes(manifest))
            files.sync(stage.folder)
            files.make_folder(out / QUARANTINE)
            files.rename(stage.folder, target)
            files.sync(stage.folder.parent)
        files.sync(out / QUARANTINE)
    return target


def find_quarantined(out: Path, *, run_key: str) -> Manifest | None:
    """Return the manifest of this run where it is in quarantine."""
    out = Path(os.path.realpath(out))
    with destination_errors(out):
        try:
            manifest = read_loose_manifest(Files(), out / QUARANTINE / run_id_of(run_key))
        except FileNotFoundError:
            return None
    return manifest if manifest.run_key == run_key else None


def _published(files: Files, out: Path, run_key: str) -> Published | None:
    head = read_head(files, out)
    if head is None or head.run_key != run_key or not (out / DATA / head.run_id).exists():
        return None
    return Published(head.number, out / DATA / head.run_id, _whole(files, out, head), new=False)


def _whole(files: Files, out: Path, head: Commit) -> Manifest:
    folder = out / DATA / head.run_id
    try:
        manifest = read_manifest(files, out, head)
    except FileNotFoundError as error:
        raise PublishError(f"{folder / MANIFEST_NAME} is missing; {_mend(folder)}") from error
    _refuse_problems(files, folder, manifest, hashes=False)
    return manifest


def _settle(files: Files, out: Path, done: Published) -> Published:
    """Finish what an earlier call may have left after its commit: the sync of it, and ``current``."""
    files.sync(out / COMMITS)
    point_current(files, out, done.manifest.run_id)
    return done


def _placed(files: Files, out: Path, run_key: str) -> Manifest | None:
    """Return the manifest of the run's folder in ``data`` where there is one: whole, or else an error."""
    folder = out / DATA / run_id_of(run_key)
    if not os.path.lexists(folder):
        return None
    try:
        manifest = read_loose_manifest(files, folder)
    except FileNotFoundError as error:
        raise PublishError(f"{folder} is there without a {MANIFEST_NAME}; move it away, then try again") from error
    if manifest.run_key != run_key:
        raise PublishError(f"{folder} is of the run {manifest.run_key}, not {run_key}; move it away, then try again")
    _refuse_problems(files, folder, manifest, hashes=True)
    return manifest


def _refuse_problems(files: Files, folder: Path, manifest: Manifest, *, hashes: bool) -> None:
    for problem in check_files(files, folder, manifest, hashes=hashes):
        raise PublishError(f"{folder / problem.path} is {problem.kind} ({problem.detail}); {_mend(folder)}")


def _mend(folder: Path) -> str:
    return f"restore it from a copy, or remove {folder}, then give the same command again"


def _seal(files: Files, folder: Path, manifest: Manifest, *, draft: Path) -> None:
    """Check the folder against the manifest, force all of it to disk, and write the manifest last."""
    for problem in check_files(files, folder, manifest):
        raise PublishError(
            f"{folder / problem.path} is {problem.kind} ({problem.detail}) and cannot be published; nothing was "
            "changed: give the same command again"
        )
    folders = {folder}
    for entry in manifest.files:
        path = folder / entry.path
        files.sync(path)
        while (path := path.parent) != folder:
            folders.add(path)
    for each in sorted(folders - {folder}, reverse=True):
        files.sync(each)
    with files.create(draft) as output:  # outside, where a death leaves nothing to be published
        output.write(manifest_bytes(manifest))
    files.replace(draft, folder / MANIFEST_NAME)
    files.sync(folder)


def _commit(files: Files, out: Path, manifest: Manifest, *, parent: int) -> Published:
    files.sync(out / DATA)  # also when an earlier call did the rename: no commit before its folder is on disk
    commit = add_commit(files, out, manifest, parent=parent)
    point_current(files, out, manifest.run_id)
    return Published(commit.number, _data(out, manifest), manifest, new=True)


def _data(out: Path, manifest: Manifest) -> Path:
    return out / DATA / manifest.run_id


def _refuse_other_run(stage: Stage, manifest: Manifest, folder: Path) -> None:
    if manifest.run_id != stage.run_id:
        raise PublishError(f"the manifest is of run {manifest.run_id}, the folder of run {stage.run_id}")
    if folder != stage.folder and stage.folder not in folder.parents:
        raise PublishError(f"{folder} is not in {stage.folder}; only what was staged can be published")
