"""Git, called so that a repository can do nothing to us and we nothing to it.

Owns the process: its environment (no system or user settings, no prompt, pager, hook, lock or lazy fetch), its
options, and the addresses that may be fetched. `open_origin` finds where the objects of a place lie; everything after
that goes through a folder of our own (`apart`), which reads the same objects under none of the repository's own
settings: filters, text conversions, fsmonitor and the like of a stranger's .git/config never run.
Nothing here writes into the repository or the checkout of a user.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from repair.errors import InputError
from repair.locks import locked

PROTOCOLS = "file:git:http:https:ssh"  # not ext::, which runs commands
_OPTIONS = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.bigFileThreshold=2m", "safe.directory=*",
    "diff.renameLimit=200", "protocol.ext.allow=never", "credential.helper=", "gc.auto=0",
)  # fmt: skip
_ADDRESS = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:)", re.IGNORECASE)
_MISSING = "git is not installed; install it to read repositories"


def environment(protocols: str) -> dict[str, str]:
    """Variables of a git process that may speak `protocols` ("none", or names with colons between)."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **own,
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0", "GIT_PAGER": "cat", "GIT_ALLOW_PROTOCOL": protocols, "LC_ALL": "C",
    }  # fmt: skip


def _command(git_dir: str, arguments: Sequence[str]) -> list[str]:
    options = [word for option in _OPTIONS for word in ("-c", option)]
    return ["git", *options, *([f"--git-dir={git_dir}"] if git_dir else []), "--no-pager", *arguments]


def start(git_dir: str, arguments: Sequence[str], stdin: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """A process over `git_dir` whose output is read as it comes. Raises InputError when git is missing."""
    try:
        return subprocess.Popen(
            _command(git_dir, arguments),
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment("none"),
        )  # fmt: skip
    except FileNotFoundError as error:
        raise InputError(_MISSING, field="git") from error


def run(
    git_dir: str,
    *arguments: str,
    protocols: str = "none",
    more: Sequence[str] = (),
    seconds: float | None = None,
    stdin: bytes = b"",
    variables: Mapping[str, str] | None = None,
) -> tuple[int, bytes, str]:
    """Exit status, stdout, and the last line of stderr. `more` are "key=value" settings of this call.

    After `seconds` it is ended, with status 124 and no output. `variables` are added to its environment.

    Raises InputError when git is missing.
    """
    settings = {"GIT_CONFIG_COUNT": str(len(more))}
    for n, setting in enumerate(more):  # by variables, for a key may hold an "="
        key, _, value = setting.rpartition("=")
        settings |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
    try:
        done = subprocess.run(
            _command(git_dir, arguments),
            input=stdin, capture_output=True, check=False, timeout=seconds,
            env={**environment(protocols), **settings, **(variables or {})},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, b"", f"no answer in {seconds:.0f} s"
    except FileNotFoundError as error:
        raise InputError(_MISSING, field="git") from error
    said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
    return done.returncode, done.stdout, said


def fed(git_dir: str, arguments: Sequence[str], lines: Collection[str]) -> tuple[int, bytes]:
    """Exit status and stdout of a process that is given lines; through a file, for a pipe could fill both ways."""
    with tempfile.TemporaryFile() as given:
        given.write("".join(f"{line}\n" for line in lines).encode())
        given.seek(0)
        process = start(git_dir, arguments, given)
        out, _ = process.communicate()
    return process.returncode, out


def is_address(place: str) -> bool:
    """Whether a place is a remote address (a URL, user@host:path) and not a local path."""
    return _ADDRESS.match(place) is not None


def plain_address(address: str) -> str:
    """An address without user, password and final ".git"."""
    parts = urlsplit(address) if "://" in address else None
    if parts is not None and parts.hostname:
        port = f":{parts.port}" if parts.port else ""
        address = f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
    return address.rstrip("/").removesuffix(".git")


def git_dir_of(path: Path) -> Path:
    """Where a working tree (also a linked one) or a bare repository keeps its objects."""
    dot = path / ".git"
    if dot.is_file():
        target = dot.read_text(encoding="utf-8", errors="replace").removeprefix("gitdir:").strip()
        return (path / target).resolve()
    return dot if dot.is_dir() else path


def clone_of(address: str, cache: Path) -> Path:
    """Where `fetched` keeps the clone of an address, whether there is one or not."""
    slug = re.sub(r"[^\w.-]+", "-", plain_address(address).rpartition("/")[2])[:40].strip("-.")
    return cache.resolve() / f"{slug}-{hashlib.sha256(address.encode()).hexdigest()[:10]}"


def fetched(address: str, cache: Path) -> Path:
    """The bare clone of an address in `cache`, made or brought up to date. Raises InputError when that fails.

    A clone that broke off is never taken for a whole one, and two processes do not fetch into the same.
    """
    target = clone_of(address, cache)
    if target.is_dir():
        specs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        with locked(target):
            status, _, said = run(str(target), "fetch", "--quiet", "--prune", address, *specs, protocols=PROTOCOLS)
    else:
        cache.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=".clone-", dir=cache))
        arguments = ("clone", "--quiet", "--bare", "--template=", "--", address, str(half))
        status, _, said = run("", *arguments, protocols=PROTOCOLS)
        with contextlib.suppress(OSError):  # another process was quicker
            if status == 0:
                half.rename(target)
        shutil.rmtree(half, ignore_errors=True)
    if status != 0:
        raise InputError(f"{plain_address(address)}: cannot be fetched: {said}", field="repository")
    return target


