"""The shop's worker: takes orders from Redis. It has no port; its health is how fresh `/tmp/alive` is."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from redis_client import Redis, RedisError

ALIVE = Path(os.environ.get("ALIVE", "/tmp/alive"))  # noqa: S108  # /tmp is the container's own


async def work(redis: Redis) -> None:
    """Handle orders for ever. When Redis is away, say so and try again."""
    while True:
        ALIVE.touch()
        try:
            order = await redis("BLPOP", "shop:orders", "5", timeout=15)
            if isinstance(order, list):
                print(f"order {await redis('INCR', 'shop:handled')} from {order[1]}", flush=True)  # noqa: T201
            await redis("SET", "shop:worker", str(int(time.time())))
        except RedisError as error:
            print(f"Redis does not answer, trying again: {error}", flush=True)  # noqa: T201
            await asyncio.sleep(1)


async def main() -> None:
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, os._exit, 0)
    print("waiting for orders", flush=True)  # noqa: T201
    await work(Redis(os.environ.get("REDIS", "session:6379")))


if __name__ == "__main__":
    asyncio.run(main())
