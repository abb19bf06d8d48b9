"""Stand-ins for three official images, put together from Debian packages where no image registry answers.

The packages are downloaded once, merged as a stream into one tar archive and given to ``docker import``: no container
runs, nothing is unpacked on the disk, and no root is needed. Users, folders and start command are those of the official
images (docker-library/haproxy 3.2/alpine, docker-library/redis 7/alpine, docker-library/python), so that a stack means
the same with either.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from quayside.shell import HANGS, RESTART, CommandError, Watch, as_root, found, last_line, run

LABEL = "dev.quayside.standin"
_APT = 300.0
"""Seconds for what apt and dpkg do on this machine."""
_DOWNLOAD = 900.0
_IMPORT = 300.0
"""Seconds that `docker import` may take: 100 MB on a slow disk."""
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Folders that are links into /usr since Debian 12."""

UNUSED = re.compile(
    r"(dpkg|perl(-.*)?|lib.*-perl|libperl.*|usrmerge|init-system-helpers|sysvinit-utils|debconf|adduser|passwd|lsb-base"
    r"|tar|gcc-.*-base|libgdbm.*|libpam.*|libaudit.*|libsemanage.*|libsepol.*|libdebconf.*)"
)
"""Packages that serve installing and starting on a Debian machine; nothing in a container calls them."""

DOCUMENTS = re.compile(
    r"usr/share/(doc|man|info|locale|lintian|bug|perl5|bash-completion)/.|usr/lib/python3[^/]*/test/"
)


@dataclass(frozen=True)
class Recipe:
    """How to make one image."""

    packages: tuple[str, ...]
    changes: tuple[str, ...]
    """Instructions for ``docker import --change``."""
    users: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Name → user and group id, as in the official image."""
    folders: Mapping[str, str] = field(default_factory=dict[str, str])
    """Folder → the user that owns it."""
    links: Mapping[str, str] = field(default_factory=dict[str, str])
    scripts: Mapping[str, str] = field(default_factory=dict[str, str])


PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

HAPROXY_START = """#!/bin/sh
# `haproxy -f …` becomes a master with workers that stays in the foreground, as in the official image.
case "${1-}" in
    -*) set -- haproxy "$@" ;;
esac
if [ "${1-}" = haproxy ]; then
    shift
    set -- haproxy -W -db "$@"
fi
exec "$@"
"""

REDIS_START = """#!/bin/sh
# The official build has protected mode off by default: in a container, the network decides who may connect.
case "${1-}" in
    -v | --version | -h | --help | --test-memory | --check-system) exec /usr/bin/redis-server "$@" ;;
    "" | -*) exec /usr/bin/redis-server --protected-mode no "$@" ;;