@dataclass(frozen=True, slots=True)
class Origin:
    """Where code comes from: the repository's own git folder, and the working tree of the user where there is one."""

    git_dir: Path
    folder: Path | None
    shown: str


def open_origin(place: str, cache: Path) -> Origin:
    """Find the repository of a path (a working tree, a linked one, a bare repository), or clone an address into cache.

    Raises InputError: no repository there, one that cannot be read or fetched.
    """
    if is_address(place):
        return Origin(fetched(place, cache), None, plain_address(place))
    path = Path(place).expanduser()
    try:
        if not path.is_dir():
            raise InputError(f"{place}: there is no such folder", field="place")
        if not os.access(path, os.R_OK | os.X_OK):
            raise InputError(f"{place}: permission denied; let this user read it", field="place")
        git_dir = git_dir_of(path).resolve()
        status, _, said = run(str(git_dir), "rev-parse", "--git-dir")
    except OSError as error:
        raise InputError(f"{place}: {error.strerror or error}", field="place") from error
    if status != 0:
        unfit = "repository" not in said or "not a git repository" in said
        why = "not a git repository (give its top folder or a bare one)" if unfit else said
        raise InputError(f"{place}: {why}", field="place")
    linked = (path / ".git").exists()
    return Origin(git_dir, path.resolve() if linked else None, place)


def resolve(origin: Origin, revision: str) -> str:
    """The id of the commit that an id, a tag, a branch or HEAD names. Raises InputError when there is none."""
    wanted = ("--quiet", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    status, out, _ = run(str(origin.git_dir), "rev-parse", *wanted)
    if status == 0:
        return out.decode().strip()
    status, out, _ = run(str(origin.git_dir), "rev-parse", "--quiet", "--verify", "--end-of-options", revision)
    if status == 0:
        why = f"commit {out.decode().strip()[:12]} ({revision}) is missing or damaged; see `git fsck`"
    elif revision == "HEAD":
        why = "has no commit that is checked out; name one, or commit the files first"
    else:
        why = f"has no commit {revision}; name one that `git log` shows"
    raise InputError(f"{origin.shown}: {why}", field="commit")


def branch_of(origin: Origin, revision: str) -> str:
    """The branch that `revision` names or HEAD is on; "" for a detached HEAD, a tag or an id."""
    ask = "HEAD" if revision == "HEAD" else f"refs/heads/{revision}"
    kind = ("symbolic-ref", "--quiet", ask) if ask == "HEAD" else ("rev-parse", "--quiet", "--verify", ask)
    status, out, _ = run(str(origin.git_dir), *kind)
    if status != 0:
        return ""
    # not --short, which says more where a tag has the same name
    return out.decode("utf-8", "replace").strip().removeprefix("refs/heads/") if ask == "HEAD" else revision


def uncommitted(origin: Origin) -> int:
    """How many files of the user's tree differ from its HEAD or are new; ignored files and submodules apart.

    0 without a working tree. None of the repository's own filters runs for the answer.
    """
    if origin.folder is None:
        return 0
    listed = run(str(origin.git_dir), "config", "-z", "--name-only", "--get-regexp", r"^filter\.")[1]
    names = [name for name in listed.decode("utf-8", "replace").split("\0") if name]
    off = [f"{name}={'false' if name.endswith('.required') else ''}" for name in names]
    words = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=all")
    status, out, _ = run(str(origin.git_dir), f"--work-tree={origin.folder}", *words, more=off)
    return out.count(b"\0") if status == 0 else 0


def apart(origin: Origin, target: Path) -> Path:
    """Make `target` a git folder of our own that borrows the origin's objects and has none of its settings.

    Raises InputError when it cannot be made.
    """
    own = str(origin.git_dir)
    _, form, _ = run(own, "rev-parse", "--show-object-format")
    _, objects, _ = run(own, "rev-parse", "--path-format=absolute", "--git-path", "objects")
    _, shallow, _ = run(own, "rev-parse", "--path-format=absolute", "--git-path", "shallow")
    kind = f"--object-format={form.decode().strip() or 'sha1'}"
    status, _, said = run("", "init", "--quiet", "--bare", "--template=", kind, str(target))
    if status != 0:
        raise InputError(f"{origin.shown}: no folder can be made to read it: {said}", field="place")
    folder = os.fsdecode(objects.removesuffix(b"\n"))
    quoted = '"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"'  # a path may hold a "\n" or begin with a "#"
    (target / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (target / "objects" / "info" / "alternates").write_bytes(os.fsencode(quoted) + b"\n")
    borders = Path(os.fsdecode(shallow.removesuffix(b"\n")))
    if borders.is_file():  # where the history of a shallow clone ends
        shutil.copyfile(borders, target / "shallow")
    return target


def check_out(git_dir: Path, commit: str, target: Path) -> None:
    """Write the files of a commit into the empty folder `target`, by an index that is thrown away.

    Raises InputError when an object is missing or damaged.
    """
    words = (f"--work-tree={target}", "read-tree", "--reset", "-u", commit)
    more = ("core.autocrlf=false", "core.symlinks=true", "core.bare=false", "advice.detachedHead=false")
    status, _, said = run(str(git_dir), *words, more=more)
    if status != 0:
        raise InputError(f"commit {commit[:12]} cannot be checked out: {said}; see `git fsck`", field="commit")
