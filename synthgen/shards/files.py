"""The file operations of a destination, one method each, so that a test can make the k-th one fail.

Everything in this room that touches a destination goes through ``Files``. May import nothing of synthgen.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_BUFFER = 1 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Digest:
    """The content of a file: its size and its sha256 in hex."""

    size_bytes: int
    sha256: str


class Output:
    """A file being written: buffered, hashed on the way, never closed behind the writer's back."""

    def __init__(self, files: Files, path: Path, handle: int) -> None:
        self.closed = False
        self._files, self._path, self._handle = files, path, handle
        self._buffer = bytearray()
        self._size = 0
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> Digest:
        """Size and hash of everything written so far."""
        return Digest(self._size, self._sha256.hexdigest())

    def write(self, data: bytes) -> int:
        """Append ``data``; return its length."""
        view = memoryview(data)
        self._sha256.update(view)
        self._size += view.nbytes
        self._buffer += view
        if len(self._buffer) >= _BUFFER:
            self.flush()
        return view.nbytes

    def tell(self) -> int:
        """Return the number of bytes written so far."""
        return self._size

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        rest = memoryview(bytes(self._buffer))
        self._buffer.clear()
        while rest.nbytes:
            self._files.step("write", self._path)
            rest = rest[os.write(self._handle, rest) :]

    def close(self) -> None:
        """Do nothing: ``Files.create`` closes, so that no half-written file passes for a whole one."""


class Files:
    """The operations. ``step`` is called before each, with its name and path: a test's place to interfere."""

    def step(self, operation: str, path: Path) -> None:
        """Do nothing; what a subclass raises here is what the operation raises."""

    @contextlib.contextmanager
    def create(self, path: Path) -> Iterator[Output]:
        """Open ``path`` for writing, emptied; synced to disk and closed when the block ends well."""
        self.step("open", path)
        handle = os.open(path, _CREATE, 0o666)
        try:
            output = Output(self, path, handle)
            yield output
            output.flush()
            self._sync(path, handle)
        finally:
            os.close(handle)

    def write(self, path: Path, data: bytes) -> None:
        """Write a small file whole and synced; a reader sees the earlier file or this one."""
        temporary = path.with_name(path.name + ".tmp")
        with self.create(temporary) as output:
            output.write(data)
        self.replace(temporary, path)

    def sync(self, path: Path) -> None:
        """Force a file or a folder to disk."""
        self.step("open", path)
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._sync(path, handle)
        finally:
            os.close(handle)

    def make_folder(self, path: Path) -> None:
        """Make a folder and the missing ones above it, each synced into its parent."""
        missing = [path]
        while not missing[-1].exists() and missing[-1] != missing[-1].parent:
            missing.append(missing[-1].parent)
        for folder in reversed(missing[:-1]):
            self.step("mkdir", folder)
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o777)  # noqa: PTH102 - the primitives of this file are os calls throughout
            self.sync(folder.parent)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a folder to a name that is free; FileExistsError where it is not."""
        self.step("rename", target)
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        os.rename(source, target)  # noqa: PTH104

    def replace(self, source: Path, target: Path) -> None:
        """Rename a file or a symlink over whatever file has the target's name."""
        self.step("replace", target)
        os.replace(source, target)  # noqa: PTH105

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; FileExistsError where the name is taken: the compare-and-swap of a commit."""
        self.step("link", target)
        os.link(source, target, follow_symlinks=False)

    def symlink(self, points_to: str, path: Path) -> None:
        """Make ``path`` a symlink to ``points_to``."""
        self.step("symlink", path)
        os.symlink(points_to, path)  # noqa: PTH211

    def remove(self, path: Path) -> None:
        """Remove a file or a symlink, if it is there."""
        self.step("unlink", path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108

    def remove_tree(self, folder: Path) -> None:
        """Remove a folder with all that is in it, following no symlink: of one, the link goes."""
        if not stat.S_ISDIR(folder.lstat().st_mode):
            self.remove(folder)
            return
        for name in self.names(folder):
            self.remove_tree(folder / name)
        self.step("rmdir", folder)
        os.rmdir(folder)  # noqa: PTH106

    def touch(self, path: Path) -> None:
        """Make ``path`` if it is missing and set its time to now."""
        self.step("touch", path)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
        os.utime(path)

    def lock(self, path: Path) -> int:
        """Return a descriptor that holds the exclusive lock of ``path``; BlockingIOError where another has it."""
        while True:
            self.step("lock", path)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(handle), os.lstat(path)):
                        return handle  # otherwise its last holder removed it between our two calls
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def names(self, folder: Path) -> list[str]:
        """Return the sorted names in a folder; none where the folder is missing."""
        self.step("list", folder)
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208
        except FileNotFoundError:
            return []

    def tree(self, folder: Path, *, inside: str = "") -> dict[str, os.stat_result]:
        """Return everything below ``folder`` but its folders, by path relative to it; symlinks are not followed."""
        found: dict[str, os.stat_result] = {}
        for name in self.names(folder / inside):
            relative = f"{inside}/{name}" if inside else name
            entry = (folder / relative).lstat()
            if stat.S_ISDIR(entry.st_mode):
                found |= self.tree(folder, inside=relative)
            else:
                found[relative] = entry
        return found

    def read(self, root: Path, relative: str, *, limit_bytes: int) -> bytes:
        """Return a regular file's content; ValueError where it is larger than ``limit_bytes``."""
        with self._opened(root, relative) as handle:
            size = os.fstat(handle).st_size
            if size > limit_bytes:
                raise ValueError(f"{root / relative} has {size} bytes, more than the {limit_bytes} expected")
            parts = []
            while part := os.read(handle, _BUFFER):
                parts.append(part)
            return b"".join(parts)

    def digest(self, root: Path, relative: str) -> Digest:
        """Return size and sha256 of a regular file."""
        size, sha256 = 0, hashlib.sha256()
        with self._opened(root, relative) as handle:
            while part := os.read(handle, _BUFFER):
                size += len(part)
                sha256.update(part)
        return Digest(size, sha256.hexdigest())

    @contextlib.contextmanager
    def _opened(self, root: Path, relative: str) -> Iterator[int]:
        """Open a file below ``root`` for reading: no symlink on the way, nothing but a regular file at its end."""
        self.step("read", root / relative)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        *folders, name = parts = PurePosixPath(relative).parts
        if relative.startswith("/") or ".." in parts:
            raise OSError(errno.EINVAL, "not a path below its folder", str(root / relative))
        with contextlib.ExitStack() as stack:
            handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, handle)
            for folder in folders:
                handle = os.open(folder, flags | os.O_DIRECTORY, dir_fd=handle)
                stack.callback(os.close, handle)
            handle = os.open(name, flags, dir_fd=handle)
            stack.callback(os.close, handle)
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(root / relative))
            yield handle

    def _sync(self, path: Path, handle: int) -> None:
        self.step("fsync", path)
        os.fsync(handle)
