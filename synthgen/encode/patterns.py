"""New strings of the form that a column's strings have: a number between fixed ends, one alphabet per position,
or at least the same characters and lengths. Strings are (N, L) code points, 0 after the end.

Imports numpy and its own room.
"""

from __future__ import annotations

import math
import string
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from synthgen.encode.grid import Arrays
from synthgen.encode.unseen import Unseen
from synthgen.seeding import numpy_rng

PRIVATE_BYTE = 0xF0000  # byte 0 of a value that is bytes and no text
_ALPHABETS = (
    string.digits,
    "0123456789abcdef",
    "0123456789ABCDEF",
    string.ascii_lowercase,
    string.ascii_uppercase,
    string.digits + string.ascii_lowercase,
    string.digits + string.ascii_uppercase,
    string.ascii_letters,
    string.digits + string.ascii_letters,
    "".join(map(chr, range(PRIVATE_BYTE, PRIVATE_BYTE + 256))),
)
_ANY = string.digits + string.ascii_letters
_DIGITS = 18  # of the longest number that is counted
_RANKED = 2**62  # forms of fewer strings are counted through, so that none comes back; others are drawn freely
_MORE = 2**24  # how many times as many there are with the extra characters that are added when a form runs out
_CHANCE = 1e-9  # an alphabet is narrowed to what was seen where the rest was missed with less than this chance


class Form(Protocol):
    """What strings look like, and which are taken."""

    @classmethod
    def fit(cls, characters: np.ndarray, lengths: np.ndarray, *, longer: bool) -> Self | None:
        """Return the form of the strings (N, L), or None where they do not have this form.

        ``longer``: whether new strings may be longer than any seen, when those of the form run out.
        """
        ...

    def draw(self, n: int, *, name: str, seed: int, part: tuple[int, int]) -> np.ndarray:
        """Return (n, L) different new strings of the form; see ``Unseen.draw`` for ``part``."""
        ...

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return the form that ``arrays`` describes."""
        ...


@dataclass(frozen=True, eq=False)
class NumberedForm:
    """``prefix``, then ``base + step * point`` filled up with zeros to ``width`` digits, then ``suffix``."""

    prefix: np.ndarray
    suffix: np.ndarray
    width: int
    base: int
    step: int
    unseen: Unseen

    @classmethod
    def fit(cls, characters: np.ndarray, lengths: np.ndarray, *, longer: bool) -> Self | None:
        """Return the form, or None where what differs between the strings is no number of up to 18 digits."""
        before, after = _fixed_ends(characters, lengths)
        digits = lengths - before - after
        width = int(digits.min())
        if width < 1 or digits.max() > _DIGITS:
            return None
        numbers = np.zeros(len(lengths), dtype=np.uint64)
        for place in range(int(digits.max())):  # place 0 is the last digit
            one = np.where(place < digits, _at(characters, np.maximum(lengths - after - 1 - place, 0)), 48)
            if one.min() < 48 or one.max() > 57:
                return None
            numbers += (one - 48).astype(np.uint64) * np.uint64(10**place)
        zeros = characters[:, before] == 48
        if np.any(zeros & (digits > width)):
            return None
        low = int(numbers.min())
        step = max(int(np.gcd.reduce(numbers - np.uint64(low))), 1)
        bottom = 0 if np.any(zeros) or width == 1 else 10 ** (width - 1)
        base = low - (low - bottom) // step * step
        points = (numbers - np.uint64(base)) // np.uint64(step)
        size = (10 ** (_DIGITS if longer else int(digits.max())) - 1 - base) // step + 1
        edges = [(10**wide - 1 - base) // step + 1 for wide in range(int(digits.max()), _DIGITS)]
        first, last = characters[0], int(lengths[0])
        unseen = Unseen.fit(points, size=size, edges=edges)
        return cls(first[:before], first[last - after : last], width, base, step, unseen)

    def draw(self, n: int, *, name: str, seed: int, part: tuple[int, int]) -> np.ndarray:
        """Return (n, L) new strings."""
        points = self.unseen.draw(n, name=name, seed=seed, part=part)
        numbers = points * np.uint64(self.step) + np.uint64(self.base)
        places = np.array([10**place for place in range(_DIGITS)], dtype=np.uint64)
        digits = np.maximum(np.searchsorted(places, numbers, side="right"), self.width)
        before, total = len(self.prefix), len(self.prefix) + len(self.suffix) + int(digits.max(initial=self.width))
        out = np.zeros((n, total), dtype=np.uint32)
        out[:, :before] = self.prefix
        rows = np.arange(n)
        for place in range(total - before - len(self.suffix)):
            there = rows[place < digits]
            out[there, before + digits[there] - 1 - place] = 48 + numbers[there] // places[place] % np.uint64(10)
        for at, character in enumerate(self.suffix):
            out[rows, before + digits + at] = character
        return out

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        figures = np.array([self.width, self.base, self.step], dtype=np.int64)
        return {"prefix": self.prefix, "suffix": self.suffix, "figures": figures, **self.unseen.arrays()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return the form that ``arrays`` describes."""
        width, base, step = (int(figure) for figure in arrays["figures"])
        return cls(arrays["prefix"], arrays["suffix"], width, base, step, Unseen.from_arrays(arrays))


