"""What people see in a terminal: progress on stderr from the first second, tables on stdout, one JSON object instead.

Data is printed as plain text: no markup in it is read, no control character of it reaches the terminal.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from synthgen.console.ending import telling

_EVERY_SECONDS = 5.0


def clean(value: object) -> str:
    """Return a value as one line of text without control characters, so that data cannot steer a terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in str(value))


def show_json(data: object) -> None:
    """Print one JSON object on stdout."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False)
    with telling():
        sys.stdout.write(text + "\n")


def show_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout, wrapped to the terminal."""
    console = Console(highlight=False)
    with telling():
        for line in lines:
            console.print(Text(clean(line)), soft_wrap=not console.is_terminal)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> None:
    """Print a table on stdout; the first ``left`` columns are text, the others are set right."""
    table = Table(title=Text(clean(title)), title_justify="left", title_style="bold", header_style="bold")
    for k, column in enumerate(columns):
        table.add_column(Text(clean(column)), justify="left" if k < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 110
    with telling():
        Console(highlight=False, width=width).print(table)


class _Stderr(Console):
    def on_broken_pipe(self) -> None:
        """Say so: rich ends the process there, and stdout with it."""
        raise BrokenPipeError


class Reporter:
    """Progress of the stages on stderr: a bar in a terminal, a line every few seconds elsewhere, or nothing.

    A run goes on without those who watched it: what cannot be shown ends the showing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = _Stderr(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._quiet = quiet
        self._began = time.monotonic()
        self._last = ("", float("-inf"))

    def __enter__(self) -> Reporter:
        if not self._quiet and self._console.is_terminal:
            columns = (TextColumn("{task.fields[stage]:<9}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
            detail = TextColumn("{task.fields[detail]}", markup=False)
            self._bar = Progress(*columns, TimeElapsedColumn(), detail, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=1.0, stage="start", detail="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            with suppress(OSError):
                self._bar.stop()

    def __call__(self, stage: str, share: float, message: str) -> None:
        """Take note of progress: ``share`` of the stage is done."""
        if self._quiet:
            return
        try:
            self._show(stage, share, message)
        except OSError:
            self._quiet = True

    def _show(self, stage: str, share: float, message: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=share, stage=stage, detail=clean(message))
            return
        now = time.monotonic()
        before, when = self._last
        if stage != before or now - when >= _EVERY_SECONDS:
            self._last = (stage, now)
            self._console.print(Text(f"[{now - self._began:6.1f} s] {stage:<8} {share:4.0%}  {clean(message)}"))
