"""A very small HTTP/1.1 server on asyncio, for the shop's two services: keep-alive, JSON answers and a WebSocket echo.

It leaves the instant it is asked to stop, with whatever is in flight. A release must not depend on an application being
polite: draining is the edge's work, and this shop proves it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit

Query = dict[str, str]
Handler = Callable[[str, Query], Awaitable[tuple[int, dict[str, object]]]]
"""Path and query → status and what to answer as JSON."""

REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}
LARGEST_BODY = 1 << 20
LARGEST_FRAME = 1 << 16
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


def serve(handler: Handler, port: int, *, websocket: str | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; port 0 is any free one. Frames are echoed on the path ``websocket``."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, os._exit, 0)

        async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await exchange(reader, writer, handler, websocket):
                    pass
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass  # the other side went, or does not speak HTTP
            finally:
                writer.close()

        server = await asyncio.start_server(connection, "0.0.0.0", port, backlog=512)  # noqa: S104
        print(f"listening on port {server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
        async with server:
            await server.serve_forever()

    asyncio.run(main())


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler, websocket: str | None
) -> bool:
    """One request and its answer; whether the connection may carry another."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return False
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, _, rest = first.partition(" ")
    target, _, version = rest.partition(" ")
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > LARGEST_BODY or "transfer-encoding" in headers:
        answer(writer, 400, {"error": "send a body of at most 1 MiB with its length, or none"}, keep=False)
        return False
    await reader.readexactly(int(length))
    parts = urlsplit(target)
    if websocket == parts.path and headers.get("upgrade", "").lower() == "websocket":
        await echo(reader, writer, headers.get("sec-websocket-key", ""))
        return False
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    status, body = await handler(parts.path, dict(parse_qsl(parts.query)))
    answer(writer, status, body, keep=keep, head=method == "HEAD")
    await writer.drain()
    return keep


def answer(
    writer: asyncio.StreamWriter, status: int, body: dict[str, object], *, keep: bool, head: bool = False
) -> None:
    """Write one response, as a single packet where it fits."""
    data = json.dumps(body).encode() + b"\n"
    lines = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    close = "" if keep else "Connection: close\r\n"
    writer.write(f"{lines}{close}\r\n".encode() + (b"" if head else data))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
    """Answer a WebSocket handshake, then send every message back until the other side closes."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + MAGIC).digest()).decode()  # noqa: S324  # RFC 6455 says SHA-1
    lines = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(f"{lines}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    while True:
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await reader.readexactly(8), "big")
        if not second & 0x80 or size > LARGEST_FRAME:
            return
        mask = await reader.readexactly(4)
        data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(await reader.readexactly(size)))
        opcode = first & 0x0F
        reply = (first & 0xF0) | (0xA if opcode == 0x9 else opcode)  # a ping is answered by a pong
        if opcode != 0xA:
            length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
            writer.write(bytes([reply]) + length + data)
            await writer.drain()
        if opcode == 0x8:
            return
