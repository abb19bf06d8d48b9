"""The shop's cart: `/cart` puts one more thing into it, `/cart/checkout` hands an order to the worker."""

from __future__ import annotations

import os
import socket

from redis_client import Redis, RedisError
from serving import Query, serve

INSTANCE = socket.gethostname()
redis = Redis(os.environ.get("REDIS", "session:6379"))


async def handle(path: str, query: Query) -> tuple[int, dict[str, object]]:
    if path == "/healthz":
        # Not a question to Redis: were it away, taking every cart out of the edge would help nobody, and the first
        # deployment asks for this before anything can be reached.
        return 200, {"healthy": True}
    try:
        if path == "/cart":
            return 200, {"service": "cart", "items": await redis("INCR", "shop:items"), "instance": INSTANCE}
        if path == "/cart/checkout":
            await redis("RPUSH", "shop:orders", INSTANCE)
            return 200, {"service": "cart", "handled": int(str(await redis("GET", "shop:handled") or 0))}
    except RedisError as error:
        return 503, {"error": f"Redis does not answer: {error}"}
    return 404, {"error": f"nothing at {path}"}


if __name__ == "__main__":
    serve(handle, int(os.environ.get("PORT", "8000")))
