"""JSON that detects its own damage: one spelling per value, and the sha256 of the rest inside.

May import nothing of synthgen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

_SEAL = "sha256"


def canonical(value: Mapping[str, JsonValue]) -> bytes:
    """Return the one spelling of a JSON object: sorted keys, two spaces, UTF-8; ValueError for NaN and infinities."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def seal(value: Mapping[str, JsonValue]) -> bytes:
    """Return ``value`` spelled canonically with a field ``sha256`` over the other fields."""
    if _SEAL in value:
        raise ValueError(f"the field {_SEAL!r} is the seal's own")
    return canonical({**value, _SEAL: _sha256(value)})


def unseal(data: bytes) -> dict[str, JsonValue]:
    """Return what ``seal`` was given; ValueError where so much as one bit of ``data`` is another."""
    try:
        value = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from error
    if not isinstance(value, dict) or _SEAL not in value:
        raise ValueError(f"without the field {_SEAL!r}")
    fields = cast("dict[str, JsonValue]", value)
    if canonical(fields) != data or fields.pop(_SEAL) != _sha256(fields):
        raise ValueError(f"its content is not what its {_SEAL!r} says")
    return fields


def _sha256(value: Mapping[str, JsonValue]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse(constant: str) -> JsonValue:
    raise ValueError(f"{constant} is not JSON")
