"""Publication under every fault at every file operation: old or new, never a mix; and the next attempt completes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from shards_kit import Counting, FailAt, Files, Killed, PowerCut, Unsynced, fill, key_of, manifest_of, publish_run, seen

from synthgen.errors import PublishError
from synthgen.shards.commits import commit_numbers
from synthgen.shards.manifest import run_id_of
from synthgen.shards.publish import publish, quarantine
from synthgen.shards.stage import stage

OLD, NEW = 0, 1


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("destination") / "out"
    publish_run(out, OLD)
    return out


@pytest.fixture
def fresh(published: Path, tmp_path: Path) -> Callable[[], Path]:
    """A new copy of the destination for each attempt."""
    count = iter(range(10_000))

    def copy() -> Path:
        out = tmp_path / str(next(count)) / "out"
        shutil.copytree(published, out, symlinks=True)
        return out

    return copy


def _n_operations(out: Path) -> int:
    counting = Counting()
    publish_run(out, NEW, files=counting)
    names = {operation for operation, _ in counting.operations}
    assert names >= {
        "open",
        "write",
        "fsync",
        "rename",
        "replace",
        "link",
        "symlink",
        "unlink",
        "mkdir",
        "lock",
        "read",
    }
    return len(counting.operations)


def _failure(attempt: Callable[..., object], *args: object, **options: object) -> BaseException | None:
    try:
        attempt(*args, **options)
    except (Killed, Exception) as error:
        return error
    return None


def _then_completes(out: Path) -> None:
    publish_run(out, NEW)
    assert seen(out) == NEW
    assert (out / "current").readlink() == Path("data") / run_id_of(key_of(NEW))
    assert commit_numbers(Files(), out) == [1, 2]
    assert not list((out / ".staging").iterdir())


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "fault", ["kill", "ENOSPC", pytest.param("EIO", marks=SLOW), pytest.param("EACCES", marks=SLOW)]
)
def test_a_fault_at_any_operation_leaves_old_or_new(fresh: Callable[[], Path], fault: str) -> None:
    outcomes = {OLD: 0, NEW: 0}
    for at in range(_n_operations(fresh())):
        out, files = fresh(), FailAt(at, fault)
        error = _failure(publish_run, out, NEW, files=files)
        operation, path = files.failed
        if fault == "kill":
            assert isinstance(error, Killed)
        elif operation == "touch":
            assert error is None, "a heartbeat is no reason to stop"
        else:
            assert isinstance(error, PublishError)
            assert str(path) in str(error)
        outcomes[seen(out)] += 1
        _then_completes(out)
    assert outcomes[OLD] > 30
    assert outcomes[NEW] > 3


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_ends_at_any_operation_leaves_old_or_new(fresh: Callable[[], Path]) -> None:
    def attempt(out: Path, files: Files) -> None:
        with stage(out, run_id=run_id_of(key_of(NEW)), files=files) as work:
            publish(work, manifest=manifest, folder=work.folder / "out")
            work.discard()

    staged, counting, outcomes = fresh(), Counting(), {OLD: 0, NEW: 0}
    with stage(staged, run_id=run_id_of(key_of(NEW))) as work:
        manifest = fill(work, NEW)

    def staged_copy(out: Path) -> Path:
        shutil.copytree(staged, out, symlinks=True)
        return out

    attempt(staged_copy(staged.with_name("whole")), counting)
    for at in range(len(counting.operations)):
        out = staged_copy(staged.with_name(f"out{at}"))
        child = os.fork()
        if child == 0:
            try:
                attempt(out, FailAt(at, "exit"))
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        outcomes[seen(out)] += 1
        _then_completes(out)
    assert min(outcomes.values()) > 3


@pytest.mark.parametrize(
    "lost", ["contents", "names", pytest.param("names but commits", marks=SLOW), pytest.param("all", marks=SLOW)]
)
def test_a_power_cut_at_any_operation_leaves_old_or_new(fresh: Callable[[], Path], tmp_path: Path, lost: str) -> None:
    outcomes = {OLD: 0, NEW: 0}
    for at in range(_n_operations(fresh())):
        out = fresh()
        files = PowerCut(at, out, tmp_path / f"backups{at}")
        with pytest.raises(Killed):
            publish_run(out, NEW, files=files)
        files.lose(lost)
        outcomes[seen(out)] += 1
        _then_completes(out)
    assert min(outcomes.values()) > 3


def test_a_power_cut_after_publishing_loses_nothing(fresh: Callable[[], Path], tmp_path: Path) -> None:
    out = fresh()
    files = PowerCut(10_000, out, tmp_path / "backups")
    publish_run(out, NEW, files=files)
    files.lose("all")
    assert seen(out) == NEW
    assert (out / "current").readlink() == Path("data") / run_id_of(key_of(NEW))


@pytest.mark.parametrize("fault", ["kill", pytest.param("ENOSPC", marks=SLOW)])
def test_a_fault_in_the_first_publication_leaves_nothing_or_all(tmp_path: Path, fault: str) -> None:
    counting = Counting()
    publish_run(tmp_path / "whole", NEW, files=counting)
    for at in range(len(counting.operations)):
        out = tmp_path / str(at)
        with contextlib.suppress(Killed, PublishError):
            publish_run(out, NEW, files=FailAt(at, fault))
        assert not (out / "commits").exists() or commit_numbers(Files(), out) in ([], [1])
        publish_run(out, NEW)
        assert seen(out) == NEW


@pytest.mark.parametrize("fault", ["kill", "EIO"])
def test_a_fault_in_quarantine_touches_nothing_published(fresh: Callable[[], Path], fault: str) -> None:
    def attempt(out: Path, files: Files) -> None:
        with stage(out, run_id=run_id_of(key_of(NEW)), files=files) as work:
            work.write(work.folder / "rows.txt", b"rows")
            quarantine(work, manifest=manifest_of(NEW, status="FAIL"))

    counting = Counting()
    attempt(fresh(), counting)
    for at in range(len(counting.operations)):
        out = fresh()
        with contextlib.suppress(Killed, PublishError):
            attempt(out, FailAt(at, fault))
        assert seen(out) == OLD
        attempt(out, Unsynced())
        kept = out / "quarantine" / run_id_of(key_of(NEW))
        assert (kept / "rows.txt").read_bytes() == b"rows"
        assert seen(out) == OLD