esac
config=$1
shift
exec /usr/bin/redis-server "$config" --protected-mode no "$@"
"""

RECIPES: Mapping[str, Recipe] = {
    "haproxy": Recipe(
        packages=("haproxy",),
        users={"haproxy": (99, 99)},
        folders={"var/lib/haproxy": "haproxy", "usr/local/etc/haproxy": "root"},
        links={"usr/local/sbin/haproxy": "/usr/sbin/haproxy"},
        scripts={"usr/local/bin/docker-entrypoint.sh": HAPROXY_START},
        # The official image's STOPSIGNAL SIGUSR1 is missing: `docker import` has no word for it.
        changes=(
            "USER haproxy",
            "WORKDIR /var/lib/haproxy",
            'ENTRYPOINT ["docker-entrypoint.sh"]',
            'CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]',
        ),
    ),
    "redis": Recipe(
        packages=("redis-server",),
        users={"redis": (999, 1000)},
        folders={"data": "redis"},
        links={"usr/local/bin/redis-cli": "/usr/bin/redis-cli"},
        scripts={"usr/local/bin/redis-server": REDIS_START},
        # The official image starts as root and steps down to this user.
        changes=("USER redis", "WORKDIR /data", "VOLUME /data", "EXPOSE 6379", 'CMD ["redis-server"]'),
    ),
    "python": Recipe(
        packages=("python3",),
        links={"usr/local/bin/python3": "/usr/bin/python3", "usr/local/bin/python": "/usr/bin/python3"},
        changes=('CMD ["python3"]', "ENV LANG=C.UTF-8"),
    ),
}


def recipe_for(image: str) -> Recipe | None:
    """The recipe for an official image such as `haproxy:3.2.24-alpine`; None for other repositories and for digests."""
    if "@" in image:
        return None
    name = image.removeprefix("docker.io/").removeprefix("library/").partition(":")[0]
    return RECIPES.get(name)


def build(image: str, cache: Path, say: Callable[[str], None]) -> None:
    """Make the stand-in for one image and tag it with the image's own name."""
    recipe = recipe_for(image)
    if recipe is None:
        raise CommandError(f"{image}: no image registry answers, and only haproxy, redis and python can be made here")
    if not (found("apt-get") and found("dpkg-deb")):
        raise CommandError(
            f"{image}: no image registry answers, and a stand-in needs Debian's package tools\n"
            f"    connect to a registry once, or bring the image with `docker load`"
        )
    start = time.monotonic()
    packages = _download(recipe, cache)
    changes = [*recipe.changes, PATH, f"LABEL {LABEL}=true"]
    command = ["docker", "import", *(part for change in changes for part in ("--change", change)), "-", image]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as docker:
        assert docker.stdin is not None  # noqa: S101  # asked for with PIPE
        assert docker.stderr is not None  # noqa: S101
        watch = Watch(docker, _IMPORT)
        try:
            with docker.stdin as stream:
                write(stream, recipe, (_archive(package) for package in packages), _applets(packages))
        except BrokenPipeError:
            pass  # docker's own words say more
        errors = docker.stderr.read().decode(errors="replace")
    if watch.expired:
        raise CommandError(f"{image}: {HANGS}: `docker import` took longer than {_IMPORT:g} s\n    {RESTART}")
    if docker.returncode:
        raise CommandError(f"{image}: `docker import` failed: {last_line(errors)}")
    say(f"{image}: no registry answers, made from Debian's packages instead ({time.monotonic() - start:.1f} s)")


def _download(recipe: Recipe, cache: Path) -> list[Path]:
    """The packages of a recipe with all they need, verified by apt, each downloaded once."""
    cache.mkdir(parents=True, exist_ok=True)
    for folder in ("empty/partial", "packages"):
        (cache / folder).mkdir(parents=True, exist_ok=True)
    status = cache / "status"
    status.touch()
    # With an empty status nothing counts as installed, so apt lists the whole closure.
    options = [
        *("-o", f"Dir::State::status={status}"),
        *("-o", f"Dir::Cache::archives={cache / 'empty'}"),
        *("-o", "Debug::NoLocking=1"),
        *("-o", "APT::Sandbox::User=root"),
    ]
    listing = ["apt-get", *options, "install", "-y", "-qq", "--no-install-recommends", "--print-uris"]
    listing += [*recipe.packages, "busybox"]
    done = run(listing, timeout=_APT)
    if done.returncode:
        refresh_lists()
        done = run(listing, timeout=_APT)
    if done.returncode:
        raise CommandError(f"apt cannot find {', '.join(recipe.packages)}: {last_line(done.stderr)}")
    files = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("'")]
    wanted = [name for name in files if not UNUSED.fullmatch(name.partition("_")[0])]
    store = cache / "packages"
    missing = [name for name in wanted if not (store / name).is_file()]
    names = [name.partition("_")[0] for name in missing]
    if not list(store.glob("util-linux_*.deb")):
        names.append("util-linux")  # for flock, which Debian's busybox lacks and Alpine's has
    if names:
        done = run(["apt-get", *options, "download", "-qq", *names], cwd=store, timeout=_DOWNLOAD)
        if done.returncode:
            refresh_lists()
            done = run(["apt-get", *options, "download", "-qq", *names], cwd=store, timeout=_DOWNLOAD)
        if done.returncode:
            raise CommandError(f"Debian's packages did not download: {last_line(done.stderr)}")
    return [*(store / name for name in wanted), max(store.glob("util-linux_*.deb"))]


def refresh_lists() -> None:
    """`apt-get update`: on a bare machine the lists are absent, later they may name packages that were replaced."""
    root = as_root()
    if root is None:
        raise CommandError("Debian's package lists are missing or old: run `sudo apt-get update`, then this again")
    done = run([*root, "apt-get", "update", "-qq"], timeout=300)
    if done.returncode:
        raise CommandError(f"`apt-get update` failed: {last_line(done.stderr)}")


def _archive(package: Path) -> tuple[str, tarfile.TarFile]:
    done = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], capture_output=True, check=False, timeout=_APT)
    if done.returncode:
        raise CommandError(f"{package.name} is damaged: delete {package} and run this again")
    return package.name.partition("_")[0], tarfile.open(fileobj=io.BytesIO(done.stdout))


