"""The commits of a destination: numbered files that only grow, and ``current``, which follows them.

A commit is made by giving a synced file its number with ``os.link``: of two writers one gets it. May import errors
and its own room.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path
from typing import Literal, cast

from pydantic import Field, JsonValue, ValidationError

from synthgen.errors import DataError, DestinationChanged
from synthgen.shards.files import Files
from synthgen.shards.manifest import (
    MANIFEST_LIMIT_BYTES,
    MANIFEST_NAME,
    Manifest,
    RunId,
    Sha256,
    Value,
    first_line,
    manifest_bytes,
    parse_manifest,
    utc_now,
)
from synthgen.shards.sealed import seal, unseal

COMMITS, DATA, STAGING, QUARANTINE, CURRENT = "commits", "data", ".staging", "quarantine", "current"
_COMMIT_NAME = re.compile(r"[0-9]{8}\.json")
_COMMIT_LIMIT_BYTES = 1 << 20


class Commit(Value):
    """One publication: which run, the hash of its manifest, the commit before it (None for the first)."""

    schema_version: Literal[1] = 1
    number: int = Field(ge=1)
    parent: int | None
    run_id: RunId
    run_key: Sha256
    input_fingerprint: str
    manifest_sha256: Sha256
    verdict: str
    created: str = Field(default_factory=utc_now)


def commit_path(number: int) -> str:
    """Return a commit's path below the destination."""
    return f"{COMMITS}/{number:08d}.json"


def commit_numbers(files: Files, out: Path) -> list[int]:
    """Return the numbers of the commits, ascending."""
    return [int(name[:8]) for name in files.names(out / COMMITS) if _COMMIT_NAME.fullmatch(name)]


def read_commit(files: Files, out: Path, number: int) -> Commit:
    """Return a commit; FileNotFoundError where there is none of this number, DataError where it is damaged."""
    name = commit_path(number)
    try:
        commit = Commit.model_validate(unseal(files.read(out, name, limit_bytes=_COMMIT_LIMIT_BYTES)))
        if commit.number != number or commit.parent != (number - 1 or None):
            raise ValueError(f"it calls itself number {commit.number} after {commit.parent}")
    except (ValueError, ValidationError) as error:
        raise DataError(f"{out / name} is damaged: {first_line(error)}; restore it from a copy") from error
    return commit


def read_head(files: Files, out: Path) -> Commit | None:
    """Return the highest commit; None where nothing was published. DataError where it is damaged."""
    numbers = commit_numbers(files, out)
    return read_commit(files, out, numbers[-1]) if numbers else None


def read_manifest(files: Files, out: Path, commit: Commit) -> Manifest:
    """Return the manifest that ``commit`` names; DataError unless it is the very one, to the bit."""
    name = f"{DATA}/{commit.run_id}/{MANIFEST_NAME}"
    data = _read_limited(files, out, name)
    if hashlib.sha256(data).hexdigest() != commit.manifest_sha256:
        raise DataError(
            f"{out / name} is damaged or was changed: its sha256 is not the one in {commit_path(commit.number)}; "
            "restore it from a copy, or remove its folder and publish again"
        )
    return parse_manifest(data, name=str(out / name))


def read_loose_manifest(files: Files, folder: Path) -> Manifest:
    """Return the manifest in ``folder``, on the word of its own seal."""
    return parse_manifest(_read_limited(files, folder, MANIFEST_NAME), name=str(folder / MANIFEST_NAME))


def add_commit(files: Files, out: Path, manifest: Manifest, *, parent: int) -> Commit:
    """Commit the run, whose folder is in place, on top of the highest commit.

    ``parent`` is the highest commit that this run has seen. Raises DestinationChanged where a later one is of
    another input; later ones of the same input are built upon.
    """
    files.make_folder(out / COMMITS)
    sha256 = hashlib.sha256(manifest_bytes(manifest)).hexdigest()
    draft = out / STAGING / f"{manifest.run_id}.commit"
    while True:
        head = read_head(files, out)
        if head is not None and (head.run_key, head.manifest_sha256) == (manifest.run_key, sha256):
            commit = head  # by an earlier attempt; perhaps it died before the sync below
            break
        refuse_other_input(files, out, manifest, parent=parent)
        number = head.number + 1 if head else 1
        commit = Commit(
            number=number,
            parent=head.number if head else None,
            run_id=manifest.run_id,
            run_key=manifest.run_key,
            input_fingerprint=manifest.input.fingerprint,
            manifest_sha256=sha256,
            verdict=manifest.status,
        )
        files.remove(draft)  # never emptied in place: it may be a second name of an earlier commit
        with files.create(draft) as output:
            output.write(seal(cast("dict[str, JsonValue]", commit.model_dump(mode="json"))))
        with contextlib.suppress(FileExistsError):  # the race is lost: look at what the winner committed
            files.link(draft, out / commit_path(number))
            break
    files.sync(out / COMMITS)
    files.remove(draft)
    return commit


def refuse_other_input(files: Files, out: Path, manifest: Manifest, *, parent: int) -> None:
    """Raise DestinationChanged where a commit after ``parent`` was made from another input than ``manifest``'s."""
    for number in commit_numbers(files, out):
        if number <= parent:
            continue
        with contextlib.suppress(FileNotFoundError):  # gc may take it in between
            commit = read_commit(files, out, number)
            if commit.input_fingerprint != manifest.input.fingerprint:
                raise DestinationChanged(
                    f"{out} got commit {number} (run {commit.run_id}, from another input than "
                    f"{manifest.input.name!r}) while this run worked; it is unchanged by this run: "
                    "give the command again to publish on top of it, or choose another --out"
                )


def point_current(files: Files, out: Path, run_id: str) -> None:
    """Let ``current`` lead to the highest commit's run, also while other writers do the same.

    Whoever replaces the link looks at the head afterwards, so the last to replace it saw the last head.
    """
    draft = out / STAGING / f"{run_id}.current"
    while (head := read_head(files, out)) is not None:
        target = f"{DATA}/{head.run_id}"
        if current_target(out) != target:
            files.remove(draft)
            files.symlink(target, draft)
            files.replace(draft, out / CURRENT)
            files.sync(out)
        after = read_head(files, out)
        if after is not None and after.number == head.number:
            return


def current_target(out: Path) -> str | None:
    """Return what ``current`` points to; None where it is missing or no symlink."""
    try:
        return os.readlink(out / CURRENT)  # noqa: PTH115 - the text of the link, not a path
    except OSError:
        return None


def _read_limited(files: Files, root: Path, name: str) -> bytes:
    try:
        return files.read(root, name, limit_bytes=MANIFEST_LIMIT_BYTES)
    except ValueError as error:
        raise DataError(f"{error}; restore it from a copy") from error
