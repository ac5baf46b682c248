"""A whole build from small wheels: one command, a manifest that names everything, the same bytes after kill -9."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.build import Guard, build_corpus
from data.manifest import read_manifest
from data.packs import read_packs, write_packs
from data.recipe import Recipe
from repair.errors import InputError
from repair.executors import Processes
from tests.data.planted import PLANTED

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(
    stdlib=False,
    held_out=("gamma",),
    vocabulary=700,
    pretrain_tokens=20_000,
    examples=120,
    held_out_examples=20,
    row=512,
)


def module(number):
    draw = random.Random(number)
    names = [f"{draw.choice(['load', 'merge', 'count', 'find', 'split'])}_{draw.randrange(999)}" for _ in range(6)]
    body = "".join(
        f"def {name}(values, limit={draw.randrange(9)}):\n    total_{n} = {draw.randrange(50)}\n"
        f"    for value in values:\n        if value {draw.choice(['<', '>', '=='])} limit and value:\n"
        f"            total_{n} {draw.choice(['+=', '-='])} value * {draw.randrange(2, 40)}\n"
        f"    return {name}_done(total_{n}, values[{draw.randrange(5)}])\n\n\n"
        for n, name in enumerate(names)
    )
    return f"import os\n\n\n{body}"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    for at, (name, licence) in enumerate(
        [("alpha", "MIT"), ("beta", "Apache-2.0"), ("gamma", "BSD-3-Clause"), ("delta", "GPL-3.0-only")]
    ):
        with zipfile.ZipFile(folder / f"{name}-1.{at}-py3-none-any.whl", "w") as archive:
            archive.writestr(
                f"{name}-1.{at}.dist-info/METADATA", f"Name: {name}\nVersion: 1.{at}\nLicense-Expression: {licence}\n\n"
            )
            for n in range(12):
                archive.writestr(f"{name}/m{n}.py", module(100 * at + n))
            if name == "alpha":
                renamed = PLANTED.replace("longest_run", "streak").replace("items", "row").replace("wanted", "mark")
                archive.writestr("alpha/planted.py", module(999) + renamed)
    return folder


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guard")
    (folder / "marks.txt").write_text("0123456789abcdef\n")
    (folder / "suite.jsonl").write_text(json.dumps({"id": "a", "buggy_code": "x = 1", "fixed_code": PLANTED}) + "\n")
    return Guard(folder / "marks.txt", (folder / "suite.jsonl",))


def contents(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".part"))
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def built(wheels, guard, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, build_corpus(wheels, out, RECIPE, guard)


def test_the_manifest_names_every_package_with_licence_and_hash(built, wheels):
    out, values = built
    assert read_manifest(out / "manifest.json") == json.loads(json.dumps(values))
    rows = {p["name"]: p for p in values["packages"]}
    assert {n: (p["version"], p["licence"], p["accepted"], p["held_out"]) for n, p in rows.items()} == {
        "alpha": ("1.0", "MIT", True, False),
        "beta": ("1.1", "Apache-2.0", True, False),
        "gamma": ("1.2", "BSD-3-Clause", True, True),
        "delta": ("1.3", "GPL-3.0-only", False, False),
    }
    wheel = next(wheels.glob("beta-*"))
    assert rows["beta"]["sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert rows["delta"]["files"] == 0
    assert "GPL-3.0-only" in (out / "DATA.md").read_text()


def test_a_planted_renamed_copy_is_dropped_and_reported(built):
    out, values = built
    assert values["decontaminated"] == {"mark of a measured program": 1}
    dropped = [json.loads(line) for line in (out / "files" / "alpha.dropped.jsonl").read_text().splitlines()]
    assert [(d["path"], d["name"]) for d in dropped] == [("alpha/planted.py", "streak")]
    assert "streak" not in (out / "files" / "alpha.jsonl").read_text()


def test_rows_are_ready_to_be_mapped(built):
    out, values = built
    ids = np.load(out / "repair-000.ids.npy", mmap_mode="r")
    weights = np.load(out / "repair-000.weights.npy", mmap_mode="r")
    segments = np.load(out / "repair-000.segments.npy", mmap_mode="r")
    assert ids.shape == weights.shape == segments.shape and ids.shape[1] == RECIPE.row
    assert (segments > 0).sum() == values["stages"]["repair"]["tokens"]
    assert set(np.unique(weights)) <= {0, 3, 10, 30}
    assert not ids[segments == 0].any()
    assert ids.max() < RECIPE.vocabulary


def test_held_out_rows_come_from_held_out_packages_only(built):
    out, _ = built
    rows = [json.loads(line) for line in (out / "heldout.jsonl").read_text().splitlines()]
    assert len(rows) == RECIPE.held_out_examples
    assert {r["package"] for r in rows} == {"gamma"}
    assert all(bool(r["hunks"]) is (r["bug_classes"] != ["clean"]) for r in rows)


def test_a_second_build_keeps_what_is_there(built, wheels, guard):
    out, values = built
    said = []
    assert build_corpus(wheels, out, RECIPE, guard, report=lambda *line: said.append(line)) == values
    assert [s for s, text in said if text.startswith("kept")] == [
        "vocabulary",
        "pretrain",
        "held-out",
        "executed",
        "repair",
    ]


def test_other_choices_build_anew(built, wheels, guard, tmp_path):
    other = build_corpus(wheels, tmp_path, Recipe(**{**recipe_values(), "seed": 2}), guard)
    assert contents(tmp_path)["repair-000.ids.npy"] != contents(built[0])["repair-000.ids.npy"]
    assert other["recipe_digest"] != built[1]["recipe_digest"]


def test_packs_take_the_place_of_training_shards(built, wheels, guard, tmp_path):
    recipe = Recipe(**recipe_values() | {"pack_mib": 1, "executed_each": 0})
    values = build_corpus(wheels, tmp_path, recipe, guard, executor=Processes(2))
    assert set(values["stages"]) == {"vocabulary", "pretrain", "held-out", "packs"}
    assert not list(tmp_path.glob("repair-*")) and not list(tmp_path.glob("pretrain-*"))
    same = ("valid-pretrain-000.npy", "valid-repair-000.ids.npy", "heldout.jsonl", "tokenizer.json", "files/beta.jsonl")
    before, after = contents(built[0]), contents(tmp_path)
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    pack = tmp_path / "packs" / "code-0.jsonl.xz"
    assert {file.code.package for file in read_packs([pack])} == {"alpha", "beta"}  # gamma is held out, delta refused
    write_packs(["alpha", "beta"], tmp_path / "files", tmp_path / "alone", recipe)
    assert (tmp_path / "alone" / pack.name).read_bytes() == pack.read_bytes()


def recipe_values():
    return {name: getattr(RECIPE, name) for name in Recipe.__dataclass_fields__}


def test_killed_at_any_moment_it_ends_in_the_same_bytes(built, wheels, guard, tmp_path):
    script = "from pathlib import Path; from tests_build_values import *; build_corpus(wheels, out, recipe, guard)"
    values = (
        f"from pathlib import Path\nfrom data.build import *\nfrom data.filters import FileLimits\n"
        f"wheels, out = Path({str(wheels)!r}), Path({str(tmp_path / 'out')!r})\n"
        f"recipe = {RECIPE!r}\nguard = Guard(Path({str(guard.marks)!r}), (Path({str(guard.suites[0])!r}),))\n"
    )
    (tmp_path / "tests_build_values.py").write_text(values)
    command = [sys.executable, "-c", script]
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    draw = random.Random(11)
    for _ in range(3):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.4, 1.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, env=environment, check=True)
    assert contents(tmp_path / "out") == contents(built[0])


def test_nothing_usable_is_an_error(guard, tmp_path):
    with pytest.raises(InputError, match="holds no wheel"):
        build_corpus(tmp_path, tmp_path / "out", RECIPE, guard)
