"""One branch and one commit a fix, made in the user's repository without touching what is checked out there.

A temporary index takes the commit's tree and the patch (`read-tree`, `apply --cached`, `write-tree`,
`commit-tree`), then `update-ref` makes a ref that must not exist yet: the index, HEAD, the working tree, existing
branches and the reflog of HEAD stay as they are, and no hook runs. Author and date are fixed, so the same fix is the
same commit again, whoever writes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repair.errors import InputError
from repair.projects.values import Outcome, State
from serve.batch.commits import Commits, GitCommits, git, git_dir_of
from serve.batch.messages import all_message, fix_message
from serve.batch.patches import UNKNOWN_DATE, diff_bytes, reproduction_diff
from serve.batch.report import RunInfo
from serve.batch.wording import Entry, entries

PREFIX = "emend/"
ALL = "all"
_SUFFIXES = 100


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch of a fix: the fault's key ("" for all fixes together), its name, the id of its commit.

    `created` is False where the very branch was there already. Where none could be made, `commit` is "" and `reason`
    says why.
    """

    fault: str
    name: str
    commit: str
    created: bool = False
    reason: str = ""


def branch_name(entry: Entry, prefix: str = PREFIX) -> str:
    """The name that a fix's branch has where no other branch has it: `emend/01-slug`."""
    return f"{prefix}{entry.name}"


def write_branches(
    repository: Path,
    outcome: Outcome,
    run: RunInfo,
    *,
    prefix: str = PREFIX,
    with_tests: bool = False,
    proposed: bool = False,
) -> tuple[Branch, ...]:
    """A branch for each fix on top of the diagnosed commit, and `PREFIX/all` for a combination that passed.

    `with_tests` puts a fix's reproduction test into its commit; `proposed` also takes patches that no test judged.
    A branch of that name with other content stays, ours gets a suffix: `-2`. Raises InputError: no repository, the
    commit is not in it, a prefix that git does not take.
    """
    git_dir = git_dir_of(repository)
    if outcome.diagnosis is None:
        return ()
    commit = outcome.diagnosis.commit
    _check(git_dir, repository, commit, prefix)
    writer = _Writer(git_dir, commit, run, GitCommits(git_dir))
    return tuple(_branches(writer, outcome, prefix, with_tests=with_tests, proposed=proposed))


def _check(git_dir: Path, repository: Path, commit: str, prefix: str) -> None:
    if git(git_dir, "rev-parse", "--git-dir")[0]:
        raise InputError(f"{repository}: not a git repository, branches cannot be written", field="repository")
    if git(git_dir, "cat-file", "-e", f"{commit}^{{commit}}")[0]:
        raise InputError(f"{repository}: has no commit {commit}; fetch it and run again", field="commit")
    if prefix.startswith("-") or git(git_dir, "check-ref-format", f"refs/heads/{prefix}x")[0]:
        raise InputError(f"{prefix!r} cannot begin a branch's name; give one like emend/", field="prefix")


def _branches(writer: _Writer, outcome: Outcome, prefix: str, *, with_tests: bool, proposed: bool) -> Iterator[Branch]:
    known = entries(outcome)
    for entry in known:
        fix = entry.fix
        if fix is None or not entry.patched or not (fix.state is State.FIXED or proposed):
            continue
        diffs = [diff_bytes(fix.diff, writer.parent, writer.commits)]
        if with_tests and fix.reproduction is not None:
            diffs.append(reproduction_diff(fix.reproduction, writer.parent, writer.commits))
        message = fix_message(entry, writer.run, with_tests=with_tests)
        yield writer.write(entry.key, branch_name(entry, prefix), diffs, message)
    combination = outcome.combination
    if combination is not None and combination.passed and combination.diff:
        diff = diff_bytes(combination.diff, writer.parent, writer.commits)
        yield writer.write("", f"{prefix}{ALL}", [diff], all_message(outcome, known, writer.run))


@dataclass(frozen=True, slots=True)
class _Writer:
    git_dir: Path
    parent: str
    run: RunInfo
    commits: Commits

    def write(self, fault: str, name: str, diffs: list[bytes], message: str) -> Branch:
        tree, reason = self._tree(diffs)
        if reason:
            return Branch(fault, name, "", reason=reason)
        commit, reason = self._commit(tree, message)
        if reason:
            return Branch(fault, name, "", reason=reason)
        return self._ref(fault, name, commit)

    def _tree(self, diffs: list[bytes]) -> tuple[str, str]:
        """The id of the parent's tree with the diffs applied, or why there is none."""
        with tempfile.TemporaryDirectory(prefix="emend-index-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            status, _, said = git(self.git_dir, "read-tree", self.parent, variables=index)
            for diff in diffs:
                if status == 0:
                    status, _, said = git(
                        self.git_dir, "apply", "--cached", "--whitespace=nowarn", stdin=diff, variables=index
                    )
            if status == 0:
                status, out, said = git(self.git_dir, "write-tree", variables=index)
                if status == 0:
                    return out.decode().strip(), ""
        return "", f"git cannot make the commit's tree: {said}"

    def _commit(self, tree: str, message: str) -> tuple[str, str]:
        status, out, said = git(
            self.git_dir, "commit-tree", tree, "-p", self.parent, "-F", "-",
            stdin=message.encode(), variables=self._identity(),
        )  # fmt: skip
        return (out.decode().strip(), "") if status == 0 else ("", f"git cannot make the commit: {said}")

    def _identity(self) -> dict[str, str]:
        name, address = self.run.signature
        found = self.commits.date(self.parent)
        date = f"{UNKNOWN_DATE if found is None else found} +0000"
        return {
            "GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": address, "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": address, "GIT_COMMITTER_DATE": date,
        }  # fmt: skip

    def _ref(self, fault: str, name: str, commit: str) -> Branch:
        """The first of `name`, `name-2`, ... that is free, or that has this very commit already."""
        taken = self._checked_out()
        said = "all names are taken"
        for number in range(1, _SUFFIXES):
            one = name if number == 1 else f"{name}-{number}"
            ref = f"refs/heads/{one}"
            status, out, _ = git(self.git_dir, "rev-parse", "--quiet", "--verify", "--end-of-options", ref)
            if status == 0:
                if out.decode().strip() == commit:
                    return Branch(fault, one, commit)
                continue
            if ref in taken:  # a branch without commits that somebody stands on
                continue
            absent = "0" * len(commit)
            status, _, said = git(
                self.git_dir, "update-ref", "--no-deref", "-m", "emend", ref, commit, absent, variables=self._identity()
            )
            if status == 0:
                return Branch(fault, one, commit, created=True)
            if git(self.git_dir, "rev-parse", "--quiet", "--verify", "--end-of-options", ref)[0]:
                break  # nobody else made it meanwhile: it cannot be made at all
        return Branch(fault, name, "", reason=f"git cannot make the branch {name}: {said}")

    def _checked_out(self) -> frozenset[str]:
        """The refs that HEAD of any working tree names."""
        _, out, _ = git(self.git_dir, "worktree", "list", "--porcelain", "-z")
        found = out.decode("utf-8", "surrogateescape").split("\0")
        return frozenset(line.removeprefix("branch ") for line in found if line.startswith("branch "))
