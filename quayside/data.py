"""The data of a service with a volume: a copy of it in a file, and a file in its place."""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
import sys
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, BinaryIO

from planning.names import EDGE, LABEL_ROLE, LABEL_SERVICE, LABEL_STACK, ROLE_STATEFUL
from quayside.containers import DOCKER, Container, of_stack
from quayside.fleet import Fleet, side_by_side, tunnels
from quayside.shell import HANGS, RESTART, TIMED_OUT, CommandError, Watch, ask, end, last_line, run

_SCRIPTS = Path(__file__).parent
_CHUNK = 1024 * 1024
LOOK = 120.0
"""Seconds for a look into a volume."""
SILENCE = 600.0
"""Seconds that a copy may go without a byte or a mark of life."""
_COLUMNS = f'{{{{.Name}}}} {{{{.Label "{LABEL_SERVICE}"}}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Where the data of a service is, and how to get there."""

    service: str
    name: str
    image: str
    """One that is there and has a shell and tar: the edge's."""
    container: str
    """Id of the running container that has it; empty where none runs."""
    reach: Callable[[Sequence[str]], Sequence[str]]
    """What runs a command where the volume is."""
    host: str = ""
    """Empty on this machine."""

    @property
    def title(self) -> str:
        """What it is called in messages: `db on host2`."""
        return f"{self.service} on {self.host}" if self.host else self.service

    def script(self, name: str, *, hold: bool = True) -> Sequence[str]:
        text = (_SCRIPTS / f"{name}.sh").read_text()
        return self.reach(["sh", "-c", text, name, self.name, self.image, self.container if hold else ""])


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup has."""

    files: int
    size: int
    """Bytes on the disk, before they are compressed."""
    held: int
    """Seconds for which the service was held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Of a volume or an archive."""

    files: int
    newest: int
    """When the last of them was written, in seconds since 1970; 0 where there is none."""


# --- where it is -----------------------------------------------------------------------------------------------------


def on_this_machine(stack: str, service: str) -> Volume:
    containers, volumes = _asked(stack, DOCKER)
    if service not in volumes:
        raise CommandError(_no_volume(stack, service, volumes.keys(), {}))
    name, container = volumes[service]
    return Volume(
        service=service, name=name, image=_image(containers, ""), container=container, reach=lambda words: words
    )


def on_the_fleet(fleet: Fleet, service: str, on: str | None) -> Volume:
    """On the host where a container has it or, where none runs, the one host that it is on."""
    if on is not None:
        fleet.check_named(on, on)
    known: set[str] = set()
    found: dict[str, Volume] = {}
    with tunnels(fleet) as opened:
        reached, trouble = opened.reach([on] if on else None)
        asked = side_by_side(lambda one: _asked(fleet.stack, one.docker), reached)
        for one, (containers, volumes) in zip(reached, asked, strict=True):
            host = one.host
            known |= volumes.keys()
            if service in volumes:
                name, container = volumes[service]
                found[host.name] = Volume(
                    service=service,
                    name=name,
                    image=_image(containers, f" on {host.name}"),
                    container=container,
                    host=host.name,
                    reach=lambda words, host=host: fleet.ssh(host, words, terminal=False),
                )
    running = {name: volume for name, volume in found.items() if volume.container}
    if not found:
        raise CommandError(_no_volume(fleet.stack, service, known, trouble, f" on {on}" if on else ""))
    if len(running or found) > 1:
        hosts = ", ".join(running or found)
        raise CommandError(f"{service} has a volume on several hosts: {hosts}\n    say which one is meant, by --on")
    return next(iter((running or found).values()))


def _asked(stack: str, docker: Sequence[str]) -> tuple[list[Container], dict[str, tuple[str, str]]]:
    """The stack's containers on an engine, and its volumes: service → name of the volume, and who has it and runs."""
    labels = (f"{LABEL_STACK}={stack}", f"{LABEL_ROLE}={ROLE_STATEFUL}")
    only = [word for label in labels for word in ("--filter", f"label={label}")]
    listed = ask([*docker, "volume", "ls", *only, "--format", _COLUMNS], timeout=30)
    if listed.returncode:
        raise CommandError(f"Docker does not list volumes: {last_line(listed.stderr)}")
    containers = of_stack(stack, docker)
    users = {each.service: each.id for each in containers if each.role == ROLE_STATEFUL and each.running}
    rows = (line.partition(" ") for line in listed.stdout.splitlines())
    return containers, {service: (name, users.get(service, "")) for name, _, service in rows if service}


def _image(containers: Sequence[Container], where: str) -> str:
    for each in containers:
        if each.role == EDGE:
            return each.image
    raise CommandError(
        f"the stack's edge is not there{where}, whose image copies the files\n    deploy the stack first"
    )


def _no_volume(stack: str, service: str, known: Iterable[str], trouble: Mapping[str, str], where: str = "") -> str:
    there = f"    there are {', '.join(sorted(known)) or 'none'}{where}"
    silent = [f"{name}: {said}" for name, said in trouble.items()]
    return "\n".join([f"no service {service} with a volume in stack {stack}", there, *silent])


