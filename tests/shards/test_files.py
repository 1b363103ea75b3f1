"""The file operations: what is synced, what is atomic, what is never followed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from shards_kit import Counting, Killed, fill, key_of

from synthgen.shards.files import Files
from synthgen.shards.manifest import run_id_of
from synthgen.shards.publish import publish
from synthgen.shards.stage import stage


def test_everything_published_is_really_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, real = set(), os.fsync

    def fsync(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    out = tmp_path / "out"
    with stage(out, run_id=run_id_of(key_of(1))) as work:
        publish(work, manifest=fill(work, 1), folder=work.folder / "out")
        work.discard()
    places = [tmp_path, out, *(path for path in out.rglob("*") if not path.is_symlink())]
    assert [path for path in places if path.stat().st_ino not in synced] == []


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    files, path = Files(), tmp_path / "labels.json"
    files.write(path, b"old")
    with contextlib.suppress(Killed), files.create(tmp_path / "labels.json.tmp") as output:
        output.write(b"new" * 1_000_000)
        raise Killed
    assert path.read_bytes() == b"old"
    files.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["labels.json"]


def test_a_large_file_is_hashed_as_it_is_written(tmp_path: Path) -> None:
    files = Files()
    with files.create(tmp_path / "a") as output:
        for k in range(50):
            output.write(bytes([k]) * 100_000)
        assert output.tell() == 5_000_000
    assert output.digest == files.digest(tmp_path, "a")


def test_rename_and_link_take_no_name_that_is_taken(tmp_path: Path) -> None:
    files = Files()
    for name in ("a", "b", "empty"):
        (tmp_path / name).mkdir()
    with pytest.raises(FileExistsError):
        files.rename(tmp_path / "a", tmp_path / "empty")
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    with pytest.raises(FileExistsError):
        files.link(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_text() == "2"


@pytest.mark.parametrize("relative", ["/etc/hostname", "../secret", "link", "linked/secret", "folder", "folder/../x"])
def test_reading_stays_below_the_folder(tmp_path: Path, relative: str) -> None:
    (tmp_path / "secret").write_text("s")
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "x").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "linked").symlink_to(tmp_path)
    with pytest.raises(OSError):
        Files().read(root, relative, limit_bytes=100)
    with pytest.raises(OSError):
        Files().digest(root, relative)
    assert Files().read(root, "x", limit_bytes=1) == b"x"


def test_a_file_larger_than_its_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "bomb").open("wb") as file:
        file.truncate(1 << 21)
    with pytest.raises(ValueError, match="more than the 1000 expected"):
        Files().read(tmp_path, "bomb", limit_bytes=1000)


def test_writing_and_removing_follow_no_symlink(tmp_path: Path) -> None:
    files, outside = Files(), tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("p")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "folder").symlink_to(outside)
    (tree / "file").symlink_to(outside / "precious")
    with pytest.raises(OSError), files.create(tree / "file"):
        pass
    with pytest.raises(OSError):
        files.touch(tree / "file")
    with pytest.raises(OSError):
        files.lock(tree / "file")
    assert files.tree(tree).keys() == {"folder", "file"}
    files.remove_tree(tree)
    tree.symlink_to(outside)
    files.remove_tree(tree)
    assert not os.path.lexists(tree)
    assert (outside / "precious").read_text() == "p"


def test_every_operation_is_announced(tmp_path: Path) -> None:
    files = Counting()
    files.make_folder(tmp_path / "a" / "b")
    files.write(tmp_path / "a" / "b" / "c", b"x")
    os.close(files.lock(tmp_path / "a" / "lock"))
    files.remove_tree(tmp_path / "a")
    made = ["mkdir", "open", "fsync"]
    removed = ["list", "list", "unlink", "rmdir", "unlink", "rmdir"]
    expected = [*made, *made, "open", "write", "fsync", "replace", "lock", *removed]
    assert [operation for operation, _ in files.operations] == expected
