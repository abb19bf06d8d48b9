"""The shop's front page: which version answers, from which replica. With `FAIL=1` it never gets well."""

from __future__ import annotations

import asyncio
import os
import socket

from serving import Query, serve

VERSION = os.environ.get("VERSION", "0")
INSTANCE = socket.gethostname()
FAILS = os.environ.get("FAIL") == "1"
LONGEST_WAIT = 60.0


async def handle(path: str, query: Query) -> tuple[int, dict[str, object]]:
    if path == "/healthz":
        return (503, {"healthy": False, "reason": "FAIL is 1"}) if FAILS else (200, {"healthy": True})
    if path != "/":
        return 404, {"error": f"nothing at {path}"}
    try:
        wait = float(query.get("wait", "0"))
    except ValueError:
        return 400, {"error": "wait is a number of seconds"}
    if wait > 0:
        await asyncio.sleep(min(wait, LONGEST_WAIT))
    return 200, {"service": "web", "version": VERSION, "instance": INSTANCE}


if __name__ == "__main__":
    serve(handle, int(os.environ.get("PORT", "8000")), websocket="/ws")
