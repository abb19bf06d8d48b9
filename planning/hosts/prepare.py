"""Puts the files of a host in place: one POSIX shell script, run by cloud-init on new hosts, over SSH on existing ones.

The script runs any number of times. It restarts only what it changed, also after a run that did not get to its end, and
checks a new sshd configuration before sshd sees it. For Debian 12 and Ubuntu 24.04, whose own packages it takes. Where
systemd does not run (an image being built, a host in a test), it leaves services alone.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from functools import cache

import yaml

from planning.hosts import daemon
from planning.hosts.hostfiles import (
    CHRONY,
    DAEMON,
    DOCKER_UNIT,
    FIREWALL,
    FIREWALL_UNIT,
    JOURNAL,
    PRUNE_TIMER,
    PRUNE_UNIT,
    SSHD,
    SWAP,
    SWAP_UNIT,
    SYSCTL,
    HostFile,
    modes,
)
from planning.hosts.hung import HUNG, HUNG_UNIT

_MERGE = """\
import os, sys
standing, ours, before = sys.argv[1:]
was = read(open(before).read()) if os.path.isfile(before) else {}
text, problems = merge(open(standing).read(), read(open(ours).read()), was)
for problem in problems:
    print(standing, problem, file=sys.stderr)
if problems:
    sys.exit(1)
print(text, end="")
"""
"""Prints the merged text of three files, or says what is in its way. The third (ours of last time) may be missing."""
PREPARE = "/usr/local/sbin/quayside-prepare"
SUMS = "/var/lib/quayside/sums"
"""What stands on a prepared host, as `sha256sum --check` takes it: whoever changes a file of ours is found by it."""
_END = "QUAYSIDE-END"
_KEPT_END = "QUAYSIDE-KEPT-END"

PACKAGES = ("docker.io", "iptables", "chrony", "unattended-upgrades")


def prepare_script(
    files: Mapping[str, HostFile], packages: Sequence[str] = PACKAGES, *, entry: str = "", first: bool = False
) -> str:
    """The script. Run as root; ``QUAYSIDE_ROOT`` puts the files below another folder, for tests and image builders.

    ``entry`` comes before all else: `entry.admission` and `entry.authorized_keys`. The ``first`` one of a machine has
    to fit into user data, and leaves Docker's settings of an own image as they are: the next one merges.
    """
    others = {path: file for path, file in files.items() if path != DAEMON}
    docker = _daemon(files[DAEMON].content, first) if DAEMON in files else ""
    parts = {"@install@": install(packages), "@daemon@": docker, "@puts@": puts(others), "@entry@": entry}
    text = _SCRIPT
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def kept(script: str) -> str:
    """The script for a run over SSH, which leaves it on the host: with it, what others changed there is put back."""
    return _KEPT.format(path=PREPARE, end=_KEPT_END, script=script)


def puts(files: Mapping[str, HostFile]) -> str:
    """Shell: every file in its place, by the function of `FUNCTIONS`."""
    return "\n".join(_put(path, mode, content) for path, mode, content in modes(files))


def install(packages: Sequence[str] = PACKAGES) -> str:
    """Shell: the packages that are missing; those whose upgrade may restart what runs are held."""
    return _INSTALL.replace("@packages@", " ".join(packages))


def _put(path: str, mode: str, content: str) -> str:
    if any(line == _END for line in content.splitlines()) or not content.endswith("\n"):
        raise ValueError(f"{path}: cannot be put into a script")
    return f"put {mode} {path} <<'{_END}'\n{content}{_END}\n"


def _daemon(content: str, first: bool) -> str:
    """Shell: Docker's settings, merged into those that are there."""
    if first:
        return f'if [ ! -s "$root{DAEMON}" ]; then\n{_put(DAEMON, "0644", content)}fi\n'
    return _DAEMON.format(path=DAEMON, end=_END, ours=content, merge=_merge_program())


