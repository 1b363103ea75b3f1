"""Publication without faults: the layout, idempotence, lost races, quarantine, what is answered before training."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from shards_kit import (
    Counting,
    FailAt,
    Files,
    Killed,
    fill,
    key_of,
    manifest_of,
    marker_in,
    publish_run,
    seen,
    table_of,
)

from synthgen.errors import DestinationChanged, PublishError
from synthgen.shards.commits import commit_numbers, read_commit
from synthgen.shards.manifest import MANIFEST_NAME, Manifest, run_id_of
from synthgen.shards.parquet import write_shards
from synthgen.shards.publish import complete, find_published, find_quarantined, list_files, publish, quarantine
from synthgen.shards.reader import read_shards, verify
from synthgen.shards.stage import stage


def run_of(marker: int) -> str:
    return run_id_of(key_of(marker))


def snapshot(out: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        found[name] = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def died_before_commit(out: Path, marker: int, *, operation: str = "link", fingerprint: str = "input") -> None:
    """Publish up to the last operation of this name, then die."""
    counting = Counting()
    shutil.copytree(out, out.with_name("rehearsal"), symlinks=True) if out.exists() else None
    publish_run(out.with_name("rehearsal"), marker, files=counting, fingerprint=fingerprint)
    shutil.rmtree(out.with_name("rehearsal"))
    at = max(k for k, (name, _) in enumerate(counting.operations) if name == operation)
    with pytest.raises(Killed):
        publish_run(out, marker, files=FailAt(at, "kill"), fingerprint=fingerprint)


def test_the_layout_is_the_contract_s(tmp_path: Path) -> None:
    published = publish_run(tmp_path / "out", 1)
    out, run = tmp_path / "out", f"data/{run_of(1)}"
    assert (published.commit, published.folder, published.new) == (1, out / run, True)
    assert list(snapshot(out)) == [
        ".staging",
        "commits",
        "commits/00000001.json",
        "current",
        "data",
        run,
        f"{run}/labels.json",
        f"{run}/manifest.json",
        f"{run}/report.html",
        f"{run}/train",
        f"{run}/train/real-00000-of-00002.parquet",
        f"{run}/train/real-00001-of-00002.parquet",
        f"{run}/train/synthetic-00000-of-00001.parquet",
    ]
    assert (out / "current").readlink() == Path(run)
    commit = json.loads((out / "commits/00000001.json").read_text())
    assert (commit["run_id"], commit["parent"], commit["verdict"]) == (run_of(1), None, "PASS")
    assert read_shards(out).manifest == published.manifest


def test_publishing_again_is_a_no_op(tmp_path: Path) -> None:
    publish_run(tmp_path, 1)
    before = snapshot(tmp_path)
    again = publish_run(tmp_path, 1)
    assert (again.commit, again.new) == (1, False)
    assert snapshot(tmp_path) == before
    assert complete(tmp_path, run_key=key_of(1)).new is False
    assert snapshot(tmp_path) == before


def test_a_published_run_is_found_before_training(tmp_path: Path) -> None:
    assert find_published(tmp_path / "missing", run_key=key_of(1)) is None
    publish_run(tmp_path, 1)
    assert find_published(tmp_path, run_key=key_of(1)).manifest.run_id == run_of(1)
    assert find_published(tmp_path, run_key=key_of(2)) is None
    publish_run(tmp_path, 2)
    assert find_published(tmp_path, run_key=key_of(1)) is None, "another run is the head"


def test_a_damaged_head_is_not_answered(tmp_path: Path) -> None:
    folder = publish_run(tmp_path, 1).folder
    (folder / "labels.json").unlink()
    with pytest.raises(PublishError, match=r"labels\.json is missing .*restore it from a copy, or remove"):
        find_published(tmp_path, run_key=key_of(1))
    with pytest.raises(PublishError, match=r"labels\.json is missing"):
        publish_run(tmp_path, 1)
    shutil.rmtree(folder)  # as the message says
    assert find_published(tmp_path, run_key=key_of(1)) is None
    assert publish_run(tmp_path, 1).commit == 1, "the very bytes that commit 1 names"
    assert seen(tmp_path) == 1


def test_a_death_before_the_commit_is_completed_without_training(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish_run(out, 1)
    died_before_commit(out, 2)
    assert seen(out) == 1
    assert find_published(out, run_key=key_of(2)) is None
    assert complete(out, run_key=key_of(3)) is None
    completed = complete(out, run_key=key_of(2))
    assert (completed.commit, completed.new) == (2, True)
    assert seen(out) == 2


def test_a_run_that_another_process_works_on_is_not_completed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish_run(out, 1)
    died_before_commit(out, 2)
    with stage(out, run_id=run_of(2)), pytest.raises(PublishError, match="another process works on this very run"):
        complete(out, run_key=key_of(2))
    assert complete(out, run_key=key_of(2)).new


def test_a_run_published_earlier_comes_back_without_training(tmp_path: Path) -> None:
    publish_run(tmp_path, 1)
    publish_run(tmp_path, 2, fingerprint="other")
    assert complete(tmp_path, run_key=key_of(1)).commit == 3
    assert marker_in(pd.read_parquet(tmp_path / "current" / "train")) == 1
    assert verify(tmp_path).ok


def test_a_placed_folder_that_rotted_is_not_committed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish_run(out, 1)
    died_before_commit(out, 2)
    shard = next((out / "data" / run_of(2) / "train").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(PublishError, match="sha256 is not the manifest's"):
        complete(out, run_key=key_of(2))
    with pytest.raises(PublishError, match="sha256 is not the manifest's"):
        publish_run(out, 2)
    assert seen(out) == 1


def test_a_draft_that_became_a_commit_is_never_written_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish_run(out, 1)
    died_before_commit(out, 2, operation="replace")  # committed, and its draft still there
    publish_run(out, 3)
    publish_run(out, 2)
    assert commit_numbers(Files(), out) == [1, 2, 3, 4]
    assert verify(out).ok
    draft = out / ".staging" / f"{run_of(5)}.commit"
    os.link(out / "commits" / "00000004.json", draft)
    publish_run(out, 5)
    assert verify(out).ok


class Rival(Files):
    """Publishes another run the moment before this one's commit gets its number."""

    def __init__(self, out: Path, fingerprint: str) -> None:
        self.out, self.fingerprint, self.done = out, fingerprint, False

    def step(self, operation: str, path: Path) -> None:
        if operation == "link" and path.parent.name == "commits" and not self.done:
            self.done = True
            publish_run(self.out, 7, fingerprint=self.fingerprint)