@dataclass(frozen=True, eq=False)
class RankedForm:
    """Strings of one length, counted through in the order of their ``alphabets``, one per position.

    When they run out come those that are ``extra`` characters longer.
    """

    alphabets: list[np.ndarray]
    extra: int
    unseen: Unseen

    @classmethod
    def fit(cls, characters: np.ndarray, lengths: np.ndarray, *, longer: bool) -> Self | None:
        """Return the form, or None where lengths differ or there are too many such strings to count."""
        if lengths.min() != lengths.max():
            return None
        alphabets = _alphabets(characters, lengths)
        size = math.prod(map(len, alphabets))
        widest = max(map(len, alphabets), default=1)
        if size >= _RANKED or widest == 1:
            return None
        points = np.zeros(len(lengths), dtype=np.uint64)
        for at, alphabet in enumerate(alphabets):
            place = np.searchsorted(alphabet, characters[:, at]).astype(np.uint64)
            points = points * np.uint64(len(alphabet)) + place
        extra = math.floor(math.log(min(_RANKED / size, _MORE), widest)) if longer else 0
        total = size + (size * widest**extra if extra else 0)
        return cls(alphabets, extra, Unseen.fit(points, size=total, edges=[size]))

    def draw(self, n: int, *, name: str, seed: int, part: tuple[int, int]) -> np.ndarray:
        """Return (n, L) new strings."""
        points = self.unseen.draw(n, name=name, seed=seed, part=part)
        size = np.uint64(math.prod(map(len, self.alphabets)))
        longer = points >= size
        out = np.zeros((n, len(self.alphabets) + self.extra), dtype=np.uint32)
        out[~longer, : len(self.alphabets)] = _unranked(points[~longer], self.alphabets)
        if longer.any():
            widest = max(self.alphabets, key=len)
            out[longer] = _unranked(points[longer] - size, [*self.alphabets, *[widest] * self.extra])
        return out

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        return {**_packed(self.alphabets), "extra": np.array([self.extra]), **self.unseen.arrays()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return the form that ``arrays`` describes."""
        return cls(_unpacked(arrays), int(arrays["extra"][0]), Unseen.from_arrays(arrays))


@dataclass(frozen=True, eq=False)
class FreeForm:
    """Any characters of each position's alphabet, at one of the ``lengths`` seen, each as often as its ``weights``.

    So many strings are possible (2 ** 62 or more) that one which is taken does not come up.
    """

    alphabets: list[np.ndarray]
    lengths: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, characters: np.ndarray, lengths: np.ndarray, *, longer: bool) -> Self:
        """Return the form; where every length is too short for that many strings, a longer one."""
        alphabets = _alphabets(characters, lengths)
        widest = max(alphabets, key=len, default=_points(_ANY))
        if len(widest) < 2:
            widest = _points(_ANY)
        seen, weights = np.unique(lengths, return_counts=True)
        logs = np.cumsum([math.log2(len(alphabet)) for alphabet in alphabets])
        enough = np.array([length > 0 and logs[length - 1] >= math.log2(_RANKED) for length in seen])
        if enough.any():
            return cls(alphabets, seen[enough], weights[enough].astype(np.float64))
        short = math.log2(_RANKED) - (float(logs[-1]) if len(logs) else 0.0)
        more = [widest] * math.ceil(short / math.log2(len(widest)))
        alphabets = [*alphabets, *more] if longer else [widest] * len(alphabets)
        return cls(alphabets, np.array([len(alphabets)]), np.ones(1))

    def draw(self, n: int, *, name: str, seed: int, part: tuple[int, int]) -> np.ndarray:
        """Return (n, L) new strings."""
        rng = numpy_rng(seed, "strings", name, *part)
        out = np.zeros((0, len(self.alphabets)), dtype=np.uint32)
        while len(out) < n:  # a second time only if two of the first came out alike
            lengths = rng.choice(self.lengths, size=n - len(out), p=self.weights / self.weights.sum())
            fresh = np.stack([rng.choice(alphabet, size=len(lengths)) for alphabet in self.alphabets], axis=1)
            fresh[np.arange(len(self.alphabets)) >= lengths[:, None]] = 0
            out = np.concatenate([out, fresh.astype(np.uint32)])
            _, first = np.unique(out.view(f"V{4 * out.shape[1]}").ravel(), return_index=True)
            out = np.ascontiguousarray(out[np.sort(first)])
        return out

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        return {**_packed(self.alphabets), "lengths": self.lengths, "weights": self.weights}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return the form that ``arrays`` describes."""
        return cls(_unpacked(arrays), arrays["lengths"], arrays["weights"])


def _fixed_ends(characters: np.ndarray, lengths: np.ndarray) -> tuple[int, int]:
    """How many characters all strings share at the start and at the end, digits next to the middle left out."""
    shortest, before, after = int(lengths.min()), 0, 0
    while before < shortest and np.all(characters[:, before] == characters[0, before]):
        before += 1
    while after < shortest - before:
        ends = _at(characters, lengths - 1 - after)
        if np.any(ends != ends[0]):
            break
        after += 1
    while before and 48 <= characters[0, before - 1] <= 57:
        before -= 1
    while after and 48 <= characters[0, lengths[0] - after] <= 57:
        after -= 1
    return before, after


def _at(characters: np.ndarray, at: np.ndarray) -> np.ndarray:
    """One character of each string: column ``at[i]`` of row i."""
    if at.min() == at.max():
        return characters[:, at[0]]
    return np.asarray(characters[np.arange(len(at)), at])


def _alphabets(characters: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Which characters may stand at each position: those seen, and the rest of their kind where that is likely."""
    out = []
    for at in range(int(lengths.max(initial=0))):
        there = characters[lengths > at, at]
        seen = np.flatnonzero(np.bincount(there)).astype(np.uint32)
        kinds = [kind for kind in map(_points, _ALPHABETS) if np.isin(seen, kind).all()]
        out.append(seen)
        if kinds and len(seen) > 1:
            of, known = len(kinds[0]), len(seen)
            missed = math.comb(of, known) * (known / of) ** min(len(there), 10_000)
            out[-1] = kinds[0] if missed > _CHANCE else seen
    return out


def _points(characters: str) -> np.ndarray:
    return np.array(sorted(map(ord, characters)), dtype=np.uint32)


def _unranked(points: np.ndarray, alphabets: list[np.ndarray]) -> np.ndarray:
    out = np.zeros((len(points), len(alphabets)), dtype=np.uint32)
    for at in reversed(range(len(alphabets))):
        points, place = np.divmod(points, np.uint64(len(alphabets[at])))
        out[:, at] = alphabets[at][place]
    return out


def _packed(alphabets: list[np.ndarray]) -> Arrays:
    sizes = np.array([len(alphabet) for alphabet in alphabets], dtype=np.int64)
    return {"characters": np.concatenate([np.zeros(0, dtype=np.uint32), *alphabets]), "alphabet_sizes": sizes}


def _unpacked(arrays: Arrays) -> list[np.ndarray]:
    return np.split(arrays["characters"], np.cumsum(arrays["alphabet_sizes"])[:-1])