@cache
def _merge_program() -> str:
    """`planning.hosts.daemon` without its comments, since user data has 32 KiB, and what gives it the host's files."""
    program = ast.parse(inspect.getsource(daemon))
    for node in ast.walk(program):
        if isinstance(node, (ast.Module, ast.FunctionDef)):
            node.body = [part for part in node.body if not _is_text(part)]
    return f"{ast.unparse(program)}\n{_MERGE}"


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def cloud_init(
    files: Mapping[str, HostFile],
    *,
    entry: str = "",
    host_key: tuple[str, str] | None = None,
) -> str:
    """User data of a new host. ``entry`` is `prepare_script`'s; ``host_key`` is its private and public ed25519 key."""
    script = _Text(prepare_script(files, entry=entry, first=True))
    config: dict[str, object] = {
        "disable_root": False,
        "ssh_pwauth": False,
        # None but root, whose keys the script keeps: those of the image's own user would stay for ever.
        "users": ["root"],
        "write_files": [{"path": PREPARE, "owner": "root:root", "permissions": "0700", "content": script}],
        "runcmd": [[PREPARE]],
    }
    if host_key is not None:
        private, public = host_key
        config["ssh_deletekeys"] = True
        config["ssh_keys"] = {"ed25519_private": _Text(private), "ed25519_public": public}
    return "#cloud-config\n" + yaml.dump(config, Dumper=_Dumper, sort_keys=False, width=10_000)


class _Text(str):
    """Text that stays readable: one line of the file is one line of the YAML."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _literal(_: yaml.SafeDumper, text: _Text) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", str(text), style="|")


_Dumper.add_representer(_Text, _literal)


def _on(paths: Sequence[str], *commands: str) -> str:
    body = "\n".join(f"    {line}" for command in commands for line in command.splitlines())
    return f"if changed {' '.join(paths)}; then\n{body}\nfi"


_RESTARTS = "\n".join(
    [
        _on((FIREWALL_UNIT, DOCKER_UNIT, SWAP_UNIT, PRUNE_UNIT, PRUNE_TIMER), "service daemon-reload"),
        _on((FIREWALL, FIREWALL_UNIT), f'"$root{FIREWALL}"'),
        _on(
            (SSHD,),
            f"""\
if ! sshd -t; then
    rm "$root{SSHD}"
    echo "sshd refuses {SSHD}, which was taken away again" >&2
    exit 1
fi
service try-reload-or-restart ssh""",
        ),
        _on(
            (DAEMON,),
            "# The first makes dockerd keep the containers over the second.",
            "service reload docker || true",
            "service restart docker",
        ),
        _on((JOURNAL,), "service restart systemd-journald"),
        _on((SYSCTL,), f'sysctl --quiet --load "$root{SYSCTL}"'),
        _on((CHRONY,), "service restart chrony"),
        _on((SWAP, SWAP_UNIT), "service restart quayside-swap"),
        _on(
            (HUNG, HUNG_UNIT),
            "service daemon-reload",
            "service enable --quiet quayside-hung",
            "service restart quayside-hung",
        ),
        "service enable --quiet quayside-firewall",
        "service enable --quiet --now docker chrony quayside-swap quayside-prune.timer",
    ]
)

HEAD = """\
set -eu
umask 022
root=${QUAYSIDE_ROOT:-}
state=$root/var/lib/quayside
mkdir -p "$state"
# What was written, in this run or in an earlier one that did not get to its end; and every file that is ours.
touch "$state/changed" "$state/files"
"""

_CHECKS = """\
# Before anything is changed: is this a machine that the rest is written for?
if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    name=$(sed -n 's/^PRETTY_NAME="\\(.*\\)"/\\1/p' /etc/os-release 2>/dev/null || true)
    echo "this is ${name:-no Debian}, and a host of a fleet is Debian 12 or 13, or Ubuntu 22.04 or 24.04" >&2
    exit 1
fi
if [ "$(timeout 60 docker info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null || true)" = active ]; then
    echo "Docker is in swarm mode here, which does not go with live-restore:" >&2
    echo "    docker swarm leave --force, or take another server" >&2
    exit 1