def test_a_lost_race_is_published_on_top_where_the_input_is_the_same(tmp_path: Path) -> None:
    publish_run(tmp_path, 1)
    assert publish_run(tmp_path, 2, files=Rival(tmp_path, "input")).commit == 3
    assert [read_commit(Files(), tmp_path, number).run_id for number in (1, 2, 3)] == [run_of(1), run_of(7), run_of(2)]
    assert seen(tmp_path) == 2


def test_a_lost_race_to_another_input_is_refused_and_can_be_repeated(tmp_path: Path) -> None:
    publish_run(tmp_path, 1)
    with pytest.raises(DestinationChanged, match=r"got commit 2 .* give the command again"):
        publish_run(tmp_path, 2, files=Rival(tmp_path, "newer"))
    assert marker_in(read_shards(tmp_path).to_pandas()) == 7
    assert complete(tmp_path, run_key=key_of(2)).commit == 3
    assert marker_in(read_shards(tmp_path).to_pandas()) == 2


def test_another_input_published_while_this_run_worked_is_not_overwritten(tmp_path: Path) -> None:
    with stage(tmp_path, run_id=run_of(2)) as work:
        manifest = fill(work, 2)
        publish_run(tmp_path, 1, fingerprint="newer")
        with pytest.raises(DestinationChanged):
            publish(work, manifest=manifest, folder=work.folder / "out")
        assert (work.folder / "out" / "labels.json").exists(), "kept for the next attempt"
    assert seen(tmp_path) == 1
    with stage(tmp_path, run_id=run_of(2)) as work:  # the command given again knows what it overwrites
        publish(work, manifest=manifest, folder=work.folder / "out")
    assert marker_in(read_shards(tmp_path).to_pandas()) == 2


def test_current_follows_the_head_when_another_writer_was_faster(tmp_path: Path) -> None:
    class Late(Files):
        done = False

        def step(self, operation: str, path: Path) -> None:
            if operation == "replace" and path.name == "current" and not self.done:
                self.done = True
                publish_run(tmp_path, 7)

    publish_run(tmp_path, 1)
    publish_run(tmp_path, 2, files=Late())
    assert (tmp_path / "current").readlink() == Path("data") / run_of(7)


