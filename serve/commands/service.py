"""`emend serve` and `emend worker`: start the service, tell where it is, end it in order."""

from __future__ import annotations

import asyncio
import signal
import socket
import types
from contextlib import suppress
from typing import TYPE_CHECKING

from repair.errors import InputError
from serve.limits import is_loopback
from serve.printing import stderr
from serve.settings import Settings

if TYPE_CHECKING:
    from serve.service import Service


def run(settings: Settings) -> int:
    """Serve until told to stop; the address is on stderr once it listens."""
    listening = _listen(settings)
    settings = settings.model_copy(update={"port": listening.getsockname()[1]})
    asyncio.run(_serve(settings, listening))
    return 0


async def _serve(settings: Settings, listening: socket.socket) -> None:
    import uvicorn

    from serve.app import create_app
    from serve.observe.logs import configure
    from serve.service import Service

    remarks = stderr()
    configure(settings)
    service = Service(settings)
    remarks.print("loading the model ...")
    async with service.running() as parts:
        app = create_app(parts)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
            server_header=False,
            h11_max_incomplete_event_size=64 * 1024,
        )

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: types.FrameType | None) -> None:
                """Streams end and /readyz says no before connections are closed."""
                asyncio.get_running_loop().call_soon_threadsafe(service.draining.set)
                super().handle_exit(sig, frame)

        await _greet(service, settings)
        remarks.print(f"Emend listens on {settings.base_url} (model {settings.model or 'embedded'})", soft_wrap=True)
        with suppress(KeyboardInterrupt):  # uvicorn raises the signal again once all is closed
            await Server(config).serve(sockets=[listening])
        app.state.tracing.close()


async def _greet(service: Service, settings: Settings) -> None:
    """Say how to get in: the first start makes a key, shown this once."""
    remarks = stderr()
    if settings.auth == "off":
        remarks.print("no keys are asked for (auth = off): everyone on this machine may repair here")
        return
    if not is_loopback(settings.host) and not settings.public_url.startswith("https:"):
        remarks.print("warning: keys cross the network in clear; put a TLS proxy before it (docs/deployment.md)")
    if await asyncio.to_thread(service.store.keys.any):
        return
    scopes = ("repair", "jobs", "metrics", "admin")
    _, token = await asyncio.to_thread(service.store.keys.create, "first", scopes, None, None, None)
    remarks.print("This is the first start. Your key, shown this once (more: emend keys create NAME):", soft_wrap=True)
    remarks.print(f"  {token}", soft_wrap=True, markup=False)
    remarks.print(f"Page: {settings.base_url}/login#key={token}", soft_wrap=True, markup=False)
    remarks.print(
        f"Try:  curl -s {settings.base_url}/v1/repairs -H 'Authorization: Bearer {token}' "
        "-H 'Content-Type: application/json' -d "
        """'{"files": [{"path": "mean.py", "text": "def mean(xs):\\n    return sum(xs) / len(x)\\n"}]}'""",
        soft_wrap=True,
        markup=False,
    )


def work(settings: Settings) -> int:
    """Do jobs of the store, without HTTP, until told to stop."""
    asyncio.run(_work(settings))
    return 0


async def _work(settings: Settings) -> None:
    from serve.observe.logs import configure
    from serve.service import Service

    configure(settings)
    service = Service(settings.model_copy(update={"job_workers": settings.workers}))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.draining.set)
    async with service.running():
        stderr().print("Emend works on jobs; stop it by SIGTERM")
        await service.draining.wait()


def _listen(settings: Settings) -> socket.socket:
    """A listening socket. Raises InputError when the address cannot be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, proto)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as error:
        raise InputError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}", field="port"
        ) from error
    return listening
