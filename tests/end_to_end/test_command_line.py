"""The command line in processes of its own: help is quick, JSON is pure, exit codes are the contract's."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from road_kit import command, frame

from synthgen import read_shards
from synthgen.report.build import MARK

COMMANDS = ("balance", "plan", "check", "sample", "report", "verify", "gc", "engines")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    frame().to_parquet(folder / "fraud.parquet")
    done = command(
        "balance", "fraud.parquet", "--label", "fraud", "--engine", "delta", "--jobs", 1, "--json", cwd=folder
    )
    (folder / "result.json").write_text(done.stdout)
    return folder


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nsys.argv = ['synthgen', '--help']\nfrom synthgen.cli import main\ntry:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'prefect', 'pandas', 'numpy', 'pyarrow', 'sklearn', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    assert "Usage" in command(name, "--help").stdout


def test_version():
    assert command("--version").stdout.strip() == "synthgen 0.1.0"


def test_json_is_one_object_with_the_verdict_and_the_folder(published):
    result = json.loads((published / "result.json").read_text())
    assert result["published"]
    assert result["folder"].endswith(f"data/{result['run_id']}")
    assert result["verdict"]["status"] in ("PASS", "NO LIFT", "INCONCLUSIVE")
    arms = {arm["name"] for arm in result["verdict"]["arms"]}
    assert {"none", "synthetic", "class weights", "oversample", "smote", "copula", "independent"} <= arms


def test_a_second_run_says_that_nothing_is_new(published):
    done = command("balance", "fraud.parquet", "--label", "fraud", "--engine", "delta", cwd=published)
    assert "nothing new" in done.stdout
    assert "INCONCLUSIVE" in done.stdout or "NO LIFT" in done.stdout or "PASS" in done.stdout


def test_require_pass_exits_7_without_publishing_and_report_only_publishes(published, tmp_path):
    frame().assign(x=0.0).to_parquet(tmp_path / "noise.parquet")
    options = ("--label", "fraud", "--engine", "oversample", "--jobs", 1, "--quiet")
    command("balance", "noise.parquet", *options, "--gate", "require-pass", "--out", "a", cwd=tmp_path, code=7)
    assert not (tmp_path / "a" / "current").exists()


def test_plan_trains_nothing_and_says_what_the_check_can_see(published):
    done = command("plan", "fraud.parquet", "--label", "fraud", "--json", cwd=published)
    made = json.loads(done.stdout)
    assert made["plan"]["classes"][1]["add"] == 280
    assert made["check_seconds"] > 0
    assert "cross-fitted" in made["check"]
    assert "60 real rows" in command("plan", "fraud.parquet", "--label", "fraud", cwd=published).stdout.replace(
        "\n", " "
    )


def test_sample_draws_more_rows(published, tmp_path):
    out = tmp_path / "more.parquet"
    command("sample", published / "fraud-balanced" / "current" / "model", "--label", "1", "-n", 7, "--out", out)
    rows = pd.read_parquet(out)
    assert len(rows) == 7
    assert rows["fraud"].eq(1).all()
    assert pq.read_schema(out).names == pq.read_schema(published / "fraud.parquet").names
    taken = command("plan", out, "--label", "fraud", code=3)
    assert "holds no real row" in taken.stderr
    command("sample", published / "fraud-balanced", "--label", "5", "-n", 7, "--out", tmp_path / "no.parquet", code=2)
    other = ("--label", "0", "-n", 7, "--out", tmp_path / "no.parquet")
    common = command("sample", published / "fraud-balanced", *other, code=2)
    assert "no model makes rows of class '0'; there are models for: 1" in common.stderr


def test_sample_and_report_write_over_nothing(published, tmp_path):
    mine, shards = tmp_path / "mine.parquet", read_shards(published / "fraud-balanced")
    frame().to_parquet(mine)
    inside = shards.folder / "train" / "more.parquet"
    published_one = next((shards.folder / "train").glob("real-*"))
    before = mine.read_bytes(), published_one.read_bytes()
    destination = published / "fraud-balanced"
    beside = [(place, "which holds a run's files") for place in (published_one, inside, destination / "x.parquet")]
    beside += [(tmp_path / f"{'x' * 300}.parquet", "choose a shorter --out")]
    for out, said in ((mine, "is there already"), *beside):
        done = command("sample", published / "fraud-balanced", "--label", "1", "-n", 2, "--out", out, code=4)
        assert said in done.stderr
    page = tmp_path / "index.html"
    page.write_text("<title>mine</title>")
    (tmp_path / "loop").symlink_to("loop")
    there = [(place, "is there already") for place in (mine, page, tmp_path / "loop")]
    shutil.copytree(shards.folder, tmp_path / "other")  # another's, or a copy
    (tmp_path / "linked.html").symlink_to(tmp_path / "other" / "report.html")
    there += [(tmp_path / name, "which holds a run's files") for name in ("other/report.html", "linked.html")]
    for out, said in (*there, (shards.folder / "report.html", "which holds a run's files")):
        assert said in command("report", shards.folder, "--out", out, code=4).stderr
    assert (mine.read_bytes(), published_one.read_bytes()) == before
    assert not inside.exists()
    model, copied = tmp_path / "other" / "model", tmp_path / "other" / "train" / "more.parquet"
    command("sample", model, "--label", "1", "-n", 2, "--out", copied, code=4)
    (tmp_path / "manifest.json").touch()  # of others
    command("sample", model, "--label", "1", "-n", 2, "--out", tmp_path / f"{'x' * 240}.parquet")
    for name in ("commits", "data"):  # of others too
        (tmp_path / name).mkdir()
    for _ in range(2):  # a report is made again where it was
        command("report", shards.folder, "--out", tmp_path / "report.html")
    (tmp_path / "report.html").write_bytes(MARK)
    (tmp_path / "report.html").chmod(0o640)
    (tmp_path / "link.html").symlink_to("report.html")
    command("report", shards.folder, "--out", tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink()
    assert len((tmp_path / "report.html").read_bytes()) > len(MARK)
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o640


def test_a_report_that_the_disk_cuts_short_leaves_the_old_one(published, tmp_path):
    """Red when a report is written where it will stand, or its part stays behind."""
    folder, page = read_shards(published / "fraud-balanced").folder, tmp_path / "report.html"
    command("report", folder, "--out", page)
    before = page.read_bytes()
    small = (resource.RLIMIT_FSIZE, (len(before) // 2,) * 2)
    done = command("report", folder, "--out", page, code=4, limit=small)
    assert "File too large" in done.stderr
    assert page.read_bytes() == before
    assert list(tmp_path.iterdir()) == [page]


def test_sample_says_what_more_rows_than_memory_take(published, tmp_path):
    options = ("--label", "1", "-n", 10**12, "--out", tmp_path / "more.parquet")
    done = command("sample", published / "fraud-balanced", *options, code=3)
    assert "-n 1000000000000 rows take about" in done.stderr
    assert "draw fewer at a time" in done.stderr
    assert not list(tmp_path.iterdir())


def test_verify_finds_one_changed_byte(published, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(published / "fraud-balanced", out, symlinks=True)
    command("verify", out)
    path = next((out / "current" / "train").glob("synthetic-*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = command("verify", out, "--json", code=4)
    assert [problem["kind"] for problem in json.loads(done.stdout)["problems"]] == ["bad"]


def test_gc_keeps_what_is_named(published):
    done = command("gc", published / "fraud-balanced", "--keep", 1, "--older-than", "0s", "--json")
    assert json.loads(done.stdout) == {"removed": []}


def test_gc_keeps_as_many_as_it_is_told(published, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(published / "fraud-balanced", out, symlinks=True)
    options = ("--label", "fraud", "--engine", "oversample", "--holdout", 0, "--out", out, "--quiet")
    command("balance", published / "fraud.parquet", *options)
    removed = [
        json.loads(command("gc", out, "--keep", keep, "--older-than", "0s", "--json").stdout)["removed"]
        for keep in (2, 1)
    ]
    assert removed[0] == []
    assert removed[1] != []


def test_report_is_rebuilt(published, tmp_path):
    out = tmp_path / "again.html"
    command("report", published / "fraud-balanced" / "current", "--out", out)
    assert "<html" in out.read_text()


def test_check_refuses_a_holdout_that_was_trained_on(published):
    # red when judge takes the holdout as it comes
    done = command(
        "check",
        "fraud.parquet",
        "fraud.parquet",
        "--holdout",
        "fraud.parquet",
        "--label",
        "fraud",
        cwd=published,
        code=3,
    )
    assert "also in the table that is trained on" in done.stderr


def test_added_rows_are_synthetic_to_check_and_real_to_nobody(published):
    added = next((published / "fraud-balanced" / "current" / "train").glob("synthetic-*"))
    judged = ("--holdout", "fraud.parquet", "--label", "fraud")
    for words in (("balance", added), ("plan", added), ("check", added, "fraud.parquet", *judged)):
        assert f"{added.name} holds no real row" in command(*words, cwd=published, code=3).stderr
    done = command("check", "fraud.parquet", added, *judged, cwd=published, code=3)
    assert "also in the table that is trained on" in done.stderr  # the added rows were read, the holdout is refused


def test_check_judges_rows_of_another_tool(published, tmp_path):
    rows = frame()
    rows.iloc[:250].to_parquet(tmp_path / "real.parquet")
    rows.iloc[250:].to_parquet(tmp_path / "held.parquet")
    made = rows.iloc[:250][lambda part: part["fraud"] == 0].sample(100, replace=True, random_state=0).assign(fraud=1)
    made.to_parquet(tmp_path / "made.parquet")
    done = command(
        *("check", "real.parquet", "made.parquet", "--holdout", "held.parquet", "--label", "fraud"),
        *("--jobs", 1, "--json"),
        cwd=tmp_path,
        code=6,
    )
    verdict = json.loads(done.stdout)
    assert verdict["check"] == "holdout"
    assert verdict["status"] == "FAIL"


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (("balance", "fraud.parquet", "--label", "fraudd"), 3, ("'fraudd'", "'fraud'")),
        (("balance", "nothing.parquet"), 3, ("nothing.parquet", "does not exist")),
        (("balance", "fraud.parquet"), 2, ("--label", "amount")),
        (("balance", "fraud.parquet", "--label", "fraud", "--engine", "tvae"), 2, ("tvae", "cwgan-gp")),
        (("balance", "fraud.parquet", "--label", "fraud", "--format", "webdataset"), 2, ("format", "parquet")),
        (("balance", "fraud.parquet", "--label", "fraud", "--on-fail", "publish-real"), 2, ("on-fail", "keep-old")),
        (("balance", "fraud.parquet", "--label", "fraud", "--metric", "accuracy"), 2, ("average_precision",)),
        (("balance", "fraud.parquet", "--label", "fraud", "--strategy", "7=500"), 2, ("'7'", "classes are")),
        (("balance", "fraud.parquet", "--label", "fraud", "--out", "fraud.parquet"), 4, ("fraud.parquet",)),
        (("verify", "."), 3, ("manifest",)),
        (("gc", "fraud-balanced", "--keep", "1", "--older-than", "soon"), 2, ("12h",)),
    ],
)
def test_errors_are_one_line_with_names_and_their_exit_code(published, arguments, code, names):
    done = command(*arguments, cwd=published, code=code)
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert all(name in line for name in names), line
    assert "Traceback" not in done.stderr


def test_errors_are_json_too(published):
    done = command("balance", "fraud.parquet", "--label", "fraudd", "--json", cwd=published, code=3)
    assert json.loads(done.stdout)["error"]["exit_code"] == 3


def test_a_usage_error_is_json_too(published):
    done = command("balance", "fraud.parquet", "--nope", "--json", cwd=published, code=2)
    assert "--nope" in json.loads(done.stdout)["error"]["message"]


def test_ctrl_c_says_that_nothing_was_published_and_exits_130(published, tmp_path):
    # red when main lets typer swallow the interrupt
    here = Path(__file__).parents[2]
    arguments = ["balance", "fraud.parquet", "--label", "fraud", "--engine", "cwgan-gp", "--steps", "100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "synthgen", *arguments, "--holdout", "0", "--json", "--out", str(tmp_path / "out")],
        cwd=published,
        env={**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "step" in line:
            break
    process.send_signal(signal.SIGINT)
    try:
        out, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "same command resumes" in json.loads(out)["error"]["message"]
    assert not (tmp_path / "out" / "current").exists()


def test_an_interrupt_inside_a_library_s_import_exits_130_too(tmp_path):
    """C libraries run code of their own while they are imported; an interrupt there makes Python end by the signal.

    Red when main does not block the signals on its way out."""
    (tmp_path / "late.py").write_text(
        "import ctypes\nfrom synthgen import cli\n"
        "run = ctypes.pythonapi.PyRun_String\nrun.restype = ctypes.py_object\n"
        "run.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.py_object, ctypes.py_object]\n"
        "cli.app = lambda **options: run(b'raise KeyboardInterrupt', 257, {}, {})\ncli.main()\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-m", "late"], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 130
    assert "interrupted" in done.stderr


def test_sample_into_a_folder_that_is_not_there_is_the_destination_s_error(published, tmp_path):
    out = tmp_path / "nowhere" / "more.parquet"
    done = command("sample", published / "fraud-balanced", "--label", "1", "-n", 2, "--out", out, code=4)
    assert f"there is no folder {out.parent}; make it first" in done.stderr
