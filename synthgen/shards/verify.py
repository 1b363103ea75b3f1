"""Every published byte against its manifest, every manifest against its commit.

May import errors and its own room. Reads only.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synthgen.errors import DataError
from synthgen.shards.commits import (
    COMMITS,
    CURRENT,
    DATA,
    Commit,
    commit_numbers,
    commit_path,
    current_target,
    read_commit,
    read_loose_manifest,
    read_manifest,
)
from synthgen.shards.files import Files
from synthgen.shards.manifest import MANIFEST_NAME, RUN_ID, FileEntry, Manifest

ProblemKind = Literal["bad", "missing", "foreign", "pending"]


@dataclass(frozen=True)
class Problem:
    """One file (path below the folder that was verified) that is not as published, and in what way."""

    path: str
    kind: ProblemKind
    detail: str


@dataclass(frozen=True)
class Report:
    """What ``verify`` found. ``pending`` is what a publication under way, or dead, leaves: listed, and no error."""

    problems: tuple[Problem, ...]
    n_files: int
    size_bytes: int

    @property
    def ok(self) -> bool:
        """Whether every published file is there, whole, and alone."""
        return all(problem.kind == "pending" for problem in self.problems)


def verify(folder: Path) -> Report:
    """Return what differs from what was published in a destination, or in one ``data/<run_id>`` of it or copied.

    Every listed file is read and hashed. Raises DataError where nothing was published in ``folder``.
    """
    files, root = Files(), Path(os.path.realpath(folder))
    if (root / COMMITS).is_dir():
        return _verify_destination(files, root)
    if not os.path.lexists(root / MANIFEST_NAME):
        raise DataError(f"{folder} has neither commits nor a {MANIFEST_NAME}; give the folder that --out named")
    try:
        manifest = read_loose_manifest(files, root)
    except (DataError, OSError) as error:
        return Report((Problem(MANIFEST_NAME, "bad", str(error)),), 1, 0)
    return _report(manifest, check_files(files, root, manifest))


def check_files(files: Files, root: Path, manifest: Manifest, *, hashes: bool = True) -> list[Problem]:
    """Return what in a run's folder differs from its manifest: by hash, or by size alone where ``hashes`` is False."""
    problems = []
    found = files.tree(root)
    for entry in manifest.files:
        status = found.pop(entry.path, None)
        if status is None:
            problems.append(Problem(entry.path, "missing", "listed in the manifest, and not there"))
        elif not stat.S_ISREG(status.st_mode):
            problems.append(Problem(entry.path, "bad", "a symlink or another special file"))
        elif status.st_size != entry.size_bytes:
            detail = f"{status.st_size} bytes, the manifest says {entry.size_bytes}"
            problems.append(Problem(entry.path, "bad", detail))
        elif hashes and files.digest(root, entry.path).sha256 != entry.sha256:
            problems.append(Problem(entry.path, "bad", "its sha256 is not the manifest's"))
    found.pop(MANIFEST_NAME, None)
    problems += [Problem(path, "foreign", "not listed in the manifest") for path in sorted(found)]
    return problems


def read_listed(folder: Path, entry: FileEntry) -> bytes:
    """Return a listed file's content; DataError where it is missing or is not, to the bit, what its entry says."""
    try:
        data = Files().read(folder, entry.path, limit_bytes=entry.size_bytes)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ValueError("its sha256 is not the manifest's")
    except (ValueError, OSError) as error:
        raise not_as_published(folder, entry, error) from error
    return data


def not_as_published(folder: Path, entry: FileEntry, error: object) -> DataError:
    """Return the error that names a file which is not what was published."""
    return DataError(f"{folder / entry.path} is not as published ({error}); restore it from a copy, or publish again")


def _verify_destination(files: Files, out: Path) -> Report:
    numbers = commit_numbers(files, out)
    problems = _strangers(files, out, {f"{number:08d}.json" for number in numbers})
    commits: dict[str, Commit] = {}
    for earlier, number in zip([None, *numbers], numbers, strict=False):
        if earlier is not None and number != earlier + 1:
            problems.append(Problem(commit_path(number - 1), "missing", f"commit {number} builds upon it"))
        try:
            commit = read_commit(files, out, number)
            commits[commit.run_id] = commit
        except (DataError, OSError) as error:
            problems.append(Problem(commit_path(number), "bad", str(error)))
    reports = [_verify_run(files, out, commit) for commit in commits.values()]
    for name in files.names(out / DATA):
        if name not in commits:
            kind: ProblemKind = "pending" if RUN_ID.fullmatch(name) else "foreign"
            problems.append(Problem(f"{DATA}/{name}", kind, "named by no commit that can be read"))
    problems += _verify_current(out, commits)
    for report in reports:
        problems += report.problems
    n_files = len(numbers) + sum(report.n_files for report in reports)
    return Report(tuple(problems), n_files, sum(report.size_bytes for report in reports))


def _verify_current(out: Path, commits: dict[str, Commit]) -> list[Problem]:
    """``current`` leads to the head, or, between a commit and its end, still to the run before."""
    head, target = max(commits.values(), key=lambda commit: commit.number, default=None), current_target(out)
    if head is None or target == f"{DATA}/{head.run_id}":
        return []
    behind = target in [f"{DATA}/{run_id}" for run_id in commits] or (target is None and head.number == 1)
    detail = f"leads to {target}, the last commit to {DATA}/{head.run_id}"
    return [Problem(CURRENT, "pending" if behind else "bad", detail)]


def _verify_run(files: Files, out: Path, commit: Commit) -> Report:
    folder = f"{DATA}/{commit.run_id}"
    try:
        manifest = read_manifest(files, out, commit)
        agreed = (manifest.run_key, manifest.input.fingerprint, manifest.status)
        if agreed != (commit.run_key, commit.input_fingerprint, commit.verdict):
            raise DataError(f"{folder}/{MANIFEST_NAME} is of another run than {commit_path(commit.number)} says")
        problems = check_files(files, out / folder, manifest)
    except FileNotFoundError:
        return Report((Problem(f"{folder}/{MANIFEST_NAME}", "missing", "named by a commit, and not there"),), 1, 0)
    except (DataError, OSError) as error:
        return Report((Problem(f"{folder}/{MANIFEST_NAME}", "bad", str(error)),), 1, 0)
    moved = [Problem(f"{folder}/{problem.path}", problem.kind, problem.detail) for problem in problems]
    return _report(manifest, moved)


def _report(manifest: Manifest, problems: list[Problem]) -> Report:
    return Report(tuple(problems), 1 + len(manifest.files), sum(entry.size_bytes for entry in manifest.files))


def _strangers(files: Files, out: Path, expected: set[str]) -> list[Problem]:
    names = set(files.names(out / COMMITS)) - expected
    return [Problem(f"{COMMITS}/{name}", "foreign", "not a commit") for name in sorted(names)]
