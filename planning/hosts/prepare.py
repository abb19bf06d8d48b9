"""Puts the files of a host in place: one POSIX shell script, run by cloud-init on new hosts, over SSH on existing ones.

The script runs any number of times. It restarts only what it changed, also after a run that did not get to its end, and
checks a new sshd configuration before sshd sees it. For Debian 12 and Ubuntu 24.04, whose own packages it takes. Where
systemd does not run (an image being built, a host in a test), it leaves services alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

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

PREPARE = "/usr/local/sbin/quayside-prepare"
_END = "QUAYSIDE-END"

PACKAGES = ("docker.io", "iptables", "chrony", "unattended-upgrades")


def prepare_script(files: Mapping[str, HostFile], packages: Sequence[str] = PACKAGES, *, entry: str = "") -> str:
    """The script. Run as root; ``QUAYSIDE_ROOT`` puts the files below another folder, for tests and image builders.

    ``entry`` comes before all else: `entry.admission` and `entry.authorized_keys`.
    """
    return _SCRIPT.replace("@install@", install(packages)).replace("@puts@", puts(files)).replace("@entry@", entry)


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


def cloud_init(
    files: Mapping[str, HostFile],
    *,
    entry: str = "",
    host_key: tuple[str, str] | None = None,
) -> str:
    """User data of a new host. ``entry`` is `prepare_script`'s; ``host_key`` is its private and public ed25519 key."""
    script = _Text(prepare_script(files, entry=entry))
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

FUNCTIONS = """\
installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

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
if [ -n "$missing" ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 update -q
    # shellcheck disable=SC2086 # names of packages, to be split
    apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install -q -y --no-install-recommends $missing
fi
# Upgrading these may restart what runs; it is done by hand, one drained host at a time.
held=$(apt-mark showhold)
for package in docker.io docker-ce containerd containerd.io runc; do
    if installed "$package" && ! echo "$held" | grep -qx "$package"; then apt-mark hold "$package"; fi
done
"""

_SCRIPT = f"""\
#!/bin/sh
# Makes this machine a host of a quayside fleet, or brings one up to date. Safe to run at any time, any number of times.
{HEAD}
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
@puts@
@install@
{_RESTARTS}
: >"$state/changed"
"""
