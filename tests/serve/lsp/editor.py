"""An editor at the other end of a real `python -m serve.lsp`, by pytest-lsp's client."""

from __future__ import annotations

import ast
import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, make_test_lsp_client

REPOSITORY = Path(__file__).parents[3]
SECONDS = 200.0


def capabilities(*, lazy: bool = True, encodings: Sequence[str] = ("utf-16",)) -> types.ClientCapabilities:
    """Of an editor that can do all that the server makes use of; without `lazy`, of one that can do little."""
    if not lazy:
        return types.ClientCapabilities()
    literal = types.ClientCodeActionLiteralOptions(types.ClientCodeActionKindOptions(["quickfix"]))
    actions = types.CodeActionClientCapabilities(
        code_action_literal_support=literal,
        resolve_support=types.ClientCodeActionResolveOptions(["edit"]),
        is_preferred_support=True,
        data_support=True,
    )
    edits = types.WorkspaceEditClientCapabilities(
        document_changes=True, change_annotation_support=types.ChangeAnnotationsSupportOptions()
    )
    return types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind(e) for e in encodings]),
        text_document=types.TextDocumentClientCapabilities(code_action=actions),
        window=types.WindowClientCapabilities(work_done_progress=True),
        workspace=types.WorkspaceClientCapabilities(workspace_edit=edits, configuration=True),
    )


class Editor:
    """What a person does in an editor."""

    def __init__(self, client: LanguageClient, result: types.InitializeResult) -> None:
        self.client = client
        self.result = result
        self.versions: dict[Path, int] = {}
        self.texts: dict[Path, str] = {}

    def open(self, path: Path, text: str | None = None) -> None:
        self.texts[path] = path.read_bytes().decode() if text is None else text
        self.versions[path] = 1
        item = types.TextDocumentItem(path.as_uri(), "python", 1, self.texts[path])
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def change(self, path: Path, text: str) -> None:
        self.texts[path] = text
        self.versions[path] += 1
        document = types.VersionedTextDocumentIdentifier(self.versions[path], path.as_uri())
        whole = types.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [whole]))

    async def command(self, name: str, *arguments: object) -> Any:
        params = types.ExecuteCommandParams(name, list(arguments))
        return await asyncio.wait_for(self.client.workspace_execute_command_async(params), SECONDS)

    def diagnostics(self, path: Path) -> list[types.Diagnostic]:
        return list(self.client.diagnostics.get(path.as_uri(), ()))

    async def actions(self, path: Path, line: int) -> list[types.CodeAction]:
        where = types.Range(types.Position(line, 0), types.Position(line, 0))
        shown = [d for d in self.diagnostics(path) if d.range.start.line == line]
        context = types.CodeActionContext(shown, [types.CodeActionKind.QuickFix])
        params = types.CodeActionParams(types.TextDocumentIdentifier(path.as_uri()), where, context)
        found = await self.client.text_document_code_action_async(params)
        # lsprotocol takes an action that has a command for a command, and that command for a text
        return [_as_action(action) for action in found or ()]

    async def resolve(self, action: types.CodeAction) -> types.WorkspaceEdit:
        edit = (await self.client.code_action_resolve_async(action)).edit
        assert edit is not None
        return edit

    def messages(self) -> list[str]:
        return [message.message for message in self.client.messages]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0.02)

    @property
    def pid(self) -> int:
        server = self.client._server  # pyright: ignore[reportPrivateUsage] - the client has no public way
        assert server is not None
        return server.pid


def _as_action(found: Any) -> types.CodeAction:
    if isinstance(found, types.CodeAction):
        return found
    return types.CodeAction(found.title, command=types.Command(**ast.literal_eval(found.command)))


@asynccontextmanager
async def editing(
    *folders: Path,
    options: Sequence[str] = ("--model", "none"),
    settings: object = None,
    configuration: dict[str, Any] | None = None,
    able: types.ClientCapabilities | None = None,
) -> AsyncGenerator[Editor]:
    """An editor with these folders open."""
    command = [sys.executable, "-m", "serve.lsp", "--python", sys.executable, *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    client = await ClientServerConfig(command, make_test_lsp_client, environment).start()
    assert isinstance(client, LanguageClient)
    client.set_configuration({"emend": configuration})
    params = types.InitializeParams(
        capabilities=able or capabilities(),
        root_uri=folders[0].as_uri(),
        workspace_folders=[types.WorkspaceFolder(folder.as_uri(), folder.name) for folder in folders],
        initialization_options=settings,
    )
    result = await client.initialize_session(params)
    yield Editor(client, result)
    await client.shutdown_session()
    await client.stop()


def apply(text: str, edits: Sequence[types.TextEdit | types.AnnotatedTextEdit | types.SnippetTextEdit]) -> str:
    """The text with edits made, columns in UTF-16, as an editor would."""
    lines = text.split("\n")
    starts = [sum(len(line) + 1 for line in lines[:n]) for n in range(len(lines) + 1)]

    def offset(at: types.Position) -> int:
        units = lines[at.line].encode("utf-16-le") if at.line < len(lines) else b""
        return starts[at.line] + len(units[: 2 * at.character].decode("utf-16-le"))

    for edit in sorted(edits, key=lambda e: offset(e.range.start), reverse=True):
        assert not isinstance(edit, types.SnippetTextEdit)
        text = text[: offset(edit.range.start)] + edit.new_text + text[offset(edit.range.end) :]
    return text
