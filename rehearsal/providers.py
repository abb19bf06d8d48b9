"""What the applier asks of a provider, whatever it provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rehearsal.state import Entry, Intent
from rehearsal.values import Properties


class StepError(Exception):
    """One step failed. The message is for the user."""


@dataclass(frozen=True, slots=True)
class Diff:
    """Which inputs changed, which of them force a replacement, and whether that deletes first by default."""

    changed: tuple[str, ...]
    replace: tuple[str, ...] = ()
    delete_first: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One create, update or delete. `inputs` are plain: secrets are marked again by the engine."""

    urn: str
    type: str
    name: str
    host: str
    inputs: Properties
    labels: Mapping[str, str]
    """What the applier itself writes on every Docker object, to know it again after a crash."""
    note: Callable[[str], None]
    """Tells the user something while the step runs."""
    intend: Callable[[Intent], None]
    """Writes down what is about to be created, before it is."""
    quiet: bool = False
    """True where an input is secret, and what the step prints may therefore not be shown."""


@dataclass(frozen=True, slots=True)
class Made:
    """A created or updated object."""

    id: str
    outputs: Mapping[str, Any]
    adopted: bool = False


class Provider(Protocol):
    """Carries out one type of resource."""

    def unsupported(self, inputs: Properties) -> list[str]:
        """Inputs that would have to be ignored: the plan is refused instead."""
        ...

    def diff(self, old: Properties, new: Properties) -> Diff: ...

    def create(self, step: Step) -> Made: ...

    def update(self, step: Step, old: Entry) -> Made: ...

    def delete(self, step: Step, old: Entry) -> None: ...

    def refresh(self, entry: Entry) -> Mapping[str, Any] | None:
        """Outputs that have become others behind our back, where that is cheap to know and matters."""
        ...


@runtime_checkable
class Expiring(Provider, Protocol):
    """Of resources that come to an end by themselves."""

    def expired(self, entry: Entry, inputs: Properties) -> str:
        """Why it has to be replaced now although nothing else changed; empty where it does not."""
        ...


def changed_keys(old: Properties, new: Properties, unordered: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Inputs that differ; those that the provider keeps as sets are compared without their order."""

    def same(key: str) -> bool:
        a, b = old.get(key), new.get(key)
        if key in unordered and isinstance(a, list) and isinstance(b, list):
            return sorted(map(repr, a)) == sorted(map(repr, b))  # pyright: ignore[reportUnknownArgumentType]
        return a == b

    return tuple(sorted(key for key in old.keys() | new.keys() if not same(key)))
