"""The same stack by the Pulumi CLI, on a file backend in .quayside, told in the same lines."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from quayside.shell import RESTART, CommandError, found, run
from rehearsal.events import Applied, Event
from rehearsal.secrets import is_passphrase_given, keep_salt, kept_salt, put_sealed

Progress = Callable[[Event], None]

STEPS: Mapping[str, str] = {
    "create": "create",
    "create-replacement": "replace",
    "update": "update",
    "delete": "delete",
    "delete-replaced": "delete",
    "same": "same",
    "import": "create",
}
COMMAND = "command:local:Command"
VOLUME = "docker:index/volume:Volume"
SILENCE = 2 * 3600.0
"""Seconds without an event after which the engine is given up: a drain may take an hour, and tells nothing."""
STILL = 60.0
"""Seconds of silence after which a person is told what is waited for, and again after as many."""
_CANCEL = 120.0
_FOLLOW = 10.0
ANSI = re.compile(r"\x1b\[[0-9;]*m|<\{%[a-z]+%\}>")


def available() -> bool:
    """Whether the CLI is on PATH."""
    return found("pulumi")


def environment(root: Path) -> dict[str, str]:
    """The CLI's environment: its state in .quayside unless the user has chosen a backend, and no questions asked."""
    env = {
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DEBUG_COMMANDS": "true",  # `--event-log` is one of them
        "NO_COLOR": "1",
    }
    if not os.environ.get("PULUMI_BACKEND_URL"):
        env["PULUMI_BACKEND_URL"] = f"file://{root / '.quayside' / 'pulumi'}"
    if "PULUMI_CONFIG_PASSPHRASE" not in os.environ and not os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        env["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(root / ".quayside" / "passphrase")
    return env


def applied(root: Path, stack: str, *, data: bool = True) -> bool:
    """Whether the file backend has resources of the stack; with `data=False`, others than the volumes `down` keeps."""
    for file in (root / ".quayside" / "pulumi" / ".pulumi" / "stacks").rglob(f"{stack}.json"):
        try:
            checkpoint: dict[str, Any] = json.loads(file.read_text())["checkpoint"]
        except (OSError, ValueError, KeyError):
            return True  # unreadable is no proof of empty
        latest: dict[str, Any] = checkpoint.get("latest") or {}
        resources: list[dict[str, Any]] = latest.get("resources") or []
        if any(data or _runs(resource) for resource in resources):
            return True
    return False


def _runs(resource: Mapping[str, Any]) -> bool:
    """Whether it is more than a kept volume, or what such a volume's own entry needs: components and providers."""
    if not resource.get("custom") or str(resource["type"]).startswith("pulumi:"):
        return False
    return not (resource["type"] == VOLUME and resource.get("protect"))


def up(root: Path, stack: str, progress: Progress) -> Applied:
    """`pulumi up` with no question asked."""
    config = prepare(root, stack)
    arguments = ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", stack, "--config-file", str(config)]
    done = _stream(root, arguments, progress)
    return Applied(done.changes, outputs(root, stack), done.seconds)


def outputs(root: Path, stack: str) -> Mapping[str, Any]:
    """What the stack exports; empty where it was never deployed."""
    listed = run(["pulumi", "stack", "output", "--json", "--stack", stack], env=environment(root), cwd=root, timeout=60)
    return json.loads(listed.stdout) if listed.returncode == 0 and listed.stdout.strip() else {}


def destroy(root: Path, stack: str, *, volumes: bool, progress: Progress) -> Applied:
    """`pulumi destroy`; the volumes of stateful services are protected and stay unless they are meant."""
    config = prepare(root, stack)
    arguments = [
        "destroy",
        "--yes",
        "--skip-preview",
        "--non-interactive",
        "--stack",
        stack,
        "--config-file",
        str(config),
    ]
    if volumes:
        run(
            ["pulumi", "state", "unprotect", "--all", "--yes", "--stack", stack],
            env=environment(root),
            cwd=root,
            timeout=60,
        )
    else:
        arguments.append("--exclude-protected")
    return _stream(root, arguments, progress)


def prepare(root: Path, stack: str) -> Path:
    """Backend, stack and lock in order. Returns the stack file to run with.

    The CLI writes the salt of its passphrase provider into the stack file. `Pulumi.local.yaml` belongs to the user and
    to git, so the salt is kept in .quayside and the CLI is given a copy of the file that has it.
    """
    state = root / ".quayside"
    (state / "pulumi").mkdir(mode=0o700, parents=True, exist_ok=True)
    source = root / f"Pulumi.{stack}.yaml"
    before = source.read_bytes()
    try:
        select = ["pulumi", "stack", "select", "--create", stack, "--non-interactive"]
        done = run(select, env=environment(root), cwd=root, timeout=120)
        after = source.read_bytes()
    finally:
        if source.read_bytes() != before:
            source.write_bytes(before)
    if done.returncode:
        raise CommandError(f"`pulumi stack select {stack}` failed: {_clean(done.stderr)}")
    salt = _salt(before)
    if salt is None:
        # The first one stays: with it, secrets may have been encrypted before there was a pulumi.
        salt = kept_salt(root, stack) or _salt(after)
        if salt is not None:
            keep_salt(root, stack, salt)
    copy = state / f"Pulumi.{stack}.yaml"
    text = before.decode()
    if salt is not None and _salt(before) is None:
        text = f"{text.rstrip()}\nencryptionsalt: {salt}\n"
    copy.write_text(text)
    copy.chmod(0o600)
    release_stale_lock(root, stack)
    return copy


def release_stale_lock(root: Path, stack: str) -> None:
    """A `pulumi` that was killed leaves its lock: cancel it when its process is gone."""
    for file in (root / ".quayside" / "pulumi" / ".pulumi" / "locks").rglob("*.json"):
        if file.parent.name != stack:
            continue
        try:
            lock = json.loads(file.read_text())
            pid = int(lock["pid"])
        except (OSError, ValueError, KeyError):
            continue
        if lock.get("hostname") not in (None, socket.gethostname()) or Path(f"/proc/{pid}").exists():
            raise CommandError(
                f"another `pulumi` (process {pid} on {lock.get('hostname', 'this machine')}) works on stack {stack}\n"
                f"    wait for it, or run `pulumi cancel --stack {stack}` when it is gone"
            )
        run(["pulumi", "cancel", "--yes", "--stack", stack], env=environment(root), cwd=root, timeout=60)
        return


def set_secret(root: Path, stack: str, key: str, value: str) -> None:
    """`pulumi config set --secret`, with the value on stdin so that no process list shows it.

    It is set in the copy that `prepare` makes, where the salt is, and only the encrypted value goes into the stack
    file. A passphrase that others have, too, needs the salt there as well, or they could not read what they pull.
    """
    copy = prepare(root, stack)
    command = ["pulumi", "config", "set", "--secret", "--path", f"quayside:secrets.{key}"]
    command += ["--stack", stack, "--config-file", str(copy), "--non-interactive"]
    done = run(command, stdin=value, env=environment(root), cwd=root, timeout=60)
    if done.returncode:
        raise CommandError(f"`pulumi config set` failed: {_clean(done.stderr)}")
    written: dict[str, Any] = yaml.safe_load(copy.read_bytes())
    sealed = str(written["config"]["quayside:secrets"][key]["secure"])
    salt = str(written.get("encryptionsalt") or "") if is_passphrase_given() else ""
    put_sealed(root / f"Pulumi.{stack}.yaml", f"quayside:secrets.{key}", sealed, salt or None)


def set_secret_of_cloud(root: Path, stack: str, key: str, value: str) -> None:
    """The same for a stack whose state is its team's: in the backend the user is logged in to, with its own key."""
    command = ["pulumi", "config", "set", "--secret", "--path", f"quayside:secrets.{key}", "--stack", stack]
    done = run([*command, "--non-interactive"], stdin=value, cwd=root, timeout=60)
    if done.returncode:
        raise CommandError(f"`{' '.join(command)}` failed: {_clean(done.stderr)}")


def _stream(root: Path, arguments: list[str], progress: Progress) -> Applied:
    """Run the CLI, follow its event log, and tell each finished step."""
    began = time.monotonic()
    teller = Teller(progress)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "events"
        log.touch(mode=0o600)
        ended = threading.Event()
        follower = threading.Thread(target=lambda: [teller(event) for event in _follow(log, ended)])
        follower.start()
        process = subprocess.Popen(
            ["pulumi", *arguments, "--event-log", str(log)],
            cwd=root,
            env={**os.environ, **environment(root)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        try:
            errors = _until_it_ends(process, teller)
        except KeyboardInterrupt:
            process.wait()  # it got the signal too, and ends the step it is in
            raise
        finally:
            ended.set()
            follower.join(_FOLLOW)
    if process.returncode:
        raise CommandError("\n".join(teller.errors) or _clean(errors) or f"pulumi ended with code {process.returncode}")
    return Applied(teller.changes, {}, time.monotonic() - began)


def _until_it_ends(process: subprocess.Popen[str], teller: Teller) -> str:
    """What it wrote on stderr. Says what is waited for while nothing happens, and gives up when nothing will."""
    told = 0
    while True:
        try:
            return process.communicate(timeout=1)[1]
        except subprocess.TimeoutExpired:
            pass
        silent = time.monotonic() - teller.last
        if silent > SILENCE:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=_CANCEL)
            except subprocess.TimeoutExpired:
                process.kill()
            raise CommandError(
                f"pulumi has told nothing for {SILENCE / 60:.0f} minutes, and was given up; it waited for "
                f"{teller.waits_for()}\n    if that is a container or a network, Docker may hang: {RESTART}"
            )
        if silent < STILL:
            told = 0
        elif silent // STILL > told:
            told = int(silent // STILL)
            teller.progress(Event("note", "", "", f"still waits for {teller.waits_for()} ({silent:.0f} s)"))


def _follow(log: Path, ended: threading.Event) -> Iterator[dict[str, Any]]:
    """Every line of a growing file of JSON lines, until the writer has ended."""
    with log.open(encoding="utf-8", errors="replace") as file:
        rest = ""
        while True:
            last = ended.is_set()
            rest += file.read()
            *lines, rest = rest.split("\n")
            for line in lines:
                if line.strip():
                    yield json.loads(line)
            if last:
                return
            ended.wait(0.1)


class Teller:
    """Turns the engine's events into the events that the rehearsal tells."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.changes: Counter[str] = Counter()
        self.errors: list[str] = []
        self._began: dict[tuple[str, str], float] = {}
        self.last = time.monotonic()
        """When the engine told something."""
        self._said: dict[str, list[str]] = {}
        """By URN, what a Command wrote on stderr."""

    def waits_for(self) -> str:
        """What the engine has begun and not ended."""
        types = ((urn, urn.split("::")[2].rpartition("$")[2]) for urn, _ in list(self._began))
        names = [_name(urn) for urn, type_ in types if not type_.startswith(("pulumi:", "quayside:"))]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "its plan"

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.last = time.monotonic()
        if found := event.get("resourcePreEvent"):
            metadata = found["metadata"]
            self._began[metadata["urn"], metadata["op"]] = time.monotonic()
        elif found := event.get("resOutputsEvent"):
            self._step(found["metadata"])
            self._began.pop((found["metadata"]["urn"], found["metadata"]["op"]), None)
        elif found := event.get("resOpFailedEvent"):
            metadata = found["metadata"]
            self.progress(Event("failed", metadata["type"], _name(metadata["urn"]), "", self._seconds(metadata)))
        elif found := event.get("diagnosticEvent"):
            self._diagnostic(found)

    def _step(self, metadata: Mapping[str, Any]) -> None:
        kind = STEPS.get(metadata["op"])
        type_, name = str(metadata["type"]), _name(metadata["urn"])
        # Components, providers and the stack itself do nothing that a person waits for.
        if kind is None or type_.startswith(("pulumi:", "quayside:")):
            return
        if type_ == COMMAND and kind in ("create", "update", "replace"):
            kind = "run"
        self.changes[kind] += 1
        detail = "old" if metadata["op"] == "delete-replaced" else ""
        self.progress(Event(kind, type_, name, detail, self._seconds(metadata)))  # pyright: ignore[reportArgumentType]

    def _diagnostic(self, found: Mapping[str, Any]) -> None:
        message = ANSI.sub("", str(found.get("message", ""))).strip()
        if not message or found.get("ephemeral"):
            return
        urn = str(found.get("urn", ""))
        if found.get("severity") == "error":
            # The provider's own error repeats the whole script; what the script said is the message.
            message = "\n".join(self._said.get(urn, [message]))
            if message not in self.errors and message != "update failed":
                self.errors.append(message)
        elif COMMAND in urn:
            self._said.setdefault(urn, []).append(message)
            self.progress(Event("note", COMMAND, _name(urn), message))

    def _seconds(self, metadata: Mapping[str, Any]) -> float:
        began = self._began.get((metadata["urn"], metadata["op"]))
        return 0.0 if began is None else time.monotonic() - began


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def _salt(stack_file: bytes) -> str | None:
    try:
        loaded: dict[str, Any] = yaml.safe_load(stack_file) or {}
        salt = loaded.get("encryptionsalt")
    except (yaml.YAMLError, AttributeError):
        return None
    return str(salt) if salt else None


def _clean(text: str) -> str:
    return ANSI.sub("", text).strip().removeprefix("error: ") or "it said nothing"
