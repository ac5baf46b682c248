"""Server: the protocol of `emend lsp` on stdin and stdout, by pygls 2. Passes on; what is said is `session.py`'s.

Every sentence for the user goes by window/showMessage, everything else to stderr.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from repair.errors import EmendError
from serve.lsp.desk import CancelledByUser
from serve.lsp.editor import EditorClient, plain
from serve.lsp.fixes import key_of
from serve.lsp.options import Options
from serve.lsp.session import Session

_log = logging.getLogger("emend.lsp")
_Document = types.DidOpenTextDocumentParams | types.DidChangeTextDocumentParams | types.DidCloseTextDocumentParams
_SAVE_SECONDS = 0.3  # several files saved together make one run of the tests

# Commands and what follows their names.
COMMANDS = {
    "emend.runTests": "[uri]",
    "emend.explainError": "text [uri]",
    "emend.locate": "uri",
    "emend.repair": "uri [line]",
    "emend.clear": "",
}


class EmendServer:
    """Binds a session to the messages."""

    def __init__(self, options: Options) -> None:
        self.server = LanguageServer("emend", _version(), types.TextDocumentSyncKind.Full)
        self.client = EditorClient(self.server, options)
        self.session = Session(self.client)
        self._saving: dict[Path, asyncio.Task[None]] = {}
        _register(self)

    async def guarded(self, work: Awaitable[Any]) -> Any:  # noqa: ANN401
        """What `work` gives; None, and a sentence for the user, where it fails."""
        try:
            return await work
        except CancelledByUser:
            return None
        except EmendError as error:
            self.client.say(str(error), types.MessageType.Warning)
        except Exception as error:  # noqa: BLE001 - the user learns the kind only, the log has the rest
            _log.exception("a command failed")
            kind = type(error).__name__
            self.client.say(f"Emend failed inside ({kind}); its log has more.", types.MessageType.Error)
        return None

    async def command(self, name: str, given: tuple[object, ...]) -> object:
        """Do one of COMMANDS."""
        await self.client.settled()
        texts = [value if isinstance(value, str) else None for value in (*given, None, None)]
        line = given[1] if len(given) > 1 and isinstance(given[1], int) else None
        session = self.session
        match name, texts[0]:
            case "emend.runTests", uri:
                return await session.run_tests(uri)
            case "emend.explainError", str(text):
                return await session.explain(text, texts[1])
            case "emend.locate", str(uri):
                return await session.locate(uri)
            case "emend.repair", str(uri):
                return await session.repair(uri, line)
            case "emend.clear", _:
                session.clear()
                return None
            case _:
                raise EmendError(f"{name} needs arguments: {COMMANDS[name]}")

    def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """Fixes and the offer to look for one."""
        only = params.context.only
        quick = types.CodeActionKind.QuickFix
        if only and not any(quick.value == k or quick.value.startswith(f"{k}.") or not k for k in map(_value, only)):
            return []
        uri = params.text_document.uri
        lazy = "edit" in (self.client.supports("text_document", "code_action", "resolve_support", "properties") or ())
        found: list[types.CodeAction] = []
        for number, (fix, near) in enumerate(self.session.actions(uri, params.range)):
            if fix is None:
                look = types.Command(
                    "Emend: look for a repair", "emend.repair", arguments=[uri, params.range.start.line]
                )
                found.append(types.CodeAction(look.title, quick, diagnostics=near, command=look))
                continue
            action = types.CodeAction(fix.title, quick, diagnostics=near, is_preferred=fix.chosen or None)
            action.data = {"number": number, "key": key_of(fix)}
            found.append(action if lazy else self.resolved(action))
        return found

    def resolved(self, action: types.CodeAction) -> types.CodeAction:
        """The action with its edit. Raises InputError where that does not fit any more."""
        data = plain(action.data)
        given = cast("dict[str, Any]", data if isinstance(data, dict) else {})
        fix = self.session.current(self.session.fix(int(given.get("number", 0)), str(given.get("key", ""))))
        edits = ("workspace", "workspace_edit")
        versioned = bool(self.client.supports(*edits, "document_changes"))
        annotated = versioned and self.client.supports(*edits, "change_annotation_support") is not None
        action.edit = fix.edit(self.client.encoding, versioned=versioned, annotated=annotated)
        return action

    def saved(self, uri: str) -> None:
        """Run the tests a moment after a save, where the settings say so."""
        path = to_fs_path(uri)
        if path is None:
            return
        root = self.session.root_of(Path(path))
        if not self.client.options(root).test_on_save:
            return
        if (waiting := self._saving.get(root)) is not None:
            waiting.cancel()
        self._saving[root] = asyncio.ensure_future(self._test_later(root, uri))

    async def _test_later(self, root: Path, uri: str) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(_SAVE_SECONDS)
            self._saving.pop(root, None)  # from here on a newer run takes our place at the desk
            await self.guarded(self.session.run_tests(uri, quiet=True))


def _value(kind: object) -> str:
    return str(getattr(kind, "value", kind))


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("emend")
    except PackageNotFoundError:
        return "0"


def _register(emend: EmendServer) -> None:
    """Tie messages to what answers them."""
    server = emend.server
    for name in COMMANDS:
        _register_command(emend, name)
    _register_documents(emend)
    _register_settings(emend)

    def cancelled(params: types.WorkDoneProgressCancelParams) -> None:
        emend.client.cancel(params.token)

    def ending(*_: None) -> None:  # pygls hands the server itself to what takes `object`
        emend.session.desk.close()

    server.feature(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)(cancelled)
    server.feature(types.SHUTDOWN)(ending)


def _register_settings(emend: EmendServer) -> None:
    def initialize(params: types.InitializeParams) -> None:
        given = plain(params.initialization_options)
        emend.client.configure(given.get("emend", given) if isinstance(given, dict) else given, from_project=False)

    async def initialized(_: types.InitializedParams | types.DidChangeWorkspaceFoldersParams) -> None:
        await emend.client.ask_settings()

    async def configured(params: types.DidChangeConfigurationParams) -> None:
        given = plain(params.settings)
        if isinstance(given, dict) and "emend" in given:
            emend.client.configure(plain(given["emend"]), from_project=True)
        await emend.client.ask_settings()

    emend.server.feature(types.INITIALIZE)(initialize)
    emend.server.feature(types.INITIALIZED)(initialized)
    emend.server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)(configured)
    emend.server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(initialized)


def _register_documents(emend: EmendServer) -> None:
    def changed(_: _Document) -> None:
        emend.session.refresh()

    def saved(params: types.DidSaveTextDocumentParams) -> None:
        emend.saved(params.text_document.uri)

    def code_actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        try:
            return emend.actions(params)
        except EmendError as error:
            _log.info("no code actions: %s", error)
            return []

    def resolve(action: types.CodeAction) -> types.CodeAction:
        try:
            return emend.resolved(action)
        except EmendError as error:
            emend.client.say(str(error), types.MessageType.Warning)
            raise JsonRpcException(str(error), types.LSPErrorCodes.RequestFailed.value) from None

    options = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix], resolve_provider=True)
    for method in (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE, types.TEXT_DOCUMENT_DID_CLOSE):
        emend.server.feature(method)(changed)
    emend.server.feature(types.TEXT_DOCUMENT_DID_SAVE)(saved)
    emend.server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)(code_actions)
    emend.server.feature(types.CODE_ACTION_RESOLVE)(resolve)


def _register_command(emend: EmendServer, name: str) -> None:
    async def command(ls: LanguageServer, *given: Any) -> object:  # noqa: ANN401 - JSON
        work = asyncio.ensure_future(emend.guarded(emend.command(name, given)))
        # pygls 2.1 tells a command nothing of $/cancelRequest: it cancels a future that it keeps to itself
        request: Any = ls.protocol._request_futures.get(ls.protocol.msg_id or "")  # pyright: ignore[reportPrivateUsage]
        if request is not None:
            request.add_done_callback(partial(_give_up, work))
        with suppress(asyncio.CancelledError):
            return await work
        return None

    emend.server.command(name)(command)


def _give_up(work: asyncio.Future[Any], request: Future[Any]) -> None:
    if request.cancelled():
        work.cancel()


def serve(options: Options) -> int:
    """Serve stdin and stdout until the editor leaves; the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    stdout, sys.stdout = sys.stdout, sys.stderr  # whatever prints must not be taken for a message
    emend = EmendServer(options)
    try:
        emend.server.start_io(sys.stdin.buffer, stdout.buffer)
    finally:
        emend.session.desk.close()
    return 0
