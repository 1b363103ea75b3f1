"""Whatever goes wrong, a user sees one line, an exit code and, where asked for, one JSON object."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.progress import Progress
from road_kit import command, frame

from synthgen import cli
from synthgen.console import commands, terminal


def ended(monkeypatch, capsys, raised: BaseException, *arguments: str) -> tuple[int, str, str]:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(commands, "plan", fail)
    monkeypatch.setattr(sys, "argv", ["synthgen", "plan", "rows.parquet", *arguments])
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(SystemExit) as stop:
        cli.main()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # nothing may interrupt the end, which this is not
    seen = capsys.readouterr()
    return int(stop.value.code or 0), seen.out, seen.err


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (KeyError("secret cell"), 1, "this is a bug: KeyError at test_no_traceback.py"),
        (RecursionError("secret cell"), 1, "this is a bug: RecursionError"),
        (UnicodeEncodeError("utf-8", "secret cell", 0, 1, "x"), 1, "this is a bug: UnicodeEncodeError"),
        (FileNotFoundError(errno.ENOENT, "No such file", "secret cell"), 1, "this is a bug: FileNotFoundError"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), 4, "/data/x: No space left on device; nothing"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), 4, "/data/x: Permission denied"),
        (SystemExit(0), 5, "of your own ended the process in mid-run"),
        (MemoryError(), 5, "not enough memory; nothing was published"),
        (KeyboardInterrupt(), 130, "interrupted; nothing was published"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_an_exception_is_one_line_and_a_code(monkeypatch, capsys, raised, code, says) -> None:
    got, out, err = ended(monkeypatch, capsys, raised)
    assert got == code
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err
    assert "secret cell" not in err
    assert "Traceback" not in err
    got, out, _ = ended(monkeypatch, capsys, raised, "--json")
    found = json.loads(out)["error"]
    assert (got, found["exit_code"]) == (code, code)
    assert says in found["message"]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ("--engine road_kit:Leaves --holdout 0", 5, "engine 'road_kit:Leaves' failed: SystemExit at road_kit.py:"),
        ("--estimator road_kit:LeavingLearner", 2, "estimator LeavingLearner failed: SystemExit at road_kit.py:"),
    ],
)
def test_code_of_one_s_own_that_exits_is_no_run_that_went_well(tmp_path: Path, options, code, says) -> None:
    """Red when the exit is let through: 0 says that all is done, 7 that there is no lift."""
    frame().to_parquet(tmp_path / "fraud.parquet")
    done = command(
        *("balance", tmp_path / "fraud.parquet", "--label", "fraud", "--engine", "smote", "--jobs", 2, "--json"),
        *options.split(),
        code=code,
    )
    assert says in json.loads(done.stdout)["error"]["message"]
    assert not (tmp_path / "fraud-balanced" / "current").exists()


def test_a_message_cannot_steer_the_terminal(monkeypatch, capsys) -> None:
    from synthgen.errors import DataError

    _, _, err = ended(monkeypatch, capsys, DataError("a file called \x1b[2J\x07\u202e\nx"))
    assert err == "error: a file called \ufffd[2J\ufffd\ufffd x\n"


def test_a_file_that_may_not_be_read_is_the_input_s_error(tmp_path: Path, monkeypatch) -> None:
    done = command("plan", tmp_path / ("n" * 300), "--json", code=3)
    assert "cannot be read (File name too long)" in json.loads(done.stdout)["error"]["message"]
    loop = tmp_path / "loop.parquet"
    loop.symlink_to(loop)
    assert "loop.parquet does not exist" in command("plan", loop, code=3).stderr


def shell(folder: Path, line: str, *, buffered: bool = True) -> tuple[int, str]:
    """Run a line of bash in which ``synthgen`` is ours; return its exit code and what it says on stderr."""
    done = subprocess.run(
        ["bash", "-c", f'synthgen() {{ "{sys.executable}" -m synthgen "$@"; }}; {line}'],
        cwd=folder,
        env={
            "PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parent}",
            "PATH": "/usr/bin:/bin",
            **({} if buffered else {"PYTHONUNBUFFERED": "1"}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


BALANCE = "synthgen balance fraud.parquet --label fraud --engine smote --holdout 0 --jobs 1"
FULL = "error: the command is done, but what it has to say cannot be written (No space left on device)\n"
MISSING = "error: nowhere.parquet does not exist; name a file or folder of rows\n"
FIRST = "exit ${PIPESTATUS[0]}"


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (f"synthgen engines | true; {FIRST}", 1, ""),
        (f"synthgen engines --json | true; {FIRST}", 1, ""),
        (f"synthgen --help | true; {FIRST}", 1, ""),
        (f"synthgen plan nowhere.parquet --json | true; {FIRST}", 3, MISSING),
        (f"synthgen plan nowhere.parquet 2>&1 | true; {FIRST}", 3, ""),
        (f"synthgen nonsense 2>&1 | true; {FIRST}", 2, ""),
        ("synthgen engines >/dev/full", 4, FULL),
        ("synthgen engines --json >/dev/full", 4, FULL),
        ("synthgen engines >&-", 0, ""),
        ("synthgen engines --json >&-", 0, ""),
    ],
)
def test_output_that_cannot_be_written_changes_no_failure_s_code(tmp_path: Path, line, code, says, buffered) -> None:
    """Red when an end says more than that, or Python's own 120 takes a code's place."""
    assert shell(tmp_path, line, buffered=buffered) == (code, says)


def test_a_run_that_published_is_not_said_to_have_not(tmp_path: Path) -> None:
    """Red when a full disk behind stdout is taken for one under the shards."""
    frame().to_parquet(tmp_path / "fraud.parquet")
    assert shell(tmp_path, f"{BALANCE} --quiet >/dev/full") == (4, FULL)
    assert (tmp_path / "fraud-balanced" / "current").exists()


def test_a_run_goes_on_without_its_reader_and_is_none_that_went_well(tmp_path: Path) -> None:
    """Red when progress that nobody reads stops it, or what is untold ends as 0, and a gate behind a pipe is green."""
    frame().to_parquet(tmp_path / "fraud.parquet")
    assert shell(tmp_path, f"{BALANCE} 2>&1 | true; {FIRST}", buffered=False) == (1, "")
    assert (tmp_path / "fraud-balanced" / "current").exists()


def test_a_terminal_that_is_gone_stops_no_run(monkeypatch, capsys) -> None:
    """Red when the bar's end, which comes after publication, is told as a full disk before it."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    whole = Progress.stop

    def stop(bar: Progress) -> None:
        whole(bar)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Progress, "stop", stop)
    with terminal.Reporter() as reporter:
        reporter("publish", 0.5, "shards")
    assert "publish" in capsys.readouterr().err


def test_a_stdout_that_own_code_closed_ends_in_one_line(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "fraud.parquet")
    code, said = shell(tmp_path, f"{BALANCE.replace('smote', 'road_kit:Closes')} --quiet --json")
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("error: this is a bug: ValueError")
