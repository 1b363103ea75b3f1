"""Whatever goes wrong, a user sees one line, an exit code and, where asked for, one JSON object."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from road_kit import command, frame

from synthgen import cli
from synthgen.console import commands


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


def test_a_run_whose_reader_is_gone_is_none_that_went_well(tmp_path: Path) -> None:
    """Red when what is left undone, or untold, ends as 0: a gate behind a pipe would be green."""
    frame().to_parquet(tmp_path / "fraud.parquet")
    here = Path(__file__).parents[2]
    script = f"{sys.executable} -m synthgen balance fraud.parquet --label fraud --engine smote --holdout 0"
    done = subprocess.run(
        ["bash", "-c", f"{script} 2>&1 | true; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(here), "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
        check=False,
    )
    assert done.returncode == 1
    assert not (tmp_path / "fraud-balanced" / "current").exists()


def test_a_reader_that_stops_reading_is_no_error(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "rows.parquet")
    here = Path(__file__).parents[2]
    script = f"{sys.executable} -m synthgen engines; true"
    done = subprocess.run(
        ["bash", "-c", f"({script}) 2>err | true; cat err"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(here), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
