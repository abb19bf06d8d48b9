"""A server is deleted for its rebuild only once Hetzner says that it has another: against an API of our own."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPT = (Path(__file__).parents[2] / "components" / "hetzner" / "rebuild.sh").read_text()
TYPES: dict[str, Any] = {
    "cx33": [{"name": "fsn1", "available": False}, {"name": "nbg1", "available": True}],
    "cx43": [{"name": "fsn1", "available": True}],
}


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, _, name = self.path.partition("?name=")
        allowed = self.headers["Authorization"] == "Bearer secret" and path == "/v1/server_types"
        found = [{"name": name, "locations": TYPES[name]}] if name in TYPES else []
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"server_types": found}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


def rebuild(
    api: str, server_type: str, location: str = "fsn1", *, before: str = "0 down", **more: str
) -> tuple[int, str]:
    environment = {
        "QUAYSIDE_HOST": "host2",
        "QUAYSIDE_GENERATION": "1",
        "QUAYSIDE_DOWN": "0",
        "QUAYSIDE_STACK": "s",
        "QUAYSIDE_TYPE": server_type,
        "QUAYSIDE_LOCATION": location,
        "PULUMI_COMMAND_STDOUT": before,
        "HCLOUD_ENDPOINT": api,
        "HCLOUD_TOKEN": "secret",
        **more,
    }
    done = subprocess.run(
        ["sh", "-c", SCRIPT], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_type_that_is_there_is_rebuilt(api: str) -> None:
    assert rebuild(api, "cx43") == (0, "1\n")


def test_a_type_that_is_sold_out_deletes_nothing(api: str) -> None:
    code, said = rebuild(api, "cx33")
    assert code == 1
    assert said.startswith("host2 is to be rebuilt, and Hetzner has no cx33 in fsn1 now, so nothing was done")
    assert "(there are some in nbg1; a host stays where its address is)" in said
    # As the message says.
    assert rebuild(api, "cx33", QUAYSIDE_REBUILD_ANYWAY="1") == (0, "1\n")


@pytest.mark.parametrize(("server_type", "location"), [("cx43", "ash"), ("cx22", "fsn1")])
def test_a_type_that_is_not_sold_there_deletes_nothing(api: str, server_type: str, location: str) -> None:
    code, said = rebuild(api, server_type, location)
    assert code == 1
    assert f"Hetzner does not sell a {server_type} in {location}, so nothing was done" in said


def test_an_api_that_does_not_say_deletes_nothing_and_shows_no_token(api: str) -> None:
    code, said = rebuild(api, "cx43", HCLOUD_TOKEN="wrong-token")
    assert code == 1
    assert "Hetzner does not say whether it has a cx43 in fsn1, so nothing was done: HTTP Error 401" in said
    assert "wrong-token" not in said


def test_nobody_is_asked_without_a_token_or_where_nothing_is_rebuilt(api: str) -> None:
    assert rebuild(api, "cx33", HCLOUD_TOKEN="") == (0, "1\n")
    assert rebuild(api, "cx33", before="1") == (0, "1\n")
    assert rebuild(api, "cx33", before="") == (0, "1\n")
