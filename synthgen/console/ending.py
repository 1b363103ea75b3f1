"""How a run ends: after a failure one line on stderr, the same as JSON where that was asked for, and the exit code.

No end depends on who still reads: a pipe that is gone, or a full disk behind it, changes no failure's code, and what
went well but could not be told does not end as 0."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TextIO


class Untold(Exception):
    """What a command has to say cannot be written; what it did stands."""


@contextmanager
def telling() -> Iterator[None]:
    """Let what keeps stdout from being written come out as Untold, while it is known that all else is done.

    A reader that is gone is no such thing: as after ``| head``, it is left to end in silence.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        told = f"the command is done, but what it has to say cannot be written ({error.strerror})"
        raise Untold(told) from error


def fail(message: str, code: int, kind: str) -> NoReturn:
    """Say what failed, as an error of this kind, and exit with its code."""
    line = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(message.split())
    )
    if "--json" in sys.argv:
        _say(sys.stdout, json.dumps({"error": {"type": kind, "message": line, "exit_code": code}}))
    spelling = sys.stderr.encoding or "utf-8"
    _say(sys.stderr, f"error: {line}".encode(spelling, "backslashreplace").decode(spelling))
    leave(code)


def leave(code: int) -> NoReturn:
    """Exit with nothing left to write: what the interpreter cannot flush at its own end turns any code into 120."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError):  # code of the user's may have closed it
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _say(stream: TextIO, line: str) -> None:
    with suppress(OSError, ValueError):  # the code tells it
        stream.write(line + "\n")
        stream.flush()


def usage(error: Exception) -> NoReturn:
    """Show a wrong use of the command line as typer does."""
    if "--json" in sys.argv or not hasattr(error, "show"):
        fail(str(error.format_message()), int(error.exit_code), "ConfigError")  # type: ignore[attr-defined]
    with suppress(OSError, SystemExit):
        error.show()
    leave(int(error.exit_code))  # type: ignore[attr-defined]


def show_traceback(error: BaseException) -> None:
    """Print the traceback where SYNTHGEN_DEBUG asks for it."""
    if os.environ.get("SYNTHGEN_DEBUG"):
        traceback.print_exception(error)


def bug(error: Exception) -> NoReturn:
    """Name what happened and where, without the values at hand: an exception's text may quote rows."""
    show_traceback(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    fail(
        f"this is a bug: {type(error).__name__} at {place}; please report it (SYNTHGEN_DEBUG=1 shows the traceback)",
        1,
        "Bug",
    )
