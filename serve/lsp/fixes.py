"""Fixes: candidates as code actions with edits that hold for one state of the texts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lsprotocol import types

from repair.edits import FilePatch
from repair.sources import Source
from repair.verdicts import Judgement, RepairResult, Verdict
from serve.lsp.findings import line_span
from serve.lsp.positions import BOM, Positions
from serve.lsp.project import Base, digest_of

OFFERED = 5
_TITLE = 80  # characters of code in a title
_ANNOTATION = "emend"
_SAID = {Verdict.PLAUSIBLE: "tests passed", Verdict.UNDECIDED: "tests not run"}


@dataclass(frozen=True, slots=True)
class Fix:
    """One candidate, bound to the texts that it was made for."""

    judgement: Judgement
    bases: Mapping[str, Base]
    chosen: bool

    @property
    def title(self) -> str:
        """The first line it writes, and what the tests say of it."""
        files = self.judgement.candidate.patch.files
        noun = "file" if len(files) == 2 else "files"
        more = f" (and {len(files) - 1} more {noun})" if len(files) > 1 else ""
        said = _SAID[self.judgement.verdict]
        code = next(_new_line(file, self.bases[file.path]) for file in files)
        return f"Repair with Emend ({said}): {code}{more}"

    def touches(self, base: Base) -> bool:
        """Whether it changes that file."""
        return any(self.bases[path].path == base.path for path in self.judgement.candidate.patch.paths)

    def edit(self, encoding: str, *, versioned: bool, annotated: bool) -> types.WorkspaceEdit:
        """All its edits; `versioned` needs the client's `documentChanges`, `annotated` its change annotations."""
        files = self.judgement.candidate.patch.files
        edits = {file.path: _edits(file, self.bases[file.path], encoding) for file in files}
        if not versioned:
            return types.WorkspaceEdit(changes={self.bases[path].uri: found for path, found in edits.items()})
        changes = [
            types.TextDocumentEdit(
                types.OptionalVersionedTextDocumentIdentifier(self.bases[path].uri, self.bases[path].version),
                [types.AnnotatedTextEdit(_ANNOTATION, e.range, e.new_text) if annotated else e for e in found],
            )
            for path, found in edits.items()
        ]
        if not annotated:
            return types.WorkspaceEdit(document_changes=changes)
        label = types.ChangeAnnotation(label="Repair with Emend", description=_SAID[self.judgement.verdict])
        return types.WorkspaceEdit(document_changes=changes, change_annotations={_ANNOTATION: label})


def fixes_of(result: RepairResult, bases: Mapping[str, Base]) -> tuple[Fix, ...]:
    """The candidates worth offering: plausible ones, or, where no test judged, the likeliest."""
    wanted = Verdict.PLAUSIBLE if any(j.verdict is Verdict.PLAUSIBLE for j in result.judgements) else Verdict.UNDECIDED
    if wanted is Verdict.UNDECIDED and any(j.observations for j in result.judgements):
        return ()  # tests ran, and none of the candidates passed them
    worth = [j for j in result.judgements if j.verdict is wanted and j.candidate.patch][:OFFERED]
    return tuple(Fix(j, bases, chosen=result.chosen is not None and j == result.chosen) for j in worth)


def key_of(fix: Fix) -> str:
    """Names a fix: its patch and the texts that it was made for."""
    patch = fix.judgement.candidate.patch
    return digest_of(repr(patch) + "".join(f"{fix.bases[p].path}{fix.bases[p].digest}" for p in patch.paths))


def sentence(fixes: tuple[Fix, ...], result: RepairResult) -> str:
    """What was found, for how much."""
    cost = f"{result.cost.candidates} candidates, {result.cost.seconds:.1f} s"
    if not fixes:
        return f"No repair was found ({cost}); give it more emend.seconds or emend.candidates."
    number = "One repair is" if len(fixes) == 1 else f"{len(fixes)} repairs are"
    return f"{number} offered as quick fixes ({cost})."


def _edits(file: FilePatch, base: Base, encoding: str) -> list[types.TextEdit]:
    positions = Positions(base.text, encoding)
    return [positions.edit(edit) for edit in file.edits]


def _new_line(file: FilePatch, base: Base) -> str:
    """The line as the first edit leaves it."""
    from serve.printing import shown  # rich takes a fifth of our start

    text = file.apply(base.text.removeprefix(BOM))
    edit = file.edits[0]
    source = Source(file.path, text)
    offset = edit.span.start + len(edit.text) - len(edit.text.lstrip())
    code = line_span(text, source.position(min(offset, len(text)))[0]).of(text) if edit.text.strip() else ""
    if not code:
        old = base.text.removeprefix(BOM)
        gone = edit.span.of(old).strip() or line_span(old, Source(file.path, old).position(edit.span.start)[0]).of(old)
        code = f"delete {gone.splitlines()[0] if gone else 'a line'}"
    return shown(code)[:_TITLE]
