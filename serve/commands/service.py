"""`emend serve`: start the HTTP service."""

from __future__ import annotations

import socket

from repair.errors import InputError
from serve.limits import is_loopback
from serve.printing import stderr
from serve.settings import Settings

_CLOSE_SECONDS = 10


def run(settings: Settings) -> int:
    """Serve until interrupted; the address is on stderr once it listens."""
    import uvicorn

    from serve.app import create_app
    from serve.engine import Engine

    remarks = stderr()
    listening = _listen(settings)
    engine = Engine(settings)
    remarks.print("loading the model ...")
    engine.load()
    host, port = listening.getsockname()[:2]
    if not is_loopback(settings.host):
        remarks.print("warning: everyone who reaches this address may run code in the sandbox; there is no login yet")
    remarks.print(
        f"Emend listens on http://{'[' + host + ']' if ':' in host else host}:{port} (model {engine.model_name})"
    )
    config = uvicorn.Config(
        create_app(settings, engine),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _listen(settings: Settings) -> socket.socket:
    """A listening socket. Raises InputError when the address cannot be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, proto)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        raise InputError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}", field="port"
        ) from error
    return listening
