"""The few words of Redis' protocol (RESP2) that the shop needs."""

from __future__ import annotations

import asyncio

Reply = str | int | None | list["Reply"]


class RedisError(Exception):
    """Redis answered with an error, or did not answer."""


class Redis:
    """One connection, opened when first needed and opened again after it broke."""

    def __init__(self, address: str, *, timeout: float = 5.0) -> None:
        self.host, _, port = address.partition(":")
        self.port = int(port or 6379)
        self.timeout = timeout
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def __call__(self, *words: str, timeout: float | None = None) -> Reply:
        """Send one command and wait for its reply."""
        async with self._turn:
            try:
                return await asyncio.wait_for(self._exchange(words), timeout or self.timeout)
            except (TimeoutError, OSError, EOFError) as error:
                self._close()
                raise RedisError(f"{self.host}:{self.port}: {error or type(error).__name__}") from error
            except BaseException:
                self._close()  # a half-read reply must not be taken for the next one's
                raise

    async def _exchange(self, words: tuple[str, ...]) -> Reply:
        if self._streams is not None and self._streams[0].at_eof():
            self._close()  # Redis was restarted meanwhile
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port)
        reader, writer = self._streams
        encoded = (word.encode() for word in words)
        writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
        await writer.drain()
        return await self._read(reader)

    async def _read(self, reader: asyncio.StreamReader) -> Reply:
        line = (await reader.readuntil(b"\r\n"))[:-2].decode()
        kind, rest = line[:1], line[1:]
        if kind == "+":
            return rest
        if kind == ":":
            return int(rest)
        if kind == "$":
            return None if rest == "-1" else (await reader.readexactly(int(rest) + 2))[:-2].decode()
        if kind == "*":
            return None if rest == "-1" else [await self._read(reader) for _ in range(int(rest))]
        raise RedisError(rest or "no Redis protocol")

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
