"""How a report writes what data and numbers say: control letters made visible, lengths bounded, figures short.

Pure text; may import quality.rules for its way to write a figure. Escaping is the template engine's work.
"""

from __future__ import annotations

import math
import unicodedata

from synthgen.quality.rules import plain
from synthgen.quality.rules import signed as with_sign
from synthgen.quality.stats import Estimate

__all__ = ["NOTHING", "bounds", "clean", "compact", "count", "figure", "percent", "plain", "signed"]

NOTHING = "–"
_STEERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def clean(value: object, limit: int | None = None) -> str:
    """Return a value as one line of text that cannot steer its surroundings.

    Control letters, line ends, lone surrogates and marks that turn the writing direction become U+FFFD; ZWJ and ZWNJ,
    which Persian and emoji need, stay. With a ``limit`` longer text ends in an ellipsis.
    """
    text = "".join("\ufffd" if _steers(letter) else letter for letter in str(value))
    if limit is not None and len(text) > limit:
        text = text[: limit - 1].rstrip() + "…"
    return text


def _steers(letter: str) -> bool:
    return letter in _STEERING or unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")


def figure(value: float | None) -> str:
    """Return a figure as the verdict's sentence writes it: .412; a dash where there is none."""
    if value is None or math.isnan(value):
        return NOTHING
    return ("−" if value < 0 else "") + plain(abs(value))


def signed(value: float | None) -> str:
    """Return a change as the verdict's sentence writes it: +.021; a dash where there is none."""
    return NOTHING if value is None or math.isnan(value) else with_sign(value)


def bounds(estimate: Estimate, *, change: bool = False) -> str:
    """Return the interval as "[low, high]", of a change with signs; nothing where neither bound is known."""
    if math.isnan(estimate.low) and math.isnan(estimate.high):
        return ""
    write = signed if change else figure
    return f"[{write(estimate.low)}, {write(estimate.high)}]"


def count(value: int) -> str:
    """Return a count with thousands marked."""
    return f"{value:,}"


def percent(share: float) -> str:
    """Return a share as a percentage; what is more than nothing is never written as 0. A dash where there is none."""
    if math.isnan(share):
        return NOTHING
    if 0 < share < 0.001:
        return "<0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def compact(value: float) -> str:
    """Return a number on an axis: at most four digits that count."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value + 0.0:.4g}"
    return text.replace("-", "−")
