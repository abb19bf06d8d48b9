"""The state file of an applied stack: ``.quayside/<stack>.json``, one writer at a time, never half a file.

Every step is on disk before the next depends on it. The copy before the last write stays beside it (``.bak``): what a
torn disk leaves can be read back, and whatever it misses is found again by the labels on the engine.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from rehearsal.errors import ApplyError, RehearsalError
from rehearsal.secrets import Crypter
from rehearsal.values import (
    SECRET_SIGNATURE,
    SIGNATURE,
    Properties,
    Sealed,
    Secret,
    Unknown,
    mapping,
    revealed,
    sequence,
)

_VERSION: Final = 1


@dataclass(slots=True)
class Entry:
    """One resource that exists."""

    urn: str
    type: str
    name: str
    id: str
    inputs: Properties = field(repr=False)
    outputs: Properties = field(repr=False)
    needs: list[str] = field(default_factory=list[str])
    protect: bool = False
    retain: bool = False
    host: str = ""
    """The Docker engine it is on; empty for the default one."""
    provider: str = ""
    """URN of the explicit provider it was made with; empty for the default one."""
    deleted_with: str = ""
    """URN of what it goes with: deleted in the same run, no call is made for this one."""


@dataclass(slots=True)
class Intent:
    """A container about to be created: written before the engine is asked, so that a crash leaves no riddle."""

    name: str
    type: str
    digest: str
    host: str = ""


@dataclass(slots=True)
class StateFile:
    """Everything an apply knows about a stack. `live` is by URN; `pending` waits for its deletion."""

    project: str
    stack: str
    path: Path
    live: dict[str, Entry] = field(default_factory=dict[str, Entry])
    pending: list[Entry] = field(default_factory=list[Entry])
    intents: dict[str, Intent] = field(default_factory=dict[str, Intent])
    engines: dict[str, Properties] = field(default_factory=dict[str, Properties])
    """Address → how an explicit provider reaches it: what was made there can be deleted without the program's help."""
    outputs: Properties = field(default_factory=dict[str, Any])
    salt: str | None = None
    recovered: bool = False
    """True where the file itself was unreadable and the copy before it was taken."""
    crypter: Crypter | None = field(default=None, repr=False)
    _sealed: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @contextlib.contextmanager
    def change(self) -> Generator[None]:
        """Change the state and have it on disk when the block ends."""
        with self._lock:
            yield
            self._write()

    @property
    def empty(self) -> bool:
        return not self.live and not self.pending

    def remove(self) -> None:
        """The stack is gone: so is its state."""
        for path in (self.path, _backup(self.path), _temporary(self.path)):
            path.unlink(missing_ok=True)

    def _write(self) -> None:
        document = {
            "version": _VERSION,
            "project": self.project,
            "stack": self.stack,
            "encryptionsalt": self.salt,
            "resources": [self._entry(entry) for entry in self.live.values()],
            "pending": [self._entry(entry) for entry in self.pending],
            "intents": {urn: asdict(intent) for urn, intent in self.intents.items()},
            "engines": self._close(self.engines),
            "outputs": self._close(self.outputs),
        }
        data = json.dumps(document, indent=1, ensure_ascii=False).encode()
        temporary = _temporary(self.path)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if self.path.exists() and not self.recovered:
            spare = self.path.with_suffix(".bak.new")
            spare.unlink(missing_ok=True)
            os.link(self.path, spare)
            spare.replace(_backup(self.path))
        temporary.replace(self.path)
        self.recovered = False
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _entry(self, entry: Entry) -> dict[str, Any]:
        plain = {f.name: getattr(entry, f.name) for f in fields(entry)}
        return {**plain, "inputs": self._close(entry.inputs), "outputs": self._close(entry.outputs)}

    def _close(self, value: Any) -> Any:
        """`value` with every secret in it sealed."""
        if isinstance(value, Secret):
            return {SIGNATURE: SECRET_SIGNATURE, "ciphertext": self._seal(json.dumps(revealed(value.value)))}
        if isinstance(value, Unknown):
            return None
        if isinstance(value, Sealed):
            return {SIGNATURE: SECRET_SIGNATURE, "ciphertext": value.ciphertext}
        if (items := sequence(value)) is not None:
            return [self._close(item) for item in items]
        if (members := mapping(value)) is not None:
            return {key: self._close(item) for key, item in members.items()}
        return value

    def _seal(self, plain: str) -> str:
        if self.crypter is None:
            raise ApplyError("the state would hold secrets, and there is no passphrase to encrypt them with")
        if plain not in self._sealed:
            self._sealed[plain] = self.crypter.seal(plain)
        return self._sealed[plain]

    def open_value(self, value: Any) -> Any:
        """A stored value with its secrets opened where the key is at hand, else sealed as they are."""
        if (members := mapping(value)) is not None:
            if members.get(SIGNATURE) == SECRET_SIGNATURE:
                sealed = str(members.get("ciphertext"))
                if self.crypter is None:
                    return Sealed(sealed)
                plain = self.crypter.open(sealed)
                self._sealed[plain] = sealed
                return Secret(json.loads(plain))
            return {key: self.open_value(item) for key, item in members.items()}
        if (items := sequence(value)) is not None:
            return [self.open_value(item) for item in items]
        return value


