"""The manifest: canonical, sealed, frozen, and refusing what does not add up."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError
from shards_kit import key_of, manifest_of

from synthgen.errors import DataError
from synthgen.shards.manifest import FileEntry, InputInfo, Manifest, manifest_bytes, parse_manifest, run_id_of
from synthgen.shards.sealed import canonical, seal, unseal


def entry(path: str, **changes: object) -> FileEntry:
    return FileEntry.model_validate({"path": path, "size_bytes": 1, "sha256": "0" * 64, **changes})


def remade(**changes: object) -> Manifest:
    return Manifest.model_validate({**manifest_of(1).model_dump(), **changes})


def test_a_manifest_comes_back_as_it_was() -> None:
    manifest = remade(verdict={"status": "PASS", "gain": 0.1 + 0.2}, notes=["é", "<script>"], class_weights={"no": 2.5})
    data = manifest_bytes(manifest)
    assert parse_manifest(data) == manifest
    assert manifest_bytes(parse_manifest(data)) == data
    assert "é" in data.decode()


def test_every_bit_of_it_counts() -> None:
    data = manifest_bytes(manifest_of(1))
    for place in range(len(data)):
        for bit in (0, 5):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with pytest.raises(DataError, match=r"manifest\.json is damaged"):
                parse_manifest(bytes(flipped))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"a": NaN, "sha256": ""}', b"null"])
def test_garbage_is_a_data_error(data: bytes) -> None:
    with pytest.raises(DataError, match="damaged"):
        parse_manifest(data)


def test_a_newer_one_says_so() -> None:
    fields = {**json.loads(canonical(manifest_of(1).model_dump(mode="json"))), "schema_version": 2, "new": 1}
    with pytest.raises(DataError, match=r"schema version 2 .* upgrade synthgen"):
        parse_manifest(seal(fields))


def test_it_is_frozen_and_knows_its_keys() -> None:
    with pytest.raises(ValidationError):
        manifest_of(1).run_id = "0" * 12
    with pytest.raises(ValidationError, match="Extra inputs"):
        remade(surprise=1)


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "train/../../x", "train//x", "./x", "a\\b", "c:x", "x\0y", "train/"]
)
def test_a_path_stays_below_the_folder(path: str) -> None:
    with pytest.raises(ValidationError, match="not a plain path"):
        entry(path)


def test_counts_have_to_match_the_files() -> None:
    entries = [entry("train/real-0.parquet", rows=3, origin="real"), entry("labels.json")]
    assert remade(files=entries, counts={"no": {"real": 2}, "yes": {"real": 1}}).files[0].rows == 3
    with pytest.raises(ValidationError, match="counts say 2 real rows in train, its files have 3"):
        remade(files=entries, counts={"no": {"real": 2}})
    with pytest.raises(ValidationError, match="counts say 1 synthetic"):
        remade(files=entries, counts={"no": {"real": 3, "synthetic": 1}})
    with pytest.raises(ValidationError, match="'maybe'"):
        remade(counts={"maybe": {}})


def test_names_and_runs_have_to_agree() -> None:
    with pytest.raises(ValidationError, match="not the start of run_key"):
        remade(run_id="0" * 12)
    with pytest.raises(ValidationError, match="listed twice"):
        remade(files=[entry("a"), entry("a")])
    with pytest.raises(ValidationError, match="the manifest itself"):
        remade(files=[entry("manifest.json")])
    assert run_id_of(key_of(1)) == key_of(1)[:12]


def test_figures_that_json_lacks_become_null_and_odd_letters_a_mark() -> None:
    manifest = remade(verdict={"status": "FAIL", "gains": [float("nan"), {"high": float("inf")}]})
    assert manifest.verdict["gains"] == [None, {"high": None}]
    assert parse_manifest(manifest_bytes(manifest)) == manifest
    odd = InputInfo(fingerprint="f", name="x\udcff.parquet", rows=1)
    assert odd.name == "x?.parquet"


@pytest.mark.parametrize("value", ["1", 1, 1.0, True, "true"])
def test_a_label_value_keeps_its_type(value: object) -> None:
    manifest = remade(labels=[{"code": 0, "text": "x", "value": value}])
    kept = parse_manifest(manifest_bytes(manifest)).labels[0].value
    assert (kept, type(kept)) == (value, type(value))


def test_a_seal_covers_spelling_and_twice_named_fields() -> None:
    data = seal({"a": 1, "b": [1.5, None, "é"]})
    assert unseal(data) == {"a": 1, "b": [1.5, None, "é"]}
    for other in (data.replace(b"  ", b" "), data + b" ", data.replace(b'"a": 1', b'"a": 2,\n  "a": 1')):
        with pytest.raises(ValueError, match="its content"):
            unseal(other)
    with pytest.raises(ValueError, match="own"):
        seal({"sha256": "x"})