def _applets(packages: Iterable[Path]) -> list[str]:
    """The commands this busybox knows, asked of itself."""
    busybox = next(package for package in packages if package.name.startswith("busybox_"))
    with tempfile.TemporaryDirectory() as folder:
        done = run(["dpkg-deb", "-x", str(busybox), folder], timeout=_APT)
        listed = (
            run([str(next(Path(folder).rglob("bin/busybox"))), "--list"], timeout=_APT)
            if done.returncode == 0
            else done
        )
    if listed.returncode:
        raise CommandError(f"{busybox.name} does not run here: {last_line(listed.stderr)}")
    return [name for name in listed.stdout.split() if name not in {"busybox", "dpkg", "dpkg-deb", "rpm", "rpm2cpio"}]


def write(
    stream: IO[bytes],
    recipe: Recipe,
    archives: Iterable[tuple[str, tarfile.TarFile]],
    applets: Iterable[str],
) -> None:
    """Write the image's file system as one tar archive. A path that was written stays as it is."""
    written: set[str] = set()
    with tarfile.open(fileobj=stream, mode="w|") as out:

        def add(
            name: str, kind: bytes, mode: int, link: str = "", data: bytes = b"", owner: tuple[int, int] = (0, 0)
        ) -> None:
            if name in written:
                return
            written.add(name)
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname, info.size = kind, mode, link, len(data)
            info.uid, info.gid = owner
            out.addfile(info, io.BytesIO(data) if data else None)

        users = {"root": (0, 0), **recipe.users}
        for folder in ("etc", "usr", "dev", "proc", "sys", "run", "var", "var/lib", "root", "usr/bin", "usr/local"):
            add(folder, tarfile.DIRTYPE, 0o755)
        for folder in MERGED:
            add(f"usr/{folder}", tarfile.DIRTYPE, 0o755)
            add(folder, tarfile.SYMTYPE, 0o777, link=f"usr/{folder}")
        for folder in ("tmp", "var/tmp"):
            add(folder, tarfile.DIRTYPE, 0o1777)
        for folder, owner in recipe.folders.items():
            for parent in reversed(Path(folder).parents[:-1]):
                add(str(parent), tarfile.DIRTYPE, 0o755)
            add(folder, tarfile.DIRTYPE, 0o755, owner=users[owner])
        passwd = "".join(f"{name}:x:{uid}:{gid}::/:/bin/sh\n" for name, (uid, gid) in users.items())
        group = "".join(f"{name}:x:{gid}:\n" for name, (_, gid) in users.items())
        nobody = ("nobody:x:65534:65534::/:/bin/sh\n", "nogroup:x:65534:\n")
        add("etc/passwd", tarfile.REGTYPE, 0o644, data=(passwd + nobody[0]).encode())
        add("etc/group", tarfile.REGTYPE, 0o644, data=(group + nobody[1]).encode())
        add("etc/nsswitch.conf", tarfile.REGTYPE, 0o644, data=b"hosts: files dns\n")
        for name, text in recipe.scripts.items():
            for parent in reversed(Path(name).parents[:-1]):
                add(str(parent), tarfile.DIRTYPE, 0o755)
            add(name, tarfile.REGTYPE, 0o755, data=text.encode())
        for package, archive in archives:
            with archive:
                for member in archive:
                    name = merged(member.name)
                    if name in written or not name or DOCUMENTS.match(name):
                        continue
                    if package == "util-linux" and name != "usr/bin/flock":
                        continue
                    written.add(name)
                    member.name = name
                    if member.islnk():
                        member.linkname = merged(member.linkname)
                    out.addfile(member, archive.extractfile(member) if member.isreg() else None)
        for name, target in recipe.links.items():
            for parent in reversed(Path(name).parents[:-1]):
                add(str(parent), tarfile.DIRTYPE, 0o755)
            add(name, tarfile.SYMTYPE, 0o777, link=target)
        for applet in applets:
            if f"usr/sbin/{applet}" not in written:
                add(f"usr/bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")


def merged(name: str) -> str:
    """A path of a package as it is once /bin, /sbin and /lib are links into /usr."""
    name = name.removeprefix("./").strip("/")
    if name == ".":
        return ""
    return f"usr/{name}" if name.partition("/")[0] in MERGED else name
