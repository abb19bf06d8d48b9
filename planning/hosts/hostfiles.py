"""The files of a prepared host, the same whether cloud-init, a script over SSH or an image builder puts them there."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from settings.units import GIB, MIB

DAEMON = "/etc/docker/daemon.json"
SSHD = "/etc/ssh/sshd_config.d/00-quayside.conf"
FIREWALL = "/usr/local/sbin/quayside-firewall"
FIREWALL_UNIT = "/etc/systemd/system/quayside-firewall.service"
DOCKER_UNIT = "/etc/systemd/system/docker.service.d/quayside.conf"
SWAP = "/usr/local/sbin/quayside-swap"
SWAP_UNIT = "/etc/systemd/system/quayside-swap.service"
IMAGES = "/usr/local/sbin/quayside-images"
PRUNE_UNIT = "/etc/systemd/system/quayside-prune.service"
PRUNE_TIMER = "/etc/systemd/system/quayside-prune.timer"
JOURNAL = "/etc/systemd/journald.conf.d/quayside.conf"
SYSCTL = "/etc/sysctl.d/60-quayside.conf"
UPGRADES = "/etc/apt/apt.conf.d/52quayside"
CHRONY = "/etc/chrony/conf.d/quayside.conf"

_POOLS = ("172.24.0.0/14", "192.168.128.0/17", "10.64.0.0/12")
"""Where Docker takes the networks from that nobody gave a range: the first that the stack does not use itself."""


@dataclass(frozen=True, slots=True)
class HostFile:
    mode: int
    content: str


def host_files(firewall: str, *, subnets: str = "10.128.0.0/9", memory: int = 4 * GIB) -> Mapping[str, HostFile]:
    """Path → file. ``firewall`` is the script by `packetfilter.host_filter`; ``memory`` the host's, for its swap."""
    return MappingProxyType(
        {
            **common_files(),
            DAEMON: HostFile(0o644, _daemon(subnets)),
            FIREWALL: HostFile(0o755, firewall),
            SWAP: HostFile(0o755, _SWAP.format(mib=swap_size(memory) // MIB)),
        }
    )


def common_files() -> Mapping[str, HostFile]:
    """Those that every host of every stack has alike, so that an image may hold them."""
    return MappingProxyType(
        {
            SSHD: HostFile(0o644, _SSHD),
            FIREWALL_UNIT: HostFile(0o644, _FIREWALL_UNIT),
            DOCKER_UNIT: HostFile(0o644, _DOCKER_UNIT),
            SWAP_UNIT: HostFile(0o644, _SWAP_UNIT),
            IMAGES: HostFile(0o755, _IMAGES),
            PRUNE_UNIT: HostFile(0o644, _PRUNE_UNIT),
            PRUNE_TIMER: HostFile(0o644, _PRUNE_TIMER),
            JOURNAL: HostFile(0o644, _JOURNAL),
            SYSCTL: HostFile(0o644, _SYSCTL),
            UPGRADES: HostFile(0o644, _UPGRADES),
            CHRONY: HostFile(0o644, _CHRONY),
        }
    )


def swap_size(memory: int) -> int:
    """1 GiB on small hosts, 2 on others: for what is never touched again, not to run from."""
    return GIB if memory <= 2 * GIB else 2 * GIB


def _daemon(subnets: str) -> str:
    own = ipaddress.ip_network(subnets)
    pool = next(one for one in _POOLS if not _overlap(own, one))
    settings: dict[str, object] = {
        # Containers go on while dockerd is restarted or upgraded.
        "live-restore": True,
        # Rotated and compressed. The default grows until the disk is full.
        "log-driver": "local",
        "log-opts": {"max-size": "20m", "max-file": "5"},
        "no-new-privileges": True,
        "default-address-pools": [{"base": pool, "size": 24}],
        # A port that someone publishes without saying where is for this host alone.
        "ip": "127.0.0.1",
        # Without it, a container's connection to its own host's public address times out (decisions.md 18).
        "userland-proxy": True,
        "max-concurrent-downloads": 3,
    }
    return json.dumps(settings, indent=2) + "\n"


def _overlap(one: ipaddress.IPv4Network | ipaddress.IPv6Network, other: str) -> bool:
    return one.overlaps(ipaddress.ip_network(other))


def modes(files: Mapping[str, HostFile]) -> Iterable[tuple[str, str, str]]:
    """Path, mode in octal, content; in the order of paths."""
    return ((path, f"{file.mode:04o}", file.content) for path, file in sorted(files.items()))


_SSHD = """\
# Before every other file of this folder: sshd takes the first value it finds.
# An `up` opens about 31 connections at once for 20 containers (measured); the default of MaxStartups refuses them.
MaxStartups 100:30:200
MaxSessions 100
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
X11Forwarding no
ClientAliveInterval 30
ClientAliveCountMax 4
"""

# Default dependencies would put it after sysinit.target, which waits for cloud-init, which waits for the network, which
# waits for this filter. systemd would then drop one of them at each boot, and which one is chance.
_FIREWALL_UNIT = f"""\
[Unit]
Description=Packet filter of the quayside fleet
DefaultDependencies=no
Wants=network-pre.target
After=local-fs.target
Before=network-pre.target docker.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={FIREWALL}

[Install]
WantedBy=multi-user.target
"""

# Wants, not Requires: a restart of the filter would take Docker down with it.
_DOCKER_UNIT = """\
[Unit]
Wants=quayside-firewall.service quayside-swap.service
After=quayside-firewall.service quayside-swap.service
"""

_SWAP = """\
#!/bin/sh
# Swap for what is never touched again. A host that has some already keeps it as it is.
set -eu
file=/var/lib/quayside.swap
[ "$(wc -l </proc/swaps)" -le 1 ] || exit 0
if [ ! -e "$file" ]; then
    (umask 077 && dd if=/dev/zero of="$file.new" bs=1M count={mib} status=none)
    mkswap "$file.new" >/dev/null
    mv "$file.new" "$file"
fi
swapon "$file"
"""

_SWAP_UNIT = f"""\
[Unit]
Description=Swap file of the quayside fleet

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={SWAP}

[Install]
WantedBy=multi-user.target
"""

_IMAGES = """\
#!/bin/sh
# Images on this host. `note` remembers those in use, before a release changes that; `prune` removes those that neither
# a container nor one of the last 5 releases uses, and that nobody used at the last prune either: a release may just
# have pulled them. `prune now` does not wait for that.
set -eu
state=${QUAYSIDE_ROOT:-}/var/lib/quayside
exec 9>"$state/images.lock"
flock -w 300 9 || { echo "images are being removed since five minutes ago; does Docker hang?" >&2; exit 1; }

used() { docker ps -aq | xargs -r docker inspect --format '{{.Image}}' | sort -u; }

note() {
    now=$(used | tr '\\n' ' ')
    [ -n "$now" ] || return 0
    past=$(tail -n 5 "$state/images" 2>/dev/null || true)
    [ "$(printf '%s\\n' "$past" | tail -n 1)" != "$now" ] || return 0
    printf '%s\\n' "$past" "$now" | sed '/^$/d' | tail -n 5 >"$state/images.new" &&
        mv "$state/images.new" "$state/images"
}

# Images have to go when the disk is full and nothing can be noted: the lists are variables.
prune() {
    note || echo "what is in use was not noted" >&2
    kept=$({ used; if [ -e "$state/images" ]; then tr ' ' '\\n' <"$state/images"; fi; } | sort -u)
    free=$(docker image ls -q --no-trunc | sort -u | grep -vxF -e "$kept" || true)
    unused=$free
    [ "${1-}" = now ] || unused=$(cat "$state/images.unused" 2>/dev/null || true)
    names='{{range .RepoTags}}{{println .}}{{end}}{{range .RepoDigests}}{{println .}}{{end}}'
    for id in $(printf '%s\\n' "$free" | grep -xF -e "$unused"); do
        for name in $(docker image inspect --format "$names" "$id") "$id"; do
            docker image rm "$name" >/dev/null 2>&1 || true
        done
    done
    printf '%s\\n' "$free" >"$state/images.new" && mv "$state/images.new" "$state/images.unused"
}

"$@"
"""

_PRUNE_UNIT = f"""\
[Unit]
Description=Removal of images that none of the last releases used
Requires=docker.service
After=docker.service

[Service]
Type=oneshot
ExecStart={IMAGES} prune
"""

_PRUNE_TIMER = """\
[Unit]
Description=Daily removal of unused images

[Timer]
OnCalendar=04:00
RandomizedDelaySec=2h
Persistent=true

[Install]
WantedBy=timers.target
"""

_JOURNAL = """\
[Journal]
SystemMaxUse=500M
MaxRetentionSec=1month
"""

_SYSCTL = """\
# Swap is for what is never touched again.
vm.swappiness = 10
# Connections of a burst wait here until the edge takes them.
net.core.somaxconn = 4096
net.ipv4.tcp_max_syn_backlog = 4096
"""

# The lists of other files are added to, not replaced. Packages are matched from the beginning of their names.
_UPGRADES = """\
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
Unattended-Upgrade::Package-Blacklist { "docker"; "containerd"; "runc"; };
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
"""

_CHRONY = """\
# Certificates and logs need the time at once, however wrong the clock was after a pause of the machine.
makestep 1 -1
"""