def state_path(root: Path, stack: str) -> Path:
    return root / ".quayside" / f"{stack}.json"


def load_state(root: Path, project: str, stack: str, passphrase: str | None) -> StateFile | None:
    """The stack's state; None where it was never applied. Raises ApplyError for a file that cannot be read."""
    path = state_path(root, stack)
    document, recovered = _read(path)
    if document is None:
        return None
    if document.get("project") != project or document.get("stack") != stack:
        raise ApplyError(f"{path}: belongs to {document.get('project')}/{document.get('stack')}, not {project}/{stack}")
    state = StateFile(project, stack, path, salt=document.get("encryptionsalt"), recovered=recovered)
    if state.salt and passphrase is not None and SECRET_SIGNATURE in json.dumps(document):
        try:
            state.crypter = Crypter(passphrase, state.salt)
        except RehearsalError as error:
            raise ApplyError(f"{path}: {error}") from error
    for stored in document["resources"]:
        entry = _entry(state, stored)
        state.live[entry.urn] = entry
    state.pending = [_entry(state, stored) for stored in document["pending"]]
    state.intents = {urn: Intent(**intent) for urn, intent in document["intents"].items()}
    state.engines = state.open_value(document.get("engines", {}))
    state.outputs = state.open_value(document["outputs"])
    return state


def _entry(state: StateFile, stored: Mapping[str, Any]) -> Entry:
    opened = {"inputs": state.open_value(stored["inputs"]), "outputs": state.open_value(stored["outputs"])}
    return Entry(**{**stored, **opened})


def _read(path: Path) -> tuple[dict[str, Any] | None, bool]:
    copies = [p for p in (path, _backup(path)) if p.exists()]
    for copy in copies:
        try:
            document: Any = json.loads(copy.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(document, dict) and {"resources", "pending", "intents", "outputs"} <= document.keys():
            return mapping(document), copy != path
    if copies:
        raise ApplyError(
            f"{path}: is damaged, and so is the copy before it\n"
            f"    the containers are not touched; move {path} and {_backup(path).name} away, and keep them"
            " (they have keys and passwords that were made here); then run again:"
            " what the stack left on the engine is found by its labels"
        )
    return None, False


def _backup(path: Path) -> Path:
    return path.with_suffix(".json.bak")


def _temporary(path: Path) -> Path:
    return path.with_suffix(".json.new")


@contextlib.contextmanager
def locked(root: Path, stack: str) -> Generator[None]:
    """Hold the stack for one run; the lock goes with the process, so that a killed one leaves none behind."""
    folder = root / ".quayside"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{stack}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ApplyError(
                f"another run (pid {holder}) is working on stack {stack}: wait until it has ended"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()} since {time.strftime('%H:%M:%S')}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
