"""Puts the files of a host in place: one POSIX shell script, which cloud-init runs on new hosts and SSH on existing ones.

The script runs any number of times. It restarts only what it changed, and checks a new sshd configuration before sshd
sees it. For Debian 12 and Ubuntu 24.04, whose own packages it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

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


def prepare_script(files: Mapping[str, HostFile]) -> str:
    """The script. Run as root; ``QUAYSIDE_ROOT`` puts the files below another folder, for tests and image builders."""
    puts = "\n".join(_put(path, mode, content) for path, mode, content in modes(files))
    return _SCRIPT.replace("@puts@", puts)


def _put(path: str, mode: str, content: str) -> str:
    if any(line == _END for line in content.splitlines()) or not content.endswith("\n"):
        raise ValueError(f"{path}: cannot be put into a script")
    return f"put {mode} {path} <<'{_END}'\n{content}{_END}\n"


def cloud_init(
    files: Mapping[str, HostFile],
    *,
    keys: Iterable[str],
    host_key: tuple[str, str] | None = None,
) -> str:
    """User data of a new host. ``keys`` may log in as root; ``host_key`` is its private and public ed25519 key."""
    config: dict[str, object] = {
        "disable_root": False,
        "ssh_pwauth": False,
        "ssh_authorized_keys": list(keys),
        "write_files": [
            {"path": PREPARE, "owner": "root:root", "permissions": "0700", "content": _Text(prepare_script(files))}
        ],
        "runcmd": [[PREPARE]],
    }
    if host_key is not None:
        private, public = host_key
        config["ssh_deletekeys"] = True
        config["ssh_genkeytypes"] = []
        config["ssh_keys"] = {"ed25519_private": _Text(private), "ed25519_public": public}
    return "#cloud-config\n" + yaml.dump(config, Dumper=_Dumper, sort_keys=False, width=10_000)


class _Text(str):
    """Text that stays readable: one line of the file is one line of the YAML."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def _literal(dumper: yaml.SafeDumper, text: _Text) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")


_Dumper.add_representer(_Text, _literal)


def _when(*paths: str) -> str:
    return " || ".join(f"changed {path}" for path in paths)


def _restarts() -> Iterator[str]:
    units = [FIREWALL_UNIT, DOCKER_UNIT, SWAP_UNIT, PRUNE_UNIT, PRUNE_TIMER]
    yield f"if {_when(*units)}; then\n    systemctl daemon-reload\nfi"
    yield (
        f"if {_when(SSHD)}; then\n"
        '    if sshd -t; then\n        systemctl reload ssh\n    else\n        rm "$root' + SSHD + '"\n'
        '        echo "sshd refuses its new configuration, which was taken back" >&2\n        exit 1\n    fi\nfi'
    )
    yield f'if {_when(FIREWALL, FIREWALL_UNIT)}; then\n    "$root{FIREWALL}"\nfi\nsystemctl enable --quiet quayside-firewall'
    yield (
        f"if {_when(DAEMON)}; then\n"
        "    # The first makes dockerd keep the containers over the second.\n"
        "    systemctl reload docker || true\n    systemctl restart docker\nfi\nsystemctl enable --quiet --now docker"
    )
    yield f"if {_when(JOURNAL)}; then\n    systemctl restart systemd-journald\nfi"
    yield f'if {_when(SYSCTL)}; then\n    sysctl --quiet --load "$root{SYSCTL}"\nfi'
    yield f"if {_when(CHRONY)}; then\n    systemctl restart chrony\nfi"
    yield f"if {_when(SWAP, SWAP_UNIT)}; then\n    systemctl restart quayside-swap\nfi"
    yield "systemctl enable --quiet --now chrony quayside-swap quayside-prune.timer"


def _script() -> str:
    needed: Sequence[str] = PACKAGES
    return f"""\
#!/bin/sh
# Makes this machine a host of a quayside fleet, or brings one up to date. Safe to run at any time, any number of times.
set -eu
umask 022
root=${{QUAYSIDE_ROOT:-}}
# What was written in this run, and in an earlier one that did not get to its end.
state=$root/var/lib/quayside
mkdir -p "$state"
: >>"$state/changed"

changed() {{ grep -qxF "$1" "$state/changed"; }}

# Put stdin at $2 with mode $1, in one step, unless it is there already.
put() {{
    new=$root$2.quayside
    mkdir -p "${{new%/*}}"
    cat >"$new"
    chmod "$1" "$new"
    if [ -f "$root$2" ] && cmp -s "$new" "$root$2" && [ "0$(stat -c %a "$root$2")" = "$1" ]; then
        rm "$new"
    else
        echo "$2" >>"$state/changed"
        mv "$new" "$root$2"
        echo "changed $2"
    fi
}}

@puts@
# The daemon's configuration is there before Docker is, so that it starts with it.
missing=
for package in {" ".join(needed)}; do
    # Docker by any other package is Docker as well.
    case $package in docker.io) command -v dockerd >/dev/null && continue ;; esac
    dpkg-query -W -f '${{Status}}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 update -q
    # shellcheck disable=SC2086 # names of packages, to be split
    apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install -q -y --no-install-recommends $missing
fi
# Upgrading these restarts or breaks what runs; it is done by hand, one drained host at a time.
for package in docker.io docker-ce containerd containerd.io runc; do
    if dpkg-query -W -f '${{Status}}' "$package" 2>/dev/null | grep -q 'ok installed'; then
        apt-mark hold "$package" >/dev/null
    fi
done

{chr(10).join(_restarts())}
: >"$state/changed"
"""


_SCRIPT = _script()
