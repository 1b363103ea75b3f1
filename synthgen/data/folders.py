"""Which files of a folder hold its rows or images, and which must not be read as one: those of several splits.

May import errors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from synthgen.errors import DataError

TABLES = (".parquet", ".pq")
TARS = (".tar",)
# word that names a split -> what the split is for
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing", "dev", "eval", "holdout"), "test"),
}
_KEYS = ("", "split", "splits", "subset", "fold", "partition")  # of key=value folders for splits; "": a file's name
_BETWEEN_WORDS = re.compile(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])")


def files_of(folder: Path, suffixes: tuple[str, ...], *, partitions: bool = False) -> list[Path]:
    """Return the files of a folder whose names end in one of ``suffixes`` in any case, sorted, hidden ones left out.

    With ``partitions`` those of its key=value folders too. Raises DataError for files in a key=value folder that is a
    link, files of several splits side by side, and more of them in other folders below, which would not be read.
    """
    found, links, others, folders = list[Path](), list[Path](), list[str](), [folder]
    for place in folders:  # grows as partitions are met
        for entry in place.iterdir():
            if entry.name.startswith((".", "_")):
                continue
            if entry.name.lower().endswith(suffixes) and entry.is_file():
                found.append(entry)
            elif partitions and "=" in entry.name and entry.is_dir():
                (links if entry.is_symlink() else folders).append(entry)
            else:  # a folder, or one of maybe a million images: which of the two is not worth asking here
                others.append(str(entry))
    if link := next((link for link in links if any(_below([str(link)], suffixes))), None):
        raise DataError(f"{link} is a link; a partitioned folder must hold its own folders: copy the rows there")
    found.sort()
    _check_splits(folder, found)
    if found and (lost := sorted(_below(others, suffixes))):
        raise DataError(
            f"{folder} holds {found[0].relative_to(folder)}, and {len(lost)} more of such files in folders below that "
            f"would not be read, such as {lost[0].relative_to(folder)}; move them beside the others, or elsewhere"
        )
    return found


def _below(places: Iterable[str], suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below those of the ``places`` that are folders, hidden ones left out."""
    for top in places:
        for place, inside, names in os.walk(top):
            inside[:] = [name for name in inside if not name.startswith((".", "_"))]
            for name in names:
                if name.lower().endswith(suffixes) and not name.startswith((".", "_")):
                    yield Path(place, name)


def _check_splits(folder: Path, files: list[Path]) -> None:
    """Refuse files of several splits, by the words of their names and by the values of each key=value folder.

    What all files are called says nothing, nor does one file's name beside others that name no split; and values of a
    key that says nothing of splits name them where one is for training: quality=valid beside quality=test are values
    like others.
    """
    told: dict[str, list[set[str]]] = {}
    for file in files:
        *above, name = file.relative_to(folder).parts
        told.setdefault("", []).append({word.lower() for word in _BETWEEN_WORDS.split(name)})
        for key, _, value in (part.partition("=") for part in above):
            told.setdefault(key.lower(), []).append({unquote(value).lower()})
    for key, words in told.items():
        found = [own & SPLITS.keys() for own in words]
        splits = {frozenset(SPLITS[word] for word in own) for own in found if own}
        if len(splits) > 1 and (key in _KEYS or any("train" in split for split in splits)):
            listed = ", ".join(sorted(set[str]().union(*found)))
            raise DataError(
                f"{folder} holds the files of the splits {listed}; move those of one into a folder of its own"
            )
