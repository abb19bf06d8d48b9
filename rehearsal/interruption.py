"""Ctrl-C in two steps: first the steps in flight end and none begins; a second one ends them, too."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any

_INTERRUPTED = "interrupted"


@contextlib.contextmanager
def interruptible(failures: list[str], stop_at_once: Callable[[], None]) -> Generator[None]:
    """Within the block, a signal counts as a failure: nothing further starts, nothing old is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: Any) -> None:
        if _INTERRUPTED in failures:
            stop_at_once()
            raise KeyboardInterrupt
        failures.append(_INTERRUPTED)

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
