"""The shop: what its services answer, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

SHOP = Path(__file__).parents[2] / "examples" / "shop"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(program: str, **env: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-u", str(SHOP / program)],
        env={**os.environ, "PORT": "0", **env},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = re.fullmatch(r"listening on port (\d+)\n", process.stdout.readline())
        assert said
        yield int(said[1]), process
    finally:
        process.kill()
        process.wait()


def get(port: int, path: str) -> tuple[int, Mapping[str, object]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_page_tells_version_and_instance() -> None:
    with running("web.py", VERSION="7") as (port, _):
        status, body = get(port, "/")
        assert status == 200
        assert body["version"] == "7"
        assert body["instance"] == socket.gethostname()
        assert get(port, "/healthz")[0] == 200
        assert get(port, "/nothing")[0] == 404
        assert get(port, "/?wait=soon")[0] == 400


def test_fail_makes_it_unhealthy_and_nothing_else() -> None:
    with running("web.py", FAIL="1") as (port, _):
        assert get(port, "/healthz")[0] == 503
        assert get(port, "/")[0] == 200


def test_wait_waits_and_holds_nobody_else_up() -> None:
    with running("web.py") as (port, _), socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET /?wait=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        began = time.monotonic()
        assert get(port, "/")[0] == 200
        assert time.monotonic() - began < 0.8
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began >= 0.9


def test_a_connection_carries_many_requests_and_closes_when_asked() -> None:
    with running("web.py") as (port, _), socket.create_connection(("127.0.0.1", port)) as client:
        for _ in range(3):
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1000).endswith(b"true}\n")
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"Connection: close" in client.recv(1000)
        assert client.recv(1000) == b""


def test_it_leaves_the_instant_it_is_told_to() -> None:
    with running("web.py") as (port, process), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /?wait=30 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=2) == 0


def test_the_websocket_sends_back_what_it_gets() -> None:
    with running("web.py") as (port, _), socket.create_connection(("127.0.0.1", port)) as client:
        key = base64.b64encode(b"sixteen bytes ok").decode()
        client.sendall(
            f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 101")
        mask = b"\x01\x02\x03\x04"
        hello = bytes(byte ^ mask[i % 4] for i, byte in enumerate(b"hello"))
        client.sendall(b"\x81\x85" + mask + hello)
        assert client.recv(100) == b"\x81\x05hello"
        client.sendall(b"\x89\x80" + mask)
        assert client.recv(100) == b"\x8a\x00"
        client.sendall(b"\x88\x80" + mask)
        assert client.recv(100) == b"\x88\x00"
        assert client.recv(100) == b""


def test_the_cart_says_when_redis_is_away() -> None:
    with running("cart.py", REDIS=f"127.0.0.1:{free_port()}") as (port, _):
        assert get(port, "/healthz")[0] == 200
        status, body = get(port, "/cart")
        assert status == 503
        assert "Redis does not answer" in str(body["error"])


@pytest.fixture
def redis_client(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(SHOP))
    return importlib.import_module("redis_client")


def test_the_redis_client_connects_again(redis_client: object) -> None:
    """A Redis that ends the connection after each reply costs nobody an error."""

    async def scenario() -> list[object]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.read(1000)
            writer.write(b":41\r\n" if b"INCR" in request else b"*2\r\n$1\r\na\r\n$-1\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        redis = redis_client.Redis(f"127.0.0.1:{port}")  # type: ignore[attr-defined]
        replies = [await redis("INCR", "x")]
        await asyncio.sleep(0.05)
        replies.append(await redis("BLPOP", "x", "1"))
        server.close()
        return replies

    assert asyncio.run(scenario()) == [41, ["a", None]]
