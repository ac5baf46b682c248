"""Git repositories: opened or cloned, their commits, changes and contents as values.

Talks to git by the processes of `repair.git`: `rev-list` for the order, one `diff-tree --stdin` for many commits,
`cat-file --batch` for contents. No hook, prompt, pager or network is used while reading, and a repository's own
files are never written: `check_out` makes a tree of a commit elsewhere.
Must not know what a bug fix or a function is. What cannot be read comes back as a reason, not as an exception.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from data.changes import Commit, Lost, Patched, parse_commit, parse_patch, split
from repair.errors import InputError
from repair.git import fed, fetched, git_dir_of, is_address, plain_address, run, start

LARGEST = 1_000_000  # bytes of a blob that is read
_DIFF = ("-r", "--root", "--always", "-z", "--raw", "--no-abbrev", "--no-ext-diff", "--no-textconv", "--encoding=UTF-8")
_REFS = ("refs/heads", "refs/tags", "refs/remotes")  # neither stash nor notes nor the heads of pull requests
_NOTICE = re.compile(r"(?:licen[cs]e|copying|unlicense)(?:[.-][\w.-]+)?", re.IGNORECASE)


class Contents:
    """Reads blobs by object id through two long-lived processes; a context manager that ends them."""

    def __init__(self, git_dir: str, largest: int) -> None:
        self._git_dir = git_dir
        self._largest = largest
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Contents:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for option in tuple(self._processes):
            self._end(option)

    def _end(self, option: str) -> None:
        process = self._processes.pop(option)
        process.kill()
        process.communicate()

    def _ask(self, option: str, object_id: str) -> tuple[list[bytes], IO[bytes]] | None:
        """The words of the answer's head, and the stream behind it; None when the process died of it."""
        process = self._processes.get(option)
        if process is None:
            process = self._processes[option] = start(self._git_dir, ("cat-file", option), subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(f"{object_id}\n".encode())
            process.stdin.flush()
        except BrokenPipeError:
            return None
        head = process.stdout.readline().split()
        return (head, process.stdout) if head else None

    def read(self, object_id: str) -> tuple[bytes, str]:
        """The content and "", or nothing and the reason; a blob over the limit is never loaded."""
        answer = self._ask("--batch-check", object_id)
        if answer is None:
            self._end("--batch-check")
            return b"", "corrupt object"
        head = answer[0]
        if len(head) != 3 or head[1] != b"blob":
            return b"", "missing object"
        if int(head[2]) > self._largest:
            return b"", "too large"
        answer = self._ask("--batch", object_id)
        size = int(head[2])
        content = answer[1].read(size + 1) if answer is not None and len(answer[0]) == 3 else b""
        if len(content) != size + 1:
            self._end("--batch")
            return b"", "corrupt object"
        return content[:-1], ""


@dataclass(frozen=True, slots=True)
class Repository:
    """An opened repository. `name` is its address, or its folder's name where it has none."""

    git_dir: str
    name: str

    def tips(self) -> tuple[str, ...]:
        """The commits that branches and tags point to. Raises InputError when there is none."""
        form = "--format=%(objecttype) %(objectname)%0a%(*objecttype) %(*objectname)"  # the second is a tag's target
        _, out, said = run(self.git_dir, "for-each-ref", form, *_REFS)
        found = {line.removeprefix("commit ") for line in out.decode().split("\n") if line.startswith("commit ")}
        status, out, _ = run(self.git_dir, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")
        if status == 0:
            found.add(out.decode().strip())
        if not found:
            raise InputError(f"{self.name}: the history is empty, there is nothing to mine {said}", field="repository")
        return tuple(sorted(found))

    def commits(self, tips: Collection[str], seen: Collection[str] = ()) -> tuple[str, ...]:
        """Commits reachable from `tips` and not from `seen`, children before parents, merges left out."""
        _, out = fed(self.git_dir, ("cat-file", "--batch-check"), seen)  # a tip may have been pruned since
        known = [f"^{line.split(' ')[0]}" for line in out.decode().split("\n") if " commit " in line]
        arguments = ("rev-list", "--date-order", "--no-merges", "--stdin")
        status, out = fed(self.git_dir, arguments, (*tips, *known))
        if status != 0:
            raise InputError(
                f"{self.name}: the history cannot be walked, a commit is missing or damaged; "
                f"see `git --git-dir={self.git_dir} fsck`",
                field="repository",
            )
        return tuple(out.decode().split())

    def log(self, ids: Sequence[str]) -> Iterator[Commit | Lost]:
        """Each commit with the paths that it changes, in the given order; renames are not looked for."""
        for own, section in self._sections(ids, ("--no-renames",), ()):
            yield Lost(own, "unreadable commit or tree") if section is None else section[0]

    def patches(self, ids: Sequence[str], endings: Collection[str]) -> Iterator[Patched | Lost]:
        """Each commit with its changes of files with these endings (".py"), renames followed, and their hunks."""
        globs = [f"*{ending}" for ending in sorted(endings)]
        for own, section in self._sections(ids, ("-p", "-U0", "-M", "--full-index"), globs):
            yield Lost(own, "missing or corrupt object") if section is None else parse_patch(*section)

    def contents(self, largest: int = LARGEST) -> Contents:
        """A reader of blobs of at most `largest` bytes."""
        return Contents(self.git_dir, largest)

    def resolve(self, revision: str) -> str:
        """The id of the commit that an id, a tag or a branch names. Raises InputError when there is none."""
        wanted = ("--quiet", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        status, out, _ = run(self.git_dir, "rev-parse", *wanted)
        if status != 0:
            raise InputError(f"{self.name}: has no commit {revision}", field="commit")
        return out.decode().strip()

    def check_out(self, commit: str, target: Path) -> None:
        """Make `target` a clone at `commit` (an id) that shares this repository's objects. Raises InputError."""
        arguments = ("clone", "--quiet", "--shared", "--no-checkout", "--template=", "--", self.git_dir, str(target))
        status, _, said = run("", *arguments, protocols="file")
        if status == 0:
            arguments = (f"--work-tree={target}", "checkout", "--quiet", "--force", "--detach", commit)
            status, _, said = run(str(target / ".git"), *arguments)
        if status != 0:
            raise InputError(f"{self.name}: commit {commit} cannot be checked out: {said}", field="commit")

    def notice(self) -> str:
        """The text of the licence file in the newest commit's root folder, "" where there is none."""
        revision = next((r for r in ("HEAD", *self.tips()) if run(self.git_dir, "cat-file", "-e", r)[0] == 0), "HEAD")
        _, out, _ = run(self.git_dir, "ls-tree", "-z", revision)
        entries = [entry.partition("\t") for entry in out.decode("utf-8", "replace").split("\0") if entry]
        named = sorted((path, head.split()[2]) for head, _, path in entries if _NOTICE.fullmatch(path))
        with self.contents() as contents:
            texts = (contents.read(object_id)[0].decode("utf-8", "replace") for _, object_id in named)
            return next((text for text in texts if text.strip()), "")

    def _sections(
        self, ids: Sequence[str], options: Sequence[str], globs: Sequence[str]
    ) -> Iterator[tuple[str, tuple[Commit, bytes] | None]]:
        """What git says of each commit; None for one that it died of, after which it is started again."""
        left = list(ids)
        while left:
            place = {own: n for n, own in enumerate(left)}
            done = 0
            for commit, patch in self._stream(left, options, globs):
                for skipped in left[done : place[commit.id]]:
                    yield skipped, None
                done = place[commit.id] + 1
                yield commit.id, (commit, patch)
            if done < len(left):  # it died of this commit or, with this one said in full, of the next
                again = self._stream(left[done : done + 1], options, globs)
                yield left[done], next(again, None)
            left = left[done + 1 :]

    def _stream(
        self, ids: Sequence[str], options: Sequence[str], globs: Sequence[str]
    ) -> Iterator[tuple[Commit, bytes]]:
        mark = f"\x1e{secrets.token_hex(8)}"  # cannot be foreseen, so nobody's message holds it
        form = f"--format={mark}%H %at %P{mark}%B{mark}"
        with tempfile.TemporaryFile() as given:  # a pipe could fill while git waits for us to read
            given.write("\n".join([*ids, ""]).encode())
            given.seek(0)
            process = start(self.git_dir, ("diff-tree", "--stdin", *_DIFF, *options, form, "--", *globs), given)
        assert process.stdout is not None
        try:
            pending: list[bytes] = []
            for part in split(process.stdout, mark.encode()):
                pending.append(part)
                if len(pending) == 4:  # the next head has begun, so this commit is complete
                    yield parse_commit(pending[:3])
                    pending = pending[3:]
            if process.wait() == 0 and len(pending) == 3:
                yield parse_commit(pending)
        finally:
            process.kill()
            process.communicate()


def open_repository(place: str, *, cache: Path | None = None, name: str = "") -> Repository:
    """Open a local repository, or clone an address into `cache` (brought up to date when it is there already).

    Raises InputError: no repository, a shallow one, one that cannot be fetched, an address without `cache`.
    """
    if is_address(place):
        if cache is None:
            raise InputError(f"{plain_address(place)}: a cache folder to clone into is needed", field="cache")
        return Repository(str(fetched(place, cache)), name or plain_address(place))
    path = Path(place)
    git_dir = git_dir_of(path).resolve()
    status, out, _ = run(str(git_dir), "rev-parse", "--is-shallow-repository") if path.is_dir() else (1, b"", "")
    if status != 0:
        raise InputError(f"{place}: not a git repository (give its top folder or a bare one)", field="repository")
    if out.strip() == b"true":
        raise InputError(
            f"{place}: a shallow clone has no history to mine; run `git fetch --unshallow` in it", field="repository"
        )
    if not name:
        _, remote, _ = run(str(git_dir), "config", "--get", "remote.origin.url")
        folder = git_dir.parent if git_dir.name == ".git" else git_dir
        name = plain_address(remote.decode("utf-8", "replace").strip()) or folder.name.removesuffix(".git")
    return Repository(str(git_dir), name)
