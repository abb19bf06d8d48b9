"""A service of the tests' stacks: it looks at the world from inside a container and tells over HTTP what it sees.

``/`` says how its one Redis connection fares (with ``REDIS`` set), ``/headers`` what the edge sent it, ``/env?name=``
a variable, ``/fetch?url=&host=&after=`` what an HTTP request from here answers, ``/tcp?host=&port=`` whether Redis is
there, ``/asked`` what came of asking ``ASK`` (a URL and an address of Redis) over and over.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

REDIS = os.environ.get("REDIS", "")
ASK = os.environ.get("ASK", "")
asked: dict[str, object] = {"count": 0, "failed": []}
held: dict[str, object] = {"connects": 0, "pings": 0, "error": ""}


def hold() -> None:
    """Keep one connection to Redis and ask on it for ever; count how often it had to be opened anew."""
    host, _, port = REDIS.partition(":")
    while True:
        try:
            with socket.create_connection((host, int(port)), 5) as connection:
                held["connects"] = int(str(held["connects"])) + 1
                while True:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(64) != b"+PONG\r\n":
                        raise OSError("the connection was closed")
                    held["pings"] = int(str(held["pings"])) + 1
                    time.sleep(0.1)
        except OSError as error:
            held["error"] = str(error)
            time.sleep(0.5)


def keep_asking() -> None:
    """Ask as a service does that has work of its own, on a new connection each time."""
    url, address = ASK.split()
    host, _, port = address.partition(":")
    failed: list[str] = []
    while True:
        answers = (fetch(url, ""), tcp(host, int(port)))
        wrong = [a for a in answers if a.get("status") != 200 and a.get("answer") != "+PONG\r\n"]
        if wrong and not asked["count"]:
            continue  # on a first deployment nobody answers before the routing has come
        failed += [f"{time.time():.2f}: {answer}" for answer in wrong]
        asked.update(count=int(str(asked["count"])) + 1, failed=failed[:5])
        time.sleep(0.05)


def fetch(url: str, host: str) -> dict[str, object]:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return {"status": answer.status, "body": answer.read(500).decode()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read(500).decode()}
    except OSError as error:
        return {"status": 0, "error": str(error)}


def tcp(host: str, port: int) -> dict[str, object]:
    try:
        with socket.create_connection((host, port), 1) as connection:
            connection.settimeout(1)
            connection.sendall(b"PING\r\n")
            return {"answer": connection.recv(64).decode()}
    except OSError as error:
        return {"answer": "", "error": str(error)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        answers = {
            "/": lambda: dict(held),
            "/headers": lambda: {key.lower(): value for key, value in self.headers.items()},
            "/env": lambda: {"value": os.environ.get(query["name"])},
            "/fetch": lambda: time.sleep(float(query.get("after", 0))) or fetch(query["url"], query.get("host", "")),
            "/asked": lambda: asked,
            "/tcp": lambda: tcp(query["host"], int(query["port"])),
        }
        body = json.dumps(answers.get(parts.path, answers["/"])()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The edge asks twice a second."""


if __name__ == "__main__":
    if REDIS:
        threading.Thread(target=hold, daemon=True).start()
    if ASK:
        threading.Thread(target=keep_asking, daemon=True).start()
    ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