# --- there and back --------------------------------------------------------------------------------------------------


def backup(volume: Volume, file: Path | None, *, hold: bool) -> Copied:
    """Write the archive to standard output, or to a file: there only when whole, and readable by its owner alone."""
    if file is None:
        return _received(volume, sys.stdout.buffer, hold=hold)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
            copied = _received(volume, written, hold=hold)
            os.fsync(written.fileno())
        files_of(part)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return copied


def _received(volume: Volume, out: BinaryIO, *, hold: bool) -> Copied:
    code, _, said = _streamed(volume.script("backup", hold=hold), f"the backup of {volume.title}", None, out)
    words = last_line(said).split()
    if code or len(words) != 3 or not all(word.isdecimal() for word in words):
        raise CommandError(f"no backup of {volume.title}: {_plain(said)}")
    return Copied(*map(int, words))


def look(volume: Volume) -> Contents:
    """What is in the volume now."""
    done = run(volume.script("look"), timeout=LOOK)
    numbers = done.stdout.split()
    if done.returncode or not numbers or not all(number.isdecimal() for number in numbers):
        why = _plain(done.stderr) if done.returncode != TIMED_OUT else f"{HANGS}: {RESTART}"
        raise CommandError(f"cannot look what is in the volume of {volume.title}, so nothing was replaced: {why}")
    return Contents(files=int(numbers[0]), newest=int(numbers[1]) if len(numbers) > 1 else 0)


def replaced(volume: Volume, now: Contents, archive: Contents) -> str:
    """What is lost by putting the archive there; empty where nothing is."""
    if not now.files:
        return ""
    last = f"{now.files} files, the last written {_moment(now.newest)}; the archive's {_moment(archive.newest)}"
    # A restored file has the archive's own time, so data that was put back and not written to since is not newer.
    if now.newest > archive.newest:
        return f"the data of {volume.title} is newer than the archive: {last}"
    return f"the data of {volume.title} is no newer than the archive: {last}"


def _moment(seconds: int) -> str:
    return f"on {datetime.fromtimestamp(seconds):%Y-%m-%d at %H:%M}"  # for people here


def restore(volume: Volume, file: Path) -> None:
    """Put an archive that `files_of` has read through in the place of the volume's data."""
    with file.open("rb") as archive:
        code, printed, said = _streamed(volume.script("restore"), f"the restore of {volume.title}", archive, None)
    if code:
        said = printed + said
        raise CommandError(f"{volume.title} was not restored: {_plain(said)}")


def _streamed(words: Sequence[str], what: str, source: BinaryIO | None, out: BinaryIO | None) -> tuple[int, str, str]:
    """Exit code, and what the script printed where `out` does not take it. Ended when nothing moves any more."""
    printed, said = bytearray(), bytearray()
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL if source is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        watch = Watch(process, SILENCE)

        def read(stream: IO[bytes], into: Callable[[bytes], object]) -> None:
            while chunk := stream.read(_CHUNK):
                watch.progress()
                into(chunk)

        assert process.stdout is not None  # noqa: S101  # asked for with PIPE
        assert process.stderr is not None  # noqa: S101
        readers = [
            threading.Thread(target=read, args=(process.stdout, printed.extend if out is None else out.write)),
            threading.Thread(target=read, args=(process.stderr, said.extend)),
        ]
        for reader in readers:
            reader.start()
        try:
            if source is not None and process.stdin is not None:
                with contextlib.suppress(BrokenPipeError), process.stdin as into:
                    while chunk := source.read(_CHUNK):
                        into.write(chunk)
                        watch.progress()
            code = process.wait()
            for reader in readers:
                reader.join(10)
        except BaseException:
            end(process)
            raise
    if watch.expired:
        raise CommandError(f"{what} has not gone on for {SILENCE:g} s, and was given up\n    {HANGS}: {RESTART}")
    # A mark of life while files are copied, and nothing to tell.
    lines = [line for line in said.decode(errors="replace").splitlines() if line != "..."]
    return code, printed.decode(errors="replace"), "\n".join(lines)


def files_of(file: Path) -> Contents:
    """What an archive has, read to its end; one that is cut or is none is an error."""
    try:
        with gzip.open(file) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            count = newest = 0
            for member in archive:
                if member.name.startswith("/") or ".." in Path(member.name).parts:
                    raise CommandError(f"{file} is no backup: it has {member.name}, which is outside of a volume")
                count += not member.isdir()
                newest = newest if member.isdir() else max(newest, int(member.mtime))
            while plain.read(_CHUNK):
                pass  # to the checksum at the end
    except FileNotFoundError:
        raise CommandError(f"there is no file {file}") from None
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise CommandError(f"{file} is no whole archive: {error}") from None
    return Contents(files=count, newest=newest)


def _plain(said: str) -> str:
    return "\n    ".join(line for line in said.splitlines() if line.strip()) or "it said nothing"
