"""How a run that fails ends: one line on stderr, the same as JSON where that was asked for, and the exit code."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn


def fail(message: str, code: int, kind: str) -> NoReturn:
    """Say what failed, as an error of this kind, and exit with its code."""
    line = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(message.split())
    )
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"error": {"type": kind, "message": line, "exit_code": code}}) + "\n")
    spelling = sys.stderr.encoding or "utf-8"
    sys.stderr.write(f"error: {line}\n".encode(spelling, "backslashreplace").decode(spelling))
    sys.exit(code)


def usage(error: Exception) -> NoReturn:
    """Show a wrong use of the command line as typer does."""
    if "--json" in sys.argv or not hasattr(error, "show"):
        fail(str(error.format_message()), int(error.exit_code), "ConfigError")  # type: ignore[attr-defined]
    error.show()
    sys.exit(int(error.exit_code))  # type: ignore[attr-defined]


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