fi
"""

_DAEMON = """\
# Docker's settings: ours are merged into those that somebody else made here, or nothing is changed.
cat >"$state/daemon.json.new" <<'{end}'
{ours}{end}
daemon=$root{path} mode=0644
if [ -s "$daemon" ]; then
    command -v python3 >/dev/null || get python3
    merged=$(
        python3 - "$daemon" "$state/daemon.json.new" "$state/daemon.json" <<'{end}'
{merge}{end}
    )
    # It may have a proxy's password in it.
    mode=0$(stat -c %a "$daemon")
else
    merged=$(cat "$state/daemon.json.new")
fi
printf '%s\\n' "$merged" | put "$mode" {path}
mv "$state/daemon.json.new" "$state/daemon.json"
"""

# The name is this run's: one whose connection was lost may be at work with its own yet.
_KEPT = """set -eu
umask 077
kept=${{QUAYSIDE_ROOT:-}}{path}
mkdir -p "${{kept%/*}}"
new=$kept.$$
trap 'rm -f "$new"' EXIT
cat >"$new" <<'{end}'
{script}{end}
QUAYSIDE_USER=${{SUDO_USER:-$(id -un)}} sh "$new" </dev/null
chmod 0700 "$new"
mv "$new" "$kept"
"""

FUNCTIONS = """\
installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

get() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 update -q
    apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install -q -y --no-install-recommends "$@"
}

# Put stdin at $2 with mode $1, in one step, unless it is there already.
put() {
    new=$root$2.quayside
    mkdir -p "${new%/*}"
    cat >"$new"
    chmod "$1" "$new"
    if [ -f "$root$2" ] && cmp -s "$new" "$root$2" && [ "0$(stat -c %a "$root$2")" = "$1" ]; then
        rm "$new"
    else
        if [ -f "$root$2" ] && ! grep -qxF "$2" "$state/files"; then
            cp -p "$root$2" "$root$2.before-quayside"
        fi
        echo "$2" >>"$state/changed"
        mv "$new" "$root$2"
        echo "changed $2"
    fi
    grep -qxF "$2" "$state/files" || echo "$2" >>"$state/files"
}
"""

_INSTALL = """\
# All files are there before Docker is, so that it starts with them, and behind the packet filter.
missing=
for package in @packages@; do
    # Docker by any other package is Docker as well.
    if [ "$package" = docker.io ] && command -v dockerd >/dev/null; then continue; fi
    installed "$package" || missing="$missing $package"
done
# shellcheck disable=SC2086 # names of packages, to be split
[ -z "$missing" ] || get $missing
# Debian 13 has the client in a package of its own, which docker.io only recommends.
command -v docker >/dev/null || get docker-cli
# Upgrading these may restart what runs; it is done by hand, one drained host at a time.
held=$(apt-mark showhold)
for package in docker.io docker-cli docker-ce docker-ce-cli containerd containerd.io runc; do
    if installed "$package" && ! echo "$held" | grep -qx "$package"; then apt-mark hold "$package"; fi
done
"""

_SCRIPT = f"""\
#!/bin/sh
# Makes this machine a host of a quayside fleet, or brings one up to date. Safe to run at any time, any number of times.
{_CHECKS}
{HEAD}
# One at a time: what a lost connection left at work ends first.
exec 9>>"$state/lock"
flock -w 600 9 || {{
    echo "another run of this has been at work here for ten minutes: ps -ef | grep quayside-prepare" >&2
    exit 1
}}
changed() {{
    for path in "$@"; do
        if grep -qxF "$path" "$state/changed"; then return 0; fi
    done
    return 1
}}

service() {{
    if [ -d "$root/run/systemd/system" ]; then systemctl "$@"; fi
}}

{FUNCTIONS}
@entry@
@daemon@
@puts@
@install@
{_RESTARTS}
: >"$state/changed"
while read -r path; do
    if [ -f "$root$path" ]; then sha256sum "$root$path"; fi
done <"$state/files" >"$state/sums"
"""
