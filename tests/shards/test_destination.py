"""Which destinations are refused before anything is written, and who may work in a staging folder."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shards_kit import FailAt, Files, key_of, publish_run, seen

from synthgen.errors import PublishError
from synthgen.shards.manifest import run_id_of
from synthgen.shards.preflight import preflight
from synthgen.shards.stage import stage

RUN = run_id_of(key_of(1))


def refused(out: Path, match: str, **options: object) -> None:
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(PublishError, match=match):
        preflight(out, **options)
    assert sorted(out.parent.rglob("*")) == before


def test_new_empty_and_earlier_destinations_are_fine(tmp_path: Path) -> None:
    assert preflight(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".gitkeep").touch()
    preflight(tmp_path / "empty")
    publish_run(tmp_path / "out", 1)
    (tmp_path / "out" / "README.txt").write_text("ours")
    assert preflight(tmp_path / "out", inputs=[tmp_path / "fraud.parquet"]) == tmp_path / "out"
    shutil.rmtree(tmp_path / "out" / ".staging")
    preflight(tmp_path / "out")


def test_a_symlink_to_a_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    assert preflight(tmp_path / "out") == tmp_path / "disk"
    publish_run(tmp_path / "out", 1)
    assert seen(tmp_path / "disk") == 1
    assert (tmp_path / "out").is_symlink()


def test_places_that_are_no_destination(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path / "file", "is a file")
    refused(tmp_path / "file" / "out", "cannot be made|Not a directory")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "dangling", "symlink to .*nowhere, which does not exist")
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / "loop", "loop")


@pytest.mark.parametrize(
    ("source", "out", "match"),
    [
        ("in.parquet", "in.parquet", "the same place"),
        ("folder", "folder", "the same place"),
        ("folder", "folder/../folder", "the same place"),
        ("folder", "link", "the same place"),
        ("link", "folder", "the same place"),
        ("folder", "folder/out", "is inside the input"),
        ("folder", "link/out", "is inside the input"),
        ("folder/part.parquet", "folder", "is inside --out"),
        ("folder/part.parquet", "link", "is inside --out"),
        ("in_link.parquet", "folder", "is inside --out"),
        ("folder/out_link.parquet", "folder", "is inside --out"),
    ],
)
def test_input_and_destination_are_apart(tmp_path: Path, source: str, out: str, match: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "in.parquet").touch()
    (tmp_path / "folder" / "part.parquet").touch()
    (tmp_path / "folder" / "out_link.parquet").symlink_to(tmp_path / "in.parquet")
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "in_link.parquet").symlink_to("folder/part.parquet")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PublishError, match=match):
        preflight(tmp_path / out, inputs=[tmp_path / source])
    assert sorted(tmp_path.rglob("*")) == before


def test_the_published_rows_are_no_input_of_their_own_destination(tmp_path: Path) -> None:
    publish_run(tmp_path / "out", 1)
    with pytest.raises(PublishError, match="is inside --out"):
        preflight(tmp_path / "out", inputs=[tmp_path / "out" / "current" / "train"])


def test_a_relative_input_is_seen_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    with pytest.raises(PublishError, match="the same place"):
        preflight(Path("in"), inputs=[tmp_path / "in"])
    with pytest.raises(PublishError, match="is inside the input"):
        preflight(tmp_path / "in" / "out", inputs=[Path("in")])


def _user_files(out: Path) -> None:
    (out / "data").mkdir()
    (out / "data" / "thesis.txt").write_text("irreplaceable")


def _foreign_current(out: Path) -> None:
    (out / ".staging").mkdir()
    (out / "current").symlink_to("/etc")


def _current_folder(out: Path) -> None:
    (out / ".staging").mkdir()
    (out / "current").mkdir()


def _data_elsewhere(out: Path) -> None:
    (out / ".staging").mkdir()
    (out / "data").symlink_to("/tmp")


def _commits_of_others(out: Path) -> None:
    (out / "commits" / "2024").mkdir(parents=True)
    (out / "src").mkdir()


def _commits_file(out: Path) -> None:
    (out / ".staging").mkdir()
    (out / "commits").touch()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (_user_files, r"holds 1 files that are not synthgen's \(data\)"),
        (_commits_of_others, r"holds 2 files that are not synthgen's \(commits, src\)"),
        (_foreign_current, "current is not a link that synthgen made"),
        (_current_folder, "current is not a link that synthgen made"),
        (_data_elsewhere, "data is not a folder of synthgen's"),
        (_commits_file, "commits is not a folder of synthgen's"),
    ],
)
def test_foreign_files_are_refused_and_kept(tmp_path: Path, make: Callable[[Path], None], match: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    make(out)
    refused(out, match)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PublishError, match=match):
        stage(out, run_id=RUN)
    assert sorted(tmp_path.rglob("*")) == before


def test_no_space_and_no_rights_are_told_with_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path / "out", r"needs about 1,000,000,000,000 MB and its disk has .* MB free", need_bytes=10**18)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    refused(tmp_path / "deep" / "out", f"{tmp_path} cannot be written")


def test_a_read_only_file_system_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match=r"out/\.staging: Read-only file system; .* choose another --out"):
        stage(tmp_path / "out", run_id=RUN, files=FailAt(3, "EROFS"))


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_is_refused_before_training(tmp_path: Path, number: int) -> None:
    class NoLinks(Files):
        def link(self, source: Path, target: Path) -> None:
            raise OSError(number, os.strerror(number))

    with pytest.raises(PublishError, match="without hard links"):
        stage(tmp_path / "out", run_id=RUN, files=NoLinks())


@pytest.mark.parametrize("run_id", ["", "../../etc", "0123456789AB", "0123456789abc", "012345678/ab"])
def test_a_run_id_is_no_path(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(PublishError, match="not twelve hex digits"):
        stage(tmp_path / "out", run_id=run_id)


def test_a_staging_folder_that_is_a_symlink_is_refused(tmp_path: Path) -> None:
    publish_run(tmp_path / "out", 0)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / ".staging" / RUN).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PublishError, match="is a symlink"):
        stage(tmp_path / "out", run_id=RUN)


def test_two_identical_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with stage(tmp_path, run_id=RUN) as work:
        work.write(work.folder / "run.json", b"{}")
        with pytest.raises(PublishError, match=rf"held by process {os.getpid()} on .* wait for it"):
            stage(tmp_path, run_id=RUN)
        with stage(tmp_path, run_id=run_id_of(key_of(2))):
            pass  # another run may
    with stage(tmp_path, run_id=RUN) as work:
        assert (work.folder / "run.json").read_bytes() == b"{}", "an interrupted run is continued"


def test_the_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from synthgen.shards.stage import stage\n"
        f"work = stage(Path(sys.argv[1]), run_id={RUN!r}); print('held', flush=True); sys.stdin.read(); os._exit(9)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(PublishError, match=f"held by process {other.pid}"):
            stage(tmp_path, run_id=RUN)
        other.stdin.close()
        assert other.wait() == 9
    with stage(tmp_path, run_id=RUN):
        pass


def test_a_lock_file_that_was_removed_under_us_is_not_held(tmp_path: Path) -> None:
    lock = tmp_path / "lock"

    class Removed(Files):
        count = 0

        def step(self, operation: str, path: Path) -> None:
            self.count += 1

    files = Removed()
    real_fstat, removed = os.fstat, []

    def fstat(handle: int) -> os.stat_result:
        if not removed:
            removed.append(lock.unlink())
        return real_fstat(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fstat", fstat)
        handle = files.lock(lock)
    assert files.count == 2
    assert os.path.samestat(os.fstat(handle), lock.stat())
    os.close(handle)


def test_the_heartbeat_beats_and_a_run_that_is_gone_leaves_no_trace(tmp_path: Path) -> None:
    with stage(tmp_path, run_id=RUN) as work:
        heartbeat = tmp_path / ".staging" / f"{RUN}.heartbeat"
        os.utime(heartbeat, (0, 0))
        work.beat()
        assert heartbeat.stat().st_mtime == 0, "not at every call"
        work._beaten = float("-inf")
        work.beat()
        assert heartbeat.stat().st_mtime > 1e9
        (work.folder / "model").mkdir()
    assert {path.name for path in (tmp_path / ".staging").iterdir()} == {RUN, f"{RUN}.heartbeat", f"{RUN}.lock"}
    with stage(tmp_path, run_id=RUN) as work:
        work.discard()
    assert list((tmp_path / ".staging").iterdir()) == []
