"""What a host's own system tells: its owner, its disk, and whether what prepared it still stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from planning.hosts.packetfilter import CONTAINERS, INPUT
from planning.hosts.prepare import SUMS
from quayside.fleet import Fleet, Host
from quayside.shell import run

SHORT = 4 * 1024**3
"""Bytes free for Docker: with half of that, a host refuses a release."""

_SCRIPT = f"""\
root() {{
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}}
[ ! -e /etc/quayside/owner ] || echo "owner $(cat /etc/quayside/owner)"
df -Pk "$(docker info --format '{{{{.DockerRootDir}}}}')" | awk 'NR == 2 {{ print "disk", $4, $2 }}'
[ -s {SUMS} ] || exit 0
root sha256sum --check --quiet {SUMS} 2>/dev/null | sed 's/^/changed /; s/: [^:]*$//'
for rule in "INPUT -j {INPUT}" "DOCKER-USER -j {CONTAINERS}"; do
    root iptables -w 5 -C $rule 2>/dev/null || echo "open $rule"
done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    free: int
    """Bytes for Docker; 0 where nobody knows."""
    size: int
    trouble: tuple[str, ...]


def ask(fleet: Fleet, host: Host) -> HostState:
    """By one SSH command. A host that does not answer has nothing to tell: others say so."""
    return told(run(fleet.ssh(host, ["sh", "-c", _SCRIPT], terminal=False), timeout=15).stdout, host)


def told(text: str, host: Host) -> HostState:
    """What the script printed."""
    lines = [line.split(" ", 1) for line in text.splitlines() if " " in line]
    free, size = next(
        ((int(a) * 1024, int(b) * 1024) for what, rest in lines if what == "disk" for a, b in [rest.split()]), (0, 0)
    )
    return HostState(free=free, size=size, trouble=tuple(_trouble(lines, host, free, size)))


def _trouble(lines: list[list[str]], host: Host, free: int, size: int) -> Iterator[str]:
    for what, rest in lines:
        if what == "owner" and host.owner and rest != host.owner:
            yield f"it belongs to another stack now: {rest}; this one's `up` changes nothing there"
        if what == "changed":
            yield f"{rest} is not as it was prepared; the next release puts it back, or `sudo quayside-prepare` there"
        if what == "open":
            yield f"its packet filter is not in force (no {rest}); `sudo quayside-firewall` there, or the next release"
    if size and free < SHORT:
        yield f"{free / 1024**3:.1f} GiB of disk are free for Docker; with less than 2 it takes no release"
