"""A load generator that counts every request that fails, and says why.

It runs as its own process (``python tests/hosts/load.py …``), so that neither the test's work nor its interpreter lock
slows it down. Three kinds of clients keep asking at once: some keep their connection, some open one for each request,
and some ask for an answer that takes two seconds, so that requests are in flight at any moment. It ends when its
standard input closes, or after ``--seconds``, lets what is in flight end, and prints one JSON report.

It speaks HTTP by itself: a client library might repeat a request that failed, and would hide what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

ADDRESS = "127.0.0.1"
TIMEOUT = 15.0
RECORDED_FAILURES = 40
PAUSE = 0.02 if os.environ.get("QUAYSIDE_FULL") == "1" else 0.2
"""Seconds between two requests of one client. What CI runs beside other tests leaves them some of the machine."""


@dataclass(slots=True)
class Report:
    """What came of the load."""

    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    """Seconds of the slowest request that was not told to wait."""
    versions: dict[str, int] = field(default_factory=dict[str, int])
    """Version → answers it gave."""
    reasons: list[str] = field(default_factory=list[str])
    """The first failures: seconds since the start, kind of client, and what happened."""

    def __str__(self) -> str:
        lines = [f"{self.requests} requests in {self.seconds:.0f} s, {self.failed} failed, versions {self.versions}"]
        return "\n".join([*lines, *(f"  {reason}" for reason in self.reasons)])


class _BadAnswerError(Exception):
    """An answer arrived that is not 200."""


@dataclass(slots=True)
class _Load:
    address: str
    port: int
    host: str
    pause: float
    tls: ssl.SSLContext | None = None
    started: float = field(default_factory=time.monotonic)
    report: Report = field(default_factory=Report)
    versions: Counter[str] = field(default_factory=Counter[str])
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def client(self, kind: str, path: str) -> None:
        """Ask for ``path`` over and over."""
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.stop.is_set():
            began = time.monotonic()
            self.report.requests += 1
            try:
                async with asyncio.timeout(TIMEOUT):
                    if connection is None:
                        connection = await asyncio.open_connection(self.address, self.port, ssl=self.tls)
                    keep = await self._exchange(*connection, path, keep=kind == "keep-alive")
            except (OSError, EOFError, ValueError, TimeoutError, _BadAnswerError) as error:
                self._failed(kind, error, time.monotonic() - began)
                keep = False
                await asyncio.sleep(0.05)
            if kind != "waiting":
                self.report.slowest = max(self.report.slowest, time.monotonic() - began)
            if not keep and connection is not None:
                connection[1].close()
                connection = None
            if self.pause:
                await asyncio.sleep(self.pause)
        if connection is not None:
            connection[1].close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, *, keep: bool
    ) -> bool:
        wanted = "keep-alive" if keep else "close"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nConnection: {wanted}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = head.split(" ", 2)[1]
        length = head.partition("content-length:")[2].partition("\r\n")[0]
        body = await reader.readexactly(int(length))
        if status != "200":
            raise _BadAnswerError(f"HTTP {status}: {body[:200].decode(errors='replace')}")
        self.versions[str(json.loads(body).get("version"))] += 1
        return keep and "connection: close" not in head

    def _failed(self, kind: str, error: BaseException, after: float) -> None:
        self.report.failed += 1
        if len(self.report.reasons) < RECORDED_FAILURES:
            at = time.monotonic() - self.started
            self.report.reasons.append(f"{at:.1f} s, {kind}, after {after:.2f} s: {type(error).__name__}: {error}")


async def _main(options: argparse.Namespace) -> Report:
    load = _Load(
        options.address, options.port, options.host, options.pause, _any_certificate() if options.tls else None
    )
    clients = [
        *(load.client("keep-alive", options.path) for _ in range(options.keep_alive)),
        *(load.client("close", options.path) for _ in range(options.close)),
        *(load.client("waiting", f"{options.path}?wait=2") for _ in range(options.waiting)),
    ]
    tasks = [asyncio.create_task(client) for client in clients]
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.to_thread(sys.stdin.buffer.read), options.seconds)
    load.stop.set()
    await asyncio.gather(*tasks)
    load.report.seconds = time.monotonic() - load.started
    load.report.versions = dict(load.versions)
    return load.report


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Running:
    """The generator as a process of its own: ``with Running(port, host) as load: …``, then ``load.report``."""

    def __init__(
        self,
        port: int,
        host: str,
        *,
        keep_alive: int = 32,
        close: int = 28,
        waiting: int = 4,
        pause: float = PAUSE,
        address: str = ADDRESS,
        path: str = "/",
        tls: bool = False,
    ) -> None:
        self.report = Report()
        self._command = [
            sys.executable,
            str(Path(__file__)),
            *("--address", address, "--path", path),
            *("--port", str(port), "--host", host, "--pause", str(pause)),
            *("--keep-alive", str(keep_alive), "--close", str(close), "--waiting", str(waiting)),
            *(("--tls",) if tls else ()),
        ]

    def __enter__(self) -> Running:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            output, _ = self._process.communicate(timeout=TIMEOUT + 15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self.report = Report(**json.loads(output))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default=ADDRESS)
    parser.add_argument("--path", default="/")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", required=True, help="the Host header; connections only ever go to --address")
    parser.add_argument("--keep-alive", type=int, default=32)
    parser.add_argument("--close", type=int, default=28)
    parser.add_argument("--waiting", type=int, default=4)
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds between two requests of one client")
    parser.add_argument("--tls", action="store_true", help="whatever certificate is shown")
    parser.add_argument("--seconds", type=float, default=1800.0)
    report = asyncio.run(_main(parser.parse_args()))
    json.dump(asdict(report), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # a thread may still wait for standard input


if __name__ == "__main__":
    main()