def test_the_run_folder_itself_can_be_what_is_published(tmp_path: Path) -> None:
    with stage(tmp_path, run_id=run_of(1)) as work:
        entries = write_shards(
            table_of(1, 4), work.folder / "train", prefix="real", seed=0, run_id=run_of(1), root=work.folder
        )
        manifest = Manifest.model_validate(
            {**manifest_of(1).model_dump(), "files": entries, "counts": {"no": {"real": 2}, "yes": {"real": 2}}}
        )
        publish(work, manifest=manifest)
    assert len(read_shards(tmp_path).train) == 4
    assert list((tmp_path / ".staging").iterdir()) == []


@pytest.mark.parametrize("what", ["missing", "foreign", "changed", "symlink"])
def test_a_folder_that_is_not_its_manifest_is_not_published(tmp_path: Path, what: str) -> None:
    with stage(tmp_path / "out", run_id=run_of(1)) as work:
        manifest = fill(work, 1)
        target = work.folder / "out" / "labels.json"
        if what == "foreign":
            (work.folder / "out" / "train" / "stray.parquet").touch()
        elif what == "changed":
            target.write_bytes(b"[]\n")
        else:
            target.rename(tmp_path / "labels.json")
        if what == "symlink":
            target.symlink_to(tmp_path / "labels.json")
        with pytest.raises(PublishError, match=r"cannot be published; nothing was changed"):
            publish(work, manifest=manifest, folder=work.folder / "out")
    assert commit_numbers(Files(), tmp_path / "out") == []


def test_only_the_run_s_own_folder_is_published(tmp_path: Path) -> None:
    with stage(tmp_path / "out", run_id=run_of(1)) as work:
        manifest = fill(work, 1)
        with pytest.raises(PublishError, match="only what was staged"):
            publish(work, manifest=manifest, folder=tmp_path)
        with pytest.raises(PublishError, match="the manifest is of run"):
            publish(work, manifest=manifest_of(2), folder=work.folder / "out")


def test_quarantine_moves_the_run_and_nothing_else(tmp_path: Path) -> None:
    publish_run(tmp_path, 1)
    before = snapshot(tmp_path)
    assert find_quarantined(tmp_path, run_key=key_of(2)) is None
    with stage(tmp_path, run_id=run_of(2)) as work:
        manifest = fill(work, 2).model_copy(update={"verdict": {"status": "FAIL"}})
        work.write(work.folder / "quality.json", b"{}")
        files = {path.relative_to(work.folder): path.read_bytes() for path in work.folder.rglob("*") if path.is_file()}
        kept = quarantine(work, manifest=manifest)
    assert kept == tmp_path / "quarantine" / run_of(2)
    moved = {path.relative_to(kept): path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    assert moved.pop(Path(MANIFEST_NAME))
    assert moved == files
    after = snapshot(tmp_path)
    assert {name: value for name, value in after.items() if not name.startswith("quarantine")} == before
    assert find_quarantined(tmp_path, run_key=key_of(2)).status == "FAIL"
    assert find_quarantined(tmp_path, run_key=key_of(1)) is None
    with stage(tmp_path, run_id=run_of(2)) as work:  # again, without having looked
        quarantine(work, manifest=manifest)
    assert (kept / "quality.json").exists()


def test_real_rows_can_be_published_of_a_run_in_quarantine(tmp_path: Path) -> None:
    with stage(tmp_path, run_id=run_of(1)) as work:
        manifest = fill(work, 1)
        publish(work, manifest=manifest, folder=work.folder / "out")
        quarantine(work, manifest=manifest_of(1, status="FAIL"))
    assert seen(tmp_path) == 1
    assert find_quarantined(tmp_path, run_key=key_of(1)).status == "FAIL"


def test_list_files_adds_what_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"abc")
    (tmp_path / MANIFEST_NAME).write_bytes(b"{}")
    (entry,) = list_files(tmp_path)
    assert (entry.path, entry.size_bytes, entry.rows, entry.origin) == ("model/weights.bin", 3, None, None)
    known = entry.model_copy(update={"rows": 3})
    assert list_files(tmp_path, known=[known]) == (known,)
