"""gc removes what nobody names and nobody continues; and nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from shards_kit import Counting, FailAt, Files, Killed, fill, key_of, manifest_of, publish_run, seen

from synthgen.errors import ConfigError, PublishError
from synthgen.shards.commits import commit_numbers
from synthgen.shards.manifest import run_id_of
from synthgen.shards.publish import complete, publish, quarantine
from synthgen.shards.reader import gc, verify
from synthgen.shards.stage import stage


def run_of(marker: int) -> str:
    return run_id_of(key_of(marker))


def age(*paths: Path, seconds: float = 10_000) -> None:
    for path in paths:
        status = path.stat()
        os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for marker in range(4):
        publish_run(tmp_path / "out", marker)
    return tmp_path / "out"


def removed(out: Path, **options: object) -> list[str]:
    return [item.path for item in gc(out, **options)]


def test_runs_that_no_kept_commit_names_go(out: Path) -> None:
    before = sorted(out.rglob("*"))
    expected = ["commits/00000001.json", "commits/00000002.json", *sorted(f"data/{run_of(k)}" for k in (0, 1))]
    listed = gc(out, keep=2, older_than_seconds=0, dry_run=True)
    assert [item.path for item in listed] == expected
    assert all(item.size_bytes > 100 for item in listed)
    assert sorted(out.rglob("*")) == before, "a dry run removes nothing"
    assert gc(out, keep=2, older_than_seconds=0) == listed
    assert sorted(path.name for path in (out / "data").iterdir()) == sorted([run_of(2), run_of(3)])
    assert commit_numbers(Files(), out) == [3, 4]
    assert seen(out) == 3
    assert list((out / ".staging").iterdir()) == []
    assert removed(out, keep=2, older_than_seconds=0) == []
    assert publish_run(out, 9).commit == 5


def test_what_is_young_stays(out: Path) -> None:
    assert removed(out, keep=1, older_than_seconds=3600) == []
    age(out / "commits" / "00000001.json")
    assert removed(out, keep=1, older_than_seconds=3600) == ["commits/00000001.json"]
    age(out / "data" / run_of(0) / "manifest.json")
    assert removed(out, keep=1, older_than_seconds=3600) == [f"data/{run_of(0)}"]


def test_a_run_that_a_kept_commit_names_again_stays(out: Path) -> None:
    complete(out, run_key=key_of(0))
    assert removed(out, keep=1, older_than_seconds=0)
    assert commit_numbers(Files(), out) == [5]
    assert [path.name for path in (out / "data").iterdir()] == [run_of(0)]
    assert seen(out) == 0


def test_the_run_of_current_stays_whatever_the_commits_say(out: Path) -> None:
    (out / "current").unlink()
    (out / "current").symlink_to(f"data/{run_of(1)}")
    removed(out, keep=1, older_than_seconds=0)
    assert (out / "data" / run_of(1)).is_dir()
    assert commit_numbers(Files(), out) == [2, 3, 4], "kept ones are contiguous, and name it"


def test_the_run_of_current_stays_without_a_commit_too(out: Path) -> None:
    (out / "commits" / "00000001.json").unlink()
    (out / "current").unlink()
    (out / "current").symlink_to(f"data/{run_of(0)}")
    removed(out, keep=4, older_than_seconds=0)
    assert (out / "data" / run_of(0)).is_dir()


def test_foreign_files_stay(out: Path, tmp_path: Path) -> None:
    (out / "data" / run_of(0) / "train" / "my_notes.txt").write_text("keep me")
    (out / "data" / "backup").mkdir()
    (out / "data" / "0123456789ab").mkdir()
    (out / "README.md").write_text("ours")
    (out / ".staging" / "mine").mkdir()
    (out / "commits" / "notes.txt").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "manifest.json").write_bytes((out / "data" / run_of(1) / "manifest.json").read_bytes())
    shutil.rmtree(out / "data" / run_of(1))
    (out / "data" / run_of(1)).symlink_to(tmp_path / "elsewhere")
    with stage(out, run_id=run_of(8)) as work:
        (work.folder / "link").symlink_to(tmp_path / "elsewhere")
    (out / ".staging" / run_of(7)).symlink_to(tmp_path / "elsewhere")
    (out / ".staging" / f"{run_of(7)}.heartbeat").touch()
    kept = sorted(path for path in tmp_path.rglob("*") if run_of(8) not in str(path) and run_of(2) not in str(path))
    assert f".staging/{run_of(8)}" in removed(out, keep=1, older_than_seconds=0)
    assert [path for path in kept if not os.path.lexists(path)] == [
        out / "commits" / f"0000000{number}.json" for number in (1, 2, 3)
    ]


def test_quarantine_stays(out: Path) -> None:
    with stage(out, run_id=run_of(8)) as work:
        kept = quarantine(work, manifest=manifest_of(8, status="FAIL"))
    removed(out, keep=1, older_than_seconds=0)
    assert kept.is_dir()


def test_staging_goes_when_its_heartbeat_lapsed_and_nobody_works_there(out: Path) -> None:
    heartbeat = out / ".staging" / f"{run_of(8)}.heartbeat"
    with stage(out, run_id=run_of(8)) as work:
        work.write(work.folder / "models" / "weights.bin", b"x" * 1000)
        age(heartbeat)
        assert removed(out, older_than_seconds=3600) == [], "held"
    age(heartbeat, seconds=-20_000)  # a clock that was set back
    assert removed(out, older_than_seconds=3600) == []
    age(heartbeat, seconds=20_000)
    (item,) = gc(out, older_than_seconds=3600)
    assert (item.path, item.size_bytes) == (f".staging/{run_of(8)}", 1000)
    assert list((out / ".staging").iterdir()) == []


def test_a_publication_between_rename_and_commit_is_left_alone(out: Path) -> None:
    class Tidy(Files):
        found: list[str] | None = None

        def step(self, operation: str, path: Path) -> None:
            if operation == "link" and path.parent.name == "commits":
                self.found = removed(out, keep=4, older_than_seconds=0)

    files = Tidy()
    publish_run(out, 8, files=files)
    assert files.found == []
    assert seen(out) == 8


def test_a_run_that_died_before_its_commit_goes_when_old(out: Path, tmp_path: Path) -> None:
    counting = Counting()
    publish_run(Path(shutil.copytree(out, tmp_path / "copy", symlinks=True)), 8, files=counting)
    at = max(k for k, (operation, _) in enumerate(counting.operations) if operation == "link")
    with pytest.raises(Killed):
        publish_run(out, 8, files=FailAt(at, "kill"))
    assert removed(out, keep=4) == []
    assert sorted(removed(out, keep=4, older_than_seconds=0)) == [f".staging/{run_of(8)}", f"data/{run_of(8)}"]
    assert verify(out).problems == ()


@pytest.mark.parametrize("fault", ["kill", pytest.param("EIO", marks=pytest.mark.slow)])
def test_a_gc_that_dies_anywhere_is_finished_by_the_next(out: Path, tmp_path: Path, fault: str) -> None:
    with stage(out, run_id=run_of(8)) as work:
        fill(work, 8)
    counting = Counting()
    gc(Path(shutil.copytree(out, tmp_path / "copy", symlinks=True)), keep=2, older_than_seconds=0, files=counting)
    for at in range(len(counting.operations)):
        copy = Path(shutil.copytree(out, tmp_path / str(at), symlinks=True))
        with contextlib.suppress(Killed, PublishError):
            gc(copy, keep=2, older_than_seconds=0, files=FailAt(at, fault))
        assert all(problem.kind == "pending" for problem in verify(copy).problems)
        gc(copy, keep=2, older_than_seconds=0)
        assert verify(copy).problems == ()
        assert sorted(path.name for path in (copy / "data").iterdir()) == sorted([run_of(2), run_of(3)])
        assert {path.suffix for path in (copy / ".staging").iterdir()} <= {".lock"}


def test_a_damaged_commit_stops_it(out: Path) -> None:
    path = out / "commits" / "00000003.json"
    path.write_bytes(path.read_bytes().replace(b"PASS", b"FAIL"))
    before = sorted(out.rglob("*"))
    with pytest.raises(PublishError, match=r"00000003\.json is damaged"):
        gc(out, keep=1, older_than_seconds=0)
    assert sorted(out.rglob("*")) == before


def test_a_run_republished_while_gc_looks_stays(out: Path) -> None:
    class Republish(Files):
        done = False

        def step(self, operation: str, path: Path) -> None:
            if operation == "lock" and path.name == f"{run_of(0)}.lock" and not self.done:
                self.done = True
                complete(out, run_key=key_of(0))

    gc(out, keep=1, older_than_seconds=0, files=Republish())
    assert seen(out) == 0


def test_what_cannot_be_meant_is_refused(out: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keep is 0"):
        gc(out, keep=0)
    with pytest.raises(PublishError, match="does not exist"):
        gc(tmp_path / "nowhere")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(PublishError, match="not synthgen's"):
        gc(tmp_path / "mine", older_than_seconds=0)


def test_publish_after_gc_of_the_same_run(out: Path) -> None:
    removed(out, keep=1, older_than_seconds=0)
    with stage(out, run_id=run_of(0)) as work:
        manifest = fill(work, 0)
        assert publish(work, manifest=manifest, folder=work.folder / "out").commit == 5
        work.discard()
    assert seen(out) == 0
