"""Many writers and readers of one destination at once: commits are contiguous, readers see whole runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shards_kit import Files, key_of, marker_in

from synthgen.shards.commits import commit_numbers, read_commit
from synthgen.shards.manifest import run_id_of
from synthgen.shards.reader import read_shards, verify

WRITER = """
import sys
from pathlib import Path
from shards_kit import Unsynced, publish_run
out, first, n = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for marker in range(first, first + n):
    publish_run(out, marker, files=Unsynced())
"""

READER = """
import json, sys
from pathlib import Path
from shards_kit import marker_in
from synthgen.shards.reader import read_shards
out, seen = Path(sys.argv[1]), []
print("ready", flush=True)
sys.stdin.readline()
while not (out.parent / "stop").exists():
    if any((out / "commits").glob("*.json")):
        shards = read_shards(out)
        seen.append((shards.commit, marker_in(shards.to_pandas()), shards.manifest.run_key))
print(json.dumps(seen))
"""


def _start(code: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}", *map(str, args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _contend(tmp_path: Path, *, n_writers: int, n_commits: int, n_readers: int) -> list[tuple[int, int, str]]:
    out = tmp_path / "out"
    (out / "commits").mkdir(parents=True)
    writers = [_start(WRITER, out, 100 * k, n_commits) for k in range(n_writers)]
    readers = [_start(READER, out) for _ in range(n_readers)]
    for process in [*writers, *readers]:
        assert process.stdout.readline() == "ready\n"
    for process in [*readers, *writers]:
        process.stdin.write("go\n")
        process.stdin.flush()
    deadline = time.monotonic() + 120
    assert [process.wait(deadline - time.monotonic()) for process in writers] == [0] * n_writers
    (tmp_path / "stop").touch()
    reads = []
    for process in readers:
        seen = json.loads(process.communicate(timeout=30)[0])
        assert process.returncode == 0
        assert [commit for commit, _, _ in seen] == sorted(commit for commit, _, _ in seen)
        reads += seen
    for process in writers:
        process.communicate()
    return reads


@pytest.mark.parametrize(
    ("n_writers", "n_commits"), [(4, 5), pytest.param(8, 5, marks=pytest.mark.slow)], ids=["4x5", "8x5"]
)
def test_contended_commits_are_contiguous_and_reads_are_whole(tmp_path: Path, n_writers: int, n_commits: int) -> None:
    reads = _contend(tmp_path, n_writers=n_writers, n_commits=n_commits, n_readers=2)
    out, n = tmp_path / "out", n_writers * n_commits
    assert commit_numbers(Files(), out) == list(range(1, n + 1))
    commits = [read_commit(Files(), out, number) for number in range(1, n + 1)]
    markers = [100 * k + j for k in range(n_writers) for j in range(n_commits)]
    assert sorted(commit.run_key for commit in commits) == sorted(map(key_of, markers))
    for commit, marker, run_key in reads:
        assert run_key == key_of(marker) == commits[commit - 1].run_key
    assert len(reads) > 10
    report = verify(out)
    assert report.problems == ()
    last = read_shards(out)
    assert last.manifest.run_key == commits[-1].run_key == key_of(marker_in(last.to_pandas()))
    assert (out / "current").readlink() == Path("data") / run_id_of(commits[-1].run_key)
    assert not list((out / ".staging").iterdir())
