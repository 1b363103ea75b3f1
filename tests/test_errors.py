"""The error tree: what the command line exits with, and what may be caught as what."""

from __future__ import annotations

import inspect

import pytest

from synthgen import errors
from synthgen.errors import (
    ConfigError,
    DataError,
    DestinationChanged,
    Diverged,
    EngineError,
    GateFailed,
    PublishError,
    SynthgenError,
    TooFewRows,
)

TREE = [
    (SynthgenError, Exception, 1),
    (ConfigError, SynthgenError, 2),
    (DataError, SynthgenError, 3),
    (TooFewRows, DataError, 3),
    (PublishError, SynthgenError, 4),
    (DestinationChanged, PublishError, 4),
    (EngineError, SynthgenError, 5),
    (Diverged, EngineError, 5),
    (GateFailed, SynthgenError, 6),
]


@pytest.mark.parametrize(("error", "parent", "code"), TREE)
def test_every_error_has_its_place_and_exit_code(error: type[SynthgenError], parent: type, code: int) -> None:
    assert error.__bases__ == (parent,)
    assert error.exit_code == code
    assert str(error("what, what was got, what to do")) == "what, what was got, what to do"


def test_the_tree_is_whole_and_drawn() -> None:
    defined = (value for _, value in inspect.getmembers(errors, inspect.isclass))
    found = {value for value in defined if value.__module__ == errors.__name__}
    assert found == {error for error, _, _ in TREE}
    for error in found:
        assert error.__name__ in str(errors.__doc__)
        assert error.__doc__
