"""Session: what one editor is shown, and the commands that change it. Owns the state between messages.

Everything here runs in the event loop; what takes long is handed to the desk. What the wire looks like is
`editor.py`'s, the `Client` that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lsprotocol import types
from pygls.uris import to_fs_path

from repair.defects import Defect
from repair.errors import InputError, NothingToRepair
from repair.traces import headline, parse_error
from repair.verdicts import RepairResult
from serve.lsp.client import Client, Tell
from serve.lsp.desk import Desk, Stop
from serve.lsp.engine import Engine, Sought, TestsRun
from serve.lsp.findings import Finding, Kind, failed_sentence, failures_found, suspects_found
from serve.lsp.fixes import Fix, fixes_of, key_of, sentence
from serve.lsp.project import (
    Base,
    Buffer,
    Project,
    base_of,
    command_of,
    digest_of,
    owners,
    place_of,
    read_project,
    test_command,
)


@dataclass(slots=True)
class _Folder:
    """What is known of one folder."""

    findings: dict[Kind, tuple[Finding, ...]] = field(default_factory=dict[Kind, tuple[Finding, ...]])
    defect: Defect = field(default_factory=Defect)
    fixes: tuple[Fix, ...] = ()


def path_of(uri: str) -> Path:
    """The file that a URI names. Raises InputError for one that is no file."""
    path = to_fs_path(uri) if uri.startswith("file:") else None
    if path is None:
        raise InputError(f"{uri[:200]} is no file on this machine; save the document first", field="uri")
    return Path(path)


class Session:
    """One editor's state."""

    def __init__(self, client: Client) -> None:
        self.desk = Desk()
        self._client = client
        self._engine = Engine()
        self._folders: dict[Path, _Folder] = {}
        self._shown: dict[Path, tuple[str, list[types.Diagnostic]]] = {}

    # --- commands

    async def run_tests(self, uri: str | None, *, quiet: bool = False) -> dict[str, object]:
        """Run the tests of a document's folder, of all folders without one, and show what failed where."""
        roots = self._client.folders() if uri is None else (self.root_of(path_of(uri)),)
        if not roots:
            raise InputError("no folder is open; open the project's folder, or name a document", field="uri")
        failing = [name for root in roots for name in await self._tests_of(root, quiet=quiet)]
        return {"passed": not failing, "failing": failing}

    async def _tests_of(self, root: Path, *, quiet: bool) -> list[str]:
        buffers, options = self._client.buffers(), self._client.options(root)

        def work(stop: Stop, tell: Tell) -> tuple[Project, TestsRun]:
            project = read_project(root, buffers)
            command = options.test or test_command(project, options.python)
            tell(command)
            return project, self._engine.run_tests(project, command, options, stop)

        project, run = await self._client.long(self.desk, f"tests {root}", "running the tests", work)
        folder = self._folder(root)
        folder.findings.pop("tests", None)
        if run.baseline is None:
            self.refresh()
            if not quiet:
                self._client.say(f"The tests of {root.name} pass.")
            return []
        what = failed_sentence(run.baseline, headline(Defect(run.baseline.evidence)))
        suspects = suspects_found(project, run.suspects, what, "tests")
        folder.findings["tests"] = (*suspects, *failures_found(project, run.baseline))
        self.refresh()
        if not folder.findings["tests"]:
            self._client.say(f"{what}; where the fault may be could not be told.")
        return sorted(run.baseline.failing)

    async def explain(self, text: str, uri: str | None) -> dict[str, object]:
        """Show the suspects of an error's text; the document counts where the text names no file."""
        if not text.strip():
            raise InputError("the error's text is empty; copy the whole failure first", field="text")
        defect, buffers = parse_error(text), self._client.buffers()
        document = None if uri is None else path_of(uri)
        roots = self._client.folders() or tuple({self.root_of(p) for p in (document, *buffers) if p is not None})

        def work(stop: Stop, _: Tell) -> tuple[Path, Project, tuple[Finding, ...]]:
            root, first = owners(defect, roots, buffers) or self._fallback(document, buffers)
            project = read_project(root, buffers, first, others=False)
            stop.check()
            found = self._engine.locate(project, defect, self._client.options(root))
            return root, project, suspects_found(project, found, headline(defect), "error")

        root, _, found = await self._client.long(self.desk, "explain", "reading the error", work)
        self._folder(root).defect = defect
        return self._located(root, "error", found)

    def _fallback(self, document: Path | None, buffers: Mapping[Path, Buffer]) -> tuple[Path, tuple[Path, ...]]:
        path = document or (next(iter(buffers)) if len(buffers) == 1 else None)
        if path is None:
            raise InputError("the error names no file of this workspace; open the file that it is about", field="text")
        return self.root_of(path), (path,)

    async def locate(self, uri: str) -> dict[str, object]:
        """Show where the model suspects a fault in a document."""
        path = path_of(uri)
        root, buffers = self.root_of(path), self._client.buffers()

        def work(_: Stop, __: Tell) -> tuple[Finding, ...]:
            project = read_project(root, buffers, (path,), others=False)
            found = self._engine.locate(project, Defect(), self._client.options(root))
            return suspects_found(project, found, "", "model")

        found = await self._client.long(self.desk, f"locate {path}", "looking for suspicious lines", work)
        return self._located(root, "model", found)

    def _located(self, root: Path, kind: Kind, found: tuple[Finding, ...]) -> dict[str, object]:
        self._folder(root).findings[kind] = found
        self.refresh()
        if not found:
            self._client.say("No suspicious line was found.")
        return {"suspects": [{"path": str(f.base.path), "line": f.line} for f in found]}

    async def repair(self, uri: str, line: int | None) -> dict[str, object]:
        """Look for repairs of what is shown at a document's line (0-based); they are offered as code actions."""
        path = path_of(uri)
        root, buffers = self.root_of(path), self._client.buffers()
        folder, options = self._folder(root), self._client.options(root)
        kinds = {f.kind for f in self._fitting(path) if line is None or f.line == line + 1} or {"tests"}
        defect = folder.defect if "error" in kinds else Defect()

        def work(stop: Stop, tell: Tell) -> tuple[Project, RepairResult]:
            project = read_project(root, buffers, (path,))
            command = command_of(project, options, needed=kinds == {"tests"})
            told = _counted(tell)
            try:
                sought = Sought(project, defect, command)
                return project, self._engine.repair(sought, options, stop, told)
            except NothingToRepair:
                if command is None or kinds == {"tests"}:
                    raise
            project = read_project(root, buffers, (path,), others=False)  # the tests say nothing: leave them out
            place = place_of(project, path, line) if "model" in kinds else None
            return project, self._engine.repair(Sought(project, defect, None, place), options, stop, told)

        project, result = await self._client.long(self.desk, "repair", "looking for a repair", work)
        folder.fixes = fixes_of(result, project.bases)
        self._client.say(sentence(folder.fixes, result))
        return {"candidates": [fix.title for fix in folder.fixes]}

    def clear(self) -> None:
        """Show nothing any more."""
        self._folders.clear()
        self.refresh()

    # --- what is shown

    def root_of(self, path: Path) -> Path:
        """The innermost folder of the workspace that holds a file; its own folder where none does."""
        inside = [folder for folder in self._client.folders() if path.is_relative_to(folder)]
        return max(inside, key=lambda folder: len(folder.parts), default=path.parent)

    def refresh(self) -> None:
        """Publish what has changed: findings go where the text is another, and come back when it is as before."""
        buffers = self._client.buffers()
        wanted: dict[Path, tuple[str, list[types.Diagnostic]]] = {}
        for finding in self._findings():
            path = finding.base.path
            if _fits(finding.base, buffers):
                uri = buffers[path].uri if path in buffers else finding.base.uri
                wanted.setdefault(path, (uri, []))[1].append(finding.diagnostic(self._client.encoding))
        for path in self._shown.keys() | wanted.keys():
            before, now = self._shown.get(path), wanted.get(path)
            if before != now:
                uri, diagnostics = now or (before[0] if before else "", [])
                version = buffers[path].version if path in buffers else None
                self._client.publish(uri, version, diagnostics)
        self._shown = wanted

    def actions(self, uri: str, span: types.Range) -> list[tuple[Fix | None, list[types.Diagnostic]]]:
        """The fixes at a range, best first; None stands for the offer to look for one. With their diagnostics."""
        path, buffers = path_of(uri), self._client.buffers()
        encoding = self._client.encoding
        near = [d for f in self._fitting(path) if _meet((d := f.diagnostic(encoding)).range, span)]
        fixes = self._folder(self.root_of(path)).fixes
        here = [f for f in fixes if near or _edits_meet(f, path, span, encoding)]
        usable = [f for f in here if all(_fits(f.bases[p], buffers) for p in f.judgement.candidate.patch.paths)]
        offered: list[Fix | None] = [*usable]
        return [(fix, near) for fix in offered or ([None] if near else [])]

    def fix(self, number: int, digest: str) -> Fix:
        """The fix that an action names. Raises InputError when it is gone or a text has changed since."""
        found = [f for folder in self._folders.values() for f in folder.fixes if key_of(f) == digest]
        if not found:
            raise InputError("this repair is no longer known; look for a repair again", field="data")
        buffers = self._client.buffers()
        for path in found[0].judgement.candidate.patch.paths:
            base = found[0].bases[path]
            if base_of(base.path, buffers.get(base.path)).digest != base.digest:
                raise InputError(
                    f"{base.path.name} has changed since repair {number + 1} was found; look for a repair again",
                    field="data",
                )
        return found[0]

    def current(self, fix: Fix) -> Fix:
        """The same fix, bound to the versions that the documents have now."""
        buffers = self._client.buffers()
        now = {name: base_of(base.path, buffers.get(base.path)) for name, base in fix.bases.items()}
        return Fix(fix.judgement, now, fix.chosen)

    def _folder(self, root: Path) -> _Folder:
        return self._folders.setdefault(root, _Folder())

    def _findings(self) -> list[Finding]:
        return [f for folder in self._folders.values() for found in folder.findings.values() for f in found]

    def _fitting(self, path: Path) -> list[Finding]:
        buffers = self._client.buffers()
        return [f for f in self._findings() if f.base.path == path and _fits(f.base, buffers)]


def _fits(base: Base, buffers: Mapping[Path, Buffer]) -> bool:
    """Whether the open text is the one that something was said about; closed files are looked at when it matters."""
    return base.path not in buffers or digest_of(buffers[base.path].text) == base.digest


def _meet(a: types.Range, b: types.Range) -> bool:
    return a.start.line <= b.end.line and b.start.line <= a.end.line


def _edits_meet(fix: Fix, path: Path, span: types.Range, encoding: str) -> bool:
    edits = fix.edit(encoding, versioned=False, annotated=False).changes or {}
    uris = {base.uri for base in fix.bases.values() if base.path == path}
    return any(_meet(edit.range, span) for uri in uris for edit in edits.get(uri, ()))


def _counted(tell: Tell) -> Callable[[int, int], None]:
    return lambda judged, plausible: tell(f"judged {judged} candidates, {plausible} plausible")
