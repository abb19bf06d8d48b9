"""What an apply tells while it runs, so that a person sees each step as it happens."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["create", "update", "replace", "same", "delete", "run", "failed", "note"]


@dataclass(frozen=True, slots=True)
class Event:
    """One finished step (``create`` … ``failed``), or a ``note`` that a running step makes."""

    kind: Kind
    type: str
    name: str
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Applied:
    """What a finished run did: number of resources by kind of step, the stack's outputs, and its duration."""

    changes: Counter[str]
    outputs: Mapping[str, Any]
    seconds: float


Progress = Callable[[Event], None]


class Reporter:
    """Counts events and hands them on one at a time: the steps themselves run in parallel."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self.changes: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if event.kind not in ("note", "failed"):
                self.changes[event.kind] += 1
            self._progress(event)

    def note(self, type_: str, name: str, detail: str) -> None:
        self(Event("note", type_, name, detail))


def short_type(token: str) -> str:
    """`docker:index/container:Container` is `Container` to a reader."""
    return token.rsplit(":", 1)[-1]
