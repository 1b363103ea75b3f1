"""The evenly spaced values that a column lives on: whole numbers, days in milliseconds, prices with two decimals.

Exact for every int64 and uint64. Imports numpy and pyarrow's types.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import types

Arrays = dict[str, np.ndarray]

_WORD = 2**64
_MAX_EXPONENT = 22  # the largest power of ten that a double stores exactly


@dataclass(frozen=True)
class Grid:
    """The values ``low, low + step, ... high`` in units of ``10 ** -decimals`` (0 for integers).

    ``dtype`` is the physical one: int64, uint64 or float64. A value's index counts grid points from ``low``: uint64.
    """

    dtype: str
    low: int
    high: int
    step: int
    decimals: int

    @property
    def top(self) -> int:
        """The index of the highest value."""
        return (self.high - self.low) // self.step

    def index(self, values: np.ndarray) -> np.ndarray:
        """Return (N,) uint64: the index of the nearest grid point, values outside the range at its ends."""
        if self.dtype == "float64":
            ends = _scaled(np.array([self.low, self.high], dtype=np.float64), -self.decimals)
            units = np.rint(_scaled(np.clip(values, *ends), self.decimals)).astype(np.int64)
        else:
            units = np.clip(values.astype(self.dtype), self.low, self.high)
        offset = units.astype(np.uint64) - np.uint64(self.low % _WORD)
        whole, rest = np.divmod(offset, np.uint64(self.step))
        return np.asarray(whole + (rest > np.uint64(self.step // 2)))

    def values(self, index: np.ndarray) -> np.ndarray:
        """Return the physical values at ``index``: int64, uint64 or float64, exact to the bit."""
        units = index.astype(np.uint64) * np.uint64(self.step) + np.uint64(self.low % _WORD)
        if self.dtype == "uint64":
            return units
        whole = units.astype(np.int64)
        return whole if self.dtype == "int64" else _scaled(whole.astype(np.float64), -self.decimals)

    def arrays(self) -> Arrays:
        """Return the grid as arrays; ``from_arrays`` reads them back."""
        whole = np.uint64 if self.dtype == "uint64" else np.int64
        ends = np.array([self.low, self.high], dtype=whole)
        return {
            "grid_ends": ends,
            "grid_step": np.array([self.step], dtype=np.uint64),
            "grid_decimals": np.array([self.decimals], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, dtype: str) -> Grid:
        """Return the grid that ``arrays`` describes."""
        low, high = (int(end) for end in arrays["grid_ends"])
        return cls(dtype, low, high, int(arrays["grid_step"][0]), int(arrays["grid_decimals"][0]))


def mantissa(kind: pa.DataType) -> int:
    """The bits of a number that the type keeps: 11, 24 or 53 for floats."""
    return {16: 11, 32: 24}.get(kind.bit_width, 53) if types.is_floating(kind) else 53


def physical_dtype(kind: pa.DataType) -> str:
    """The numpy dtype in which ``to_physical`` gives the type."""
    if types.is_floating(kind):
        return "float64"
    return "uint64" if types.is_unsigned_integer(kind) else "int64"


def find_grid(distinct: np.ndarray, *, bits: int = 53) -> Grid | None:
    """Return the coarsest grid that holds every value of ``distinct`` (sorted, not empty), or None.

    Integers always have one. Doubles have one when all are short decimals: ``bits`` is the width of the column's own
    mantissa (53, 24, 11). A decimal is short when it leaves some of them unused: so many that arbitrary values would
    all look short by chance once in 2 ** 55.
    """
    if distinct.dtype.kind in "iu":
        low, high = int(distinct[0]), int(distinct[-1])
        return Grid(distinct.dtype.name, low, high, _common_step(distinct), 0)
    top = float(np.abs(distinct[[0, -1]]).max())
    if top == 0.0:
        return Grid("float64", 0, 0, 1, 0)
    first = -int(np.floor(np.log10(top)))
    unused = max(1, -(-55 // len(distinct)))
    sample = distinct[:: max(1, len(distinct) // 64)]
    for decimals in range(max(first, -_MAX_EXPONENT), _MAX_EXPONENT + 1):
        if top * 10.0**decimals >= 2.0 ** (bits - unused):
            break
        if _short(sample, decimals, bits) and _short(distinct, decimals, bits):
            units = np.rint(_scaled(distinct, decimals)).astype(np.int64)
            return Grid("float64", int(units[0]), int(units[-1]), _common_step(units), decimals)
    return None


def _short(values: np.ndarray, decimals: int, bits: int) -> bool:
    back = _scaled(np.rint(_scaled(values, decimals)), -decimals)
    width = {53: np.float64, 24: np.float32, 11: np.float16}[bits]
    with np.errstate(over="ignore"):  # a rounded half float may leave its range; it is then not short
        return bool(np.array_equal(back.astype(width), values.astype(width)))


def _scaled(values: np.ndarray, exponent: int) -> np.ndarray:
    """``values * 10 ** exponent`` rounded once: a division by an exact power of ten where the exponent is negative."""
    power = 10.0 ** abs(exponent)
    return values * power if exponent >= 0 else values / power


def _common_step(units: np.ndarray) -> int:
    """The greatest common divisor of the distances; found on a few thousand values first, for it is mostly 1."""
    offsets = units.astype(np.uint64) - np.uint64(int(units[0]) % _WORD)
    step = np.uint64(0)
    for start in range(0, len(offsets), 4096):
        step = np.gcd(step, np.gcd.reduce(offsets[start : start + 4096]))
        if step == 1:
            break
    return max(int(step), 1)
