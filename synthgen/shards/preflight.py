"""Whether a destination may be written, asked before anything is: places, foreign files, rights, space.

May import errors and its own room. Reads only; writes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthgen.errors import DataError, PublishError
from synthgen.shards.commits import COMMITS, CURRENT, DATA, QUARANTINE, STAGING, current_target

_OWN_FOLDERS = (STAGING, DATA, COMMITS, QUARANTINE)
_FORMS = {COMMITS: re.compile(r"[0-9]{8}\.json"), STAGING: re.compile(r"[0-9a-f]{12}")}  # what lies in them begins so
_HARMLESS = frozenset({".DS_Store", ".gitignore", ".gitkeep", "lost+found"})
_CURRENT_TARGET = re.compile(rf"{DATA}/[0-9a-f]{{12}}")
_REMEDIES = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some of your disk quota",
    errno.EROFS: "choose another --out",
    errno.EACCES: "get the right to write there",
    errno.EPERM: "get the right to write there",
    errno.EXDEV: "let all of --out be on one file system",
    errno.EEXIST: "move it away",
    errno.ENAMETOOLONG: "choose a shorter --out",
    errno.EIO: "look at the disk's health",
}


def preflight(out: Path, *, inputs: Sequence[Path] = (), need_bytes: int = 0) -> Path:
    """Return the real path of ``out``, which may then be written: made new, empty, or published to before.

    Raises PublishError where ``out`` is a file or a dangling symlink, holds files of others, cannot be written, has
    less than ``need_bytes`` of free space, or where it and one of ``inputs`` are the same or inside one another,
    symlinks followed.
    """
    real = Path(os.path.realpath(out))
    with destination_errors(out):
        if os.path.lexists(out) and not out.exists():
            raise PublishError(f"{out} is a symlink to {real}, which does not exist; choose another --out")
        for place in inputs:
            _refuse_overlap(out, real, place)
        if real.exists():
            if not real.is_dir():
                raise PublishError(f"{out} is a file; --out is a folder that synthgen makes: choose another --out")
            _refuse_foreign(out, real)
        _refuse_unwritable(out, real, need_bytes)
    return real


@contextlib.contextmanager
def destination_errors(out: Path) -> Iterator[None]:
    """Let what the operating system refuses, and what is damaged there, come out as PublishError."""
    try:
        with write_errors(out):
            yield
    except DataError as error:
        raise PublishError(str(error)) from error


@contextlib.contextmanager
def write_errors(out: Path) -> Iterator[None]:
    """Let what the operating system refuses come out as PublishError that names the path and the remedy."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "see that it can be written")
        raise PublishError(
            f"{error.filename2 or error.filename or out}: {error.strerror or error}; what was published before is "
            f"untouched: {remedy}, then give the same command again"
        ) from error


def _refuse_overlap(out: Path, real: Path, place: Path) -> None:
    for source in {Path(os.path.abspath(place)), Path(os.path.realpath(place))}:  # noqa: PTH100 - symlinks kept
        if source == real or source == Path(os.path.abspath(out)):  # noqa: PTH100
            raise PublishError(f"the input {place} and --out {out} are the same place; choose another --out")
        if source in real.parents:
            raise PublishError(
                f"--out {out} is inside the input {place}, which would read its own shards the next time; "
                "choose an --out beside it"
            )
        if real in source.parents:
            raise PublishError(f"the input {place} is inside --out {out}; choose an --out beside it")


def _refuse_foreign(out: Path, real: Path) -> None:
    names = set(os.listdir(real))  # noqa: PTH208
    for name in sorted(names.intersection(_OWN_FOLDERS)):
        if not stat.S_ISDIR((real / name).lstat().st_mode):
            raise PublishError(f"{out / name} is not a folder of synthgen's; choose another --out, or move it away")
    if not any(_ours(real / name, form) for name, form in _FORMS.items() if name in names) and names - _HARMLESS:
        shown = ", ".join(sorted(names - _HARMLESS)[:3])
        raise PublishError(
            f"{out} holds {len(names - _HARMLESS)} files that are not synthgen's ({shown}); nothing was touched: "
            "choose another --out, or an empty folder"
        )
    if CURRENT in names and not _CURRENT_TARGET.fullmatch(current_target(real) or ""):
        raise PublishError(f"{out / CURRENT} is not a link that synthgen made; move it away, or choose another --out")


def _ours(folder: Path, form: re.Pattern[str]) -> bool:
    found = os.listdir(folder)  # noqa: PTH208
    return not found or any(form.match(name) for name in found)


def _refuse_unwritable(out: Path, real: Path, need_bytes: int) -> None:
    nearest = real
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise PublishError(f"{out} cannot be made: {nearest} is a file; choose another --out")
    usage = shutil.disk_usage(nearest)
    if not usage.total:
        raise PublishError(f"{out} lies in {nearest}, which is no disk (it has no space at all); choose another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PublishError(f"{nearest} cannot be written; get the right to write there, or choose another --out")
    free = usage.free
    if free < need_bytes:
        raise PublishError(
            f"{out} needs about {need_bytes / 1e6:,.0f} MB and its disk has {free / 1e6:,.0f} MB free; free some "
            "space, or choose another --out"
        )
