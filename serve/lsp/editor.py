"""Editor: what the session sees of the editor at the other end: documents, settings, progress, messages."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from serve.lsp.client import Work
from serve.lsp.desk import Desk
from serve.lsp.options import Options, with_settings
from serve.lsp.project import Buffer

_log = logging.getLogger("emend.lsp")
_ANSWER_SECONDS = 2.0  # for the editor to make a progress bar, or to tell its settings


class EditorClient:
    """The editor at the other end (implements `session.Client`)."""

    def __init__(self, server: LanguageServer, options: Options) -> None:
        self._server = server
        self._options = options
        self._given = options
        self._of_folder: dict[Path, Options] = {}
        self._tasks: dict[types.ProgressToken, Callable[[], None]] = {}
        self._settled = asyncio.Event()
        self._settled.set()

    @property
    def encoding(self) -> str:
        """As `Client.encoding`."""
        return str(getattr(e := self._server.workspace.position_encoding, "value", e) or "utf-16")

    def buffers(self) -> dict[Path, Buffer]:
        """As `Client.buffers`; what is no file is left out."""
        found: dict[Path, Buffer] = {}
        for document in self._server.workspace.text_documents.values():
            if document.uri.startswith("file:") and (path := to_fs_path(document.uri)):
                found[Path(path)] = Buffer(document.uri, document.source, document.version)
        return found

    def folders(self) -> tuple[Path, ...]:
        """As `Client.folders`."""
        workspace = self._server.workspace
        uris = [folder.uri for folder in workspace.folders.values()] or [workspace.root_uri or ""]
        return tuple(Path(path) for uri in uris if uri.startswith("file:") and (path := to_fs_path(uri)))

    def options(self, root: Path) -> Options:
        """As `Client.options`."""
        return self._of_folder.get(root, self._options)

    def publish(self, uri: str, version: int | None, diagnostics: list[types.Diagnostic]) -> None:
        """As `Client.publish`."""
        self._server.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri=uri, version=version, diagnostics=diagnostics)
        )

    def say(self, sentence: str, kind: types.MessageType = types.MessageType.Info) -> None:
        """As `Client.say`."""
        self._server.window_show_message(types.ShowMessageParams(kind, sentence))

    async def long(self, desk: Desk, key: str, title: str, work: Work) -> Any:  # noqa: ANN401
        """As `Client.long`."""
        token, loop = str(uuid.uuid4()), asyncio.get_running_loop()
        shown = await self._begin(token, title)

        def tell(sentence: str) -> None:
            if shown:
                value = types.WorkDoneProgressReport(message=sentence)
                loop.call_soon_threadsafe(self._server.work_done_progress.report, token, value)

        task = desk.submit(key, lambda stop: work(stop, tell))
        self._tasks[token] = task.cancel
        try:
            return await task.done
        finally:
            task.cancel()  # where the request itself was cancelled; else it has ended
            del self._tasks[token]
            if shown:
                self._server.work_done_progress.end(token, types.WorkDoneProgressEnd())

    async def _begin(self, token: str, title: str) -> bool:
        window = self._server.client_capabilities.window
        if not (window and window.work_done_progress):
            return False
        try:
            await asyncio.wait_for(self._server.work_done_progress.create_async(token), _ANSWER_SECONDS)
        except (TimeoutError, JsonRpcException):
            return False
        value = types.WorkDoneProgressBegin(title=f"Emend: {title}", cancellable=True)
        self._server.work_done_progress.begin(token, value)
        return True

    def cancel(self, token: types.ProgressToken) -> None:
        """Give up what shows progress under this token."""
        if (cancel := self._tasks.get(token)) is not None:
            cancel()

    def configure(self, settings: object, *, from_project: bool) -> None:
        """Take settings for all folders, told by the editor; complain of what is unusable."""
        self._options, complaints = with_settings(
            self._options if from_project else self._given, settings, from_project=from_project
        )
        self._of_folder.clear()
        self._complain(complaints)

    async def settled(self) -> None:
        """Wait until the editor has answered for its settings, if not for long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), _ANSWER_SECONDS)

    async def ask_settings(self) -> None:
        """Ask the editor for each folder's settings, where it can be asked."""
        workspace = self._server.client_capabilities.workspace
        if not (workspace and workspace.configuration):
            return
        roots = self.folders()
        items = [types.ConfigurationItem(scope_uri=root.as_uri(), section="emend") for root in roots]
        items = items or [types.ConfigurationItem(section="emend")]
        self._settled.clear()
        try:
            answers = await self._server.workspace_configuration_async(types.ConfigurationParams(items))
        except JsonRpcException as error:
            _log.warning("the editor did not tell its settings: %s", error)
            return
        finally:
            self._settled.set()
        for root, answer in zip(roots or (None,), answers, strict=False):
            options, complaints = with_settings(self._options, plain(answer), from_project=True)
            if root is None:
                self._options = options
            else:
                self._of_folder[root] = options
            self._complain(complaints)

    def _complain(self, complaints: tuple[str, ...]) -> None:
        for sentence in complaints:
            self.say(sentence, types.MessageType.Warning)

    def supports(self, *names: str) -> Any:  # noqa: ANN401
        """A capability of the editor by the path to it, None where any part is missing."""
        value: Any = self._server.client_capabilities
        for name in names:
            value = getattr(value, name, None)
        return value


def plain(value: object) -> object:
    """JSON as pygls has it: dictionaries, or objects with attributes."""
    return vars(value) if hasattr(value, "__dict__") else getattr(value, "_asdict", lambda: value)()
