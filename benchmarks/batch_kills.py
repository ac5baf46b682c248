"""`emend batch` over 20 repositories against `kill -9`: killed with all its processes, resumed, and compared.

    python benchmarks/batch_kills.py [--kills 5] [--seed 0] [--jobs 2] [--candidates 40] [--model none]
        [--repositories 20] [--projects PROJECTS.toml --faults FOLDER] [--store postgresql://...]

The repositories are generated ones of one to three faulty functions (some healthy, one without tests, one with a dirty
tree, one whose HEAD is detached) and, with --projects, some of the faults that `batch_faults.py` keeps. Half are given
as paths, half in a list file. First the run is left alone, then, at the same place with empty caches, it is killed
--kills times at random moments and resumed each time. Exit status 1 unless report.json is the same byte for byte and
no checkout has changed: every file, link, mode and time of it, .git included.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from batch_material import ROOT, fault_repository, faults_of, git, hold_out, read_targets

_SHOWN = 40  # lines of a difference
_LONGEST = 3600.0  # seconds of one undisturbed run
# name, the right text of a function, a wrong one, the test's body
_FUNCTIONS = (
    ("mean", "    return sum(xs) / len(xs)\n", "    return sum(xs) / (len(xs) + 1)\n", "assert mean([2, 4]) == 3"),
    ("last", "    return xs[-1]\n", "    return xs[1]\n", "assert last([1, 2, 3]) == 3"),
    ("spread", "    return max(xs) - min(xs)\n", "    return max(xs) + min(xs)\n", "assert spread([1, 5]) == 4"),
    ("positive", "    return [x for x in xs if x > 0]\n", "    return [x for x in xs if x < 0]\n",
     "assert positive([-1, 2]) == [2]"),
    ("ordered", "    return all(a <= b for a, b in zip(xs, xs[1:]))\n",
     "    return all(a >= b for a, b in zip(xs, xs[1:]))\n", "assert ordered([1, 2, 2]) and not ordered([2, 1])"),
    ("total", "    n = 0\n    for x in xs:\n        n += x\n    return n\n",
     "    n = 1\n    for x in xs:\n        n += x\n    return n\n", "assert total([1, 2]) == 3 and total([]) == 0"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Given:
    """A repository and what a list file says of it beside its place."""

    path: Path
    options: Mapping[str, str]


def generated(folder: Path, number: int, dice: random.Random) -> Given:
    """A small project in git: every function has a file and a test, up to three are faulty."""
    path = folder / f"made{number:02d}"
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    names = dice.sample(_FUNCTIONS, 4)
    for name, right, _, test in names:
        (path / f"{name}.py").write_text(f"def {name}(xs):\n{right}", "utf-8")
        if number % 10 != 7:  # that one has no tests
            body = f"from {name} import {name}\n\n\ndef test_{name}():\n    {test}\n"
            (path / f"test_{name}.py").write_text(body, "utf-8")
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "All is well")
    for name, _, wrong, _ in names[: 0 if number % 10 == 3 else 1 + number % 3]:
        (path / f"{name}.py").write_text(f"def {name}(xs):\n{wrong}", "utf-8")
    git(path, "commit", "-q", "--allow-empty", "-a", "-m", "Tidy up")
    if number % 10 == 5:
        (path / "notes.txt").write_text("not committed\n", "utf-8")
    if number % 10 == 6:
        git(path, "checkout", "-q", "--detach")
    return Given(path, {"python": sys.executable})


def repositories(folder: Path, arguments: argparse.Namespace) -> list[Given]:
    """All of them; of real projects at most half."""
    dice = random.Random(arguments.seed)
    found: list[Given] = []
    if arguments.projects:
        for target in read_targets(arguments.projects):
            if target.seconds > 1 or len(found) >= arguments.repositories // 2:
                continue
            for fault in faults_of(target, arguments.faults, 2, 0)[:2]:
                path = folder / f"{target.name}-{fault.id[-6:]}"
                fault_repository(target, {fault.path: fault.buggy}, path)
                git(path, "repack", "-adq")  # its objects are its own from here on
                (path / ".git" / "objects" / "info" / "alternates").unlink()
                command = hold_out(fault, target.test, 0).command
                found.append(Given(path, {"test": command, "python": str(target.python)}))
    found = found[: arguments.repositories // 2]
    found += [generated(folder, number, dice) for number in range(arguments.repositories - len(found))]
    return found


def digest(folder: Path) -> str:
    """Of every file's path, kind, mode, time and content below a folder."""
    told = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        seen = path.lstat()
        told.update(f"{path.relative_to(folder)}\0{seen.st_mode}\0".encode())
        if path.is_symlink():
            told.update(os.fsencode(path.readlink()))
        elif path.is_file():
            told.update(f"{seen.st_mtime_ns}\0".encode())
            told.update(path.read_bytes())
    return told.hexdigest()


