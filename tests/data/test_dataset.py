"""A whole dataset: cleaned, split, readable by others, and the same bytes whatever happens on the way."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.dataset import build_dataset, collect_sources
from data.parquet import read_parquet
from data.records import CLEAN, Origin
from data.stages import Place
from data.steps import Rejection, Step
from data.store import read_rows
from data.tokenizer import train_tokenizer
from data.toml import read_plan
from repair.errors import InputError
from repair.executors import Processes, Serial
from tests.data.planted import PLANTED, RENAMED

ROOT = Path(__file__).parents[2]
SECRET = """def connect(host):
    key = "AKIAIOSFODNN7QZXWVUT"
    if not host:
        return None
    return host, key
"""
RECIPE = """
name = "tried"
output = "out"

[[sources]]
kind = "inject"
path = "wheels"
each = 3

[[sources]]
kind = "inject"
path = "code"
licence = "MIT"
repository = "ours"

[[sources]]
kind = "feedback"
path = "journal.jsonl"
licence = "MIT"

[[sources]]
kind = "suite"
path = "suite.jsonl"
role = "evaluation"

[clean]
labels = false
cosmetic = false

[split]
validation = 0
test = 0
test_repositories = ["gamma"]
validation_repositories = ["journal"]

[write]
rows = 100
tokenizer = "tokenizer.json"
row = 512
"""


def wheel(folder, name, licence, files):
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(
            f"{name}-1.0.dist-info/METADATA", f"Name: {name}\nVersion: 1.0\nLicense-Expression: {licence}\n\n"
        )
        for path, text in files.items():
            archive.writestr(f"{name}/{path}", text)


def ours(pattern, most=3):
    return {p.name: p.read_text() for p in sorted(ROOT.glob(pattern))[:most] if p.name != "__init__.py"}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A recipe with real code, a suite, a renamed copy of its program, a secret, a copy of another package."""
    root = tmp_path_factory.mktemp("given")
    (root / "wheels").mkdir()
    (root / "code").mkdir()
    edits = (ROOT / "repair" / "edits.py").read_text()
    wheel(root / "wheels", "alpha", "MIT", {**ours("repair/*.py"), "edits.py": edits, "planted.py": edits + RENAMED})
    wheel(root / "wheels", "beta", "Apache-2.0", {**ours("repair/languages/*.py"), "copied.py": edits})
    wheel(root / "wheels", "delta", "GPL-3.0-only", ours("repair/traces/*.py"))
    wheel(root / "wheels", "gamma", "BSD-3-Clause", ours("repair/mutate/*.py"))
    (root / "code" / "connect.py").write_text(SECRET)
    (root / "code" / "pick.js").write_text(
        "function pick(items, limit) {\n  let total = 0;\n  for (const item of items) {\n    total += item - limit;\n"
        "  }\n  return total;\n}\n"
    )
    row = {"language": "python", "path": "a.py", "accepted": True, "at": "2025-03-01T12:00:00"}
    change = {
        "text_before": "def f(a):\n    b = a\n    return b\n",
        "text_after": "def f(a):\n    b = -a\n    return b\n",
    }
    journal = [{**row, **change}, {**row, **change, "path": "b.py"}, {**row, **change, "accepted": False}]
    (root / "journal.jsonl").write_text("".join(json.dumps(r) + "\n" for r in journal))
    suite = {"id": "s/1", "language": "python", "buggy_code": PLANTED.replace(">=", ">"), "fixed_code": PLANTED}
    (root / "suite.jsonl").write_text(json.dumps({**suite, "tests": "assert longest_run([1], 1)[0] == 1"}) + "\n")
    tokenizer = train_tokenizer([edits], 600)
    (root / "tokenizer.json").write_text(tokenizer.to_str())
    (root / "r.toml").write_text(RECIPE)
    return root


def built(root, out, executor=None, steps=None, overrides=()):
    plan = read_plan(root / "r.toml", overrides)
    return build_dataset(plan, Place(root, out, executor or Serial()), steps)


