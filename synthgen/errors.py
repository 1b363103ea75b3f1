"""The errors users meet. One line each: what, what was got, what to do, with real names.

SynthgenError
├── ConfigError            exit 2   a value, an option or a combination that cannot be
├── DataError              exit 3   what was read cannot be balanced
│   └── TooFewRows
├── PublishError           exit 4   the destination
│   └── DestinationChanged          another run published first and the inputs differ
├── EngineError            exit 5   training or sampling
│   └── Diverged
└── GateFailed             exit 6   raised by the Prefect flow alone
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SynthgenError(Exception):
    """Base of every error that synthgen raises on purpose; ``exit_code`` is the command line's."""

    exit_code = 1


class ConfigError(SynthgenError):
    """A value, an option or a combination of them that cannot be."""

    exit_code = 2


class DataError(SynthgenError):
    """What was read cannot be balanced as it is."""

    exit_code = 3


class TooFewRows(DataError):
    """A class or a table has fewer rows than the request needs."""


class PublishError(SynthgenError):
    """The destination refused, or is not one that may be written."""

    exit_code = 4


class DestinationChanged(PublishError):
    """Another run published while this one worked, and from other inputs."""


class EngineError(SynthgenError):
    """Training or sampling failed."""

    exit_code = 5


class Diverged(EngineError):
    """Training left the finite numbers and did not come back at a lower rate."""


class GateFailed(SynthgenError):
    """The check said FAIL; only the Prefect flow raises it, so that its alerts work."""

    exit_code = 6


# what a disk or a quota says anywhere, also to code of the user's: no fault of that code
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


@contextmanager
def own_code(failed: str, kind: type[SynthgenError], *, sees_rows: bool = True) -> Iterator[None]:
    """Let what code of the user's raises come out as ``kind``, also where it exits, as a script does.

    Where it sees rows, it is named by its type and place alone, for an exception's words may quote them.
    """
    try:
        yield
    except (SynthgenError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, OSError) and error.errno in DISK:
            raise
        if not sees_rows:
            raise kind(f"{failed} ({type(error).__name__}: {error})") from error
        place = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        raise kind(f"{failed}: {told} (SYNTHGEN_DEBUG=1 shows the traceback)") from error