def command_of(given: Sequence[Given], folder: Path, arguments: argparse.Namespace) -> list[str]:
    """The command line, the same in every start: the list file names what needs options, and half of the rest."""
    listed = [one for n, one in enumerate(given) if "test" in one.options or n % 2]
    lines = [shlex.join((str(one.path), *(f"{k}={v}" for k, v in one.options.items()))) for one in listed]
    (folder / "list.txt").write_text("\n".join(lines) + "\n", "utf-8")
    places = [str(one.path) for one in given if one not in listed]
    words = [sys.executable, "-m", "serve", "batch", *places, "--list", str(folder / "list.txt")]
    words += ["--python", sys.executable, "-o", str(folder / "out"), "--jobs", str(arguments.jobs)]
    words += ["--candidates", str(arguments.candidates), "--fault-seconds", "0", "--repository-seconds", "0"]
    words += ["--model", arguments.model] if arguments.model else []
    return words + (["--store", arguments.store] if arguments.store else [])


def started(words: Sequence[str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """The command in a session of its own, with caches and state of its own; resumed where a run has begun."""
    words = [*words, "--resume"] if (folder / "out" / "run.json").exists() else words
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
                   "XDG_CACHE_HOME": str(folder / "cache"), "XDG_STATE_HOME": str(folder / "state")}  # fmt: skip
    with log.open("ab") as out:
        return subprocess.Popen(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The process and all that came of it."""
    try:
        own = psutil.Process(process.pid)
        return [own, *own.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_all(process: subprocess.Popen[bytes]) -> int:
    """SIGKILL for the whole group and for what has left it; how many processes that were."""
    members = family(process)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
    psutil.wait_procs(members, timeout=30)
    return len(members)


def undisturbed(words: Sequence[str], folder: Path, log: Path) -> float:
    """Seconds of the whole run. Raises SystemExit where it does not end well."""
    began = time.monotonic()
    process = started(words, folder, log)
    try:
        code = process.wait(_LONGEST)
    finally:
        kill_all(process)
    if code not in (0, 1) or not (folder / "out" / "report.json").is_file():
        raise SystemExit(f"the run ended with status {code} and says:\n{log.read_text('utf-8', 'replace')[-3000:]}")
    return time.monotonic() - began


def disturbed(words: Sequence[str], folder: Path, log: Path, seconds: float, kills: int, dice: random.Random) -> int:
    """Kill so many times, then let it end; how many kills met a run that was still going on."""
    met = 0
    for number in range(kills):
        process = started(words, folder, log)
        wait = dice.uniform(0.01, 1.4 / (kills + 2)) * seconds
        try:
            code = process.wait(wait)
            kill_all(process)
            print(f"kill {number + 1}: too late, it ended with status {code} within {wait:.1f} s")
        except subprocess.TimeoutExpired:
            print(f"kill {number + 1}: {kill_all(process)} processes after {wait:.1f} s", flush=True)
            met += 1
        except SystemExit:
            kill_all(process)
            raise
    undisturbed(words, folder, log)
    return met


def compare(one: bytes, other: bytes) -> str:
    """Where two reports differ, "" for equal ones."""
    if one == other:
        return ""
    before, after = (text.decode("utf-8", "replace").splitlines() for text in (one, other))
    shown = list(difflib.unified_diff(before, after, "undisturbed", "killed", lineterm="", n=1))[:_SHOWN]
    return "\n".join(shown) or "they differ in their line ends"


def main() -> int:
    """Run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repositories", type=int, default=20)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--candidates", type=int, default=40)
    parser.add_argument("--model", default="none")
    parser.add_argument("--store", help="else SQLite in the output's folder")
    parser.add_argument("--projects", type=Path, help="PROJECTS.toml of batch_material.py")
    parser.add_argument("--faults", type=Path, help="default: faults/ beside it")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="both outputs and the log are left there")
    arguments = parser.parse_args()
    if arguments.projects and not arguments.faults:
        arguments.faults = arguments.projects.parent / "faults"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs in a session of its own ends too
    with tempfile.TemporaryDirectory(prefix="emend-kills-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        given = repositories(folder / "repositories", arguments)
        before = {one.path.name: digest(one.path) for one in given}
        words = command_of(given, folder, arguments)
        print(f"{len(given)} repositories; {shlex.join(words[1:4])} ... {shlex.join(words[words.index('--list') :])}")
        seconds = undisturbed(words, folder, folder / "undisturbed.log")
        print(f"undisturbed: {seconds:.1f} s", flush=True)
        first = (folder / "out" / "report.json").read_bytes()
        (folder / "out").rename(folder / "undisturbed")
        for name in ("cache", "state"):
            shutil.rmtree(folder / name, ignore_errors=True)
        dice = random.Random(arguments.seed)
        met = disturbed(words, folder, folder / "killed.log", seconds, arguments.kills, dice)
        second = (folder / "out" / "report.json").read_bytes()
        changed = [one.path.name for one in given if digest(one.path) != before[one.path.name]]
        if arguments.keep:
            shutil.copytree(folder, arguments.keep, dirs_exist_ok=True, symlinks=True)
    difference = compare(first, second)
    print(f"killed {met} times in mid-run")
    print(f"report.json, {len(first)} bytes: {'the same' if not difference else 'DIFFERENT'}")
    print(f"checkouts that changed: {', '.join(changed) or 'none'}")
    print(difference)
    return 0 if not difference and not changed and met == arguments.kills else 1


if __name__ == "__main__":
    raise SystemExit(main())
