"""The language server as an editor meets it: a real process, real tests in the sandbox, no model."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from repair.sandboxes.processes import tree
from tests.serve.lsp.editor import REPOSITORY, Editor, apply, capabilities, editing

CODE = "def clamp(value, low, high):\n    if value < low:\n        return low\n    return max(value, high)\n"
TEST = """from ranges import clamp


def test_high():
    assert clamp(9, 1, 5) == 5


def test_inside():
    assert clamp(3, 1, 5) == 3
"""
PLAIN = "[pytest]\naddopts = -p no:schemathesis -p no:hypothesispytest -p no:pytest-lsp -p no:anyio\n"  # slow to import
FEW = {"candidates": 16}  # enough for this fault
TRACE = """Traceback (most recent call last):
  File "/somewhere/ranges.py", line 4, in clamp
    return max(value, high)
TypeError: '>' not supported between instances of 'str' and 'int'
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "ranges.py").write_text(CODE)
    (folder / "test_ranges.py").write_text(TEST)
    (folder / "pytest.ini").write_text(PLAIN)
    return folder


async def repaired(editor: Editor, path: Path, line: int) -> list[types.CodeAction]:
    """The fixes at a line, after the tests ran and a repair was looked for by the code action's command."""
    assert (await editor.command("emend.runTests", path.as_uri()))["passed"] is False
    (look,) = await editor.actions(path, line)
    assert look.title == "Emend: look for a repair" and look.command and look.command.arguments
    assert (await editor.command(look.command.command, *look.command.arguments))["candidates"]
    return await editor.actions(path, line)


@pytest.mark.asyncio
async def test_a_failing_test_is_shown_repaired_and_passes(project: Path):
    path = project / "ranges.py"
    async with editing(project, settings=FEW) as editor:
        editor.open(path)
        fixes = await repaired(editor, path, 3)
        shown = editor.diagnostics(path)
        suspect = next(d for d in shown if d.range.start.line == 3)
        assert suspect.range == types.Range(types.Position(3, 4), types.Position(3, 27))
        assert suspect.source == "emend" and "test_high" in suspect.message and "tests: failed" in suspect.message
        failures = editor.diagnostics(project / "test_ranges.py")
        assert {d.range.start.line for d in failures} == {4, 8}
        assert all(d.severity is types.DiagnosticSeverity.Information for d in failures)
        assert [fix.is_preferred for fix in fixes].count(True) == 1
        best = next(fix for fix in fixes if fix.is_preferred)
        assert best.title == "Repair with Emend (tests passed): return min(value, high)" and best.edit is None
        edit = await editor.resolve(best)
        assert path.read_text() == CODE  # nothing is written by itself
        (change,) = edit.document_changes or ()
        assert isinstance(change, types.TextDocumentEdit) and change.text_document.version == 1
        assert all(isinstance(e, types.AnnotatedTextEdit) for e in change.edits) and edit.change_annotations
        text = apply(CODE, change.edits)
        editor.change(path, text)
        await editor.until(lambda: not editor.diagnostics(path))  # they spoke of another text
        assert await editor.actions(path, 3) == []
    path.write_text(text)
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=project, capture_output=True, check=False)
    assert tests.returncode == 0, tests.stdout


@pytest.mark.asyncio
async def test_a_repair_of_a_changed_document_is_refused(project: Path):
    path = project / "ranges.py"
    async with editing(project, settings=FEW) as editor:
        editor.open(path)
        fixes = await repaired(editor, path, 3)
        editor.change(path, "# a remark\n" + CODE)
        with pytest.raises(JsonRpcException, match=r"ranges\.py has changed since repair 1 was found"):
            await editor.resolve(fixes[0])
        assert any("has changed" in message for message in editor.messages())
        editor.change(path, CODE)  # as by undo: what was said holds again
        await editor.until(lambda: editor.diagnostics(path))
        (change,) = (await editor.resolve(fixes[0])).document_changes or ()
        assert isinstance(change, types.TextDocumentEdit) and change.text_document.version == 3


@pytest.mark.asyncio
async def test_buffers_count_with_crlf_and_emoji_and_little_support(project: Path):
    """The file on disk is whole; only the unsaved buffer has the fault, after characters of two UTF-16 units."""
    path = project / "ranges.py"
    path.write_text(CODE.replace("max", "min"))
    faulty = CODE.replace("max(value, high)", '{"😀😀": max(value, high)}["😀😀"]').replace("\n", "\r\n")
    async with editing(project, able=capabilities(lazy=False), settings=FEW) as editor:
        editor.open(path, faulty)
        fixes = await repaired(editor, path, 3)
        suspect = next(d for d in editor.diagnostics(path) if d.range.start.line == 3)
        assert suspect.range.end.character == len('    return {"😀😀": max(value, high)}["😀😀"]') + 4
        best = next(fix for fix in fixes if fix.is_preferred)
        assert best.edit and best.edit.changes and not best.edit.document_changes
        fixed = apply(faulty, best.edit.changes[path.as_uri()])
        assert fixed.count("\r\n") == fixed.count("\n") and '    return {"😀😀": min(value, high)}["😀😀"]' in fixed


