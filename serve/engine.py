"""Engine: what the service repairs with. Owns the loaded model and the sandbox; knows nothing of HTTP."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock

from repair.defects import RepairRequest
from repair.errors import InputError, OracleError, SandboxError
from repair.model import Model
from repair.oracle import Oracle
from repair.pipeline import Event, Options, SuspectsFound, locate, repair
from repair.search import SearchOptions
from serve.oracles import Judging, open_oracle
from serve.settings import Settings
from serve.wire import RepairIn, check_path


class Engine:
    """Repairs requests of the wire. Safe to call from several threads; the model answers one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._judging = Judging(settings.sandbox_minimum, settings.unsafe_no_sandbox, settings.python)
        self._loading = Lock()
        self._model: Model | None = None
        self._loaded = False

    def load(self) -> None:
        """Load the model, once. Raises ModelError."""
        with self._loading:
            if not self._loaded:
                from repair.models.select import load_model

                adapter = self._settings.adapter
                self._model = load_model(self._settings.model, adapter=str(adapter) if adapter else None)
                self._loaded = True

    @property
    def model_name(self) -> str:
        """Name of the model, "none" without one."""
        return self._model.name if self._model else "none"

    def repair(self, body: RepairIn) -> Generator[Event]:
        """Events of one repair; closing it ends the repair and what it runs."""
        request = self._request(body)
        options = Options(search=SearchOptions(order=body.options.order, seed=body.options.seed))
        with self._oracle(body, request) as oracle, closing(repair(request, self._model, oracle, options=options)) as events:
            yield from events

    def localize(self, body: RepairIn) -> Generator[SuspectsFound]:
        """The suspects, once."""
        request = self._request(body)
        with self._oracle(body, request) as oracle:
            yield locate(request, self._model, oracle if body.test else None)

    def _request(self, body: RepairIn) -> RepairRequest:
        self.load()
        return body.to_request(max_candidates=self._settings.max_candidates, max_seconds=self._settings.max_seconds)

    @contextmanager
    def _oracle(self, body: RepairIn, request: RepairRequest) -> Iterator[Oracle]:
        """An oracle on a private copy of what was sent; the copy is gone afterwards."""
        if body.test is None:
            yield open_oracle(Path(), request.sources, self._judging)
            return
        _check_tests(body)
        try:
            self._judging.sandbox()
        except SandboxError as error:
            raise SandboxError(f"tests are refused, they would run without isolation: {error}") from error
        with tempfile.TemporaryDirectory(prefix="emend-") as directory:
            root = Path(directory)
            for file in (*body.files, *body.test.files):
                _write(root, file.path, file.text)
            tests = tuple(file.path for file in body.test.files)
            yield open_oracle(root, request.sources, self._judging, command=body.test.command, test_files=tests)


def _check_tests(body: RepairIn) -> None:
    if body.test is None or (not body.test.files and not body.test.command):
        raise InputError("test has neither a command nor files", field="test")
    if body.test.command is not None and not body.test.command.strip():
        raise InputError("the test command is empty", field="test.command")
    known = {file.path for file in body.files}
    for number, file in enumerate(body.test.files):
        check_path(file.path, f"test.files.{number}.path")
        if file.path in known:
            raise InputError(f"{file.path} is given twice", field=f"test.files.{number}.path")
        known.add(file.path)


def _write(root: Path, path: str, text: str) -> None:
    target = root / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{path}: another path is its folder or file", field="files") from error
    except OSError as error:
        raise OracleError(f"{path}: {error.strerror or error}") from error
