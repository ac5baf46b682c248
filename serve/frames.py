"""Messages between the service and its processes: four bytes of length, then JSON. Knows nothing of what they say."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from dataclasses import dataclass
from typing import cast

_LENGTH = struct.Struct("!I")
Frame = dict[str, object]


def packed(frame: Frame) -> bytes:
    """A message as bytes."""
    content = json.dumps(frame).encode()
    return _LENGTH.pack(len(content)) + content


def _unpacked(content: bytes) -> Frame:
    return cast("Frame", json.loads(content))


async def receive(stream: asyncio.StreamReader) -> Frame:
    """The next message. Raises asyncio.IncompleteReadError at the end of the stream."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    return _unpacked(await stream.readexactly(length))


def read(descriptor: int) -> Frame | None:
    """The next message of a pipe, None at its end; unbuffered, so that a thread may wait in it to the end."""
    head = _exactly(descriptor, _LENGTH.size)
    content = _exactly(descriptor, _LENGTH.unpack(head)[0]) if head else None
    return _unpacked(content) if content is not None else None


def _exactly(descriptor: int, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size > 0:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@dataclass(eq=False, slots=True)
class Piped:
    """A process that is spoken to by frames over its stdin and stdout."""

    process: asyncio.subprocess.Process

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.returncode is None

    async def send(self, frame: Frame) -> None:
        """Write one frame. Raises OSError when the process is gone."""
        stdin = self.process.stdin
        assert stdin is not None
        stdin.write(packed(frame))
        await stdin.drain()

    async def receive(self) -> Frame:
        """The next frame. Raises asyncio.IncompleteReadError at the end."""
        stdout = self.process.stdout
        assert stdout is not None
        return await receive(stdout)