@pytest.mark.asyncio
async def test_a_pasted_error_shows_suspects_and_repairs_without_tests(project: Path):
    (project / "test_ranges.py").unlink()
    path = project / "ranges.py"
    async with editing(project) as editor:
        found = await editor.command("emend.explainError", TRACE)
        assert {"path": str(path), "line": 4} in found["suspects"]  # found on disk, it is not open
        suspect = next(d for d in editor.diagnostics(path) if d.range.start.line == 3)
        assert "TypeError" in suspect.message and "tests: not run" in suspect.message
        await editor.command("emend.repair", path.as_uri(), 3)
        fixes = await editor.actions(path, 3)
        assert 0 < len(fixes) <= 5 and all("(tests not run)" in fix.title for fix in fixes)
        assert not any(fix.is_preferred for fix in fixes)
        await editor.command("emend.clear")
        assert editor.diagnostics(path) == [] and await editor.actions(path, 3) == []


@pytest.mark.asyncio
async def test_what_cannot_be_done_is_one_sentence(project: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "alone.py").write_text("x = 1\n")
    configuration = {"seconds": -1, "candidates": True, "test": ""}
    async with editing(empty, project, configuration=configuration, settings={"test": 7}) as editor:
        await editor.until(lambda: len(editor.messages()) >= 5)  # one of the start, two for each folder
        said = "\n".join(editor.messages())
        assert "emend.test must be a command line" in said and "emend.seconds: seconds is -1" in said
        assert "emend.candidates must be a whole number" in said
        for arguments, sentence in (
            (("emend.runTests", (empty / "alone.py").as_uri()), "no tests were found here"),
            (("emend.runTests", "untitled:1"), "save the document first"),
            (("emend.explainError", "  "), "the error's text is empty"),
            (("emend.explainError", "no idea"), "names no file of this workspace"),
            (("emend.locate", (empty / "gone.py").as_uri()), "no such file"),
            (("emend.locate",), "emend.locate needs arguments: uri"),
        ):
            before = len(editor.messages())
            assert await editor.command(*arguments) is None
            await editor.until(lambda before=before: len(editor.messages()) > before)
            assert sentence in editor.messages()[-1], editor.messages()[-1]
        assert not any("Traceback" in message or "Error" in message for message in editor.messages())
        given = {"emend": {"test": "python -m pytest -q test_none.py"}}
        editor.client.set_configuration({"emend": None})
        editor.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(given))
        assert await editor.command("emend.runTests", (project / "ranges.py").as_uri()) is None
        assert "test_none.py" in editor.messages()[-1] or "pytest" in editor.messages()[-1]


def children(pid: int) -> tuple[int, ...]:
    return tree(pid)[1:]


@pytest.mark.asyncio
async def test_cancelling_ends_the_tests_and_leaves_the_server_usable(project: Path):
    (project / "test_ranges.py").write_text("import time\n\n\ndef test_slow():\n    time.sleep(600)\n")
    path = project / "ranges.py"
    async with editing(project) as editor:
        editor.open(path)
        running = asyncio.create_task(editor.command("emend.runTests", path.as_uri()))
        await editor.until(lambda: children(editor.pid))
        await editor.until(lambda: editor.client.progress_reports)
        (token,) = editor.client.progress_reports
        editor.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token))
        assert await running is None  # tests that end by themselves, or hang too long, are answered with what failed
        await editor.until(lambda: not children(editor.pid))
        end = editor.client.progress_reports[token][-1]
        assert isinstance(end, types.WorkDoneProgressEnd)
        (project / "test_ranges.py").write_text("def test_quick():\n    assert True\n")
        assert await editor.command("emend.runTests", path.as_uri()) == {"passed": True, "failing": []}


@pytest.mark.asyncio
async def test_tests_run_on_save_where_wanted(project: Path):
    path = project / "ranges.py"
    async with editing(project, configuration={"testOnSave": True}) as editor:
        editor.open(path)
        await editor.command("emend.clear")  # commands wait for the settings to arrive
        for _ in range(3):
            editor.client.text_document_did_save(
                types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(path.as_uri()))
            )
        await editor.until(lambda: editor.diagnostics(path))
        assert len(editor.client.progress_reports) == 1  # three saves, one run


@pytest.mark.asyncio
async def test_nothing_is_left_when_a_request_is_cancelled_and_when_the_editor_dies(project: Path):
    (project / "test_ranges.py").write_text("import time\n\n\ndef test_slow():\n    time.sleep(600)\n")
    command = [sys.executable, "-m", "serve.lsp", "--model", "none", "--python", sys.executable]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, stderr=pipe) as server:
        assert server.stdin and server.stderr

        def send(number: int | None, method: str, params: object) -> None:
            message = {"jsonrpc": "2.0", "method": method, "params": params} | ({"id": number} if number else {})
            body = json.dumps(message).encode()
            assert server.stdin
            server.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            server.stdin.flush()

        send(1, "initialize", {"processId": None, "rootUri": project.as_uri(), "capabilities": {}})
        for number in (2, 3):
            send(number, "workspace/executeCommand", {"command": "emend.runTests", "arguments": []})
            async with asyncio.timeout(200):
                while not (running := children(server.pid)):
                    await asyncio.sleep(0.02)
            if number == 2:
                send(None, "$/cancelRequest", {"id": 2})
                async with asyncio.timeout(200):
                    while children(server.pid):
                        await asyncio.sleep(0.02)
        server.stdin.close()
        await asyncio.to_thread(server.wait, 200)
        async with asyncio.timeout(200):  # the kernel ends a namespace in its own time
            while any(Path(f"/proc/{pid}").exists() for pid in running):
                await asyncio.sleep(0.02)
        assert b"Traceback" not in server.stderr.read()