@pytest.fixture(scope="module")
def undisturbed(given, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    return out, built(given, out)


def contents(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def records(out, split):
    return [r for path in sorted((out / "data").glob(f"{split}-*.parquet")) for r in read_parquet(path)]


def dropped(out):
    return list(read_rows(out / "dropped.jsonl"))


def test_what_may_not_be_learned_is_dropped_with_its_reason(undisturbed):
    out, manifest = undisturbed
    rows = dropped(out)
    by_function = {(r["stage"], r["reason"]) for r in rows if r.get("function") in ("streak", "connect")}
    assert by_function == {("decontaminate", "mark of a measured program"), ("secrets", "secret: AWS Access Key")}
    train = records(out, "train")
    assert not any("streak" in r.buggy or "AKIA" in r.buggy + r.fixed for r in train)
    assert not any("AKIAIOSFODNN7" in path.read_text() for path in (out / "work" / "clean").rglob("*.jsonl"))
    assert "AKIA" not in (out / "dropped.jsonl").read_text()
    assert {r["reason"] for r in rows if "delta" in r["where"]} == {
        "package: licence expression 'GPL-3.0-only' is not on the allow-list"
    }
    assert manifest["dropped"]["duplicates"]["exact duplicate"] >= 1
    assert all(r["stage"] and r["reason"] and r["where"] for r in rows)


def test_copies_of_functions_in_other_packages_are_dropped(undisturbed):
    out, _ = undisturbed
    reasons = {r["reason"] for r in dropped(out) if "beta/copied.py" in r["where"]}
    assert "exact duplicate of another function" in reasons
    assert reasons <= {"exact duplicate", "exact duplicate of another function"}
    assert not any(r.path == "beta/copied.py" for r in records(out, "train"))


def test_repositories_lie_in_one_split(undisturbed):
    out, manifest = undisturbed
    found = {split: {r.repository for r in records(out, split)} for split in ("train", "validation", "test")}
    assert found == {"train": {"alpha", "beta", "ours"}, "validation": {"journal"}, "test": {"gamma", "suite"}}
    assert {r.repository for r in records(out, "test") if r.origin is Origin.SUITE} == {"suite"}
    assert [r.accepted for r in records(out, "validation")] == [True, False]
    assert manifest["counts"]["split"] == {s: len(records(out, s)) for s in ("test", "train", "validation")}


def test_no_record_comes_twice(undisturbed):
    out, _ = undisturbed
    found = [r for split in ("train", "validation", "test") for r in records(out, split)]
    assert len({(r.id, r.accepted) for r in found}) == len(found) > 150


def test_the_manifest_has_every_file_licence_and_version(undisturbed):
    out, manifest = undisturbed
    assert json.loads((out / "manifest.json").read_text()) == manifest
    for name, told in manifest["files"].items():
        content = (out / name).read_bytes()
        assert (told["bytes"], told["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    on_disk = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file() and "work" not in p.parts}
    assert set(manifest["files"]) | {"manifest.json"} == on_disk
    assert {(s["name"], s.get("version"), s.get("licence")) for s in manifest["from"]} == {
        ("alpha", "1.0", "MIT"), ("beta", "1.0", "Apache-2.0"), ("delta", "1.0", "GPL-3.0-only"),
        ("gamma", "1.0", "BSD-3-Clause"), ("ours", "", "MIT"), ("journal", None, "MIT"), ("suite", None, None),
    }  # fmt: skip
    assert {"python", "emend", "pyarrow", "detect-secrets"} <= set(manifest["versions"])
    assert manifest["recipe"]["split"]["test_repositories"] == ["gamma"]
    assert manifest["decontaminated_against"]["marks"] > 3000


def test_packed_rows_need_numpy_alone(undisturbed):
    out, manifest = undisturbed
    names = sorted(p.name.removesuffix(".ids.npy") for p in (out / "packed").glob("*.ids.npy"))
    assert names == sorted(p.stem for p in (out / "data").glob("*.parquet") if not p.name.startswith("test"))
    tokens = 0
    for name in names:
        ids, weights, segments = (
            np.load(out / "packed" / f"{name}.{kind}.npy", mmap_mode="r") for kind in ("ids", "weights", "segments")
        )
        assert ids.shape == weights.shape == segments.shape and ids.shape[1] == 512
        assert not ids[segments == 0].any()
        tokens += int((segments > 0).sum())
    assert tokens == manifest["packed"]["tokens"] > 10_000
    assert manifest["packed"]["left_out"] == 1  # the rejected repair


def test_processes_give_the_same_bytes(given, undisturbed, tmp_path):
    built(given, tmp_path, Processes(2))
    assert contents(tmp_path) == contents(undisturbed[0])


def test_a_second_build_does_nothing_anew(given, undisturbed):
    out, manifest = undisturbed
    before = {
        p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file() and p.suffix in (".parquet", ".npy", ".jsonl")
    }
    said = []
    plan = read_plan(given / "r.toml")
    assert build_dataset(plan, Place(given, out, Serial(), said.append)) == manifest
    assert all(p.kept for p in said if p.stage != "plan")
    del before[out / "dropped.jsonl"]
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())


def test_datasets_reads_it_as_a_stream(undisturbed):
    script = (
        "import json, sys\nfrom datasets import load_dataset\nfound = load_dataset(sys.argv[1], streaming=True)\n"
        "print(json.dumps({name: [row['id'] for row in rows] for name, rows in found.items()}))\n"
        "files = {'train': sys.argv[1] + '/data/train-*.parquet'}\n"
        "print(sum(1 for _ in load_dataset('parquet', data_files=files, streaming=True)['train']))\n"
        "sys.stdout.flush()\nimport os\nos._exit(0)\n"  # arrow's threads outlive the interpreter
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(undisturbed[0].parent / "cache")}
    command = [sys.executable, "-c", script, str(undisturbed[0])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    found, count = (json.loads(line) for line in done.stdout.splitlines())
    out = undisturbed[0]
    assert found == {split: [r.id for r in records(out, split)] for split in ("train", "validation", "test")}
    assert count == len(found["train"])


def emend(root, *argv):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "serve", "data", "build", str(root / "r.toml"), *argv],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_killed_at_any_moment_it_ends_in_the_same_bytes(given, undisturbed, tmp_path):
    draw = random.Random(7)
    whole = len(contents(undisturbed[0]))
    out = tmp_path / "out"
    for part, jobs in ((0.1, "2"), (0.4, "1"), (0.8, "1")):
        for _ in range(20):
            process = emend(given, "-o", str(out), "--jobs", jobs)
            wanted = whole * (part + draw.uniform(0, 0.15))
            while process.poll() is None and len(list(out.rglob("*"))) < wanted:
                time.sleep(0.003)
            time.sleep(draw.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            if process.returncode == -signal.SIGKILL and not (out / "manifest.json").exists():
                break
            shutil.rmtree(out)  # it was done before we killed it: once more
        else:
            pytest.fail("it could not be killed in time")
    process = emend(given, "-o", str(out))
    assert process.communicate()[1] is not None and process.returncode == 0
    assert contents(out) == contents(undisturbed[0])


def test_a_full_disk_keeps_finished_shards(given, undisturbed, tmp_path):
    broken = tmp_path / "work" / "clean" / "00-inject" / "beta-1.0.jsonl.part"
    broken.parent.mkdir(parents=True)
    broken.symlink_to("/dev/full")  # writing there is answered as a full disk does
    with pytest.raises(InputError, match="disk is full; make room and run the same command again"):
        built(given, tmp_path)
    finished = contents(tmp_path)
    assert "work/clean/00-inject/alpha-1.0.json" in finished
    assert not any(name.endswith(".part") for name in finished)
    said = []
    build_dataset(read_plan(given / "r.toml"), Place(given, tmp_path, Serial(), said.append))
    assert {p.name for p in said if p.kept and p.stage == "clean"} == {"00-inject/alpha-1.0"}
    assert all(p.kept for p in said if p.stage == "records")
    assert contents(tmp_path) == contents(undisturbed[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_really_full_disk_is_told_and_can_be_grown(given, undisturbed, tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "none", tmp_path], check=False).returncode:
        pytest.skip("this root may not mount")
    try:
        with pytest.raises(InputError, match="disk is full"):
            built(given, tmp_path)
        assert list((tmp_path / "work" / "records").rglob("alpha-1.0.json"))
        subprocess.run(["mount", "-o", "remount,size=50m", tmp_path], check=True)
        built(given, tmp_path)
        assert contents(tmp_path) == contents(undisturbed[0])
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_two_builds_do_not_write_to_one_folder(given, tmp_path):
    from data.shards import locked

    with locked(tmp_path), pytest.raises(InputError, match="another build writes there"):
        built(given, tmp_path)


def test_other_choices_leave_nothing_behind(given, undisturbed, tmp_path):
    built(given, tmp_path, overrides=["write.rows=40", "write.tokenizer=''"])
    assert not (tmp_path / "packed").exists()
    assert len(list((tmp_path / "data").glob("train-*"))) > len(list((undisturbed[0] / "data").glob("train-*")))
    built(given, tmp_path)
    fresh, found = contents(undisturbed[0]), contents(tmp_path)
    assert {n: h for n, h in found.items() if not n.startswith("work")} == {
        n: h for n, h in fresh.items() if not n.startswith("work")
    }


def test_training_records_are_written_differently_as_often_as_asked(given, undisturbed, tmp_path):
    built(given, tmp_path, overrides=["augment.copies=1", "write.tokenizer=''"])
    plain, more = records(undisturbed[0], "train"), records(tmp_path, "train")
    known = {one.id for one in plain}
    copies = [one for one in more if one.id not in known]
    assert known <= {one.id for one in more}
    assert len(plain) / 2 < len(copies) <= len(plain)
    assert all((one.buggy == one.fixed) == (one.bug_classes == (CLEAN,)) for one in copies)
    assert [r.id for r in records(tmp_path, "test")] == [r.id for r in records(undisturbed[0], "test")]
    again = tmp_path / "again"
    built(given, again, executor=Processes(2), overrides=["augment.copies=1", "write.tokenizer=''"])
    assert [one.id for one in records(again, "train")] == [one.id for one in more]


def only_long(record):
    return Rejection("", "short") if record.fixed.count("\n") < 12 else record


def test_own_steps_replace_all_but_decontamination(given, tmp_path):
    manifest = built(given, tmp_path, steps=(Step("length", only_long),))
    assert set(manifest["dropped"]) >= {"read", "length"}
    assert "secrets" not in manifest["dropped"]
    overrides = ["sources.1.path=code", "split.test_repositories=[]"]
    again = built(given, tmp_path, steps=(), overrides=overrides)
    assert again["dropped"]["decontaminate"] == {"mark of a measured program": 3}


def test_sources_of_one_kind_are_kept_for_the_build(given, tmp_path):
    plan = read_plan(given / "r.toml")
    (one,) = collect_sources(plan, Place(given, tmp_path, Serial()), ("feedback",))
    assert (one.shard.name, one.counts) == ("02-feedback/journal", {"records": 3, "left_out": {}})
    with pytest.raises(InputError, match="no source of kind commits"):
        collect_sources(plan, Place(given, tmp_path, Serial()), ("commits",))
    said = []
    build_dataset(plan, Place(given, tmp_path, Serial(), said.append))
    assert [p.name for p in said if p.stage == "records" and p.kept] == ["02-feedback/journal"]
